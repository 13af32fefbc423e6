//go:build !race

package tunnel_test

const raced = false
