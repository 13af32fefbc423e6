package server_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/authority/authoritytest"
	"github.com/koinon-io/koinon/pkg/tunnel/carrier"
	"github.com/koinon-io/koinon/pkg/tunnel/identity"
)

// Whatever a connection does, its place is given back when it is a link or gone: else there would be none at last.
func TestNoConnectionKeepsItsPlace(t *testing.T) {
	tn := authoritytest.Start(t, nil)
	web := &tls.Config{RootCAs: tn.Servers.Pool(), ServerName: "127.0.0.1", NextProtos: []string{identity.Protocol}}
	say := func(conn net.Conn, text string) {
		_ = conn.SetDeadline(time.Now().Add(authoritytest.Patience))
		_, _ = io.WriteString(conn, text)
		_, _ = io.ReadAll(conn)
	}
	dial := func(t *testing.T, way carrier.Way) net.Conn {
		t.Helper()
		conn, err := (&carrier.Dialer{Way: way}).Dial(t.Context(), tn.Address, web)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	link := func(t *testing.T, way carrier.Way) {
		t.Helper()
		policy, err := agent.NewPolicy(nil, "127.0.0.1:1")
		if err != nil {
			t.Fatal(err)
		}
		name := tunnel.Name{Cluster: string(way)}
		a, err := agent.New(agent.Config{Servers: []string{tn.Address}, TLS: tn.AgentTLS(t, name), Policy: policy, Transport: way, Logger: authoritytest.Quiet})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = a.Run(ctx) })
		t.Cleanup(func() { cancel(); running.Wait() })
		tn.Linked(t, name, 1)
	}
	const upgrade = "GET /v1/link HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	for what, do := range map[string]func(*testing.T){
		"one that says nothing": func(t *testing.T) {
			conn, err := net.Dial("tcp", tn.Address)
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.Close()
		},
		"one that is no TLS": func(t *testing.T) {
			conn, err := net.Dial("tcp", tn.Address)
			if err != nil {
				t.Fatal(err)
			}
			say(conn, "GET / HTTP/1.1\r\n\r\n")
			_ = conn.Close()
		},
		"an agent without a certificate": func(t *testing.T) {
			config := web.Clone()
			config.NextProtos = []string{tunnel.ALPN}
			conn, err := (&carrier.Dialer{Way: carrier.Direct}).Dial(t.Context(), tn.Address, config)
			if err == nil {
				say(conn, "hello")
				_ = conn.Close()
			}
		},
		"a request":                     func(t *testing.T) { say(dial(t, carrier.Direct), "GET / HTTP/1.1\r\nHost: x\r\n\r\n") },
		"no request":                    func(t *testing.T) { say(dial(t, carrier.Direct), "hello\r\n\r\n") },
		"half a request":                func(t *testing.T) { _, _ = io.WriteString(dial(t, carrier.Direct), "GET / HT") },
		"an upgrade that is none":       func(t *testing.T) { say(dial(t, carrier.Direct), "GET /v1/link HTTP/1.1\r\nHost: x\r\n\r\n") },
		"one with something behind it":  func(t *testing.T) { say(dial(t, carrier.Direct), upgrade+"Content-Length: 5\r\n\r\nhello") },
		"one of another site":           func(t *testing.T) { say(dial(t, carrier.Direct), upgrade+"Origin: https://evil.example.org\r\n\r\n") },
		"a WebSocket that says nothing": func(t *testing.T) { _, _ = io.WriteString(dial(t, carrier.Direct), upgrade+"\r\n") },
		"a request in a WebSocket":      func(t *testing.T) { say(dial(t, carrier.WebSocket), "GET / HTTP/1.1\r\nHost: x\r\n\r\n") },
		"an upgrade in a WebSocket":     func(t *testing.T) { say(dial(t, carrier.WebSocket), upgrade+"\r\n") },
		"text in a WebSocket": func(t *testing.T) {
			dialer := websocket.Dialer{TLSClientConfig: &tls.Config{RootCAs: tn.Servers.Pool()}}
			ws, answer, err := dialer.DialContext(t.Context(), "wss://"+tn.Address+carrier.LinkPath, nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			defer ws.Close()
			_ = ws.SetReadDeadline(time.Now().Add(authoritytest.Patience))
			_ = ws.WriteMessage(websocket.TextMessage, []byte("hello"))
			if _, _, err := ws.ReadMessage(); err == nil {
				t.Error("it was answered")
			}
		},
		"a link":                func(t *testing.T) { link(t, carrier.Direct) },
		"a link in a WebSocket": func(t *testing.T) { link(t, carrier.WebSocket) },
	} {
		t.Run(what, do)
		authoritytest.Eventually(t, what+": it gives its place back", func() bool { return tn.Places() <= 1 })
	}
}
