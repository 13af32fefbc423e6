// Package drain is an HTTPS server that moves its clients to other replicas without failing a
// request: one connection at a time, always together with an answer.
//
// It speaks HTTP/1.1 only. In HTTP/2 a server that closes a connection says so in a GOAWAY
// frame, and a client may have sent requests, or be about to, when the frame arrives. It may
// send these again over another connection; but Kubernetes' aggregator passes bodies on
// without keeping them, so that POST, PUT and PATCH fail with 503 ("cannot retry err … after
// Request.Body was written"). A host sends everything through one such connection. ADR 11 has
// the measurements, and says what else was tried.
//
// In HTTP/1.1 a connection belongs to one request at a time. "Connection: close" in an answer
// ends it when nothing can be under way, and the client takes another one for its next
// request. The server says it when a connection has reached its age, so that the clients of a
// host are spread anew; in every answer once Drain was called; and at the beginning of answers
// that go on until the server ends, such as watches.
//
// Nothing else may end a connection. A client may have chosen one for a request that the server
// does not see yet: one that is idle, or one that it has made in reserve and never used. If the
// server closes it, the request is lost ("use of closed network connection", "broken pipe" or
// "EOF"), and http.Server.Shutdown does so. Therefore Wait leaves such connections to the
// clients, which use them once more or close them after ClientIdleTimeout, and the server goes
// on serving until then.
//
//	server, err := drain.New(drain.Config{Listener: l, TLS: tls, Handler: api, MaxAge: 5 * time.Minute})
//	go server.Serve()
//	...
//	server.Drain()          // who asks is answered, and sent away
//	...                     // until the load balancer knows
//	err := server.Wait(ctx) // until no request can come any more
//	...                     // end what serves, and with it the watches
//	server.Shutdown(ctx)
//
// All methods may be called concurrently.
package drain
