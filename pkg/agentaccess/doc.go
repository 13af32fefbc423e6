// Package agentaccess keeps in the API which agents of the tunnel may connect: bootstrap tokens in
// Secrets of the system namespace, revocation at KubeFedClusters, and a ConfigMap that says where the tunnel is.
//
//	Secret agent-token-ID       a token: a hash, for whom, since when and until when, and the key that it was used for
//	Lease koinon-tunnel-HASH    a server with a tunnel is there, and where others reach it
//	ConfigMap koinon-tunnel     addresses of the tunnel, and the authority of its serving certificate
//
// Who may create Secrets of that name in the system namespace can have agents for every cluster, as he can have every
// credential there; who may write KubeFedClusters can revoke certificates. Package tunnel knows nothing of this.
//
// What is exported may be used concurrently where it does not say otherwise, by several replicas too.
package agentaccess
