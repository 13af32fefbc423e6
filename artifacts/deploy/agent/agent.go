// Package agent holds the manifest of koinon-agent for a member, with the values that it was written with; "kubectl koinon agent"
// prints it with others. Servers, pins and replicas are on lines of their own, of which there are as many as servers, pins and replicas; so
// are documents that are named as a replica is.
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
	// Replica is the name of a pod, of its Secret, and of its token's key; the pods' end in numbers from 0 on. Replicas is how
	// many there are.
	Replica, ReplicaPrefix = "koinon-agent-REPLICA", "koinon-agent-"
	Replicas               = "REPLICAS"
)

// Manifest is for kubectl apply.
//
//go:embed agent.yaml
var Manifest string
