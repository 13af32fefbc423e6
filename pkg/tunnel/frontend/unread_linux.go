package frontend

import (
	"net"

	"golang.org/x/sys/unix"
)

// unread is how much memory of what was written to a Unix socket is still there, 0 when its other end has read all.
func unread(c *net.UnixConn) (bytes int) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		bytes, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
	})
	return bytes
}
