//go:build tools

// Package tools names promtool, which tries the alerts of the chart, so that go.sum holds the checksums of all it needs.
package tools

import _ "github.com/prometheus/prometheus/cmd/promtool"
