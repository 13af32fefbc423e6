package server

import (
	"cmp"
	"crypto/x509"
	"slices"
	"sync/atomic"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/carrier"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
)

// link is that of one agent.
type link struct {
	name        tunnel.Name
	info        tunnel.AgentInfo
	certificate *x509.Certificate
	since       time.Time
	session     *mux.Session
	way         carrier.Way
	draining    atomic.Bool
	// failing is when it did not reach its target, in nanoseconds since 1970; 0 if it does, or that is not known.
	failing atomic.Int64
	// beaten: another agent of the node is the node now.
	beaten atomic.Bool
	// came is when its agent did, in milliseconds since 1970, and beat the instances of agents of the node that it has beaten, the
	// last first. They are guarded by the server's mutex, and only of nodes.
	came int64
	beat []string
}

// Link is what is known of a link.
type Link struct {
	Name tunnel.Name
	// Agent is what it says of itself.
	Agent tunnel.AgentInfo
	// From is the address that it came from, and Way how, Direct or WebSocket.
	From string
	Way  carrier.Way
	// Since is when it began; ValidUntil is when its certificate ends.
	Since, ValidUntil time.Time
	// Draining: it wants no new streams, or another agent of the node has come after it.
	Draining bool
	// Streams are open, Received and Sent are bytes, RoundTrip is that of late, 0 if it is not known.
	Streams        int
	Received, Sent int64
	RoundTrip      time.Duration
}

func (l *link) shown() Link {
	received, sent := l.session.Traffic()
	return Link{
		Name: l.name, Agent: l.info, From: l.session.RemoteAddr().String(), Way: l.way, Since: l.since, ValidUntil: l.certificate.NotAfter,
		Draining: l.draining.Load() || l.beaten.Load(), Streams: l.session.Streams(), Received: received, Sent: sent, RoundTrip: l.session.RoundTrip(),
	}
}

// Links are all that there are, by name and age.
func (s *Server) Links() []Link {
	s.mu.Lock()
	links := make([]Link, 0, len(s.all))
	for l := range s.all {
		links = append(links, l.shown())
	}
	s.mu.Unlock()
	slices.SortFunc(links, func(a, b Link) int {
		return cmp.Or(cmp.Compare(a.Name.Cluster, b.Name.Cluster), cmp.Compare(a.Name.Node, b.Name.Node), a.Since.Compare(b.Since))
	})
	return links
}
