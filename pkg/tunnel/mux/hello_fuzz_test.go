package mux

import (
	"encoding/json"
	"io"
	"net"
	"testing"
	"time"
)

// FuzzHello begins a link with random bytes: there is one if they are a HELLO, and it ends with its connection.
func FuzzHello(f *testing.F) {
	f.Add([]byte(`{}`), byte(typeHello), byte(0))
	f.Add([]byte(`{"features":["x"],"info":{"id":"a","refused":"why"}}`), byte(typeHello), byte(0))
	f.Add([]byte(`[1`), byte(typeHello), byte(0))
	f.Add([]byte(`{}`), byte(typePing), byte(flagSkip))
	f.Fuzz(func(t *testing.T, said []byte, kind, flags byte) {
		if len(said) > 1<<16-1 {
			return
		}
		a, b := net.Pipe()
		begun := make(chan *Session, 1)
		go func() {
			s, err := New(t.Context(), a, nil, Config{})
			if (s == nil) == (err == nil) {
				t.Errorf("a link or an error: got %v and %v", s, err)
			}
			begun <- s
		}()
		go func() { _, _ = io.Copy(io.Discard, b) }()
		_, _ = b.Write(appendFrame(nil, kind, flags, 0, said))
		_ = b.Close()
		select {
		case s := <-begun:
			if s == nil {
				return
			}
			if kind != typeHello || !json.Valid(said) {
				t.Errorf("a link began with %q of type %d", said, kind)
			}
			<-s.Ended()
		case <-time.After(patience):
			t.Fatal("it waits on")
		}
	})
}
