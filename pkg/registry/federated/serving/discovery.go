package serving

import "net/http"

// discoveryWriter does not tell the library when a client has gone away before it had the whole
// answer. A host asks for discovery every few seconds whether we are there, several times at
// once, looks at the status and hangs up: an error in the log for each would hide the others.
// Only our answers are so large that this is noticed.
type discoveryWriter struct {
	http.ResponseWriter
	gone bool
}

// Write implements http.ResponseWriter.
func (w *discoveryWriter) Write(answer []byte) (int, error) {
	if !w.gone {
		_, err := w.ResponseWriter.Write(answer)
		w.gone = err != nil
	}
	return len(answer), nil
}

// Unwrap is for http.ResponseController.
func (w *discoveryWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
