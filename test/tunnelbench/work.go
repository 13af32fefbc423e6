package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/koinon-io/koinon/test/bench/report"
)

// What a process may be asked for. The first seven are done by clients, wherever they are.
const (
	workBulk    = "bulk"    // Streams that flood, or sink with Up
	workPing    = "ping"    // a byte there and back, beside Streams that flood and Stalled ones that nobody reads
	workDial    = "dial"    // by Streams at once
	workRequest = "request" // on a connection that is kept
	workGet     = "get"     // of HTTPS; with Cold each on a connection of its own
	workFirst   = "first"   // one dial, and a byte there and back; that it fails is a result
	workHold    = "hold"    // Streams connections that do nothing, from now on; with 0 all are closed

	workMemory  = "memory"
	workLinks   = "links"   // of the server
	workToken   = "token"   // for an agent of theCluster
	workProfile = "profile" // of the processor to File; without one it ends
)

// order is what somebody is asked for.
type order struct {
	Work string
	// Address is the target as the way has it, and Counts where its counts are.
	Address, Counts string
	Streams         int
	Up, Cold, Echo  bool
	// Stalled connections are there meanwhile; with Deaf it is the target that does not read.
	Stalled int
	Deaf    bool
	// Warm is how long it goes on before it is measured, and For how long it is.
	Warm, For time.Duration
	// Processes are whose processor time is measured.
	Processes []int
	// Dir has the certificates for HTTPS.
	Dir, File string
}

// answer is what it says. Fields that nobody asked for are zero.
type answer struct {
	Err       string            `json:",omitempty"`
	Addresses map[string]string `json:",omitempty"`
	Text      string            `json:",omitempty"`
	// Bytes or operations were done in Took, and cost CPU.
	Bytes int64
	Count int
	Took  time.Duration
	CPU   time.Duration
	// P50 and P99 are of the operations, First50 and First99 of the first byte, Dialed is how long the one dial took.
	P50, P99, First50, First99, Dialed time.Duration
	// Alone is P50 of the same before there was anything beside it.
	Alone time.Duration
	// Stuck says what did not happen in time.
	Stuck string `json:",omitempty"`
	InUse int64
	Links int
}

type dialFunc func(ctx context.Context, address string) (net.Conn, error)

// worker does work with connections of one way.
type worker struct {
	dial dialFunc
	held []net.Conn
}

func (w *worker) do(ctx context.Context, o order) (answer, error) {
	switch o.Work {
	case workBulk:
		return w.bulk(ctx, o)
	case workPing:
		return w.ping(ctx, o)
	case workDial:
		return w.dials(ctx, o)
	case workRequest:
		return w.requests(ctx, o)
	case workGet:
		return w.gets(ctx, o)
	case workFirst:
		return w.first(ctx, o)
	case workHold:
		return answer{}, w.hold(ctx, o)
	}
	return answer{}, fmt.Errorf("there is no work %q", o.Work)
}

// dialLimit is when a connection that is not there is given up.
const dialLimit = 3 * time.Second

// open connects and says what is wanted.
func (w *worker) open(ctx context.Context, address string, want byte) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	conn, err := w.dial(ctx, address)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write([]byte{want}); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// crowd are connections that are busy until they are closed.
type crowd struct {
	conns []net.Conn
	bytes atomic.Int64
	busy  sync.WaitGroup
}

// close closes all connections, and waits for who is busy with them: as long as for a connection, since konnectivity's client may wait
// for its server without end. It reports whether all have ended.
func (c *crowd) close() bool {
	ended := make(chan struct{})
	go func() { // ends with the connections, which end with the tunnel at the latest
		var closing sync.WaitGroup
		for _, conn := range c.conns {
			closing.Go(func() { _ = conn.Close() })
		}
		closing.Wait()
		c.busy.Wait()
		close(ended)
	}()
	timer := time.NewTimer(dialLimit)
	defer timer.Stop()
	select {
	case <-ended:
		return true
	case <-timer.C:
		return false
	}
}

// fill opens connections. do passes bytes of each until it fails; nil does nothing.
func (w *worker) fill(ctx context.Context, c *crowd, o order, n int, want byte, do func(net.Conn, []byte) (int, error)) error {
	for range n {
		conn, err := w.open(ctx, o.Address, want)
		if err != nil {
			return err
		}
		c.conns = append(c.conns, conn)
		if do == nil {
			continue
		}
		c.busy.Go(func() { // ends when the connection is closed
			piece := make([]byte, pieceBytes)
			for {
				n, err := do(conn, piece)
				c.bytes.Add(int64(n))
				if err != nil {
					return
				}
			}
		})
	}
	return nil
}

func read(conn net.Conn, p []byte) (int, error)  { return conn.Read(p) }
func write(conn net.Conn, p []byte) (int, error) { return conn.Write(p) }

// mark is a point in time.
type mark struct {
	at  time.Time
	cpu time.Duration
}

func marked(o order) (mark, error) {
	cpu, err := processorTime(o.Processes...)
	return mark{time.Now(), cpu}, err
}

// since fills in what has passed.
func (a *answer) since(from mark, o order) error {
	to, err := marked(o)
	a.Took, a.CPU = to.at.Sub(from.at), to.cpu-from.cpu
	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// bulk counts bytes where they arrive.
func (w *worker) bulk(ctx context.Context, o order) (a answer, err error) {
	want, do := byte(wantFlood), read
	var c crowd
	arrived := func() (int64, error) { return c.bytes.Load(), nil }
	if o.Up {
		want, do = wantSink, write
		arrived = func() (int64, error) {
			sunk, _, err := counts(ctx, o.Counts)
			return sunk, err
		}
	}
	defer c.close()
	if err := w.fill(ctx, &c, o, o.Streams, want, do); err != nil {
		return a, err
	}
	if err := sleep(ctx, o.Warm); err != nil {
		return a, err
	}
	before, err := arrived()
	if err != nil {
		return a, err
	}
	from, err := marked(o)
	if err != nil {
		return a, err
	}
	if err := sleep(ctx, o.For); err != nil {
		return a, err
	}
	if err := a.since(from, o); err != nil {
		return a, err
	}
	after, err := arrived()
	a.Bytes = after - before
	if err == nil && a.Bytes == 0 {
		err = errors.New("nothing arrived")
	}
	return a, err
}

// ping sends a byte there and back, beside others. That it is stuck is a result.
func (w *worker) ping(ctx context.Context, o order) (a answer, err error) {
	var c crowd
	defer func() {
		if !c.close() && err == nil && a.Stuck == "" {
			a.Stuck = fmt.Sprintf("connections are not closed within %s", dialLimit)
		}
	}()
	if o.Stalled > 0 {
		before, err := w.ping(ctx, order{Work: o.Work, Address: o.Address, Counts: o.Counts, For: o.For / 2})
		if err != nil || before.Stuck != "" {
			return before, err
		}
		a.Alone = before.P50
	}
	if a.Stuck, err = w.stall(ctx, &c, o); a.Stuck != "" || err != nil {
		return a, err
	}
	if err := w.fill(ctx, &c, o, o.Streams, wantFlood, read); err != nil {
		return a, err
	}
	if err := sleep(ctx, o.Warm); err != nil {
		return a, err
	}
	began := time.Now()
	conn, err := w.open(ctx, o.Address, wantEcho)
	if err != nil {
		a.Stuck = fmt.Sprintf("no new connection within %s", dialLimit)
		return a, nil
	}
	defer conn.Close()
	a.Dialed = time.Since(began)
	_ = conn.SetDeadline(time.Now().Add(o.For + dialLimit)) // konnectivity's client has none, and is ended by the next line
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	watch := time.AfterFunc(o.For+dialLimit, func() { _ = conn.Close() })
	defer watch.Stop()
	took, err := repeat(o.For, func() error {
		one := []byte{1}
		if _, err := conn.Write(one); err != nil {
			return err
		}
		_, err := io.ReadFull(conn, one)
		return err
	})
	if err != nil {
		a.Stuck = fmt.Sprintf("no byte back within %s", dialLimit)
	}
	a.times(took)
	return a, nil
}

// stall opens connections that are not read, at one end or the other, and waits until nothing flows on them.
func (w *worker) stall(ctx context.Context, c *crowd, o order) (stuck string, err error) {
	want, do := byte(wantFlood), (func(net.Conn, []byte) (int, error))(nil)
	if o.Deaf {
		want, do = wantDeaf, write
	}
	if o.Stalled == 0 {
		return "", nil
	}
	for i := range o.Stalled {
		if err := w.fill(ctx, c, o, 1, want, do); err != nil {
			return fmt.Sprintf("no new connection within %s beside %d that are stalled", dialLimit, i), ctx.Err()
		}
	}
	const look, looks = 50 * time.Millisecond, 60
	last := int64(-1)
	for range looks { // then it is slow, and not endless
		_, flowed, err := counts(ctx, o.Counts)
		if err != nil {
			return "", err
		}
		if flowed += c.bytes.Load(); flowed == last {
			return "", nil
		}
		last = flowed
		if err := sleep(ctx, look); err != nil {
			return "", err
		}
	}
	return "", nil
}

// repeat does something for a time, and returns how long each took.
func repeat(d time.Duration, do func() error) (took []time.Duration, err error) {
	for until := time.Now().Add(d); ; {
		began := time.Now()
		if began.After(until) {
			return took, nil
		}
		if err := do(); err != nil {
			return took, err
		}
		took = append(took, time.Since(began))
	}
}

func (a *answer) times(took []time.Duration) {
	a.Count, a.P50, a.P99 = len(took), report.Percentile(took, 50), report.Percentile(took, 99)
}

// dials connects over and over. With Echo the time to the first byte is measured too.
func (w *worker) dials(ctx context.Context, o order) (a answer, err error) {
	from, err := marked(o)
	if err != nil {
		return a, err
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	var took, first []time.Duration // guarded by mu, as err is
	for range o.Streams {
		all.Go(func() {
			var firsts []time.Duration
			own, failed := repeatDial(o.For, func() (time.Duration, error) {
				dialed, byteCame, err := w.dialOnce(ctx, o)
				if err == nil && o.Echo {
					firsts = append(firsts, byteCame)
				}
				return dialed, err
			})
			mu.Lock()
			defer mu.Unlock()
			took, first, err = append(took, own...), append(first, firsts...), errors.Join(err, failed)
		})
	}
	all.Wait()
	if err != nil {
		return a, err
	}
	if err := a.since(from, o); err != nil {
		return a, err
	}
	a.times(took)
	a.First50, a.First99 = report.Percentile(first, 50), report.Percentile(first, 99)
	return a, nil
}

func repeatDial(d time.Duration, do func() (time.Duration, error)) (took []time.Duration, err error) {
	for until := time.Now().Add(d); time.Now().Before(until); {
		one, err := do()
		if err != nil {
			return took, err
		}
		took = append(took, one)
	}
	return took, nil
}

// dialOnce connects and closes.
func (w *worker) dialOnce(ctx context.Context, o order) (dialed, first time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	began := time.Now()
	conn, err := w.dial(ctx, o.Address)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	dialed = time.Since(began)
	if !o.Echo {
		return dialed, 0, nil
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if _, err := conn.Write([]byte{wantEcho, 1}); err != nil {
		return 0, 0, err
	}
	_, err = io.ReadFull(conn, make([]byte, 1))
	return dialed, time.Since(began), err
}

// requests sends requests on a connection that is kept.
func (w *worker) requests(ctx context.Context, o order) (a answer, err error) {
	conn, err := w.open(ctx, o.Address, wantRequest)
	if err != nil {
		return a, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	request, response := make([]byte, requestBytes), make([]byte, responseBytes)
	return a.measured(o, func() error {
		if _, err := conn.Write(request); err != nil {
			return err
		}
		_, err := io.ReadFull(conn, response)
		return err
	})
}

// gets sends GET by HTTP/2 and TLS, as a client of a kube-apiserver does.
func (w *worker) gets(ctx context.Context, o order) (a answer, err error) {
	pool, err := loadPool(o.Dir, serversCA)
	if err != nil {
		return a, err
	}
	transport := &http.Transport{
		DialContext:     func(ctx context.Context, _, address string) (net.Conn, error) { return w.dial(ctx, address) },
		TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true, DisableKeepAlives: o.Cold,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: dialLimit}
	return a.measured(o, func() error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+o.Address+"/api/v1/namespaces/default/configmaps/settings", nil)
		if err != nil {
			return err
		}
		got, err := client.Do(request)
		if err != nil {
			return err
		}
		defer got.Body.Close()
		n, err := io.Copy(io.Discard, got.Body)
		if err == nil && n != int64(len(body)) {
			err = fmt.Errorf("%d bytes came of %d", n, len(body))
		}
		return err
	})
}

// measured repeats something, first without measuring it.
func (a answer) measured(o order, do func() error) (answer, error) {
	if _, err := repeat(o.Warm, do); err != nil {
		return a, err
	}
	from, err := marked(o)
	if err != nil {
		return a, err
	}
	took, err := repeat(o.For, do)
	if err != nil {
		return a, err
	}
	a.times(took)
	return a, a.since(from, o)
}

// hold keeps connections that do nothing.
func (w *worker) hold(ctx context.Context, o order) error {
	if o.Streams == 0 {
		for _, conn := range w.held {
			_ = conn.Close()
		}
		w.held = nil
		return nil
	}
	for len(w.held) < o.Streams {
		conn, err := w.open(ctx, o.Address, wantEcho)
		if err != nil {
			return fmt.Errorf("after %d: %w", len(w.held), err)
		}
		w.held = append(w.held, conn)
		// One byte has been there and back: what was needed once has gone.
		if _, err := conn.Write([]byte{1}); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
			return err
		}
	}
	return nil
}
