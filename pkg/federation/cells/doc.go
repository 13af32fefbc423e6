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
// member; nobody checks it separately.
package cells
