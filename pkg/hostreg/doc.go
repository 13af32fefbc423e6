// Package hostreg registers the API server in the aggregator of a real host, and keeps it
// registered: an APIService for each group version, the Service that they name if the server
// is outside the host, and the authority that signs the serving certificates.
//
// It is level-driven. Whatever somebody deletes or edits comes back within a moment; writes
// are rate limited. It writes nothing that is right already, so that several replicas do not
// fight; each may come first, and none is a leader. It does not take group versions away
// from somebody else: an APIService that the host keeps for CRDs, or that names a Service
// and was not made by us, is an error, and stays as it is.
//
// # Authorities
//
// The replicas share a Secret in the system namespace. Its keys are
//
//	authorities.pem  pairs of certificate and key, oldest first; there are one or two
//	ca.crt           the certificates alone: the caBundle of the APIServices
//
// Whoever finds no Secret makes one; the host decides who was first. A Secret that is there
// and cannot be read is an error, and stays as it is: a server does not start, one that runs
// goes on with what it has and tries again. An authority lives a
// year. When two thirds have passed, one is added, which is trusted at once and signs a day
// later: by then every replica and the host know it. Expired ones are dropped. The key of a
// serving certificate never leaves its process; the certificate lives thirty days and is
// renewed when two thirds have passed, without a restart.
//
// # Discovery
//
// A host asks for discovery and OpenAPI once a minute, and at once when an APIService
// changes. KindsChanged therefore writes an annotation into the APIServices of the federated
// kinds. A server that comes back after an outage writes another one, for the host to find
// that out at once.
//
// New and Prepare are called once, then Run; KindsChanged may be called at any time and
// concurrently.
package hostreg
