package tunnelscenarios

import (
	"context"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/frontend"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

// The tests of this package use these all the time.
var (
	answered = tunneltest.Answered
	listen   = tunneltest.Listen
	echoing  = tunneltest.Echoing
	echo     = tunneltest.Echo
)

// long is whether there is time.
var long = os.Getenv("KOINON_LONG") != ""

// size is how much there is of something: all of it if there is time.
func size(small, all int) int {
	if long {
		return all
	}
	return small
}

// eventually waits until something is so, longer than elsewhere: handshakes of many agents share the processor with their tests.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	within := tunneltest.Patience * time.Duration(size(4, 10))
	for until := time.Now().Add(within); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}

// dice are random numbers that may be used concurrently.
type dice struct {
	mu   sync.Mutex
	rand *rand.Rand // guarded by mu
}

// newDice returns random numbers, and has the log say which.
func newDice(t *testing.T) *dice {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("KOINON_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("KOINON_SEED: %v", err)
		}
	}
	t.Logf("KOINON_SEED=%d", seed)
	return &dice{rand: rand.New(rand.NewPCG(seed, 0))}
}

func (d *dice) n(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rand.IntN(n)
}

func (d *dice) bytes(n int) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(d.rand.Uint32())
	}
	return b
}

// leavesNothing fails a test that leaves goroutines or open files. It has to be the first that a test does.
func leavesNothing(t *testing.T) {
	t.Helper()
	goroutines, files := used(t)
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		for until := time.Now().Add(tunneltest.Patience); ; time.Sleep(5 * time.Millisecond) {
			g, f := used(t)
			if g <= goroutines && f <= files {
				return
			}
			if time.Now().After(until) {
				stacks := make([]byte, 64<<10)
				t.Errorf("%d goroutines and %d files are left, and were %d and %d\n%s", g, f, goroutines, files, stacks[:runtime.Stack(stacks, true)])
				return
			}
		}
	})
}

// used is what the process has of goroutines and open files.
func used(t *testing.T) (goroutines, files int) {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("open files cannot be counted here")
	}
	return runtime.NumGoroutine(), len(open)
}

// said has a connection to an echoing target say something.
func said(conn net.Conn, text string) error {
	_ = conn.SetDeadline(time.Now().Add(tunneltest.Patience))
	if _, err := io.WriteString(conn, text); err != nil {
		return err
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil {
		return err
	}
	if string(got) != text {
		return fmt.Errorf("heard %q for %q", got, text)
	}
	return nil
}

// echoed dials an echoing target and has it say something.
func echoed(s *tunneltest.Replica, name tunnel.Name, address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), tunneltest.Patience)
	defer cancel()
	conn, err := s.Dial(ctx, name, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	return said(conn, "something")
}

// streams are how many the links of a server carry.
func streams(s *tunneltest.Replica) int {
	n := 0
	for _, link := range s.Links() {
		n += link.Streams
	}
	return n
}

// policy is that of a front end: who may what, and what there is.
type policy struct {
	client func(*x509.Certificate) (frontend.Client, error)
	allow  func(frontend.Client, tunnel.Name) error
	known  func(tunnel.Name) bool
}

func (p policy) Client(certificate *x509.Certificate) (frontend.Client, error) {
	if p.client == nil {
		return frontend.Client{}, errors.New("nobody has a certificate here")
	}
	return p.client(certificate)
}

func (p policy) Allow(_ context.Context, client frontend.Client, name tunnel.Name, _ string) error {
	if p.allow == nil {
		return nil
	}
	return p.allow(client, name)
}

func (p policy) Known(name tunnel.Name) bool { return p.known == nil || p.known(name) }

// front is a front end with a Unix socket.
type front struct {
	*frontend.Frontend
	t      *testing.T
	socket string
}

func newFront(t *testing.T, config frontend.Config, client frontend.Client) *front {
	t.Helper()
	config.Logger = tunneltest.Quiet
	made, err := frontend.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(made.Close)
	f := &front{made, t, filepath.Join(tunneltest.SocketDir(t), "front.sock")}
	listener, err := frontend.ListenUnix(f.socket)
	if err != nil {
		t.Fatal(err)
	}
	f.serve(listener, frontend.Door{Client: client})
	return f
}

// serve serves a listener until the test ends.
func (f *front) serve(listener net.Listener, door frontend.Door) {
	tunneltest.During(f.t, func(ctx context.Context) error { return f.Serve(ctx, listener, door) })
}

// connect asks for a target. The connection is nil if the status is not 200.
func (f *front) connect(target string, headers ...string) (conn net.Conn, status int, body string, err error) {
	if conn, err = net.Dial("unix", f.socket); err != nil {
		return nil, 0, "", err
	}
	_ = conn.SetDeadline(time.Now().Add(tunneltest.Patience))
	status, body, _, err = tunneltest.Connect(conn, target, headers...)
	if err != nil || status != http.StatusOK {
		_ = conn.Close()
		return nil, status, body, err
	}
	return conn, status, "", nil
}

// Types of frames, as package mux has them.
const (
	typeHello, typeOpen, typeResult, typeData, typeFin, typeReset = 0, 1, 2, 3, 4, 5
	typeCredit, typeReturn, typePing, typePong, typeDrain         = 6, 7, 8, 9, 10
	typeNews                                                      = 11
)

// frame is one of package mux.
func frame(kind, flags byte, stream uint32, payload string) []byte {
	b := append(make([]byte, 0, 8+len(payload)), kind, flags)
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	b = binary.BigEndian.AppendUint32(b, stream)
	return append(b, payload...)
}

// each runs something so many times, some of them at once, and reports the errors.
func each(t *testing.T, n, atOnce int, do func(int) error) {
	t.Helper()
	var all sync.WaitGroup
	turns := make(chan int)
	for range min(n, atOnce) {
		all.Go(func() {
			for i := range turns {
				if err := do(i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range n {
		turns <- i
	}
	close(turns)
	all.Wait()
}
