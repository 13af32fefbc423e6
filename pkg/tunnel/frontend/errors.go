package frontend

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
)

// Error is an answer to a client that gets no connection.
type Error struct {
	// Status is HTTP's.
	Status int
	// Text is one sentence.
	Text string
	// RetryAfter is when it may be different, 0 if that is not known.
	RetryAfter time.Duration
	// Err is the reason, nil if the text says all.
	Err error
}

func (e *Error) Error() string { return e.Text }

func (e *Error) Unwrap() error { return e.Err }

// statusLeft is for the log only: the client closed before there was an answer.
const statusLeft = 499

// ErrLeft: the client closed before it was connected.
var ErrLeft = errors.New("the client closed before it was connected")

// errEarly: the client sent something before it was connected.
var errEarly = &Error{Status: http.StatusBadRequest, Text: "there are bytes behind the request before it is answered"}

// errClosing: the front end ends.
var errClosing = errors.New("this server ends")

const (
	retryLimit = time.Second
	retryAgent = 2 * time.Second // agents come back in that time, mostly
)

// refusal is the answer for an error of Open.
func refusal(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	answer := &Error{Status: http.StatusBadGateway, Text: err.Error(), Err: err}
	var failed *tunnel.DialError
	switch {
	case errors.Is(err, ErrLeft):
		answer.Status = statusLeft
		return answer
	case errors.Is(err, errClosing):
		answer.Status, answer.RetryAfter = http.StatusServiceUnavailable, retryAgent
		return answer
	case !errors.As(err, &failed):
		if errors.Is(err, context.DeadlineExceeded) {
			answer.Status = http.StatusGatewayTimeout
		}
		return answer
	}
	switch failed.Code {
	case mux.Timeout:
		answer.Status = http.StatusGatewayTimeout
	case mux.Denied:
		answer.Status = http.StatusForbidden
	case mux.Overloaded:
		answer.Status, answer.RetryAfter = http.StatusTooManyRequests, retryLimit
	case mux.Draining:
		answer.Status, answer.RetryAfter = http.StatusServiceUnavailable, retryAgent
	}
	for _, gone := range []error{tunnel.ErrNoAgent, mux.ErrLost, mux.ErrSilent, mux.ErrClosed} {
		if errors.Is(err, gone) {
			answer.Status, answer.RetryAfter = http.StatusServiceUnavailable, retryAgent
		}
	}
	return answer
}

// triedAsHost adds to why a host of a cluster was not reached that it may have been meant to be a node.
func triedAsHost(err error, node tunnel.Name) error {
	var answer *Error
	if !errors.As(err, &answer) || !errors.As(err, new(*tunnel.DialError)) { // it was not tried
		return err
	}
	more := *answer
	more.Text += fmt.Sprintf("; it was tried as a host, since no agent of node %q is connected", node.Node)
	return &more
}
