// Package conversion turns federated objects from one shape into the other: v1beta2
// (topology) is stored, v1beta1 (cluster, KubeFed's wire format) is served beside it.
//
// Conversion is a pure function of the object. It looks nothing up, never modifies its
// input, shares with it whatever did not change (the template above all), and is
// byte-stable: the same object gives the same JSON, lists keep their order, and null,
// absent and [] stay apart. All functions may be called concurrently.
//
// # Spec
//
// Names and selectors go through the table of package topology. What KubeFed's format
// has no place for (a topologyType other than cluster, placementMask, overrides with a
// selector) is carried in v1beta1 by one annotation, v1beta1.TopologyAnnotation, in the
// compact JSON of v1beta1.TopologyStash. It is there only if there is something to say,
// and is consumed on the way back; v1beta2 never shows it.
//
// ToV1beta1 takes every object that validates. ToV1beta2 is for what clients send, and
// refuses, with a *field.Error in the words of v1beta1:
//
//   - an annotation that is not a TopologyStash;
//   - a cluster name that is not the name of a target of the object's topologyType in its
//     namespace: with topologyType cell in namespace shop, anything but <cell>.shop;
//   - a cluster selector without the labels that keep it to targets of that type in that
//     namespace.
//
// Names of groups, of a user-defined topology type, are a selector in a placement of v1beta1, and that
// selector is names again. v1beta1 may say clusters: [{name: zone=a}] as well, which is how it names
// groups in overrides; such names win over the selector, which is what was shown for those before.
//
// A request body may leave metadata.namespace out; the API server fills it in only after
// conversion. The first name or selector then says which namespace is meant, the others
// have to agree, and ToV1beta2 sets metadata.namespace to it, so that the server's check
// against the namespace of the request catches a foreign one.
//
// # Status
//
// status.clusters has every target in order, by cluster name, with state and
// remoteStatus. status.topology has what is left: messages, and the other fields of
// targets, each part only where there is some. On the way back, clusters decides which
// targets there are, in which order, and their state and remoteStatus, since that is
// what a writer of v1beta1 changes; topology adds the rest by name, and an entry of
// topology that is not in clusters is dropped. Masked targets are in clusters like any
// other, with the status Masked.
//
// A stock controller may report on a cluster that is no target of the object's type: it
// removes what should not be there. Such a status entry has the target name
// "cluster:<name>" in v1beta2; no target can have that name.
//
// # Writes that know nothing of topology
//
// A client that drops unknown annotations and status fields would erase the topology.
// Restore and RestoreStatus put it back from the stored object; the storage strategy
// calls them for writes that came through v1beta1.
package conversion
