// Package install makes the hub a service of a node, and has kubelet use it; and takes both back. systemd runs services, and is told by systemctl.
//
// # What is changed
//
//	BIN/koinon-edgehub                              the program
//	UNITS/koinon-edgehub.service                    its service
//	UNITS/kubelet.service.d/50-koinon-edgehub.conf  has kubelet be started after it, and its configuration stay as below
//	kubelet's kubeconfig                            one for the hub
//	kubelet's configuration                         rotateCertificates: false; the rest stays, byte for byte
//
// The last is needed since a kubelet that renews its certificate shows the one in its own directory, whatever its kubeconfig says, and ends when that has expired. The order is such that a
// node which loses its power in between has a kubelet that works: it goes to the hub last when it is installed, and first when it is uninstalled.
//
// # What is kept
//
// In the directory "kubelet" of the hub's: original.json has what was there before the hub came, until that is uninstalled. before.json has what was there before an install that is not done. That is written
// before anything is changed, and removed last: while it is there, an install goes on or was killed, and Finish puts everything back, with the newest certificate: kubelet may have used the hub for a year by then. An install that fails does so by itself. kubelet.conf is kubelet's own kubeconfig with all that it names.
//
// # What is refused
//
// A kubelet that has been told in other places to renew its certificate; one whose files cannot be changed without losing something; and to overwrite what somebody else has changed in the meantime.
//
// Nothing here may be called concurrently; Lock keeps other processes from it.
package install
