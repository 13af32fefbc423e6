// Package relay carries one request on to a member and its answer back: plain requests, watches,
// and connections that change their protocol (SPDY, WebSocket).
//
// The member sees the caller, and nobody else: headers that say who asks are taken out of the
// request, whoever sent them, and the way to the member adds the caller's name. Of the answer goes
// what could act in a browser in the name of this server: cookies, redirects to elsewhere, rights
// for other origins. What is wrong on the way is a Status with one sentence that names the cluster.
//
// All of it may be used concurrently.
package relay
