package embedded

import "net"

// Serve serves the store on a further listener, until Close.
func (s *Store) Serve(l net.Listener) error { return s.server.Serve(l) }
