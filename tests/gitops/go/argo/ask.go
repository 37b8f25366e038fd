package main

import (
	"bufio"
	"encoding/json"
	"os"

	"github.com/argoproj/argo-cd/gitops-engine/v3/pkg/health"
	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/lua"
	jsonpatch "github.com/evanphx/json-patch"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// longest is how long a line may be: a resource in etcd has at most half of it.
const longest = 4 << 20

// question asks for the health of a resource and for its actions, or for what one of these actions does.
type question struct {
	Resource json.RawMessage `json:"resource"`
	Action   string          `json:"action"`
}

type answer struct {
	Health  *health.HealthStatus      `json:"health,omitempty"`
	Actions []v1alpha1.ResourceAction `json:"actions,omitempty"`
	Patches []json.RawMessage         `json:"patches,omitempty"`
	Error   string                    `json:"error,omitempty"`
}

func ask(overrides map[string]v1alpha1.ResourceOverride) error {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, longest)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		given, err := answered(lines.Bytes(), overrides)
		if err != nil {
			given = answer{Error: err.Error()}
		}
		if err := answers.Encode(given); err != nil {
			return err
		}
	}
	return lines.Err()
}

func answered(line []byte, overrides map[string]v1alpha1.ResourceOverride) (answer, error) {
	var asked question
	if err := json.Unmarshal(line, &asked); err != nil {
		return answer{}, err
	}
	resource := &unstructured.Unstructured{}
	if err := resource.UnmarshalJSON(asked.Resource); err != nil {
		return answer{}, err
	}
	vm := lua.VM{ResourceOverrides: overrides}
	if asked.Action != "" {
		patches, err := patches(vm, resource, asked.Action)
		return answer{Patches: patches}, err
	}
	state, err := health.GetResourceHealth(resource, lua.ResourceHealthOverrides(overrides))
	if err != nil {
		return answer{}, err
	}
	actions, err := offered(vm, resource)
	return answer{Health: state, Actions: actions}, err
}

func offered(vm lua.VM, resource *unstructured.Unstructured) ([]v1alpha1.ResourceAction, error) {
	scripts, err := vm.GetResourceActionDiscovery(resource)
	if err != nil || len(scripts) == 0 {
		return nil, err
	}
	return vm.ExecuteResourceActionDiscovery(resource, scripts)
}

// patches gives the merge patches that Argo CD sends for an action: what the script returned, against what is there.
func patches(vm lua.VM, resource *unstructured.Unstructured, action string) ([]json.RawMessage, error) {
	script, err := vm.GetResourceAction(resource, action)
	if err != nil {
		return nil, err
	}
	before, err := json.Marshal(resource)
	if err != nil {
		return nil, err
	}
	impacted, err := vm.ExecuteResourceAction(resource, script.ActionLua, nil)
	if err != nil {
		return nil, err
	}
	var sent []json.RawMessage
	for _, one := range impacted {
		after, err := json.Marshal(one.UnstructuredObj)
		if err != nil {
			return nil, err
		}
		patch, err := jsonpatch.CreateMergePatch(before, after)
		if err != nil {
			return nil, err
		}
		sent = append(sent, patch)
	}
	return sent, nil
}
