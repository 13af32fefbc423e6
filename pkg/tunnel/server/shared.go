package server

import (
	"context"

	"github.com/koinon-io/koinon/pkg/tunnel"
)

// Reserved is how many streams of each link dials that are not Shared have for themselves; a tenth where that is less.
const Reserved = 100

type sharedKey struct{}

// Shared returns a context of dials that leave Reserved streams of each link to others: those of front ends' clients, who must not keep the server
// from what it has to do itself.
func Shared(ctx context.Context) context.Context { return context.WithValue(ctx, sharedKey{}, true) }

// most is how many streams a link may have for a dial to be made on it.
func (s *Server) most(ctx context.Context) int {
	if ctx.Value(sharedKey{}) == nil {
		return s.config.MaxStreams
	}
	return s.config.MaxStreams - min(Reserved, s.config.MaxStreams/10)
}

// Connected reports whether an agent of a name has a link here.
func (s *Server) Connected(name tunnel.Name) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.links[name]) > 0
}
