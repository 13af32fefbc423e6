// Package upstream asks one of several API servers: it knows which of them answer, which is asked, and as whom. It refuses to hang: while none answers, requests fail at once, and a black
// hole is found within 15 seconds.
//
// # Which one
//
// Each server is asked for /readyz, the chosen one and those that came back every 3 seconds, others every 10, and at once if a request failed on it. It is well if it answers that, and be it with 401 or 403: that
// anonymous requests are refused is no illness. It is not if it answers 5xx or a redirection, if its certificate is of another authority or for another name, or if nothing comes for 6 seconds,
// or 11 if there is no other to go to: a link may be slow. What is not well loses all of its connections at once, so that whoever reads from it can go on elsewhere, by resourceVersion.
//
// Of those that are well the lowest Priority is asked, and of several one by chance, for as long as it is well. A better one that comes back is taken after it was well for 30 seconds. Then new
// requests go there; what runs where it was stays until it ends by itself. A feed's watch does within ten minutes. So a server that comes and goes moves nothing to and fro.
//
// # As whom
//
// Each Transport has connections of its own, and each certificate that it shows, too: a new certificate, or another set of authorities, is for new connections, and the ones before are closed
// within a minute. A transport that shows a certificate refuses requests that bring a token (ErrOwnCredential): an API server believes the certificate first, and would take a pod for the node.
//
// # Use
//
// New, Run, and Transport, once for each credential. Requests have a path and a query; scheme and host are those of the server. Upgrades (exec, attach, port-forward) go over HTTP/1.1. A
// proxy of the environment is honoured; one that is spoken to over TLS is not, since its certificate is of another authority. All may be called concurrently.
package upstream
