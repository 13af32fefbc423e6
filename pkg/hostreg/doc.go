// Package hostreg registers the API server in the aggregator of a real host, and keeps it
// registered: an APIService for each group version, and the Service that they name if the
// server is outside the host.
//
// It is level-driven. Whatever somebody deletes or edits comes back within a moment; writes
// are rate limited. It writes nothing that is right already, so that several replicas do not
// fight; each may come first, and none is a leader. It does not take group versions away
// from somebody else: an APIService that the host keeps for CRDs, or that names a Service
// and was not made by us, is an error, and stays as it is.
//
// What the APIServices trust, and the certificate that the server shows, come from package
// servingcert.
//
// # Namespaces
//
// A host serves its namespaces itself. Of changes of their labels that say whose they are it asks the
// server by a ValidatingWebhookConfiguration, which is kept like an APIService; but a host can do
// without, so that one that cannot be kept is logged and holds nothing up. Who may keep it could have any request of the host
// shown to him: without TenantLabels there is none. ServeNamespaces picks what the host sends there.
//
// # Discovery
//
// A host asks for discovery and OpenAPI once a minute, and at once when an APIService
// changes. KindsChanged therefore writes an annotation into the APIServices of the federated
// kinds. A server that comes back after an outage writes another one, for the host to find
// that out at once.
//
// New and Prepare are called once, then Run; KindsChanged and ServeNamespaces may be called at any time and
// concurrently.
package hostreg
