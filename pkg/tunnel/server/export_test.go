package server

// Places are how many connections are no links yet, one that may come included.
func (s *Server) Places() int { return s.guests.Taken() }
