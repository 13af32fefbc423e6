// Package enroll is how an agent comes by its certificate and keeps it: the key is made where the agent is and leaves it never, the
// first certificate is for a token, and others for the one before, from 60 to 80 % of its life on.
//
// # Trust
//
// The first time, the agent believes a server whose authority is in a file, or has a pin that the agent was told (Config.CA,
// Config.Pins). With the certificate come the authorities of servers as they are then, and with each renewal anew: so they can
// be replaced without a hand at the agents, if the old ones and the new are served together for as long as certificates live.
//
// # State
//
//	agent.pem    the certificate and its key, in one file: there is no moment with one of another
//	ca.crt       the authorities of servers, as a server has said last
//	pending.key  the key that the first certificate is asked for with; an answer that got lost is asked for again with it
//
// A state that cannot be written, such as on a disk that is full, keeps what it has. A certificate that was renewed is used all the same, and kept once there is room;
// a first one is asked for again.
//
// A Keeper may be used concurrently. Several may share a state: each takes what another has renewed.
package enroll
