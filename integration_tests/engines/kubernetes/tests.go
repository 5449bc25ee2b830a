//go:build tests

// So that `go mod tidy` knows what the tests of a node need.
package main

import _ "k8s.io/kubernetes/test/e2e_node"
