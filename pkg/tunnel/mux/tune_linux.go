package mux

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// unsentBytes is how much the system takes that it has not sent: what is written later waits for it, a PING too.
	unsentBytes = 128 << 10
	// unacknowledged is when the system gives up a connection whose other end acknowledges nothing.
	unacknowledged = 20 * time.Second
)

// Tune prepares a TCP connection for a link. Others are left as they are.
func Tune(conn net.Conn) {
	sys, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { // what a system does not know costs speed only
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentBytes)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unacknowledged.Milliseconds()))
	})
}
