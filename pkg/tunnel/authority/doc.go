// Package authority gives agents their certificates: the first for a bootstrap token, and others for the one that is about to end.
//
// A token is made for one name and is good until it expires, for one key: an answer that got lost can be asked for again by
// the agent that has the key, and by nobody else. What is kept of it is a hash, where all replicas find it (Tokens). Requests
// are bounded in size, and in number: those with tokens apart from those with certificates, so that who guesses keeps nobody from
// renewing.
//
// Whether a valid certificate may be renewed is asked of Config.Allowed, as a server does for links; both are given the same
// function. An Authority may be used concurrently. See package identity for the endpoint.
package authority
