package relay

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

const (
	// refusalBytes is how long a refusal may be that is read before it is passed on.
	refusalBytes = 64 << 10
	// refusalFor is how long its end may take to come.
	refusalFor = 500 * time.Millisecond
	// refusalPiece is how much of it is read at once.
	refusalPiece = 8 << 10
)

// measured returns a refusal that says how long it is. Over HTTP/1.1 the end of an answer of no known length is sent by the server
// alone, once a read of the request that waits has ended: a client that waits, too, for whether to send on had it unsentFor
// later. ahead is below the body. Refusals that are longer or take longer, and other answers, which may be streams, are passed on as they come.
func measured(answer *http.Response, ahead *readAhead, within time.Duration) *http.Response {
	if answer.StatusCode < http.StatusBadRequest || answer.ContentLength >= 0 || !ahead.whole(within) {
		return answer
	}
	text, err := io.ReadAll(answer.Body) // waits for nobody
	if err == nil {
		answer.ContentLength = int64(len(text))
		answer.Header.Set("Content-Length", strconv.Itoa(len(text)))
		err = io.EOF
	}
	answer.Body = &readAhead{ReadCloser: answer.Body, text: text, err: err}
	return answer
}

// readAhead is a body of which some may have been read.
type readAhead struct {
	io.ReadCloser
	text    []byte       // what was read and not passed on
	err     error        // what followed that, if it was seen
	pending <-chan piece // a read that is under way; nil if there is none
}

// piece is what a read returned.
type piece struct {
	text []byte
	err  error
}

// whole reads up to refusalBytes, and reports whether that was all. A read that waits for more is left to wait.
func (a *readAhead) whole(within time.Duration) bool {
	late := time.After(within)
	for len(a.text) < refusalBytes && a.err == nil {
		if a.pending == nil {
			a.pending = beside(a.ReadCloser)
		}
		select {
		case got := <-a.pending:
			a.take(got)
		case <-late:
			return false
		}
	}
	return errors.Is(a.err, io.EOF)
}

// beside reads once, and returns before that has ended. Close ends it, as it does other reads.
func beside(body io.Reader) <-chan piece {
	read := make(chan piece, 1)
	go func() { // ends with the read
		text := make([]byte, refusalPiece)
		n, err := body.Read(text)
		read <- piece{text[:n], err}
	}()
	return read
}

func (a *readAhead) take(got piece) {
	a.text, a.err, a.pending = append(a.text, got.text...), got.err, nil
}

// Read implements io.Reader.
func (a *readAhead) Read(p []byte) (int, error) {
	if len(a.text) == 0 && a.pending != nil {
		a.take(<-a.pending)
	}
	switch {
	case len(a.text) > 0:
		n := copy(p, a.text)
		a.text = a.text[n:]
		return n, nil
	case a.err != nil:
		return 0, a.err
	}
	return a.ReadCloser.Read(p)
}
