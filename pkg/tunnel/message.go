package tunnel

import (
	"errors"
	"fmt"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel/mux"
)

const (
	// DialTimeout is how long dialing takes at most at the server, if its caller has no bound, and
	// TargetTimeout how long an agent takes if it is not told.
	DialTimeout   = 8 * time.Second
	TargetTimeout = 5 * time.Second
)

// Words that an agent may have an address for.
const (
	APIServer = "apiserver"
	Kubelet   = "kubelet"
)

// Request is what a stream is for.
type Request struct {
	// Network is tcp.
	Network string `json:"network"`
	// Address is HOST:PORT, or a word.
	Address string `json:"address"`
	// TimeoutMillis is how long the agent may take.
	TimeoutMillis int64 `json:"timeoutMillis,omitempty"`
	// Share is what the stream counts for. Who it is says nothing at the agent, but to tell shares apart.
	Share mux.Share `json:"share,omitzero"`
}

// ServerInfo is what a server says of itself in HELLO.
type ServerInfo struct {
	// ID is the replica's, and never another's.
	ID string `json:"id"`
	// Refused is why there will be no link, though the certificate is valid, such as that it was revoked.
	Refused string `json:"refused,omitempty"`
}

// AgentInfo is what an agent says of itself in HELLO. It is shown, and nothing follows from it but which of several agents of a
// node came last.
type AgentInfo struct {
	Version string `json:"version,omitempty"`
	Host    string `json:"host,omitempty"`
	// Instance is the process's: by it links of one agent to several servers are known to be of one.
	Instance string `json:"instance,omitempty"`
}

// News are what servers tell agents.
type News struct {
	Replicas []Replica `json:"replicas,omitempty"`
	// Refused is why this link is not used, and ends: the agent is to try again in a while, and not at once.
	Refused string `json:"refused,omitempty"`
}

// Replica is one of the servers.
type Replica struct {
	ID string `json:"id"`
	// Address that reaches this one; empty if only the common address does.
	Address string `json:"address,omitempty"`
	// Peer is where other servers reach it, HOST:PORT; empty if they cannot. Agents are not told.
	Peer string `json:"-"`
	// Hidden: agents are not told of it, and do not look for it.
	Hidden bool `json:"-"`
}

// Drain says until when what is carried may go on; 0 is as long as it does.
type Drain struct {
	UntilMillis int64 `json:"untilMillis"`
}

// DialError says who could not reach what.
type DialError struct {
	Name    Name
	Address string
	// Code is that of the agent, or Unreachable if there is none.
	Code mux.Code
	// Err is the reason.
	Err error
}

func (e *DialError) Error() string {
	return fmt.Sprintf("%s: %s cannot be reached through the tunnel: %v", e.Name, e.Address, e.Err)
}

func (e *DialError) Unwrap() error { return e.Err }

// Timeout is for net.Error.
func (e *DialError) Timeout() bool { return e.Code == mux.Timeout }

// Temporary is for net.Error.
func (e *DialError) Temporary() bool { return false }

// ErrNoAgent is why nothing of a name can be reached that has no agent here.
var ErrNoAgent = errors.New("no agent of it is connected")

// Seen is one link of an agent, as the server has it that the link is at.
type Seen struct {
	// Server is the id of that server.
	Server string `json:"server"`
	Name   Name   `json:"name"`
	// Agent is what it says of itself.
	Agent AgentInfo `json:"agent"`
	// From is the address that it came from, without its port, and Way how: direct or websocket.
	From string `json:"from"`
	Way  string `json:"way"`
	// Since is when the link began; ValidUntil is when its certificate ends.
	Since      time.Time `json:"since"`
	ValidUntil time.Time `json:"validUntil"`
	// Draining: it wants no new streams.
	Draining bool `json:"draining,omitempty"`
	// Streams are open, Received and Sent are bytes, RoundTrip is that of late, 0 if it is not known.
	Streams   int           `json:"streams"`
	Received  int64         `json:"received"`
	Sent      int64         `json:"sent"`
	RoundTrip time.Duration `json:"roundTrip"`
	// Probe is what came of dialing its target, if that was asked for.
	Probe *Probe `json:"probe,omitempty"`
}

// Probe is what came of dialing a target.
type Probe struct {
	// Target is a word: APIServer, or Kubelet for nodes.
	Target string `json:"target"`
	// Error is why it was not reached; empty if it was.
	Error string `json:"error,omitempty"`
	// Took is how long it took.
	Took time.Duration `json:"took"`
}

// TargetOf is the word for what an agent of a name is asked for.
func TargetOf(name Name) string {
	if name.Node != "" {
		return Kubelet
	}
	return APIServer
}

// Refusal is why an agent was not taken, the last of its name.
type Refusal struct {
	Server string    `json:"server"`
	Name   Name      `json:"name"`
	At     time.Time `json:"at"`
	From   string    `json:"from"`
	Reason string    `json:"reason"`
}

// Report is what servers know of the agents of a cluster.
type Report struct {
	Seen     []Seen    `json:"seen,omitempty"`
	Refusals []Refusal `json:"refusals,omitempty"`
	// Silent are the servers that were asked and did not answer, with why.
	Silent []Silent `json:"silent,omitempty"`
}

// Silent is a server that did not answer.
type Silent struct {
	Server string `json:"server"`
	Reason string `json:"reason"`
}
