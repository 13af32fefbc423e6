// Package topology says which endpoints of a Service a node sees: those of its unit only, those of its own only, or of a wider place if there are none. It is pure:
// it knows neither HTTP nor clients, and does no I/O.
//
// # Rules
//
//	edge.koinon.io/topology: unit         endpoints of the node's unit, or none
//	edge.koinon.io/topology: node         endpoints of the node itself, or none
//	edge.koinon.io/topology: preferUnit   endpoints of the node's unit; all, while none of those is ready
//	openyurt.io/topologyKeys: KEY,KEY...  the first of these that has ready endpoints, or else the last
//
// KEY is kubernetes.io/hostname (the node), openyurt.io/nodepool or kubernetes.io/zone (the unit), or *, anywhere, which is the last. The annotation of
// edge.koinon.io is the one that counts, if there are both. Values are case-sensitive. Any other value is an error, and means unit: who writes the annotation wants
// traffic to stay, and a connection that is refused is noticed, while one that quietly leads to another unit is not.
//
// The Service default/kubernetes is never filtered: without it nothing of a node finds the API server. A Service that nobody has told a Topology of is not filtered either; or,
// once that was told of all, nothing of it is seen: its EndpointSlices came first, and it may be closed. An EndpointSlice of no Service is nobody's to close.
//
// # Which endpoints are where
//
// An endpoint is where its nodeName is. One on the node itself is of its unit always. A node that has no unit is one by itself: for it, unit is node. An endpoint
// without a nodeName, as somebody has written it by hand, can be anywhere, and so it is in no unit: a closed Service does not have it, and one that prefers its unit
// has it only with all others. So it is with nodes that are not known.
//
// Ready is as in the API: an endpoint that does not say is. Unready and terminating endpoints stay, with their conditions, where they are in the place chosen:
// kube-proxy and DNS know what to do with them, and use those that still serve if nothing else is there. Which place is chosen is one answer for all EndpointSlices
// of a Service with one address type, as kube-proxy reads them; of the ports of slices it does not know.
//
// # What becomes of an EndpointSlice
//
// Elements are removed from its endpoints, and hints from those that stay: a hint made for all endpoints would have kube-proxy hide some of the few that are left.
// Everything else is as it was, to the byte, fields unknown here included. One without endpoints that are to be seen is still an EndpointSlice, with none: that is
// what has kube-proxy refuse connections, and forget the endpoints of before.
package topology
