package mux

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// peer is the other end of a connection, looked at without reading: what comes may have to wait.
//
//	Unix socket    it has gone when it closed the connection for good, which the system tells from one direction
//	TLS            it has gone when the TCP connection below was closed: who ends one direction of TLS says so in TLS
//
// Of plain TCP nobody can say: closing for good looks like closing one direction. Below TLS, an end whose bytes fill the
// receive buffer is not heard of: its FIN waits behind them. Its system gives up after some minutes.
type peer struct {
	raw  syscall.RawConn
	ends int16
}

// peerOf returns nil if the other end cannot be looked at.
func peerOf(conn net.Conn) *peer {
	p := &peer{ends: unix.POLLHUP | unix.POLLERR}
	if below, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = below.NetConn()
		p.ends |= unix.POLLRDHUP
	} else if conn.LocalAddr().Network() != "unix" {
		return nil
	}
	sys, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	var err error
	if p.raw, err = sys.SyscallConn(); err != nil {
		return nil
	}
	return p
}

func (p *peer) look(fd uintptr) bool {
	events := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(events, 0)
	return err == nil && n > 0 && events[0].Revents&p.ends != 0
}

// gone reports whether nobody is there any more.
func (p *peer) gone() bool {
	if p == nil {
		return false
	}
	gone := false
	err := p.raw.Control(func(fd uintptr) { gone = p.look(fd) })
	return gone || err != nil
}

// waitGone waits until nobody is there any more. It reports false if this end was closed, or that cannot be known.
func (p *peer) waitGone() bool {
	return p != nil && p.raw.Read(p.look) == nil
}
