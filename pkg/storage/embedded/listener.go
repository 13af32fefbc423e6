package embedded

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
)

// pairListener is a listener without an address. Whoever dials gets one end of a socket
// pair; Accept returns the other.
type pairListener struct {
	accepted chan net.Conn
	done     chan struct{}
	closing  sync.Once
}

func newPairListener() *pairListener {
	return &pairListener{accepted: make(chan net.Conn), done: make(chan struct{})}
}

// Accept implements net.Listener.
func (l *pairListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.accepted:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Connections that were accepted stay open.
func (l *pairListener) Close() error {
	l.closing.Do(func() { close(l.done) })
	return nil
}

// Addr implements net.Listener.
func (l *pairListener) Addr() net.Addr { return &net.UnixAddr{Name: Address, Net: "unix"} }

// dial makes a pair and hands one end to the server.
func (l *pairListener) dial(ctx context.Context) (net.Conn, error) {
	client, server, err := socketPair()
	if err != nil {
		return nil, err
	}
	select {
	case l.accepted <- server:
		return client, nil
	case <-l.done:
		err = net.ErrClosed
	case <-ctx.Done():
		err = ctx.Err()
	}
	_ = client.Close()
	_ = server.Close()
	return nil, fmt.Errorf("connect to the embedded store: %w", err)
}

func socketPair() (net.Conn, net.Conn, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair for the embedded store: %w", err)
	}
	first, err := fileConn(fds[0])
	if err != nil {
		_ = syscall.Close(fds[1])
		return nil, nil, err
	}
	second, err := fileConn(fds[1])
	if err != nil {
		_ = first.Close()
		return nil, nil, err
	}
	return first, second, nil
}

// fileConn takes the descriptor over: net.FileConn duplicates it, the original is closed.
func fileConn(fd int) (net.Conn, error) {
	file := os.NewFile(uintptr(fd), Address)
	defer func() { _ = file.Close() }()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("make a connection to the embedded store: %w", err)
	}
	return conn, nil
}
