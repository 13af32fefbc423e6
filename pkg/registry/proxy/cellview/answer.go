package cellview

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// mode is what an answer consists of.
type mode int

const (
	// untouched: it is passed on as it is.
	untouched mode = iota
	// failures: only errors are mapped.
	failures
	objects
	lists
	// events of a watch, one document each.
	events
)

// ErrNotJSON: the member answered objects in another encoding, which cannot be mapped.
var ErrNotJSON = errors.New("the member's answer is not in JSON")

// Answer maps what the member answers to one request. The zero Answer leaves it as it is.
type Answer struct {
	view  View
	mode  mode
	rules *rules
	table bool
}

// Untouched reports whether no answer is changed, whatever its code.
func (a Answer) Untouched() bool { return a.mode == untouched }

// Text maps a text for people, such as that of a Warning header.
func (a Answer) Text(message string) string { return a.view.text(message) }

// Location maps an escaped path that a redirect leads to, in the member. Redirects come from what is behind
// a pod or a service, and lead to more of it; ok is false for all others.
func (a Answer) Location(escapedPath string) (mapped string, ok bool) {
	t, err := a.view.parse(escapedPath)
	if err != nil || t.subresource != "proxy" || t.namespace != a.view.MemberNamespace {
		return "", false
	}
	t.namespace = a.view.Namespace
	return t.String(), true
}

// Writer returns what an answer is to be written to, without any encoding of the transport
// such as gzip. Mapped, it goes to w: with each Write all that is known to be
// shown, so that events of watches are not held up. The length changes.
//
// Close reports whether the answer is whole; it does not close w. After an error, of Write or
// Close, the answer must not look whole to the client: see ErrForeign.
func (a Answer) Writer(w io.Writer, code int, contentType string) (io.WriteCloser, error) {
	switch {
	case a.mode == untouched, a.mode == failures && code < http.StatusBadRequest:
		return plain{w}, nil
	case code >= http.StatusBadRequest:
		return &failure{view: a.view, w: w}, nil
	}
	if media, _, err := mime.ParseMediaType(contentType); contentType != "" && (err != nil || media != mediaJSON) {
		return nil, fmt.Errorf("%w, but in %q", ErrNotJSON, contentType)
	}
	docs := a.rules.answers
	if a.table {
		docs = a.rules.tables
	}
	s := newScanner(docs[a.mode], a.mode == events)
	s.replace = a.view.incoming
	return &mapper{scanner: s, w: w}, nil
}

type plain struct{ io.Writer }

func (plain) Close() error { return nil }

// mapper maps objects.
type mapper struct {
	scanner *scanner
	w       io.Writer
	started bool
}

func (m *mapper) Write(p []byte) (int, error) {
	m.started = m.started || len(p) > 0
	err := m.scanner.feed(p)
	// What is before a foreign object may be shown, the object is held back.
	if writeErr := m.flush(); err == nil {
		err = writeErr
	}
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (m *mapper) flush() error {
	n := m.scanner.ready()
	if n == 0 {
		return nil
	}
	_, err := m.w.Write(m.scanner.out[:n])
	m.scanner.written(n)
	return err
}

func (m *mapper) Close() error {
	if !m.started && m.scanner.err == nil {
		return nil // an answer to HEAD has no body
	}
	return m.scanner.finish()
}

// incoming maps a string of an answer.
func (v View) incoming(n *node, text string, _ bool) (string, error) {
	switch n.act {
	case own:
		if text != v.MemberNamespace && text != "" {
			return "", fmt.Errorf("%w: cell %q of namespace %q", ErrForeign, v.Cell, v.Namespace)
		}
		return v.exchange(text), nil
	case reference, choice:
		return v.exchange(text), nil
	case account:
		return v.user(text), nil
	case words:
		return v.text(text), nil
	case qualified:
		return v.qualified(text), nil
	}
	return text, nil
}

// failure maps an error, which is a Status or a text.
type failure struct {
	view View
	w    io.Writer
	body bytes.Buffer
}

func (f *failure) Write(p []byte) (int, error) {
	if f.body.Len()+len(p) > maxText {
		return 0, fmt.Errorf("%w: an error has more than %d bytes", ErrTooLarge, maxText)
	}
	return f.body.Write(p)
}

func (f *failure) Close() error {
	_, err := f.w.Write(f.view.failure(f.body.Bytes()))
	return err
}

func (v View) failure(body []byte) []byte {
	var status metav1.Status
	switch err := json.Unmarshal(body, &status); {
	case err != nil:
		return []byte(v.text(string(body)))
	case status.Kind != "Status":
		return body
	}
	mapped, err := json.Marshal(v.status(status))
	if err != nil {
		return body
	}
	return append(mapped, '\n')
}

func (v View) status(status metav1.Status) metav1.Status {
	status.Message = v.text(status.Message)
	if d := status.Details; d != nil {
		if d.Group == "" && (d.Kind == "namespaces" || d.Kind == "Namespace") {
			d.Name = v.exchange(d.Name)
		}
		for i := range d.Causes {
			d.Causes[i].Message = v.text(d.Causes[i].Message)
		}
	}
	return status
}
