package webhook

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// Default limits. Anybody who reaches the port can send a request, so each bound holds for
// clients that are no API server, too.
const (
	// DefaultConvertLimitBytes allows for a page of 500 objects of 128 KiB.
	DefaultConvertLimitBytes = 64 << 20
	// DefaultObjectLimitBytes is what an API server accepts as the body of a request.
	DefaultObjectLimitBytes = 3 << 20
	// DefaultAdmissionLimitBytes allows for two objects, the old one and the new one, and for
	// the review around them.
	DefaultAdmissionLimitBytes = 2*DefaultObjectLimitBytes + 256<<10
	// DefaultDecodedLimitBytes allows for two objects of 1.5 MiB, the largest that etcd takes,
	// with a value in every eight bytes.
	DefaultDecodedLimitBytes = 128 << 20
	// DefaultMemoryLimitBytes is more than the largest single review takes.
	DefaultMemoryLimitBytes = 512 << 20
	// DefaultMaxInFlight is an API server's --max-requests-inflight.
	DefaultMaxInFlight = 400
	// DefaultTransferTimeout is as long as an API server waits for an admission webhook.
	DefaultTransferTimeout = 10 * time.Second
)

// valueBytes is what one JSON value may take once it is decoded, with its copies in both
// versions. Arrays of empty objects took up to 240 bytes for each value in each field.
const valueBytes = 320

var (
	// errBusy occurs while other requests hold all that may be held; the client should try
	// again.
	errBusy = errors.New("too many requests are being answered: try again")
	// errNoDeadline occurs on a connection that cannot be given deadlines.
	errNoDeadline = errors.New("the time of this request cannot be limited on its connection")
)

// tooLargeError is a sentence about what is larger than it may be.
type tooLargeError string

func (e tooLargeError) Error() string { return string(e) }

// gate bounds how many requests there are at a time, and what they hold together.
type gate struct {
	limitBytes  int64
	heldBytes   atomic.Int64
	maxInFlight int64
	inFlight    atomic.Int64
}

// enter returns the account of one more request, to be closed when it is answered, or
// errBusy.
func (g *gate) enter() (*account, error) {
	if g.inFlight.Add(1) > g.maxInFlight {
		g.inFlight.Add(-1)
		return nil, errBusy
	}
	return &account{gate: g}, nil
}

// account is what one request holds. One goroutine at a time uses it.
type account struct {
	gate      *gate
	heldBytes int64
}

// take holds so many bytes more, or returns errBusy.
func (a *account) take(size int64) error {
	if a.gate.heldBytes.Add(size) > a.gate.limitBytes {
		a.gate.heldBytes.Add(-size)
		return errBusy
	}
	a.heldBytes += size
	return nil
}

func (a *account) give(size int64) {
	a.gate.heldBytes.Add(-size)
	a.heldBytes -= size
}

func (a *account) close() {
	a.give(a.heldBytes)
	a.gate.inFlight.Add(-1)
}

// read reads a body. Its bytes count twice, since the buffer grows by doubling.
func (a *account) read(from io.Reader) ([]byte, error) {
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(&meteredReader{from: from, by: a}); err != nil {
		return nil, fmt.Errorf("read review: %w", err)
	}
	return buf.Bytes(), nil
}

type meteredReader struct {
	from io.Reader
	by   *account
}

func (r *meteredReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if busy := r.by.take(2 * int64(n)); busy != nil {
		return n, busy
	}
	return n, err
}

// encode encodes an answer.
func (a *account) encode(v any) ([]byte, error) {
	out := meteredBuffer{by: a}
	if err := encodeJSON(&out, v); err != nil {
		return nil, err
	}
	return out.buf.Bytes(), nil
}

// meteredBuffer is an answer that grows. Like a body, it counts twice.
type meteredBuffer struct {
	buf bytes.Buffer
	by  *account
	err error // of the first write that was too much; nothing is written after it
}

func (b *meteredBuffer) Write(p []byte) (int, error) {
	if b.err == nil {
		b.err = b.by.take(2 * int64(len(p)))
	}
	if b.err != nil {
		return 0, b.err
	}
	return b.buf.Write(p)
}

// decoded holds what a JSON text takes once it is decoded until the returned function is
// called. It is told from the number of values in the text, before anything is decoded: a
// value of two bytes can take hundreds. The error is a tooLargeError or errBusy.
func (a *account) decoded(data []byte, limitBytes int64) (release func(), err error) {
	values := countValues(data)
	size := 2*int64(len(data)) + values*valueBytes
	if size > limitBytes {
		return nil, tooLargeError(fmt.Sprintf("%d bytes of JSON with %d values take %d MiB when they are decoded: at most %d MiB are allowed",
			len(data), values, size>>20, limitBytes>>20))
	}
	if err := a.take(size); err != nil {
		return nil, err
	}
	return func() { a.give(size) }, nil
}

// countValues returns how many values a JSON text holds, or a few more. Whether it is valid
// does not matter.
func countValues(data []byte) int64 {
	count := int64(1)
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case ',', '{', '[':
			count++
		case '"':
			i = endOfString(data, i)
		}
	}
	return count
}

// endOfString returns the index of the quote that ends the string that begins at start.
func endOfString(data []byte, start int) int {
	for i := start + 1; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return len(data)
}

// transfer bounds the time that a client may take for one request and its answer.
type transfer struct {
	control *http.ResponseController
	timeout time.Duration
}

// beginBody limits the time for the body. The deadline stays after an error, for the server
// not to wait for the rest of a body that nobody reads.
func (t transfer) beginBody() error {
	if err := t.control.SetReadDeadline(time.Now().Add(t.timeout)); err != nil {
		return errors.Join(errNoDeadline, err)
	}
	return nil
}

// endBody lets the connection wait for further requests.
func (t transfer) endBody() error { return t.control.SetReadDeadline(time.Time{}) }

// write sends an answer. An error means that the client is gone or does not read.
func (t transfer) write(w io.Writer, body []byte) error {
	if err := t.control.SetWriteDeadline(time.Now().Add(t.timeout)); err != nil {
		return err
	}
	if _, err := w.Write(body); err != nil {
		return err
	}
	if err := t.control.Flush(); err != nil {
		return err
	}
	return t.control.SetWriteDeadline(time.Time{})
}

// refuse answers a request that gets no review.
func refuse(w http.ResponseWriter, err error, timeout time.Duration) {
	var body *http.MaxBytesError
	var large tooLargeError
	switch {
	case errors.As(err, &body):
		http.Error(w, fmt.Sprintf("the review is larger than %d bytes", body.Limit), http.StatusRequestEntityTooLarge)
	case errors.As(err, &large):
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
	case errors.Is(err, errBusy):
		w.Header().Set("Retry-After", "1")
		http.Error(w, errBusy.Error(), http.StatusTooManyRequests)
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		http.Error(w, fmt.Sprintf("the review did not arrive within %s", timeout), http.StatusRequestTimeout)
	case errors.Is(err, errNoDeadline):
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}
