package storage

import (
	"context"
	"errors"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	genericstorage "k8s.io/apiserver/pkg/storage"
)

// retryAfterSeconds is when clients should ask again after a 503. An embedded store is tried
// four times a second while it is not usable.
const retryAfterSeconds = 1

// replyMargin is how long before the time limit of a request the store is given up, so that
// there is time left to say why.
const replyMargin = 200 * time.Millisecond

// answers knows what API clients are told when the store fails.
type answers struct {
	// name is that of the store, without credentials.
	name string
	// readable and writable say without asking the store why it cannot be used now.
	readable, writable func() error
	// alive is a context that ends when the store cannot be used any more. It is nil for a
	// store that ends its requests by itself.
	alive func() context.Context
}

func (s *Store) answers() *answers {
	if s.embedded == nil {
		return &answers{name: s.String(), readable: s.monitor.err, writable: s.monitor.err, alive: s.monitor.alive}
	}
	return &answers{name: s.String(), readable: s.embedded.Readable, writable: s.embedded.Health}
}

// canRead returns the answer to a request that reads if it is known that it would fail.
func (a *answers) canRead() error { return a.known(a.readable) }

// canWrite is canRead for a request that writes.
func (a *answers) canWrite() error { return a.known(a.writable) }

func (a *answers) known(health func() error) error {
	if err := health(); err != nil {
		return a.unavailable(status.Convert(err).Message(), true)
	}
	return nil
}

// inTime is the context for a request to the store.
func (a *answers) inTime(ctx context.Context) (context.Context, context.CancelFunc) {
	cancel := func() {}
	if deadline, limited := ctx.Deadline(); limited {
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-min(replyMargin, time.Until(deadline)/10)))
	}
	if a.alive == nil {
		return ctx, cancel
	}
	ctx, end := context.WithCancel(ctx)
	stop := context.AfterFunc(a.alive(), end)
	return ctx, func() {
		stop()
		end()
		cancel()
	}
}

// answer is what a client is told of an error of the store, which may be nil. What the store
// did not say, and what it says in an error of the API, stays as it is. The context is that
// of the request to the store.
func (a *answers) answer(ctx context.Context, err error) error { return a.tell(ctx, err, true) }

// answerWrite is answer for a request that writes. What the store had begun may have been
// done, so nobody is told when to do it again: client-go would, whatever it is.
func (a *answers) answerWrite(ctx context.Context, err error) error { return a.tell(ctx, err, false) }

// tell is answer; again says that the request may be repeated without harm.
func (a *answers) tell(ctx context.Context, err error, again bool) error {
	code, message := said(err)
	switch code {
	case codes.Unavailable, codes.Aborted:
		return a.unavailable(message, again)
	case codes.Canceled:
		if known := a.readable(); known != nil { // see inTime
			return a.unavailable(status.Convert(known).Message(), again)
		}
	case codes.DeadlineExceeded:
		if ctx.Err() == nil { // the deadline was not the client's
			return a.unavailable(message, again)
		}
		return apierrors.NewTimeoutError("the request did not complete within its time limit, while it waited for the "+a.name, 0)
	case codes.ResourceExhausted:
		if !strings.Contains(message, "larger than max") {
			return a.unavailable("the "+a.name+" refuses writes: "+reason(message), true)
		}
		return a.tooLarge()
	case codes.InvalidArgument:
		if message == status.Convert(rpctypes.ErrGRPCRequestTooLarge).Message() {
			return a.tooLarge()
		}
	}
	return err
}

// said is the gRPC code and message of an error, or OK. The code of an error that came from
// elsewhere on the way to the store, as from a plug-in that encrypts, does not count.
func said(err error) (codes.Code, string) {
	var answered apierrors.APIStatus
	if err == nil || errors.As(err, &answered) || genericstorage.IsInternalError(err) || genericstorage.IsCorruptObject(err) {
		return codes.OK, ""
	}
	var etcd rpctypes.EtcdError
	if errors.As(err, &etcd) {
		return etcd.Code(), etcd.Error()
	}
	var rpc interface{ GRPCStatus() *status.Status }
	if errors.As(err, &rpc) {
		return rpc.GRPCStatus().Code(), rpc.GRPCStatus().Message()
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded, err.Error()
	case errors.Is(err, context.Canceled):
		return codes.Canceled, err.Error()
	}
	return codes.OK, ""
}

// event is answer for what ends a watch that comes straight from the store.
func (a *answers) event(in apiwatch.Event) (apiwatch.Event, bool) {
	if in.Type != apiwatch.Error {
		return in, true
	}
	told, ok := in.Object.(*metav1.Status)
	if !ok || told.Reason != metav1.StatusReasonInternalError {
		return in, true
	}
	// The error itself is no longer there, only its text.
	text := strings.TrimPrefix(told.Message, "Internal error occurred: ")
	err := rpctypes.Error(errors.New(text))
	for _, code := range []codes.Code{codes.Unavailable, codes.Aborted, codes.ResourceExhausted} {
		if message, found := strings.CutPrefix(text, "rpc error: code = "+code.String()+" desc = "); found {
			err = status.Error(code, message)
		}
	}
	var answered apierrors.APIStatus
	if errors.As(a.answer(context.Background(), err), &answered) {
		status := answered.Status()
		in.Object = &status
	}
	return in, true
}

// unavailable is a 503 with what the store says. It may say when to come back.
func (a *answers) unavailable(message string, again bool) error {
	err := apierrors.NewServiceUnavailable(a.sentence(message))
	if again {
		err.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: retryAfterSeconds}
	}
	return err
}

// sentence is what the store says, if it said so itself, or else a sentence of its kind.
func (a *answers) sentence(message string) string {
	if strings.HasPrefix(message, "the ") {
		return message
	}
	return "the " + a.name + " is not available: " + reason(message)
}

// reasons are what the libraries' messages come to. They hold addresses, and more.
var reasons = []struct{ part, meaning string }{
	{"connection refused", "connection refused"},
	{"no such host", "its host name is not known"},
	{"authentication handshake failed", "the TLS handshake failed"},
	{"certificate", "the TLS handshake failed"},
	{"deadline exceeded", "it did not answer in time"},
	{"timeout", "it did not answer in time"},
	{"timed out", "it did not answer in time"},
}

func reason(message string) string {
	if said, found := strings.CutPrefix(message, "etcdserver: "); found {
		return strings.TrimPrefix(said, "mvcc: ")
	}
	for _, known := range reasons {
		if strings.Contains(message, known.part) {
			return known.meaning
		}
	}
	return "the connection was lost"
}

// tooLargeError is a 413. It is also the error by which the API server knows that it may try
// again without the managed fields.
type tooLargeError struct{ *apierrors.StatusError }

func (a *answers) tooLarge() error {
	return tooLargeError{apierrors.NewRequestEntityTooLargeError("the " + a.name + " takes objects of up to 1.5 MiB, and names of up to 2 KiB")}
}

// Unwrap lets errors.As find the API's type.
func (e tooLargeError) Unwrap() error { return e.StatusError }

// GRPCStatus is what a client of etcd says of a request that is too large to be sent.
func (e tooLargeError) GRPCStatus() *status.Status {
	return status.New(codes.ResourceExhausted, "trying to send message larger than max")
}
