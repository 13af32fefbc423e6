// Package cellaccess keeps the account by which clients that know KubeFedClusters only, such as a
// stock KubeFed controller, reach a cell through its endpoint: for each cell a ServiceAccount of
// the host, a Role for the endpoint of this cell and no other, a token in a Secret, and the rights of
// that account in the cell's namespace of its member. Package cells writes the KubeFedCluster that
// names the endpoint and the Secret. See ADR 22.
//
//	keeper, err := cellaccess.New(cellaccess.Config{...})
//	access := keeper.Of(cell)  // asks nobody: what is known, and what has to be made is made in Run
//	gone := keeper.Drop(cell)
//
// # In the host
//
// A token is bound to its Secret: who deletes that, or the ServiceAccount, has revoked it, and another
// one is made. Two Secrets take turns, since KubeFed reads one only if the KubeFedCluster
// names another than before; the old token is good until everybody has had time to take the
// new one. When it is due its own claims say. What is not ours, by its labels, is neither changed nor
// deleted.
//
// # In the member
//
// The namespace gets the marks of its owner (package ownership), and the account all rights in it: a
// RoleBinding, and a ClusterRole with its binding to find this one namespace in lists. They carry the
// same marks. What stays there when a cell goes is replaced by the next owner.
//
// # When
//
// Where another engine propagates all of that is made at once, since a KubeFedCluster whose lists are
// refused stops KubeFed as a whole; where ours does, once the namespace is there.
//
// # Cost
//
// There may be 10,000 cells. What the caches show, and the condition of the cell says, is not asked
// again at a start; roles and rights are compared once in one to two hours. A member that
// does not answer is asked about one cell at a time, later and later, and holds up no other.
//
// A Keeper may be used concurrently, before and while it runs.
package cellaccess
