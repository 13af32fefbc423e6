package mux

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// read takes what comes until the connection ends. It waits for nothing but the connection: what
// comes has credit, so that there is room for it.
func (s *Session) read() {
	var err error
	for err == nil {
		err = s.readFrame()
	}
	if !errors.Is(err, ErrProtocol) {
		err = fmt.Errorf("%w: %w", ErrLost, err)
	}
	s.fail(err)
}

func (s *Session) readHeader() (header, error) {
	var b [headerBytes]byte
	if _, err := io.ReadFull(s.conn, b[:]); err != nil {
		return header{}, err
	}
	s.came(headerBytes)
	return parseHeader(&b), nil
}

// came notes that bytes came.
func (s *Session) came(n int) {
	s.received.Add(int64(n))
	s.lastCame.Store(int64(time.Since(s.began)))
}

// readWhole reads a frame that has no DATA.
func (s *Session) readWhole() (header, []byte, error) {
	h, err := s.readHeader()
	if err != nil {
		return h, nil, err
	}
	if _, err := h.check(); err != nil {
		return h, nil, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	payload, err := s.payload(h.length)
	return h, payload, err
}

func (s *Session) payload(length int) ([]byte, error) {
	if length == 0 {
		return nil, nil
	}
	payload := make([]byte, length)
	if _, err := io.ReadFull(s.conn, payload); err != nil {
		return nil, err
	}
	s.came(length)
	return payload, nil
}

func (s *Session) readFrame() error {
	h, err := s.readHeader()
	if err != nil {
		return err
	}
	known, err := h.check()
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	case !known:
		return s.skip(h.length)
	case h.kind == typeData:
		return s.data(h)
	}
	payload, err := s.payload(h.length)
	if err != nil {
		return err
	}
	switch h.kind {
	case typePing:
		return s.answerPing(payload)
	case typePong:
		return s.ponged(payload)
	case typeDrain:
		return told(s.config.OnDrain, payload)
	case typeNews:
		return told(s.config.OnNews, payload)
	case typeOpen:
		return s.opened(h.stream, payload)
	case typeHello:
		return fmt.Errorf("%w: a second HELLO", ErrProtocol)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.open(h.stream)
	if st == nil || err != nil {
		return err
	}
	switch h.kind {
	case typeResult:
		return s.resulted(st, payload)
	case typeFin:
		s.finished(st, h.flags&flagStop != 0)
	case typeReset:
		s.end(st, &Error{Code(binary.BigEndian.Uint16(payload)), printable(payload[2:])})
	case typeCredit:
		return s.credited(st, int64(binary.BigEndian.Uint32(payload)))
	case typeReturn:
		return s.returned(st, int64(binary.BigEndian.Uint32(payload)))
	}
	return nil
}

// told passes on what the other side tells.
func told(to func(json.RawMessage), payload []byte) error {
	if !json.Valid(payload) {
		return fmt.Errorf("%w: what it tells is no JSON", ErrProtocol)
	}
	if to != nil {
		to(payload)
	}
	return nil
}

// open returns a stream that is open: nil if it was. mu must be held.
func (s *Session) open(id uint32) (*Stream, error) {
	if st := s.streams[id]; st != nil {
		return st, nil
	}
	if s.opensIt(id) && id < s.next || !s.opensIt(id) && id <= s.highest {
		return nil, nil
	}
	return nil, fmt.Errorf("%w: a frame for the stream %d, which was not opened", ErrProtocol, id)
}

// skip reads what nobody wants.
func (s *Session) skip(length int) error {
	_, err := io.CopyN(io.Discard, s.conn, int64(length))
	s.came(length)
	return err
}

// data takes the bytes of a stream.
func (s *Session) data(h header) error {
	s.mu.Lock()
	st, err := s.open(h.stream)
	waits := st != nil && (st.result != nil || st.cancel != nil)
	s.mu.Unlock()
	switch {
	case err != nil:
		return err
	case st == nil:
		return s.skip(h.length)
	case waits:
		st.Reset(Violated, "bytes came before the stream was open")
		return s.skip(h.length)
	}
	drop, ok := st.in.admit(h.length)
	if !ok {
		st.Reset(Violated, "more bytes came than there was credit for, or after the end")
	}
	if drop {
		return s.skip(h.length)
	}
	for rest := h.length; rest > 0; {
		room := st.in.room(rest)
		n, err := io.ReadFull(s.conn, room)
		st.in.fill(n)
		if err != nil {
			return err
		}
		s.came(n)
		rest -= n
	}
	return nil
}

// opened takes an OPEN.
func (s *Session) opened(id uint32, payload []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil { // it ended while this was read, and nobody would end the stream
		return s.err
	}
	if s.opensIt(id) || id <= s.highest {
		return fmt.Errorf("%w: it opened the stream %d", ErrProtocol, id)
	}
	s.highest = id
	st := s.newStream()
	st.id = id
	st.credit = int64(binary.BigEndian.Uint32(payload))
	st.first = st.credit
	s.theirs++
	if s.config.Accept == nil || s.theirs > s.config.MaxStreams {
		return s.refuse(st)
	}
	st.share = s.sending.join(Share{})
	s.streams[id] = st
	ctx, cancel := context.WithCancelCause(context.Background())
	st.cancel = cancel
	go s.config.Accept(ctx, &Incoming{Request: payload[4:], stream: st}) // ends by its own bounds
	return nil
}

// refuse answers an OPEN that is one too many. mu must be held.
func (s *Session) refuse(st *Stream) error {
	if s.refused++; s.refused > maxRefused {
		return errFlood
	}
	s.theirs--
	st.gone = true
	st.wants.result = &Error{Overloaded, fmt.Sprintf("there are %d streams on the link, as many as may be", s.config.MaxStreams)}
	if s.config.Accept == nil {
		st.wants.result = &Error{Denied, "this end of the link opens nothing for the other"}
	}
	s.flag(st)
	return nil
}

// resulted takes a RESULT. mu must be held.
func (s *Session) resulted(st *Stream, payload []byte) error {
	if st.result == nil {
		return fmt.Errorf("%w: a second RESULT, or one for a stream that it opened", ErrProtocol)
	}
	code := Code(binary.BigEndian.Uint16(payload))
	if code != OK {
		s.end(st, &Error{code, printable(payload[6:])})
		return nil
	}
	st.credit = int64(binary.BigEndian.Uint32(payload[2:]))
	st.first = st.credit
	st.result <- nil // has room
	st.result = nil
	return nil
}

// finished takes a FIN. mu must be held.
func (s *Session) finished(st *Stream, stop bool) {
	if st.result != nil { // not open yet
		s.end(st, &Error{Violated, "the stream ended before it was open"})
		return
	}
	st.in.finish(nil)
	if stop && st.sendErr == nil {
		st.sendErr = errNoReader
		st.sent.Broadcast()
		if st.stopped != nil {
			st.stopped()
			st.stopped = nil
		}
	}
	if stop || st.finSent {
		s.forget(st)
	}
}

// maxCredit is more than anybody gives.
const maxCredit = 1 << 30

// credited takes a CREDIT. mu must be held.
func (s *Session) credited(st *Stream, n int64) error {
	if st.credit += n; st.credit > maxCredit {
		return fmt.Errorf("%w: it gave credit for %d bytes", ErrProtocol, st.credit)
	}
	if len(st.out) > 0 {
		s.ready(st)
	}
	return nil
}

// returned takes a RETURN. mu must be held.
func (s *Session) returned(st *Stream, n int64) error {
	freed, ok := st.in.returned(n)
	if !ok {
		return fmt.Errorf("%w: it gave back credit that it did not have", ErrProtocol)
	}
	s.free(freed)
	return nil
}

func (s *Session) answerPing(payload []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pong = append(make([]byte, 0, len(payload)+1), payload...) // not nil
	s.write()
	return nil
}

func (s *Session) ponged(payload []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(payload) != 8 || binary.BigEndian.Uint64(payload) != s.pings || s.pinged.IsZero() {
		return nil // late
	}
	s.trips.add(time.Since(s.pinged))
	s.trip.Store(int64(s.trips.least()))
	s.pinged = time.Time{}
	return nil
}

// trips are the last round trips.
type trips struct {
	last [8]time.Duration
	n    int
}

func (t *trips) add(d time.Duration) {
	t.last[t.n%len(t.last)] = d
	t.n++
}

func (t *trips) least() time.Duration {
	least := t.last[0]
	for _, d := range t.last[1:min(t.n, len(t.last))] {
		least = min(least, d)
	}
	return least
}
