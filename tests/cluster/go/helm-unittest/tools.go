//go:build tools

// Package tools names helm-unittest, which runs the suites of the chart, so that go.sum holds the checksums of all it needs.
package tools

import _ "github.com/helm-unittest/helm-unittest/cmd/helm-unittest"
