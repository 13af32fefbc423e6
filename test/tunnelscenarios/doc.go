// Package tunnelscenarios has what the tunnel has to stand as a whole, as tests: many clusters, agents and clients that are
// hostile, servers and links that are lost, connections by the thousand. Servers, agents and front ends are the real
// ones, over TLS on loopback; links go through wires that can be cut, and that can swallow what they carry.
//
// Each test leaves no goroutine and no open file. What is random follows from KOINON_SEED, or from a seed that is
// logged. Sizes are small, and with KOINON_LONG all that there are: see make test-tunnel-scale.
//
// docs/testing.md says which test is for what, and where the others are.
package tunnelscenarios
