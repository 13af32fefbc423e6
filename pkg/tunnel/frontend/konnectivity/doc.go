// Package konnectivity is the front end of the tunnel for programs that speak the gRPC protocol of
// apiserver-network-proxy: a kube-apiserver whose EgressSelector says GRPC. HTTPConnect costs it less than half as much, where it
// can be chosen.
//
// # Protocol
//
// A client has one stream of /ProxyService/Proxy, with packets in both directions:
//
//	DIAL_REQ    an address, and a number of the client's
//	DIAL_RSP    that number, and the number of a connection, or a sentence
//	DIAL_CLS    the client does not wait for a DIAL_RSP any longer
//	DATA        of a connection
//	CLOSE_REQ   the client closes a connection
//	CLOSE_RSP   it is closed: at once after CLOSE_REQ, or because the target has closed it
//
// A connection cannot be closed in one direction: that one side says no more ends it. The end of the stream closes all
// of its connections. Stock clients dial once in each; more are served.
//
// What a client sends goes to the target as fast as that takes it: then packets wait, at first those that have come, and
// then the client, as HTTP/2 has it. A client whose Write waits cannot say that it closes: a connection of which the target takes
// nothing for thirty seconds is ended, and with it the client's waiting.
//
// Whose agent is asked, and who may, is decided as for CONNECT, by the door and by the host: there are no headers.
package konnectivity
