//go:build tools

// Package tools names the store below the API server, so that go.sum holds the checksums of all it needs.
package tools

import _ "go.etcd.io/etcd/server/v3"
