// Package pki makes, reads and keeps the keys and certificates of a server that runs alone, in a
// directory, and signs kubeconfigs with them. How one is made is in pkg/keypair.
//
//	ca.crt, ca.key                          signs the serving certificate and clients
//	front-proxy-ca.crt, front-proxy-ca.key  signs the aggregator's client certificate
//	sa.key                                  signs service account tokens
//	serving.pem                             the API server's certificate and key
//	front-proxy-client.pem                  what the aggregator shows to API servers behind it
//	first-start                             is there while the others are made
//
// The first five files are made once. If one of them is missing later, or cannot be read, or
// belongs to another key, Ensure and the renewals stop with a sentence that names the file:
// a new authority locks out everybody who holds a kubeconfig, a new signing key makes every
// token invalid, and nobody could tell an unlucky restore from an attack. A leaf may be made
// again at any time; its certificate and key share one file, so that a renewal replaces both
// at once.
//
// Leaves live a year and are renewed when two thirds have passed; authorities live ten years
// and are renewed, with the same key and name, at the same point, so that what they signed
// stays valid. New keys are ECDSA P-256; all that Kubernetes reads are read.
//
// The administrator's kubeconfig holds a certificate that lives for hours. Run writes it again
// while the server runs; whoever can read the directory can make one at any time with
// SignKubeconfig.
//
// Every file is written as in pkg/durable. A PKI may be used by one process at a time; its
// methods by one goroutine at a time, except that files may be read by anybody at any moment.
package pki
