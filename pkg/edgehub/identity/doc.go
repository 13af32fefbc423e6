// Package identity is who the hub is: the node's certificate, by which API servers know it, the authorities by which it knows them, and an authority of its own, by which programs on the node
// know the hub. It refuses to be another node, and to throw anything away that still may be good: clocks of edge nodes are wrong at times.
//
// # The node's certificate
//
// It is CN system:node:NAME, O system:nodes, from the signer kubernetes.io/kube-apiserver-client-kubelet, by a CertificateSigningRequest. The first is for a bootstrap token, or was kubelet's
// before the hub came, and is adopted. It is renewed, with itself, after 70 to 90 % of its life. An API server that does not accept it any more, after a long time offline, is asked with the bootstrap token,
// which is read each time: an operator may put a new one there. A new certificate replaces one that is accepted only after an API server has accepted that, too: what signs certificates may be changed before API servers know it. That the certificate has ended by this machine's clock is no reason alone.
//
// # The authorities of API servers
//
// They are those of Config.CAFile, always, and those that kubeconfigs gave the first time: an authority of one of several API servers, or of what is before it, need not be what the cluster publishes. And they are those that it has published last: kube-root-ca.crt in the namespace kube-public, or else the ConfigMap cluster-info there, of which both are
// administrators' alone. (The kube-root-ca.crt of other namespaces is what whoever may edit ConfigMaps there makes of it.) They are asked for with the certificate, once an hour, over a connection that was verified by those before;
// and those before go only if the new ones verify that connection, too. A node may read the ConfigMaps of kube-public if a Role says so: kubeadm has one for cluster-info. A cluster that replaces its authority has
// to have both in it for as long as nodes may be offline; who was away for longer gets the new one into CAFile. For one that is not to be believed any more, the others go into CAFile, and the file of given ones
// is removed: with a CAFile there is no other.
//
// # Files
//
//	node.pem       the node's certificate and its key, in one file: there is no moment with one of another
//	next.pem       a new one, that no API server has accepted yet
//	pending.key    the key that a certificate was asked for with: an answer that got lost is asked for again
//	ca.crt         authorities of API servers, as the cluster has published them last
//	given.crt      those that kubeconfigs gave
//	authority.pem  the hub's own authority
//
// All are 0600, and written as in pkg/durable. What cannot be written, such as on a disk that is full, is used all the same, and written when there is room.
//
// # Use
//
// Open, hand Certificate, Token and CAs to what makes connections, and Run with the ways that came of it. All methods but Run may be called concurrently.
package identity
