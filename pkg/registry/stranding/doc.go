// Package stranding refuses changes of tenant labels that would strand objects: copies in members
// that their federated objects may touch before the change, and after it neither change nor delete.
//
// Labels of namespaces, of KubeFedClusters, and of cells and edge units go through one function; what
// holds is package tenancy's rule. What is in members is what status.targets records. A change of
// other labels asks nothing, one of a namespace, a cell or an edge unit reads the objects of the
// namespace, one of a KubeFedCluster those of all, from caches.
//
// It is no guard against writes: objects may be placed while labels change. The engine asks the same
// rule at every sync, whatever was admitted. Who means to leave copies behind says so with
// v1alpha1.LeaveCopiesAnnotation.
//
// A Guard may be used concurrently. A nil one refuses nothing.
package stranding
