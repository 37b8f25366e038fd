//go:build tools

// Package tools names Helm, which only the tests of charts ask for, so that go.sum holds the checksums of all it needs.
package tools

import _ "helm.sh/helm/v4/cmd/helm"
