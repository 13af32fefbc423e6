//go:build race

package tunnel_test

// raced: each agent costs ten times as much.
const raced = true
