// Package book is the bookkeeping of koinon-ipam: which addresses are kept for which pods of the node, on disk, through reboots.
//
// The plugin (package ipam) writes it at each ADD and DEL. The edge hub, which knows the node's pods, tells it by Release which of them are gone; whoever wants to
// know the addresses of the node's pods asks Reservations. Neither calls a plugin or the network, and both may come from any process, at any time.
//
// # What is promised
//
// After Save, what was there before or what is there now survives kill -9 and a power cut, whole. A full disk leaves what was there. A file that is damaged is put
// aside, as reservations.damaged, and never believed; one of a newer version is left alone, and an error.
//
// # File
//
// DIR/reservations is a line and JSON:
//
//	koinon-ipam 1 9a3b0c5d
//	{"networks": ["cbr0"], "reservations": [{"network": "cbr0", "interface": "eth0", "uid": …, "addresses": ["10.22.0.7"], …}]}
//
// The line has the version of the format and CRC-32C, of the line up to it and of all that follows. DIR/lock is locked, as flock(2) has it, by whoever changes the file.
package book
