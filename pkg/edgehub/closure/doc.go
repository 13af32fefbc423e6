// Package closure has whoever reads EndpointSlices through the hub see them as its node does: of a Service that is closed, those endpoints that package topology lets through, and no others. What is
// seen is changed, and watchers are told, when a Service gets another rule, a node another unit, or an endpoint elsewhere decides.
//
// Nobody is shown an EndpointSlice before it is known which Services have rules: an annotation that is not known is not one that is absent. Whoever asks sooner is told to try again. Nor are endpoints of a Service
// that is not known, as its EndpointSlice came first: it has none until the Service is there. Only if the API server says that the node may not read Services (403) nothing is
// filtered but what was known before, and Problems says so.
//
// Units of nodes are read while there is a rule that needs them. A rule is not applied before they are known, for a few seconds at most: after that, and if the node may not read all nodes, what is not known is
// in no unit, and a Service that is closed to its unit is closed to the node. Without the cloud all is as it was last.
//
// What is let through is seen as Config.Correct has it: with the addresses that pods of this node have now, and whether they are ready. By that it is decided, too, whether a unit has ready endpoints.
//
// A Closure stands between package serving and its Views, and may be used concurrently.
package closure
