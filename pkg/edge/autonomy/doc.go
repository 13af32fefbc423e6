// Package autonomy has pods of nodes at the edge stay, and their endpoints stay in service, while the node is cut off from the cloud. It is for the cluster that has
// the nodes, needs no flag of its controllers, and is switched on for each node.
//
// # What a node says
//
//	edge.koinon.io/autonomy: "true"            label or annotation; the annotation counts if there are both
//	edge.koinon.io/autonomy-duration: 500s     the same; how long from when the node is cut off. Without it, or with 0: without end
//
// A node that says nothing of these is asked for OpenYurt's annotations: node.openyurt.io/autonomy-duration, with a duration, or 0 for no end;
// apps.openyurt.io/binding: "true", without end; node.beta.openyurt.io/autonomy: "true", with node.alibabacloud.com/autonomy-duration or without end. What cannot be
// read is an event of the node: a value that is not "true" is off, and a duration that is none is without end, since to evict is what cannot be taken back.
//
// # Tolerations
//
// The taints not-ready and unreachable with the effect NoExecute are what has pods evicted. For each of the two, the toleration that decides is the first that
// tolerates it: where that has fewer tolerationSeconds than the node's duration, it gets as many, or none, in one write with the annotation
// edge.koinon.io/original-tolerations, which has what it had. It is put back when autonomy ends. So:
//
//   - a toleration without tolerationSeconds, and one that has more, is left alone;
//   - one for all keys, with tolerationSeconds, is left alone, as it is for other taints, too: one for the key is put before it. The same is done for a pod that has
//     none. An API server lets nobody remove a toleration: in the end such a one stays, and the annotation, with the seconds of what decides behind it, or 0, so
//     that it says nothing;
//   - if somebody changes the seconds meanwhile, what he wrote is what is put back;
//   - if the annotation cannot be read any more, and this process has not read it before, 300 s is put back, which is what Kubernetes gives.
//
// Pods of DaemonSets tolerate both for ever, and are left alone, like static pods, and pods that have ended or are being deleted. An eviction that is scheduled
// already is not moved by other seconds, as long as there are some: on a node that has the taint they are removed first, and set by a second write.
//
// # Readiness
//
// When a node is not heard of any more, its controller writes Ready=False into all its pods, and nothing else: the conditions ContainersReady and those of readiness
// gates stay as their kubelet reported them, and are what it makes Ready of. While a node's own Ready is Unknown, and no longer than its duration, a pod whose
// kubelet last reported it ready gets Ready=True again, with the reason KeptWhileUnreachable; endpoints follow from that, as do EndpointSlices and whatever else
// reads pods. Nothing is done for a pod that is being deleted, or that its kubelet reported unready, or of a node that is heard of. When the time is over,
// Ready=False is written; when the node is back, its kubelet writes what is so.
//
// Between the two writes an endpoint is unready for a moment: see ADR 30.
//
// # How often
//
// A write that is undone is made again after a second, and then later and later, up to five minutes, until the node is heard of again. Each write is for the version
// of the pod that was looked at; a process may end at any moment, and the next one goes on with what it finds. One of several processes works at a time.
package autonomy
