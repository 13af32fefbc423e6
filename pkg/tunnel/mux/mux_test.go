package mux

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds what a test waits for.
const patience = 30 * time.Second

// pair is two ends of a link over loopback.
type pair struct{ here, there *Session }

// link returns a link whose far end answers streams with accept.
func link(t *testing.T, configure func(here, there *Config)) pair {
	t.Helper()
	a, b := connections(t)
	return linkOver(t, a, b, configure)
}

func linkOver(t *testing.T, a, b net.Conn, configure func(here, there *Config)) pair {
	t.Helper()
	var here, there Config
	there.Made = true
	if configure != nil {
		configure(&here, &there)
	}
	var p pair
	var made sync.WaitGroup
	begin := func(s **Session, conn net.Conn, config Config) {
		made.Go(func() {
			batch := NewBatch(conn)
			var err error
			if *s, err = New(t.Context(), batch, batch, config); err != nil {
				t.Error(err)
			}
		})
	}
	begin(&p.here, a, here)
	begin(&p.there, b, there)
	made.Wait()
	if t.Failed() {
		t.FailNow()
	}
	t.Cleanup(func() { _ = p.here.Close(); _ = p.there.Close() })
	return p
}

// connections returns two ends of a TCP connection.
func connections(t *testing.T) (a, b net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dialed := make(chan net.Conn, 1)
	go func() {
		conn, _ := net.Dial("tcp", listener.Addr().String())
		dialed <- conn
	}()
	if a, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	if b = <-dialed; b == nil {
		t.Fatal("not connected")
	}
	t.Cleanup(func() { _ = a.Close(); _ = b.Close() })
	return a, b
}

// accepting has an end accept all streams and serve them.
func accepting(serve func(*Stream)) func(here, there *Config) {
	return func(_, there *Config) {
		there.Accept = func(_ context.Context, in *Incoming) { serve(in.Accept()) }
	}
}

func echo(st *Stream) {
	_, _ = io.Copy(st, st)
	_ = st.CloseWrite()
	_ = st.Close()
}

func open(t *testing.T, s *Session) *Stream {
	t.Helper()
	st, err := s.Open(t.Context(), "something")
	if err != nil {
		t.Fatal(err)
	}
	_ = st.SetDeadline(time.Now().Add(patience))
	return st
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for until := time.Now().Add(patience); !is(); runtime.Gosched() {
		if time.Now().After(until) {
			t.Fatalf("not within %s: %s", patience, what)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestWhatIsSentOnManyStreamsComesAsItWas(t *testing.T) {
	p := link(t, accepting(echo))
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			st, err := p.here.Open(t.Context(), i)
			if err != nil {
				t.Error(err)
				return
			}
			defer st.Close()
			random := rand.New(rand.NewPCG(1, uint64(i)))
			sent, got := sha256.New(), sha256.New()
			length := random.Int64N(3 << 20)
			all.Go(func() {
				left := length
				for left > 0 {
					piece := make([]byte, min(left, 1+random.Int64N(100<<10)))
					for j := range piece {
						piece[j] = byte(random.Uint32())
					}
					sent.Write(piece)
					if _, err := st.Write(piece); err != nil {
						t.Error(err)
						return
					}
					left -= int64(len(piece))
				}
				_ = st.CloseWrite()
			})
			n, err := io.Copy(got, st)
			if err != nil || n != length {
				t.Errorf("stream %d: %d bytes of %d came back: %v", i, n, length, err)
			}
			if !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
				t.Errorf("stream %d: other bytes came back", i)
			}
		})
	}
	all.Wait()
	eventually(t, "all streams are forgotten", func() bool { return p.here.Streams()+p.there.Streams() == 0 })
}

func TestAStreamThatNobodyReadsHoldsUpNobody(t *testing.T) {
	for _, stalled := range []int{1, 8, 200} {
		t.Run(fmt.Sprint(stalled), func(t *testing.T) {
			p := link(t, func(here, there *Config) {
				there.MaxStreams = 1000
				there.Accept = func(_ context.Context, in *Incoming) {
					st := in.Accept()
					if strings.Contains(string(in.Request), "flood") {
						for {
							if _, err := st.Write(make([]byte, 64<<10)); err != nil {
								return
							}
						}
					}
					echo(st)
				}
			})
			for range stalled {
				flooding, err := p.here.Open(t.Context(), "flood")
				if err != nil {
					t.Fatal(err)
				}
				defer flooding.Close()
				stuck := open(t, p.here) // echoes into what nobody reads
				defer stuck.Close()
				go func() { _, _ = io.Copy(stuck, endless{}) }()
			}
			st := open(t, p.here)
			for i := range 200 {
				said := fmt.Appendf(nil, "message %d", i)
				if _, err := st.Write(said); err != nil {
					t.Fatal(err)
				}
				heard := make([]byte, len(said))
				if _, err := io.ReadFull(st, heard); err != nil || !bytes.Equal(said, heard) {
					t.Fatalf("%q came back for %q: %v", heard, said, err)
				}
			}
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestAClosedStreamIsForgottenAlthoughNobodyReadAtTheOtherEnd(t *testing.T) {
	writing := make(chan error, 1)
	p := link(t, accepting(func(st *Stream) {
		var err error
		for err == nil {
			_, err = st.Write(make([]byte, 1<<20))
		}
		writing <- err
		_ = st.Close()
	}))
	st := open(t, p.here)
	if _, err := io.ReadFull(st, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	_ = st.Close()
	select {
	case err := <-writing:
		if !errors.Is(err, errNoReader) {
			t.Errorf("the writer was told %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the writer still writes")
	}
	eventually(t, "both ends forgot it", func() bool { return p.here.Streams()+p.there.Streams() == 0 })
}

func TestOneDirectionEndsAndTheOtherGoesOn(t *testing.T) {
	p := link(t, accepting(func(st *Stream) {
		heard, _ := io.ReadAll(st)
		_, _ = fmt.Fprintf(st, "heard %s", heard)
		_ = st.Close()
	}))
	st := open(t, p.here)
	_, _ = st.Write([]byte("all of it"))
	_ = st.CloseWrite()
	got, err := io.ReadAll(st)
	if err != nil || string(got) != "heard all of it" {
		t.Errorf("got %q: %v", got, err)
	}
	if _, err := st.Write([]byte("more")); err == nil {
		t.Error("the stream takes bytes after its end")
	}
}

func TestARefusalSaysWhatItsReasonIs(t *testing.T) {
	p := link(t, func(_, there *Config) {
		there.Accept = func(_ context.Context, in *Incoming) {
			in.Refuse(Unreachable, "no such host\n\x1b[31m"+strings.Repeat("ä", 2000))
		}
	})
	_, err := p.here.Open(t.Context(), "x")
	var refused *Error
	if !errors.As(err, &refused) || refused.Code != Unreachable || !strings.HasPrefix(refused.Text, "no such host  [31m") {
		t.Fatalf("got %v", err)
	}
	if len(refused.Text) > maxText || strings.ContainsRune(refused.Text, '�') {
		t.Errorf("the text has %d bytes: …%q", len(refused.Text), refused.Text[len(refused.Text)-10:])
	}
}

func TestAResetReachesWhoReadsAndWhoWrites(t *testing.T) {
	accepted := make(chan *Stream, 1)
	p := link(t, accepting(func(st *Stream) { accepted <- st }))
	st := open(t, p.here)
	far := <-accepted
	read, wrote := make(chan error, 1), make(chan error, 1)
	go func() { _, err := st.Read(make([]byte, 1)); read <- err }()
	go func() { _, err := io.Copy(st, endless{}); wrote <- err }()
	far.Reset(Broken, "the target is gone")
	for _, end := range []chan error{read, wrote} {
		var why *Error
		if err := <-end; !errors.As(err, &why) || why.Code != Broken || why.Text != "the target is gone" {
			t.Errorf("got %v", err)
		}
	}
}

func TestADeadlineEndsWaitingAndNotTheStream(t *testing.T) {
	p := link(t, accepting(echo))
	st := open(t, p.here)
	_ = st.SetReadDeadline(time.Now().Add(-time.Second))
	if _, err := st.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read: %v", err)
	}
	_ = st.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := st.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read: %v", err)
	}
	_ = st.SetDeadline(time.Now().Add(patience))
	if _, err := st.Write([]byte("hi")); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(io.LimitReader(st, 2)); err != nil || string(got) != "hi" {
		t.Errorf("after the deadline: %q, %v", got, err)
	}
}

func TestALinkThatIsLostEndsItsStreamsButNotAsIfTheyWereComplete(t *testing.T) {
	p := link(t, accepting(func(st *Stream) { _, _ = st.Write([]byte("begun")) }))
	st := open(t, p.here)
	if _, err := io.ReadFull(st, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	_ = p.there.Close()
	if _, err := st.Read(make([]byte, 1)); !errors.Is(err, ErrLost) {
		t.Errorf("got %v, want that the link was lost", err)
	}
	if _, err := p.here.Open(t.Context(), "x"); !errors.Is(err, ErrLost) {
		t.Errorf("Open: %v", err)
	}
	<-p.here.Ended()
}

func TestASilentLinkIsFoundToBeDead(t *testing.T) {
	a, b := connections(t)
	hole := &blackHole{Conn: b}
	p := linkOver(t, a, hole, func(here, there *Config) {
		here.PingEvery, here.DeadAfter = 10*time.Millisecond, 50*time.Millisecond
		there.PingEvery, there.DeadAfter = time.Hour, time.Hour
	})
	eventually(t, "the round trip is known", func() bool { return p.here.RoundTrip() > 0 })
	hole.swallow()
	select {
	case <-p.here.Ended():
	case <-time.After(patience):
		t.Fatal("still believed to be alive")
	}
	if err := p.here.Err(); !errors.Is(err, ErrSilent) {
		t.Errorf("it ended because %v", err)
	}
}

// blackHole swallows what is written once it is told to.
type blackHole struct {
	net.Conn
	mu       sync.Mutex
	swallows bool
}

func (h *blackHole) swallow() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.swallows = true
}

func (h *blackHole) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.swallows {
		return len(p), nil
	}
	return h.Conn.Write(p)
}

func TestWhoDoesNotWaitAnyMoreEndsTheDialAtTheOtherEnd(t *testing.T) {
	asked, given := make(chan struct{}), make(chan struct{})
	p := link(t, func(_, there *Config) {
		there.Accept = func(ctx context.Context, in *Incoming) {
			close(asked)
			<-ctx.Done()
			close(given)
			in.Accept() // too late, and harmless
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if _, err := p.here.Open(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	select {
	case <-given:
	case <-time.After(patience):
		t.Fatal("the other end still tries")
	}
	eventually(t, "both ends forgot it", func() bool { return p.here.Streams()+p.there.Streams() == 0 })
}

func TestStreamsBeyondTheLimitAreRefusedAndLaterOnesAreNot(t *testing.T) {
	p := link(t, func(_, there *Config) {
		there.MaxStreams = 3
		there.Accept = func(_ context.Context, in *Incoming) { echo(in.Accept()) }
	})
	var opened []*Stream
	for range 3 {
		opened = append(opened, open(t, p.here))
	}
	_, err := p.here.Open(t.Context(), "x")
	if CodeOf(err) != Overloaded {
		t.Fatalf("got %v", err)
	}
	_ = opened[0].Close()
	eventually(t, "there is room again", func() bool {
		st, err := p.here.Open(t.Context(), "x")
		if err == nil {
			_ = st.Close()
		}
		return err == nil
	})
}

// A link ends while a stream that the other side opens is read: nobody would end that stream.
func TestALinkThatHasEndedTakesNoStream(t *testing.T) {
	accepted := make(chan bool, 1)
	p := link(t, accepting(func(*Stream) { accepted <- true }))
	_ = p.there.Close()
	if err := p.there.opened(p.here.next, make([]byte, 4)); !errors.Is(err, ErrClosed) {
		t.Errorf("it is taken, or ends with %v", err)
	}
	if n := p.there.Streams(); n != 0 || len(accepted) != 0 {
		t.Errorf("%d streams are open", n)
	}
}

// Who ends a link that carries nothing must not take a stream of it meanwhile.
func TestALinkIsEndedOnlyWhileItIsIdle(t *testing.T) {
	p := link(t, accepting(echo))
	st := open(t, p.here)
	if p.here.CloseIdle() || p.here.Err() != nil {
		t.Fatal("it has ended, and a stream is open")
	}
	_ = st.Close()
	eventually(t, "it ends once it is idle", p.here.CloseIdle)
	if _, err := p.here.Open(t.Context(), "x"); !errors.Is(err, ErrClosed) {
		t.Errorf("a stream is opened, or %v", err)
	}
	if !p.here.CloseIdle() {
		t.Error("it says that it has not ended")
	}
}

func TestNewsAndDrainReachTheOtherEnd(t *testing.T) {
	heard := make(chan string, 2)
	p := link(t, func(_, there *Config) {
		there.OnDrain = func(m json.RawMessage) { heard <- "drain " + string(m) }
		there.OnNews = func(m json.RawMessage) { heard <- "news " + string(m) }
	})
	if err := errors.Join(p.here.Tell([]string{"a"}), p.here.Drain(map[string]int{"seconds": 3})); err != nil {
		t.Fatal(err)
	}
	if got := []string{<-heard, <-heard}; got[0] != `news ["a"]` || got[1] != `drain {"seconds":3}` {
		t.Errorf("heard %q", got)
	}
}

func TestAStreamThatWaitsForCreditIsGivenMoreAndGivesItBack(t *testing.T) {
	budget := NewBudget(64 << 20)
	a, b := connections(t)
	p := linkOver(t, &slow{Conn: a}, b, func(here, there *Config) {
		here.Budget = budget
		here.PingEvery = 20 * time.Millisecond
		there.Accept = func(_ context.Context, in *Incoming) { _, _ = io.Copy(in.Accept(), endless{}) }
	})
	eventually(t, "the round trip is known", func() bool { return p.here.RoundTrip() > 0 })
	st := open(t, p.here)
	_, _ = io.CopyN(io.Discard, st, 30<<20)
	st.in.mu.Lock()
	window := st.in.window
	st.in.mu.Unlock()
	if window <= firstWindow {
		t.Errorf("the window is still %d bytes after 30 MiB with a round trip of %s", window, p.here.RoundTrip())
	}
	_ = st.Close()
	if left := budget.left.Load(); left != 64<<20 {
		t.Errorf("%d bytes of the budget are left after the end of the stream", left)
	}
}

// slow delays what is written, by so much that also a busy machine carries a quarter of a window in half of it.
type slow struct{ net.Conn }

func (s *slow) Write(p []byte) (int, error) {
	time.Sleep(40 * time.Millisecond)
	return s.Conn.Write(p)
}
