// Package links keeps the ways to members: for each member one pair of transports with the
// credential of its KubeFedCluster, HTTP/2 for requests and HTTP/1.1 for connections that change
// their protocol (exec, attach, port-forward). A way is made when it is first asked for, and ended
// when the KubeFedCluster or its Secret says something else.
//
// What uses a way for a caller acts as the caller, never as the account of the credential: see
// Link.As. What this server asks for by itself goes by Link.Own. How a connection is made is up to
// the dialer that the configuration names.
//
// All of it may be used concurrently.
package links
