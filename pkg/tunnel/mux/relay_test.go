package mux

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// relayed returns a connection whose bytes pass a link, by a relay at each end, to a target.
func relayed(t *testing.T, target func(net.Conn)) (client net.Conn, ended chan error, p pair) {
	t.Helper()
	ended = make(chan error, 2)
	p = link(t, func(_, there *Config) {
		there.Accept = func(_ context.Context, in *Incoming) {
			a, b := connections(t)
			go target(b)
			ended <- Relay(in.Accept(), a)
		}
	})
	st, err := p.here.Open(t.Context(), "target")
	if err != nil {
		t.Fatal(err)
	}
	client, front := connections(t)
	go func() { ended <- Relay(st, front) }()
	_ = client.SetDeadline(time.Now().Add(patience))
	return client, ended, p
}

func TestARelayCarriesBothDirectionsAndEndsWhenBothHave(t *testing.T) {
	client, ended, p := relayed(t, func(conn net.Conn) {
		heard, _ := io.ReadAll(conn)
		_, _ = conn.Write(append([]byte("heard "), heard...))
		_ = conn.Close()
	})
	_, _ = client.Write([]byte("all of it"))
	_ = client.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(client); err != nil || string(got) != "heard all of it" {
		t.Errorf("got %q: %v", got, err)
	}
	for range 2 {
		if err := <-ended; err != nil {
			t.Errorf("a relay ended because %v", err)
		}
	}
	eventually(t, "both ends forgot the stream", func() bool { return p.here.Streams()+p.there.Streams() == 0 })
}

func TestARelayWhoseTargetBreaksResetsTheClient(t *testing.T) {
	client, ended, _ := relayed(t, func(conn net.Conn) {
		_, _ = io.ReadFull(conn, make([]byte, 1))
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	})
	_, _ = client.Write([]byte("x"))
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Error("the client reads on")
	}
	codes := map[Code]bool{}
	for range 2 {
		var why *Error
		if err := <-ended; errors.As(err, &why) {
			codes[why.Code] = true
		}
	}
	if !codes[Broken] {
		t.Errorf("nobody was told that the target broke: %v", codes)
	}
}

func TestARelayToATargetThatDoesNotReadEndsWithTheLink(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	client, ended, p := relayed(t, func(conn net.Conn) { <-stop; _ = conn.Close() })
	go func() { _, _ = io.Copy(client, endless{}) }()
	eventually(t, "the target's buffers are full", func() bool {
		_, written := p.here.Traffic()
		return written > firstWindow
	})
	_ = p.here.Close()
	for range 2 {
		select {
		case <-ended:
		case <-time.After(patience):
			t.Fatal("a relay goes on")
		}
	}
}
