// Package carrier makes the connections that agents and servers speak TLS on: directly, or inside WebSocket for networks
// that let only HTTPS through.
//
// # Ways
//
//	direct     TCP, and on it TLS with the protocol that is wanted
//	websocket  TCP, TLS, GET /v1/link upgraded to WebSocket, and in its binary messages the bytes of "direct": TLS again
//	auto       what worked last for an address, else direct, and then the other
//
// The TLS that counts is the inner one, with its certificates on both sides. It is the same in both ways. So a proxy that ends
// the outer one can neither read what is inside nor speak for anybody, and whose certificate it shows does not matter: it is
// wrapping, and is not verified. Nothing secret is sent in the outer request.
//
// Both ways go by the HTTP proxy that HTTPS_PROXY and NO_PROXY name. A Dialer may be used concurrently.
package carrier
