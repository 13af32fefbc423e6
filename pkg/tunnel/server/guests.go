package server

import (
	"net"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel/guests"
)

// Admission. A handshake costs a server about 1.3 ms of a processor, so 512 that are honest are done within a second on one, and the rest of a herd
// waits in the system's queue, which has 4,096 places: in the order in which they came, and without a try in vain. So none is refused,
// and there is nothing that agents could be told. A place is for who is at work: each step that the other side makes gives it
// another two seconds, since with many handshakes at once it is this server that is slow; there are four steps at most, and
// greetTimeout bounds them together. Who makes none loses his place as soon as another needs it, so places are taken by the silent for two seconds,
// and not longer, and as many are made as are needed.
const (
	// maxGuests is how many connections there may be that are no links yet.
	maxGuests = 512
	// guestPatience is how long one that does nothing is left alone when there are so many: an honest one needs less.
	guestPatience = 2 * time.Second
)

// guest is a connection that has not said whose it is.
type guest struct {
	*guests.Guest
	// inside: what it says now is inside a WebSocket.
	inside bool
}

// seat seats a connection at a place that was taken.
func (s *Server) seat(conn net.Conn) *guest { return &guest{Guest: s.guests.Add(conn)} }
