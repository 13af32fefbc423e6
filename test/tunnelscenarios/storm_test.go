package tunnelscenarios

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/carrier"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

// resetting is a connection that is reset when so much has come of it.
type resetting struct {
	net.Conn
	after int
}

func (r *resetting) Read(p []byte) (int, error) {
	if r.after <= 0 {
		reset(r.Conn)
		return 0, net.ErrClosed
	}
	n, err := r.Conn.Read(p[:min(len(p), r.after)])
	r.after -= n
	return n, err
}

// Connections are reset by the hundred, at each step that they take towards being a link, and when they are one. An agent beside them is
// reached all the time, and nothing is left.
func TestConnectionsThatAreResetByTheHundredHarmNobody(t *testing.T) {
	leavesNothing(t)
	b := besiege(t, m1)
	evil := func(i int) tunnel.Name { return tunnel.Name{Cluster: fmt.Sprintf("evil%d", i%8)} }
	handshake := func(i, after int) error {
		raw, err := net.Dial("tcp", b.server.Address)
		if err != nil {
			return err
		}
		if tls.Client(&resetting{raw, after}, b.config(evil(i))).Handshake() == nil {
			reset(raw)
		}
		return nil
	}
	webSocket := func(i int) error {
		var below net.Conn
		dialer := carrier.Dialer{Way: carrier.WebSocket, Connect: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
			below, err = (&net.Dialer{}).DialContext(ctx, network, address)
			return below, err
		}}
		if _, err := dialer.Dial(context.Background(), b.server.Address, b.config(evil(i))); err != nil {
			return err
		}
		reset(below)
		return nil
	}
	for _, step := range []struct {
		what string
		do   func(i int) error
	}{
		{"before the server has answered", func(i int) error { return handshake(i, 0) }},
		{"in the middle of the server's answer", func(i int) error { return handshake(i, 1+i%1000) }},
		{"when the handshake is done", func(i int) error { return handshake(i, 1<<20) }},
		{"when it is one by WebSocket", webSocket},
		{"when HELLO was said", func(i int) error {
			reset(b.agent(evil(i), "", "{}").NetConn())
			return nil
		}},
		{"when it is a link", func(i int) error {
			conn := b.agent(evil(i), "", "{}")
			hears(conn, typeHello)
			hears(conn, typeNews)
			reset(conn.NetConn())
			return nil
		}},
		{"when a stream is wanted", func(i int) error {
			name := tunnel.Name{Cluster: fmt.Sprintf("opened%d", i)}
			conn := b.agent(name, "", "{}")
			var all sync.WaitGroup
			all.Go(func() {
				hears(conn, typeOpen)
				reset(conn.NetConn())
			})
			defer all.Wait()
			for until := time.Now().Add(tunneltest.Patience); time.Now().Before(until); {
				_, err := b.server.Dial(context.Background(), name, "tcp", b.target)
				if errors.Is(err, tunnel.ErrNoAgent) { // not yet
					time.Sleep(time.Millisecond)
					continue
				}
				if !errors.Is(err, mux.ErrLost) {
					return fmt.Errorf("a dial to a link that is reset ends with %w", err)
				}
				return nil
			}
			return errors.New("there was no link")
		}},
	} {
		t.Run(step.what, func(t *testing.T) {
			var storm sync.WaitGroup
			storm.Go(func() { each(t, size(100, 1000), 32, step.do) })
			for range size(5, 50) {
				b.unharmed()
			}
			storm.Wait()
			b.unharmed()
		})
	}
	b.alone()
}
