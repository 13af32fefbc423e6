package relay

import (
	"io"
	"net/http"
	"time"
)

const (
	// gatherAfter is how much of an answer passes as it comes: all of most answers.
	gatherAfter = 128 << 10
	// gatherFor is how long the next piece of a longer one may gather.
	gatherFor = 200 * time.Microsecond
)

// gathering is the body of an answer that may be long. API servers send lists object by object, each in
// a frame of its own; whoever reads them so wakes up, gives credit back and sends a frame on for each. A
// piece that did not fill the reader's buffer says that the sender is slower than the reader, who then
// lets some gather. Nothing that was read is held back.
type gathering struct {
	io.ReadCloser
	passed int64
	short  bool // the last piece
}

// Read implements io.Reader.
func (g *gathering) Read(p []byte) (int, error) {
	if g.short && g.passed >= gatherAfter {
		time.Sleep(gatherFor)
	}
	n, err := g.ReadCloser.Read(p)
	g.passed += int64(n)
	g.short = n < len(p)
	return n, err
}

// recordBytes of an answer, with the header of a frame, fill a record of TLS. A frame that is longer by
// a few bytes takes two records, and two system calls.
const recordBytes = 16<<10 - 9

// recordWriter writes what fills records.
type recordWriter struct{ http.ResponseWriter }

// Write implements io.Writer.
func (w recordWriter) Write(p []byte) (written int, err error) {
	for {
		piece := p[written:min(len(p), written+recordBytes)]
		n, err := w.ResponseWriter.Write(piece)
		if written += n; err != nil || written == len(p) {
			return written, err
		}
	}
}

// Unwrap is for http.ResponseController.
func (w recordWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
