package simulation

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"

	"k8s.io/client-go/rest"
)

// InProcess is the administrator's access without a network. A test whose clock is a false one
// (testing/synctest) needs it, since who waits for a network keeps that clock from going on. The
// member need not listen.
func (m *Member) InProcess() *rest.Config {
	return &rest.Config{Host: "http://" + m.name, Transport: InProcess(m), BearerToken: m.token, QPS: -1}
}

// InProcess returns a transport to a handler. It ends a request as a network does: with the
// client's context, with the handler's end, or when the client closes the answer.
func InProcess(handler http.Handler) http.RoundTripper { return inProcess{handler} }

type inProcess struct{ http.Handler }

// RoundTrip implements http.RoundTripper.
func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	reader, writer := io.Pipe()
	answer := &pipedAnswer{header: http.Header{}, PipeWriter: writer, begun: make(chan answerHead, 1)}
	context.AfterFunc(ctx, func() { _ = writer.CloseWithError(context.Cause(ctx)) })
	// Ends with ctx, if the handler does.
	go p.serve(answer, r.Clone(ctx), cancel)
	select {
	case <-ctx.Done():
		cancel()
		return nil, ctx.Err()
	case head := <-answer.begun:
		if head.code == 0 {
			return nil, errCut
		}
		return &http.Response{
			StatusCode: head.code, Status: http.StatusText(head.code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: head.header, Body: &pipedBody{reader, cancel}, ContentLength: -1, Request: r,
		}, nil
	}
}

// errCut is what a client sees of a connection that ends before the answer.
var errCut = errors.Join(errors.New("the connection was cut"), io.ErrUnexpectedEOF)

func (p inProcess) serve(answer *pipedAnswer, r *http.Request, cancel context.CancelFunc) {
	defer cancel()
	defer func() {
		if cut := recover(); cut != nil && cut != http.ErrAbortHandler { //nolint:errorlint // as net/http compares it
			panic(cut)
		} else if cut != nil {
			answer.once.Do(func() { answer.begun <- answerHead{} })
			_ = answer.CloseWithError(io.ErrUnexpectedEOF)
		}
	}()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	p.ServeHTTP(answer, r)
	answer.WriteHeader(http.StatusOK)
	_ = answer.Close()
}

// pipedAnswer is what a handler writes to.
type pipedAnswer struct {
	*io.PipeWriter
	header http.Header
	once   sync.Once
	begun  chan answerHead
}

// answerHead is what comes before a body; code is 0 if there is no answer.
type answerHead struct {
	code   int
	header http.Header
}

func (a *pipedAnswer) Header() http.Header { return a.header }
func (a *pipedAnswer) Flush()              { a.WriteHeader(http.StatusOK) }
func (a *pipedAnswer) WriteHeader(code int) {
	a.once.Do(func() { a.begun <- answerHead{code, a.header.Clone()} })
}
func (a *pipedAnswer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.PipeWriter.Write(p)
}

type pipedBody struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (b *pipedBody) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}
