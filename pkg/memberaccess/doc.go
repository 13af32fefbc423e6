// Package memberaccess says how a member is reached: it makes a client configuration of a
// KubeFedCluster and its Secret, or one sentence on why they make none, and sentences of what a
// connection suffers. The engine and the proxy ask here, so that both send a credential to the
// same places only.
//
// It reaches nobody itself, and keeps nothing. All of it may be called concurrently.
package memberaccess
