package server

import "github.com/koinon-io/koinon/pkg/tunnel"

// Connected reports whether an agent of a name has a link here.
func (s *Server) Connected(name tunnel.Name) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.links[name]) > 0
}
