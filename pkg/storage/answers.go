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

	"github.com/koinon-io/koinon/pkg/storage/datastore"
	"github.com/koinon-io/koinon/pkg/storage/fault"
)

// retryAfterSeconds is when clients should ask again after a 503. An embedded store is tried
// four times a second while it is not usable.
const retryAfterSeconds = 1

// replyMargin is how long before the time limit of a request the store is given up, so that
// there is time left to say why.
const replyMargin = 200 * time.Millisecond

// answers is the one place that knows what API clients are told when the store fails.
type answers struct {
	// store is what it is, such as "mysql datastore": where it is concerns no client.
	store string
	// readable and writable say without asking the store why it cannot be used now.
	readable, writable func() error
	// alive is a context that ends when the store cannot be used any more. It is nil for a
	// store that ends its requests by itself.
	alive func() context.Context
}

func (s *Store) answers() *answers {
	a := &answers{store: s.datastore.What()}
	if s.embedded == nil {
		a.readable, a.writable, a.alive = s.monitor.err, s.monitor.err, s.monitor.alive
	} else {
		a.readable, a.writable = s.embedded.Readable, s.embedded.Health
	}
	return a
}

// canRead returns the answer to a request that reads if it is known that it would fail.
func (a *answers) canRead() error { return a.known(a.readable) }

// canWrite is canRead for a request that writes.
func (a *answers) canWrite() error { return a.known(a.writable) }

func (a *answers) known(health func() error) error {
	if err := health(); err != nil {
		return unavailable(a.failure(err), true)
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
	case codes.Unavailable, codes.Aborted, codes.Unauthenticated, codes.PermissionDenied:
		return unavailable(a.failure(err), again)
	case codes.Canceled:
		if known := a.readable(); known != nil { // see inTime
			return unavailable(a.failure(known), again)
		}
	case codes.DeadlineExceeded:
		if ctx.Err() == nil { // the deadline was not the client's
			return unavailable(a.failure(err), again)
		}
		return apierrors.NewTimeoutError("the request did not complete within its time limit, while it waited for the "+a.store, 0)
	case codes.ResourceExhausted:
		if !strings.Contains(message, "larger than max") {
			return unavailable(a.failure(err), true)
		}
		return a.tooLarge()
	case codes.InvalidArgument:
		if message == status.Convert(rpctypes.ErrGRPCRequestTooLarge).Message() {
			return a.tooLarge()
		}
	}
	return err
}

// failure is what is wrong with the store: it says so itself, or it is an etcd, or the way to
// it.
func (a *answers) failure(err error) *fault.Unavailable {
	if told, found := fault.From(err); found {
		return told
	}
	what := datastore.EtcdFault(err)
	return &fault.Unavailable{Fault: what, Store: a.store, Writes: what.Kind == fault.Full}
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

// event is answer for what ends a watch that comes straight from the store. Of the store's
// error only the text is left there. So the answer is what is known of the store now, or else
// that the watch has to begin again.
func (a *answers) event(in apiwatch.Event) (apiwatch.Event, bool) {
	if in.Type != apiwatch.Error {
		return in, true
	}
	told, ok := in.Object.(*metav1.Status)
	if !ok || told.Reason != metav1.StatusReasonInternalError || !strings.HasPrefix(strings.TrimPrefix(told.Message, "Internal error occurred: "), rpcErrorText) {
		return in, true
	}
	answer := a.canRead()
	if answer == nil {
		answer = unavailable(&fault.Unavailable{Fault: watchEnded, Store: a.store}, true)
	}
	var answered apierrors.APIStatus
	if errors.As(answer, &answered) {
		status := answered.Status()
		in.Object = &status
	}
	return in, true
}

// rpcErrorText begins the text of an error of gRPC, and so of the store.
const rpcErrorText = "rpc error: "

// watchEnded is what has ended a watch on a store that is well again.
var watchEnded = fault.Fault{Kind: fault.Away, Reason: "the watch was interrupted"}

// unavailable is a 503 with what the store says. It may say when to come back.
func unavailable(told *fault.Unavailable, again bool) error {
	err := apierrors.NewServiceUnavailable(told.Error())
	if again {
		err.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: retryAfterSeconds}
	}
	return err
}

// tooLargeError is a 413. It is also the error by which the API server knows that it may try
// again without the managed fields.
type tooLargeError struct{ *apierrors.StatusError }

func (a *answers) tooLarge() error {
	return tooLargeError{apierrors.NewRequestEntityTooLargeError("the " + a.store + " takes objects of up to 1.5 MiB, and names of up to 2 KiB")}
}

// Unwrap lets errors.As find the API's type.
func (e tooLargeError) Unwrap() error { return e.StatusError }

// GRPCStatus is what a client of etcd says of a request that is too large to be sent.
func (e tooLargeError) GRPCStatus() *status.Status {
	return status.New(codes.ResourceExhausted, "trying to send message larger than max")
}
