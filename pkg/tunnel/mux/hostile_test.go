package mux

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// raw is a peer that says what it wants.
type raw struct {
	net.Conn
	t *testing.T
}

func hostile(t *testing.T, config Config) (*Session, *raw) {
	t.Helper()
	a, b := connections(t)
	r := &raw{b, t}
	r.send(typeHello, 0, 0, []byte("{}"))
	s, err := New(t.Context(), a, nil, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, r
}

func (r *raw) send(kind, flags byte, stream uint32, payload []byte) {
	_, _ = r.Write(appendFrame(nil, kind, flags, stream, payload))
}

// next is the next frame of a type.
func (r *raw) next(kind byte) (header, []byte) {
	r.t.Helper()
	_ = r.SetReadDeadline(time.Now().Add(patience))
	for {
		var b [headerBytes]byte
		if _, err := io.ReadFull(r, b[:]); err != nil {
			r.t.Fatalf("no frame of type %d came: %v", kind, err)
		}
		h := parseHeader(&b)
		payload := make([]byte, h.length)
		if _, err := io.ReadFull(r, payload); err != nil {
			r.t.Fatal(err)
		}
		if h.kind == kind {
			return h, payload
		}
	}
}

func number(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func TestALinkEndsWithWhoDoesNotKeepToTheProtocol(t *testing.T) {
	opening := append(number(1<<20), `"x"`...)
	for what, misbehave := range map[string]func(*raw){
		"an unknown type":                  func(r *raw) { r.send(99, 0, 0, nil) },
		"data for what was never opened":   func(r *raw) { r.send(typeData, 0, 2, []byte("x")) },
		"data for a stream of this side":   func(r *raw) { r.send(typeData, 0, 7, []byte("x")) },
		"data for the link":                func(r *raw) { r.send(typeData, 0, 0, []byte("x")) },
		"a long frame":                     func(r *raw) { r.send(typeData, 0, 2, make([]byte, maxData+1)) },
		"a short frame":                    func(r *raw) { r.send(typeCredit, 0, 2, []byte{1}) },
		"a stream with this side's number": func(r *raw) { r.send(typeOpen, 0, 1, opening) },
		"a stream twice":                   func(r *raw) { r.send(typeOpen, 0, 2, opening); r.send(typeOpen, 0, 2, opening) },
		"a stream with a lower number":     func(r *raw) { r.send(typeOpen, 0, 4, opening); r.send(typeOpen, 0, 2, opening) },
		"a result for its own stream":      func(r *raw) { r.send(typeOpen, 0, 2, opening); r.send(typeResult, 0, 2, make([]byte, 6)) },
		"credit without end":               func(r *raw) { r.send(typeOpen, 0, 2, opening); r.send(typeCredit, 0, 2, number(1<<31)) },
		"credit back that it did not have": func(r *raw) { r.send(typeOpen, 0, 2, opening); r.send(typeReturn, 0, 2, number(1<<20)) },
		"another hello":                    func(r *raw) { r.send(typeHello, 0, 0, []byte("{}")) },
		"news that are no JSON":            func(r *raw) { r.send(typeNews, 0, 0, []byte("[1,")) },
	} {
		t.Run(what, func(t *testing.T) {
			s, r := hostile(t, Config{Accept: func(ctx context.Context, _ *Incoming) { <-ctx.Done() }})
			misbehave(r)
			select {
			case <-s.Ended():
			case <-time.After(patience):
				t.Fatal("the link goes on")
			}
			if err := s.Err(); !errors.Is(err, ErrProtocol) {
				t.Errorf("it ended because %v", err)
			}
		})
	}
}

func TestATypeOfALaterVersionThatMayBeSkippedIs(t *testing.T) {
	_, r := hostile(t, Config{})
	r.send(200, flagSkip, 5, make([]byte, 50_000))
	r.send(typePing, 0, 0, []byte("are you?"))
	if _, payload := r.next(typePong); string(payload) != "are you?" {
		t.Errorf("answered %q", payload)
	}
}

func TestWhoSendsMoreThanHeMayLosesTheStreamAndNothingElse(t *testing.T) {
	accepted := make(chan *Stream, 2)
	s, r := hostile(t, Config{Accept: func(_ context.Context, in *Incoming) { accepted <- in.Accept() }})
	opening := append(number(1<<20), `"x"`...)
	r.send(typeOpen, 0, 2, opening)
	r.send(typeOpen, 0, 4, opening)
	window := 0
	for range 2 {
		_, result := r.next(typeResult)
		window = int(binary.BigEndian.Uint32(result[2:]))
	}
	for sent := 0; sent <= window; sent += maxData {
		r.send(typeData, 0, 2, make([]byte, maxData))
	}
	h, why := r.next(typeReset)
	if code := Code(binary.BigEndian.Uint16(why)); h.stream != 2 || code != Violated {
		t.Errorf("stream %d was reset: %s %s", h.stream, code, why[2:])
	}
	r.send(typeData, 0, 4, []byte("well behaved"))
	for range 2 {
		st := <-accepted
		if st.id == 4 {
			if got, err := io.ReadAll(io.LimitReader(st, 12)); err != nil || string(got) != "well behaved" {
				t.Errorf("the other stream has %q: %v", got, err)
			}
		}
	}
	if s.Err() != nil {
		t.Errorf("the link ended: %v", s.Err())
	}
}

func TestWhoOpensStreamsAndReadsNoRefusalLosesTheLink(t *testing.T) {
	s, r := hostile(t, Config{})
	opening := append(number(1<<20), `"`+strings.Repeat("x", 1000)+`"`...)
	go func() {
		for id := uint32(2); s.Err() == nil && id < 1<<24; id += 2 {
			r.send(typeOpen, 0, id, opening)
		}
	}()
	select {
	case <-s.Ended():
	case <-time.After(patience):
		t.Fatal("the link goes on")
	}
}

func TestALinkDoesNotBeginWithWhoSaysNothing(t *testing.T) {
	for what, said := range map[string]string{
		"not a frame":     "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"another frame":   string(appendFrame(nil, typePing, 0, 0, nil)),
		"hello, not JSON": string(appendFrame(nil, typeHello, 0, 0, []byte("hello"))),
	} {
		t.Run(what, func(t *testing.T) {
			a, b := connections(t)
			_, _ = b.Write([]byte(said))
			if _, err := New(t.Context(), a, nil, Config{}); !errors.Is(err, ErrProtocol) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("nothing", func(t *testing.T) {
		a, _ := connections(t)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if _, err := New(ctx, a, nil, Config{}); !errors.Is(err, ErrSilent) {
			t.Errorf("got %v", err)
		}
	})
}

// FuzzFrames sends a link what it makes of random bytes: it ends or goes on, and keeps nothing.
func FuzzFrames(f *testing.F) {
	opening := append(number(1<<20), `"x"`...)
	f.Add(appendFrame(nil, typeOpen, 0, 2, opening))
	f.Add(appendFrame(appendFrame(nil, typeOpen, 0, 2, opening), typeData, 0, 2, []byte("bytes")))
	f.Add(appendFrame(appendFrame(nil, typeOpen, 0, 2, opening), typeFin, flagStop, 2, nil))
	f.Add(appendFrame(appendFrame(nil, typeOpen, 0, 2, opening), typeReset, 0, 2, []byte("\x00\x01why")))
	f.Add(appendNumber(nil, typeCredit, 1, 5))
	f.Fuzz(func(t *testing.T, said []byte) {
		a, b := net.Pipe()
		begun := make(chan *Session, 1)
		go func() {
			s, _ := New(t.Context(), a, nil, Config{MaxStreams: 4, Accept: func(_ context.Context, in *Incoming) { echo(in.Accept()) }})
			begun <- s
		}()
		go func() { _, _ = io.Copy(io.Discard, b) }()
		_, _ = b.Write(appendFrame(nil, typeHello, 0, 0, []byte("{}")))
		s := <-begun
		if s == nil {
			t.Fatal("no link")
		}
		_, _ = b.Write(said)
		_ = b.Close()
		select {
		case <-s.Ended():
		case <-time.After(patience):
			t.Fatal("the link outlives its connection")
		}
		if n := s.Streams(); n != 0 {
			t.Errorf("%d streams are left", n)
		}
	})
}
