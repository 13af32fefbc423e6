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
	// Instance is the same on all links of a process, and of no other.
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
