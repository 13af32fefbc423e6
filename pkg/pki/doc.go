// Package pki makes and keeps the keys and certificates of a standalone server: one
// directory with two authorities, three leaf certificates and a signing key.
//
//	ca.crt, ca.key                          signs the serving certificate and clients
//	front-proxy-ca.crt, front-proxy-ca.key  signs the aggregator's client certificate
//	serving.pem                             the API server's certificate and key
//	admin.pem                               a client in system:masters
//	front-proxy-client.pem                  what the aggregator shows to API servers behind it
//	sa.key                                  signs service account tokens
//
// A leaf's certificate and key share one file, so a renewal replaces both in one rename
// and no reader or crash ever sees halves that do not belong together. Authorities have
// two files because ca.crt is published; the key is written first, and a certificate that
// is absent is made again from the key, so that everything signed before stays valid.
//
// Every file is written beside its place, synced and renamed: kill -9 leaves the old file
// or the new one. Ensure repairs what is missing or damaged, with one exception: it never
// replaces an authority's key while its certificate is there, because that would lock out
// everybody who holds a kubeconfig.
//
// All keys are ECDSA P-256. Leaves live a year and are renewed when two thirds have
// passed; authorities live ten years and are renewed, with the same key, at the same point.
//
// A PKI may be used by one process at a time; its methods by one goroutine at a time,
// except that files may be read by anybody at any moment.
package pki
