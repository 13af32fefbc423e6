package relay

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
)

// refusalBytes is how long a refusal may be that is read before it is passed on.
const refusalBytes = 64 << 10

// measured returns a refusal that says how long it is. Over HTTP/1.1 the end of an answer of no known length is sent by the server
// alone, once a read of the request that waits has ended: a client that waits, too, for whether to send on had it unsentFor
// later. Longer refusals, and other answers, which may be streams, are passed on as they come.
func measured(answer *http.Response) *http.Response {
	if answer.StatusCode < http.StatusBadRequest || answer.ContentLength >= 0 {
		return answer
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, refusalBytes))
	if len(text) < refusalBytes && err == nil {
		answer.ContentLength = int64(len(text))
		answer.Header.Set("Content-Length", strconv.Itoa(len(text)))
	}
	rest := io.Reader(answer.Body)
	if err != nil {
		rest = failing{err}
	}
	answer.Body = &readAhead{io.MultiReader(bytes.NewReader(text), rest), answer.Body}
	return answer
}

// readAhead is a body of which some was read.
type readAhead struct {
	io.Reader
	io.Closer
}

type failing struct{ err error }

// Read implements io.Reader.
func (f failing) Read([]byte) (int, error) { return 0, f.err }
