package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
)

const (
	// beatenGrace is how long a link goes on that another has beaten, for streams that were on their way, and beatenCheck
	// how often it is looked whether it carries anything.
	beatenGrace, beatenCheck = 2 * time.Second, 500 * time.Millisecond
	// refusalTimeout is how long an agent may take to hear that its link is not wanted.
	refusalTimeout = 5 * time.Second
	// maxBeaten is how many agents a link remembers that it has beaten.
	maxBeaten = 16
)

// errBeaten is why the link of a node's agent is not used.
var errBeaten = errors.New("another agent of this node has connected, which has a newer certificate or came later: one machine at a time can be a node. " +
	"If this one is the node, get it a new token, and end the other")

// errClosed is why no link is taken any more.
var errClosed = errors.New("this server ends")

// contest decides which of a node's agents is the node: the one with the certificate that was issued last, and of those with
// the same one, such as copies of a disk, the one that came last. It returns why l is not taken. The others that it beats get
// nothing new, and end when they carry nothing. A cluster's agents are all used. s.mu is held.
func (s *Server) contest(l *link) (refused error) {
	if l.name.Node == "" {
		return nil
	}
	for _, other := range s.links[l.name] {
		if other.beaten.Load() {
			continue
		}
		switch issued := l.certificate.NotBefore.Compare(other.certificate.NotBefore); {
		case issued < 0 && l.info.Instance != other.info.Instance, issued == 0 && other.beats(l.info.Instance):
			return fmt.Errorf("%s: %w", l.name, errBeaten)
		}
	}
	for _, other := range s.links[l.name] {
		if !other.beaten.Swap(true) {
			go other.retire(other.info.Instance == l.info.Instance) // ends with its session
		}
		if other.info.Instance == l.info.Instance {
			l.beat = other.beat
		} else {
			l.beat = append([]string{other.info.Instance}, other.beat[:min(len(other.beat), maxBeaten-1)]...)
		}
	}
	return nil
}

// beats reports whether the link came after one of that agent, of the same certificate.
func (l *link) beats(instance string) bool {
	if instance == "" { // of a version that does not say
		return false
	}
	for _, one := range l.beat {
		if one == instance {
			return true
		}
	}
	return false
}

// revive has the last of a node's links used again, when the one is gone that had beaten it. s.mu is held.
func (s *Server) revive(name tunnel.Name) {
	rest := s.links[name]
	if name.Node == "" || len(rest) == 0 {
		return
	}
	for _, l := range rest {
		if !l.beaten.Load() {
			return
		}
	}
	rest[len(rest)-1].beaten.Store(false)
}

// retire ends a link that was beaten, once it carries nothing. same says that it was by another of the same agent, which knows.
func (l *link) retire(same bool) {
	check := time.NewTicker(beatenCheck)
	defer check.Stop()
	for began := time.Now(); ; {
		select {
		case <-l.session.Ended():
			return
		case <-check.C:
		}
		if !l.beaten.Load() {
			return
		}
		if time.Since(began) >= beatenGrace && l.session.Streams() == 0 {
			if same {
				_ = l.session.Close()
			} else {
				refuse(context.Background(), l, fmt.Errorf("%s: %w", l.name, errBeaten))
			}
			return
		}
	}
}

// refuse tells an agent why its link is not wanted, and ends it when it has heard or the time is over. One that is not wanted
// because the server ends is to look for another at once.
func refuse(ctx context.Context, l *link, reason error) {
	if errors.Is(reason, errClosed) {
		_ = l.session.Close()
		return
	}
	ctx, cancel := context.WithTimeout(ctx, refusalTimeout)
	defer cancel()
	if l.session.Tell(tunnel.News{Refused: reason.Error()}) == nil {
		select {
		case <-l.session.Ended():
		case <-ctx.Done():
		}
	}
	_ = l.session.Close()
}
