// Package membership keeps the members: one connection per KubeFedCluster, made anew
// when the KubeFedCluster or its Secret changes, and a health check of each.
//
// Members are checked each in a goroutine of its own, so that one that hangs delays
// nobody. What is found is in memory at once and in the KubeFedCluster's status only when
// it says something new, or once a minute for lastProbeTime: KubeFed writes every period,
// which costs a write and a watch event per member per 10 s.
//
// The KubeFedClusters that cells and edge units appear as are passed over: package cells
// gives them the health of their member.
//
// A Registry may be used concurrently.
package membership
