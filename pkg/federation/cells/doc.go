// Package cells keeps a KubeFedCluster for each Cell and each EdgeUnit, in the system
// namespace and with the member's access configuration, so that clients of the cluster
// shape see a cell as a cluster. The two kinds share one controller.
//
// A unit has its namespace in the member for itself: the controller claims it in the book
// (package ownership), and a unit whose namespace is somebody else's says so in its
// condition and has no KubeFedCluster.
//
// A cell on a member that does not exist is not an error: its condition says so, and it
// recovers when the member appears. The KubeFedCluster of a cell has the health of its
// member; nobody checks it separately. Its lastProbeTime is up to two hours behind the
// member's while nothing else changes.
//
// There may be 10,000 units: each has a KubeFedCluster whose events come back here, and a
// member that has a hundred of them is written with each probe that counts. So units are looked up in indexes,
// an event costs what it concerns, and a unit that is as it should be is asked of the host
// nothing. A Controller may be told of changes concurrently, before and while it runs.
package cells
