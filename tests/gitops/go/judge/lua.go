package main

import (
	"context"
	"fmt"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// limit is the time that Argo CD gives a script.
const limit = time.Second

// run calls a script with a resource as the global obj and gives what it returns.
func run(script string, resource map[string]any) (any, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable, lua.StringLibName: lua.OpenString,
	} {
		call := lua.P{Fn: state.NewFunction(open), NRet: 0, Protect: true}
		if err := state.CallByParam(call, lua.LString(name)); err != nil {
			return nil, err
		}
	}
	// of os, Argo CD leaves the clock alone
	clock := state.NewTable()
	state.SetField(clock, "time", state.NewFunction(func(state *lua.LState) int {
		state.Push(lua.LNumber(time.Now().Unix()))
		return 1
	}))
	state.SetField(clock, "date", state.NewFunction(func(state *lua.LState) int {
		now := time.Now()
		if state.GetTop() > 1 {
			now = time.Unix(state.CheckInt64(2), 0)
		}
		state.Push(lua.LString(now.UTC().Format("2006-01-02T15:04:05Z")))
		return 1
	}))
	state.SetGlobal("os", clock)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	state.SetContext(ctx)
	state.SetGlobal("obj", toLua(state, resource))
	if err := state.DoString(script); err != nil {
		return nil, err
	}
	return fromLua(state.Get(-1))
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case string:
		return lua.LString(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case []any:
		table := state.CreateTable(len(value), 0)
		for _, item := range value {
			table.Append(toLua(state, item))
		}
		return table
	case map[string]any:
		table := state.CreateTable(0, len(value))
		for key, item := range value {
			table.RawSetString(key, toLua(state, item))
		}
		return table
	}
	return lua.LNil
}

func fromLua(value lua.LValue) (any, error) {
	switch value := value.(type) {
	case *lua.LNilType:
		return nil, nil
	case lua.LBool:
		return bool(value), nil
	case lua.LString:
		return string(value), nil
	case lua.LNumber:
		return float64(value), nil
	case *lua.LTable:
		return fromTable(value)
	}
	return nil, fmt.Errorf("a script may not return a %s", value.Type())
}

func fromTable(table *lua.LTable) (any, error) {
	if length := table.Len(); length > 0 {
		items := make([]any, length)
		for index := range items {
			item, err := fromLua(table.RawGetInt(index + 1))
			if err != nil {
				return nil, err
			}
			items[index] = item
		}
		return items, nil
	}
	fields := map[string]any{}
	var failed error
	table.ForEach(func(key, item lua.LValue) {
		field, err := fromLua(item)
		if err != nil {
			failed = err
		}
		fields[key.String()] = field
	})
	return fields, failed
}
