package server

import (
	"context"

	"github.com/koinon-io/koinon/pkg/tunnel"
)

// Reserved is how many streams of each link are for dials that are not tunnel.Shared; a tenth where that is less.
const Reserved = 100

// most is how many streams a link may have for a dial to be made on it.
func (s *Server) most(ctx context.Context) int {
	if !tunnel.IsShared(ctx) {
		return s.config.MaxStreams
	}
	return s.config.MaxStreams - min(Reserved, s.config.MaxStreams/10)
}

// Connected reports whether an agent of a name has a link to this server, or to another that this one has a link to.
func (s *Server) Connected(name tunnel.Name) bool {
	return len(s.ways(context.Background(), name)) > 0
}
