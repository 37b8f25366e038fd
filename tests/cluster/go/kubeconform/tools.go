//go:build tools

// Package tools names kubeconform, which holds manifests against schemas, so that go.sum holds the checksums of all it needs.
package tools

import _ "github.com/yannh/kubeconform/cmd/kubeconform"
