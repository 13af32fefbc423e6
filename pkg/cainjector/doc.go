// Package cainjector keeps the caBundle of whatever calls a webhook server right: the conversion
// of CustomResourceDefinitions, and Validating- and MutatingWebhookConfigurations. It is what
// cert-manager's cainjector does, for one server that has its authority from package
// servingcert.
//
// It looks at every CRD of the group and every webhook configuration, and writes into those
// places that name the Service of the server, and nothing else there: where a url or another
// Service stands, the caBundle is somebody else's. It creates no objects.
//
// It is level-driven: what somebody adds, removes or overwrites is seen by a watch and put right
// within a moment. Several replicas do the same and need no leader: a write is a patch of the
// one field under the condition that the place still names the Service, and nothing is written
// that is right already. Writes are rate limited, against somebody who keeps undoing them.
//
// A further authority is injected as soon as there is one, and signs only after all places have
// had it. See package servingcert.
//
// New starts nothing; Run is called once.
package cainjector
