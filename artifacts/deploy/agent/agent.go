// Package agent holds the manifest of koinon-agent for a member, with the values that it was written with; "kubectl koinon agent"
// prints it with others. Servers and pins are on lines of their own, of which there are as many as servers and pins.
package agent

import _ "embed"

// What stands in the manifest where an installation has something else.
const (
	Namespace = "koinon-agent"
	// Image is of no release.
	Image   = "ghcr.io/koinon-io/koinon-agent:v0.0.0"
	Cluster = "CLUSTER"
	Server  = "SERVER"
	Pin     = "PIN"
	Token   = "TOKEN"
)

// Manifest is for kubectl apply.
//
//go:embed agent.yaml
var Manifest string
