package frontend_test

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel/frontend"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

// Those who open many connections and say nothing, or not all of it, keep nobody out.
func TestConnectionsThatSayNothingMakeRoomForClients(t *testing.T) {
	for what, test := range map[string]struct {
		many int // more than may be there at once
		open func(*testing.T, *fixture, *tls.Config)
	}{
		"no TLS": {4000, func(t *testing.T, fx *fixture, _ *tls.Config) { silent(t, "tcp", fx.address) }},
		"half of a ClientHello": {4000, func(t *testing.T, fx *fixture, _ *tls.Config) {
			_, _ = silent(t, "tcp", fx.address).Write([]byte{22, 3, 1, 2, 0, 1}) // it may be closed
		}},
		"no head, with a certificate": {600, func(t *testing.T, fx *fixture, config *tls.Config) {
			if err := tls.Client(silent(t, "tcp", fx.address), config).HandshakeContext(t.Context()); err != nil {
				t.Fatal(err)
			}
		}},
		"no head, at a Unix socket": {4000, func(t *testing.T, fx *fixture, _ *tls.Config) { silent(t, "unix", fx.unix) }},
	} {
		t.Run(what, func(t *testing.T) {
			fx := newPreparedFixture(t, nil, func(f *frontend.Frontend) { f.SetHeadTimeout(time.Hour) })
			target, config := echoing(t), fx.tenantTLS("t1")
			for range test.many {
				test.open(t, fx, config)
			}
			_ = connectedIn(fx, fx.dialTLS(config), target).Close()
			_ = connected(fx, fx.dialUnix(), target).Close()
			fx.released()
		})
	}
}

// silent connects and says nothing until the test ends.
func silent(t *testing.T, network, address string) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout(network, address, tunneltest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestAConnectionThatSpeaksLateIsServedWhileThereIsRoom(t *testing.T) {
	fx := newFixture(t, nil)
	late := fx.dialUnix()
	for range 500 {
		silent(t, "unix", fx.unix)
	}
	conn := connected(fx, late, echoing(t))
	_, _ = io.WriteString(conn, "x")
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Error(err)
	}
}
