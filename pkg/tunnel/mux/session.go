package mux

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// firstWindow is what a stream's sender may send at first, and tightWindow when memory is tight.
	firstWindow = 256 << 10
	tightWindow = 64 << 10
	// returnAfter is how long a stream is idle before it gives credit back.
	returnAfter = 10 * time.Second
	// helloTimeout is how long the other side's HELLO may take.
	helloTimeout = 10 * time.Second
	// maxRefused is how many answers to refused streams may wait to be sent: who does not read them
	// and opens more loses the link.
	maxRefused = 1024
	// lastStream is when numbers come to an end, and with them the link.
	lastStream = 1<<31 - 2
)

// Hello is what a side says first.
type Hello struct {
	// Features that it knows.
	Features []string `json:"features,omitempty"`
	// Info is its user's.
	Info json.RawMessage `json:"info,omitempty"`
}

// Config says how a Session works.
type Config struct {
	// Made is true for the side that made the connection.
	Made bool
	// Hello is sent first.
	Hello Hello
	// Accept is called in a goroutine of its own for each stream that the other side wants, and must
	// accept or refuse it. ctx ends when the stream is not wanted any more. Nil refuses all.
	Accept func(ctx context.Context, in *Incoming)
	// MaxStreams is how many streams the other side may have open. The default is 1,000.
	MaxStreams int
	// MaxWindow bounds a stream's credit. The default is 16 MiB.
	MaxWindow int64
	// LinkBudget bounds what all streams of the session have beyond their first credit: 64 MiB by
	// default. Budget does the same for all sessions that share it; nil has no bound.
	LinkBudget int64
	Budget     *Budget
	// PingEvery and DeadAfter are 5 and 15 seconds by default.
	PingEvery, DeadAfter time.Duration
	// OnDrain and OnNews are called with what comes, one after the other; they must not block.
	OnDrain, OnNews func(json.RawMessage)
}

func (c *Config) setDefaults() {
	setDefault(&c.MaxStreams, 1000)
	setDefault(&c.MaxWindow, 16<<20)
	setDefault(&c.LinkBudget, 64<<20)
	setDefault(&c.PingEvery, 5*time.Second)
	setDefault(&c.DeadAfter, 15*time.Second)
}

func setDefault[T comparable](value *T, to T) {
	if zero := *new(T); *value == zero {
		*value = to
	}
}

// Session is one link.
type Session struct {
	config Config
	conn   net.Conn
	hold   holder // nil if the connection does not gather writes
	budget *Budget
	// Peer is the other side's HELLO.
	Peer Hello

	ended chan struct{} // closed at the end
	ticks *time.Timer
	// lastCame is when something came, in nanoseconds since began.
	began    time.Time
	lastCame atomic.Int64
	trip     atomic.Int64 // round trip in nanoseconds, 0 if it is not known
	received atomic.Int64
	written  atomic.Int64

	mu sync.Mutex
	// What follows is guarded by mu.

	err     error // why it ended
	streams map[uint32]*Stream
	// next is the number of the next stream that this side opens, and highest that of the last one
	// that the other side did.
	next, highest uint32
	theirs        int // how many streams the other side has open
	refused       int // answers to refused streams that wait
	writing       bool
	urgent        []*Stream // flagged
	sending       turns     // of those that are queued
	pong          []byte    // to be sent; nil if none
	ping          bool
	pings         uint64
	pinged        time.Time // zero if it is answered
	trips         trips
	link          [][]byte // frames of the link to be sent
}

// holder gathers what is written until it is released: see Batch.
type holder interface {
	Hold()
	Release() error
}

// New begins a session on a connection, which is closed if that fails: the two sides say HELLO. batch
// gathers what conn writes, and may be nil. The session owns the connection from then on.
func New(ctx context.Context, conn net.Conn, batch *Batch, config Config) (*Session, error) {
	config.setDefaults()
	s := &Session{
		config: config, conn: conn, budget: NewBudget(config.LinkBudget), ended: make(chan struct{}), began: time.Now(),
		streams: map[uint32]*Stream{}, next: 1,
	}
	if batch != nil {
		s.hold = batch
	}
	if config.Made {
		s.next = 2
	}
	if err := s.greet(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	s.mu.Lock()
	s.ticks = time.AfterFunc(config.PingEvery, s.tick)
	s.sendPing()
	s.mu.Unlock()
	go s.read() // ends with the connection
	return s, nil
}

// greet exchanges HELLO.
func (s *Session) greet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = s.conn.Close() })
	defer stop()
	said, err := json.Marshal(s.config.Hello)
	if err != nil || len(said) > maxJSON {
		return fmt.Errorf("say hello: it has %d bytes, and may have %d: %w", len(said), maxJSON, errors.Join(err))
	}
	sent := make(chan error, 1)
	go func() { // ends with the connection
		_, err := s.conn.Write(appendFrame(nil, typeHello, 0, 0, said))
		sent <- err
	}()
	h, payload, err := s.readWhole()
	if err == nil && h.kind != typeHello {
		err = fmt.Errorf("%w: it begins with a frame of type %d, not with HELLO", ErrProtocol, h.kind)
	}
	if err == nil {
		if json.Unmarshal(payload, &s.Peer) != nil {
			err = fmt.Errorf("%w: its HELLO is no JSON", ErrProtocol)
		}
	}
	if err == nil {
		err = <-sent
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: no HELLO came", ErrSilent)
	case errors.Is(err, ErrProtocol):
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	return nil
}

// Ended is closed when the session has ended; Err says why.
func (s *Session) Ended() <-chan struct{} { return s.ended }

// Err is nil while the session lasts.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// RoundTrip is the least time of late from a PING to its PONG, 0 if it is not known yet.
func (s *Session) RoundTrip() time.Duration { return time.Duration(s.trip.Load()) }

// Traffic is how many bytes came and went, of frames with their headers.
func (s *Session) Traffic() (received, written int64) { return s.received.Load(), s.written.Load() }

// Streams is how many streams are open.
func (s *Session) Streams() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.streams)
}

// Close ends the session and all of its streams.
func (s *Session) Close() error {
	s.fail(ErrClosed)
	return nil
}

// CloseIdle is Close if no stream is open: none is taken that would be lost at once. It reports whether the session has ended.
func (s *Session) CloseIdle() bool {
	s.mu.Lock()
	if s.err == nil && len(s.streams) > 0 {
		s.mu.Unlock()
		return false
	}
	s.finally(ErrClosed)
	return true
}

// fail ends the session.
func (s *Session) fail(why error) {
	s.mu.Lock()
	s.finally(why)
}

// finally ends the session. mu must be held, and is given up.
func (s *Session) finally(why error) {
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	s.err = why
	s.ticks.Stop()
	streams := make([]*Stream, 0, len(s.streams))
	for _, st := range s.streams {
		streams = append(streams, st)
	}
	for _, st := range streams {
		s.end(st, why)
	}
	s.urgent, s.sending, s.link = nil, turns{}, nil
	s.mu.Unlock()
	close(s.ended)
	_ = s.conn.Close()
}

// end has both directions of a stream end, and forgets it. mu must be held.
func (s *Session) end(st *Stream, why error) {
	s.forget(st)
	if st.sendErr == nil {
		st.sendErr = why
	}
	st.sent.Broadcast()
	st.in.finish(why)
	if st.result != nil {
		st.result <- why // has room
		st.result = nil
	}
	if st.cancel != nil {
		st.cancel(why)
		st.cancel = nil
	}
	if st.ended != nil {
		st.ended(why)
		st.ended = nil
	}
}

// forget takes a stream out of those that are open. mu must be held.
func (s *Session) forget(st *Stream) {
	if st.gone {
		return
	}
	st.gone = true
	delete(s.streams, st.id)
	s.sending.leave(st.share)
	if s.opensIt(st.id) {
		return
	}
	s.theirs--
}

// opensIt reports whether this side opens streams of a number.
func (s *Session) opensIt(id uint32) bool { return (id%2 == 0) == s.config.Made }

// free gives back what a stream had from budgets.
func (s *Session) free(bytes int64) {
	if bytes > 0 {
		s.budget.give(bytes)
		s.config.Budget.give(bytes)
	}
}

// Open opens a stream. request is sent as JSON. The error is an *Error if the other side says no, that of ctx, or
// that of the session.
func (s *Session) Open(ctx context.Context, request any) (*Stream, error) {
	return s.OpenFor(ctx, Share{}, request)
}

// OpenFor is Open of a stream that counts for a Share, in this direction: the other side has its own.
func (s *Session) OpenFor(ctx context.Context, of Share, request any) (*Stream, error) {
	asked, err := json.Marshal(request)
	if err != nil || len(asked) > maxJSON {
		return nil, fmt.Errorf("open a stream: the request has %d bytes, and may have %d: %w", len(asked), maxJSON, errors.Join(err))
	}
	st := s.newStream()
	result := make(chan error, 1)
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return nil, s.err
	}
	if s.next > lastStream {
		s.mu.Unlock()
		return nil, &Error{Draining, "the link has used up its numbers of streams"}
	}
	st.id, st.result = s.next, result
	s.next += 2
	st.share = s.sending.join(of)
	s.streams[st.id] = st
	st.wants.open, st.wants.request = true, asked
	s.flag(st)
	s.mu.Unlock()
	select {
	case err = <-result:
		if err != nil {
			return nil, err
		}
		return st, nil
	case <-ctx.Done():
		st.Reset(Canceled, "who asked for it does not wait any longer")
		return nil, context.Cause(ctx)
	}
}

func (s *Session) newStream() *Stream {
	window := int64(firstWindow)
	if s.budget.tight() || s.config.Budget.tight() {
		window = tightWindow
	}
	st := &Stream{session: s, window: min(window, s.config.MaxWindow)}
	st.sent.L = &s.mu
	st.in.init(st.window)
	return st
}

// answer answers a stream that the other side wants; of is what it counts for if it is accepted.
func (s *Session) answer(st *Stream, of *Share, code Code, text string) {
	s.mu.Lock()
	flooded := false
	if st.cancel != nil { // not answered yet, and not gone
		st.cancel(nil)
		st.cancel = nil
		if of != nil {
			s.sending.leave(st.share)
			st.share = s.sending.join(*of)
		}
		if code != OK {
			st.sendErr = net.ErrClosed
			st.in.finish(net.ErrClosed)
			s.forget(st)
			s.refused++
			flooded = s.refused > maxRefused
		}
		st.wants.result = &Error{code, text}
		s.flag(st)
	}
	s.mu.Unlock()
	if flooded {
		s.fail(errFlood)
	}
}

var errFlood = fmt.Errorf("%w: it opens streams faster than it reads that they are refused", ErrProtocol)

// abort ends a stream, and tells the other side. mu must be held.
func (s *Session) abort(st *Stream, why *Error) {
	if st.gone {
		return
	}
	st.wants.reset = why
	s.flag(st)
	s.end(st, why)
}

// finish ends what this side sends; stop says that it does not read any more either. mu must be held.
func (s *Session) finish(st *Stream, stop bool) {
	st.finished, st.stop = true, st.stop || stop
	s.ready(st)
}

// Drain tells the other side that this one wants no more streams; what is sent as JSON.
func (s *Session) Drain(what any) error { return s.tell(typeDrain, what, maxJSON) }

// Tell sends news to the other side.
func (s *Session) Tell(what any) error { return s.tell(typeNews, what, maxNews) }

// maxTold is how many frames of the link may wait.
const maxTold = 16

func (s *Session) tell(kind byte, what any, most int) error {
	payload, err := json.Marshal(what)
	if err != nil || len(payload) > most {
		return fmt.Errorf("tell the other end of the link: it has %d bytes, and may have %d: %w", len(payload), most, errors.Join(err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return s.err
	case len(s.link) >= maxTold:
		return &Error{Overloaded, "what was told before has not been sent yet"}
	}
	s.link = append(s.link, appendFrame(nil, kind, 0, 0, payload))
	s.write()
	return nil
}

// tick sends a PING, has idle streams give credit back, and ends a link on which nothing comes.
func (s *Session) tick() {
	silent := time.Since(s.began) - time.Duration(s.lastCame.Load())
	if silent >= s.config.DeadAfter {
		s.fail(ErrSilent)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.sendPing()
	s.returnCredit(time.Now())
	s.ticks.Reset(min(s.config.PingEvery, s.config.DeadAfter-silent))
}

// sendPing has a PING sent. mu must be held.
func (s *Session) sendPing() {
	s.ping = true
	s.write()
}

// returnCredit gives back what streams have that were idle. mu must be held.
func (s *Session) returnCredit(now time.Time) {
	for _, st := range s.streams {
		if st.credit > st.first && len(st.out) == 0 && now.Sub(st.usedAt) >= returnAfter {
			st.wants.back += st.credit - st.first
			st.credit = st.first
			s.flag(st)
		}
	}
}

// RemoteAddr is the connection's.
func (s *Session) RemoteAddr() net.Addr { return s.conn.RemoteAddr() }
