// Package identity is how agents get their certificates, on the wire: what they ask, what they are answered, and what both sides
// check. Package authority answers, package enroll asks.
//
// # Endpoint
//
// On the port of links, by TLS with the protocol http/1.1, directly or inside WebSocket (package carrier). One request for each
// connection.
//
//	POST /v1/certificate   {"csr": PEM} → {"certificate": PEM, "ca": PEM}
//
// A server shows its authority behind its certificate: an agent that was told no more than the hash of the authority's key
// verifies the server by that, and sends its token then.
//
// Who asks says who he is by a token, "Authorization: Bearer ID.SECRET", or by the certificate of the connection, which is
// renewed then. A request has 16 KiB at most, and so has its answer beside the authorities.
//
// # Requests for certificates
//
// A CSR is signed by its own key, which is ECDSA P-256 or P-384, Ed25519, or RSA with 2048 to 4096 bits. It has the URI of a name as
// package tunnel says, or no name: then it is for whatever the token is for. It has no subject, no further names and no
// further extensions; what is not signed is not asked for.
//
// The certificate has that URI and koinon-enrolled:TIME, which is when the token was used that it goes back to, no subject, and is for clients only: a cluster that trusted the same authority would see no
// user in it. It is good for seven days, from an hour ago, since clocks differ.
//
// # Refusals
//
// {"code": …, "message": …}: a Refusal, whose message is a sentence for a person at the agent's end.
package identity
