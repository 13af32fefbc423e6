package links

import (
	"net"
	"sync"
	"time"
)

// proxied is a connection to a proxy on the way to a member. The library waits a minute for what one
// that hangs answers to CONNECT, where a member that hangs gets dialTimeout.
type proxied struct {
	net.Conn
	answers sync.Once
}

// soonAnswered bounds how long the first answer may take.
func soonAnswered(conn net.Conn) net.Conn {
	_ = conn.SetReadDeadline(time.Now().Add(dialTimeout)) // what cannot be bounded in that way is not
	return &proxied{Conn: conn}
}

// Read implements net.Conn.
func (p *proxied) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if n > 0 {
		p.answers.Do(func() { _ = p.Conn.SetReadDeadline(time.Time{}) })
	}
	return n, err
}
