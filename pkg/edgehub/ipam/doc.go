// Package ipam is the CNI IPAM plugin koinon-ipam: a pod keeps its addresses for as long as it is there, through restarts of its sandbox and of the node, offline too.
//
// Main plugins (bridge, ptp, macvlan, what flannel delegates to) call it as they would host-local. It calls host-local, or another plugin that takes addresses in
// runtimeConfig.ips, which does ranges, routes and both families; what it adds is a book (package book) of which addresses are whose. The ADR is 29.
//
// # Rules
//
// A reservation is of a network, an interface and a pod's UID. The delegate knows it by one container ID, koinon-UID, for all sandboxes of the pod: so what it has on disk stays right
// when sandboxes come and go, and nobody else gets the address from it.
//
//   - ADD for a UID that has addresses asks the delegate for just these. What the delegate will not give (another range, taken by somebody else) is replaced by what it gives.
//   - ADD for a new UID takes over what another UID of the same namespace and name had, if no sandbox has it now: an API server has one pod of a name, so the other is gone.
//   - DEL ends the sandbox, and keeps the reservation. What is given back is what Book.Release has called gone, once no sandbox has it.
//   - An address that the delegate gives although it is another pod's, as after its files were lost, is not used: the delegate is told whose it is, and asked again.
//   - Without K8S_POD_UID in CNI_ARGS nothing is kept longer than the sandbox. Addresses that were asked for from outside (IP, ips) are asked for as they are.
//
// # What a kill leaves
//
// A new reservation is on disk before the delegate is called, without addresses; the next call forgets it, and has the delegate forget it. The lock of the book is inherited by the
// delegate, so that one that outlives us is waited for. Nothing is asked of the network.
//
// The package holds nothing between calls; concurrent calls, of any processes, wait for each other.
package ipam
