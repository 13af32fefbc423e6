package storage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	genericstorage "k8s.io/apiserver/pkg/storage"

	"github.com/koinon-io/koinon/pkg/storage/fault"
)

// What an embedded store says of itself.
var (
	away     = fault.Read(mysqlStore, fault.New("", fault.Fault{Kind: fault.Away, Reason: "connection refused"}, nil))
	readOnly = fault.Write(mysqlStore, fault.New("", fault.Fault{Kind: fault.ReadOnly, Reason: "it is read-only (1290)"}, nil))
)

const mysqlStore = "mysql datastore"

// told is what a client sees of an error.
type told struct {
	Code       int32
	Reason     metav1.StatusReason
	Message    string
	RetryAfter int32
}

func toldOf(err error) told {
	status := responsewriters.ErrorToAPIStatus(err)
	t := told{Code: status.Code, Reason: status.Reason, Message: status.Message}
	if status.Details != nil {
		t.RetryAfter = status.Details.RetryAfterSeconds
	}
	return t
}

// wellAnswers are the answers for a store of which nothing bad is known.
func wellAnswers(store string) *answers {
	well := func() error { return nil }
	return &answers{store: store, readable: well, writable: well}
}

func unavailableWith(message string) told {
	return told{Code: http.StatusServiceUnavailable, Reason: metav1.StatusReasonServiceUnavailable, Message: message, RetryAfter: 1}
}

func TestErrorsOfTheStoreBecomeAnswers(t *testing.T) {
	tooLarge := told{
		Code: http.StatusRequestEntityTooLarge, Reason: metav1.StatusReasonRequestEntityTooLarge,
		Message: "Request entity too large: the mysql datastore takes objects of up to 1.5 MiB, and names of up to 2 KiB",
	}
	const generic = "the mysql datastore is not available: "
	cases := map[string]struct {
		err  error
		want told
	}{
		"the store says that it is away":          {away.GRPCStatus().Err(), unavailableWith(away.Error())},
		"the store says that it is read-only":     {readOnly.GRPCStatus().Err(), unavailableWith(readOnly.Error())},
		"somebody has wrapped it":                 {fmt.Errorf("grant a lease: %w", away.GRPCStatus().Err()), unavailableWith(away.Error())},
		"an etcd that does not accept the user":   {rpctypes.Error(rpctypes.ErrGRPCPermissionDenied), unavailableWith(generic + "permission denied")},
		"the store ran out of time":               {status.Error(codes.DeadlineExceeded, "context deadline exceeded"), unavailableWith(generic + "it did not answer in time")},
		"an etcd without a leader":                {rpctypes.Error(rpctypes.ErrGRPCNoLeader), unavailableWith(generic + "no leader")},
		"an etcd that is full":                    {rpctypes.Error(rpctypes.ErrGRPCNoSpace), unavailableWith("the mysql datastore refuses writes: database space exceeded")},
		"an etcd that nobody reaches":             {status.Error(codes.Unavailable, `connection error: desc = "transport: Error while dialing: dial tcp 10.0.0.1:2379: connect: connection refused"`), unavailableWith(generic + "connection refused")},
		"an etcd with another certificate":        {status.Error(codes.Unavailable, `connection error: desc = "transport: authentication handshake failed: tls: failed to verify certificate"`), unavailableWith(generic + "the TLS handshake failed")},
		"a connection that broke":                 {status.Error(codes.Unavailable, "error reading from server: EOF"), unavailableWith(generic + "the connection was lost")},
		"a request that the store finds large":    {rpctypes.Error(rpctypes.ErrGRPCRequestTooLarge), tooLarge},
		"a request that the client finds large":   {status.Error(codes.ResourceExhausted, "trying to send message larger than max (2100000 vs. 2097152)"), tooLarge},
		"a request that the server cannot read":   {status.Error(codes.ResourceExhausted, "grpc: received message larger than max (2100000 vs. 2097152)"), tooLarge},
		"an answer of the API":                    {apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, "x"), told{Code: 404, Reason: metav1.StatusReasonNotFound, Message: `secrets "x" not found`}},
		"the API is away on the way to the store": {apierrors.NewServiceUnavailable("webhook"), told{Code: 503, Reason: metav1.StatusReasonServiceUnavailable, Message: "webhook"}},
	}
	a := wellAnswers(mysqlStore)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, toldOf(a.answer(t.Context(), c.err))); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOtherErrorsStayWhatTheyAre(t *testing.T) {
	cases := map[string]error{
		"none":                            nil,
		"a key that is not there":         genericstorage.NewKeyNotFoundError("/registry/x", 0),
		"a conflict":                      genericstorage.NewResourceVersionConflictsError("/registry/x", 0),
		"a key service that is away":      genericstorage.NewInternalError(status.Error(codes.Unavailable, "dial unix /kms.sock: connection refused")),
		"an object that is not readable":  genericstorage.NewCorruptObjError("/registry/x", status.Error(codes.Unavailable, "kms")),
		"a client that went away":         context.Canceled,
		"a revision that was compacted":   rpctypes.Error(rpctypes.ErrGRPCCompacted),
		"what the store does not explain": status.Error(codes.Unknown, "x"),
	}
	for name, err := range cases {
		t.Run(name, func(t *testing.T) {
			if got := wellAnswers("store").answer(t.Context(), err); got != err { // the very same: who gets it looks at its type
				t.Errorf("got %v, want %v", got, err)
			}
		})
	}
}

func TestNobodyIsToldWhenToRepeatAWriteThatMayHaveBeenDone(t *testing.T) {
	a := wellAnswers(mysqlStore)
	for _, err := range []error{
		away.GRPCStatus().Err(),
		status.Error(codes.Unavailable, "error reading from server: EOF"),
		status.Error(codes.DeadlineExceeded, "context deadline exceeded"),
	} {
		got := toldOf(a.answerWrite(t.Context(), err))
		if got.Code != http.StatusServiceUnavailable || got.RetryAfter != 0 {
			t.Errorf("answer to %v: got %+v, want 503 without a time", err, got)
		}
	}
}

func TestTheTimeLimitOfARequestIsATimeout(t *testing.T) {
	request, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	a := wellAnswers(mysqlStore)
	ctx, cancel := a.inTime(request)
	defer cancel()
	<-ctx.Done()
	if request.Err() != nil {
		t.Error("no time was left to answer")
	}
	for _, err := range []error{context.DeadlineExceeded, status.Error(codes.DeadlineExceeded, "context deadline exceeded")} {
		want := told{Code: http.StatusGatewayTimeout, Reason: metav1.StatusReasonTimeout,
			Message: "Timeout: the request did not complete within its time limit, while it waited for the mysql datastore"}
		if diff := cmp.Diff(want, toldOf(a.answer(ctx, err))); diff != "" {
			t.Errorf("answer to %v (-want +got):\n%s", err, diff)
		}
	}
}

// TestTheAPIServerTriesAgainWithoutManagedFields holds what the handlers of the library look
// for in an error: see isTooLargeError in k8s.io/apiserver/pkg/endpoints/handlers.
func TestTheAPIServerTriesAgainWithoutManagedFields(t *testing.T) {
	err := wellAnswers("store").answer(t.Context(), rpctypes.Error(rpctypes.ErrGRPCRequestTooLarge))
	rpc, ok := err.(interface{ GRPCStatus() *status.Status })
	if !ok || rpc.GRPCStatus().Code() != codes.ResourceExhausted || !strings.Contains(rpc.GRPCStatus().Message(), "trying to send message larger than max") {
		t.Errorf("got %#v", err)
	}
	if !apierrors.IsRequestEntityTooLargeError(err) {
		t.Errorf("%v is no error of the API for a request that is too large", err)
	}
}

func TestWatchErrorsBecomeAnswers(t *testing.T) {
	internal := func(err error) *metav1.Status {
		status := apierrors.NewInternalError(err).Status()
		return &status
	}
	expired := apierrors.NewResourceExpired("too old").Status()
	interrupted := unavailableWith("the mysql datastore is not available: the watch was interrupted")
	cases := map[string]struct {
		object *metav1.Status
		known  error
		want   told
	}{
		"the store is away":              {internal(away.GRPCStatus().Err()), away, unavailableWith(away.Error())},
		"the store was away":             {internal(away.GRPCStatus().Err()), nil, interrupted},
		"an etcd had no leader":          {internal(status.Error(codes.Unavailable, "etcdserver: no leader")), nil, interrupted},
		"the revision is old":            {&expired, nil, told{Code: 410, Reason: metav1.StatusReasonExpired, Message: "too old"}},
		"something else failed":          {internal(errors.New("decode: x")), nil, told{Code: 500, Reason: metav1.StatusReasonInternalError, Message: "Internal error occurred: decode: x"}},
		"something else, and it is away": {internal(errors.New("decode: x")), away, told{Code: 500, Reason: metav1.StatusReasonInternalError, Message: "Internal error occurred: decode: x"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			a := &answers{store: mysqlStore, readable: func() error { return c.known }}
			out, keep := a.event(apiwatch.Event{Type: apiwatch.Error, Object: c.object})
			if !keep || out.Type != apiwatch.Error {
				t.Fatalf("got %v, %v", out, keep)
			}
			if diff := cmp.Diff(c.want, toldOf(apierrors.FromObject(out.Object))); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAdmissionKnowsWhatNeedsTheStore(t *testing.T) {
	object := func(group, resource string, operation admission.Operation, dryRun bool) admission.Attributes {
		return admission.NewAttributesRecord(nil, nil, schema.GroupVersionKind{}, "ns", "name", schema.GroupVersionResource{Group: group, Resource: resource}, "", operation, nil, dryRun, nil)
	}
	readable := &answers{writable: func() error { return readOnly }, readable: func() error { return nil }}
	gone := &answers{writable: func() error { return away }}
	gone.readable = gone.writable
	cases := map[string]struct {
		answers *answers
		request admission.Attributes
		want    string
	}{
		"a write while the store is away":   {gone, object("", "secrets", admission.Create, false), away.Error()},
		"a write while it is read-only":     {readable, object("", "secrets", admission.Update, false), readOnly.Error()},
		"a trial run reads":                 {readable, object("", "secrets", admission.Create, true), ""},
		"a trial run cannot read":           {gone, object("", "secrets", admission.Create, true), away.Error()},
		"a review is not stored":            {gone, object("authorization.k8s.io", "subjectaccessreviews", admission.Create, false), ""},
		"a write while the store is usable": {wellAnswers("store"), object("", "secrets", admission.Create, false), ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := (&gate{c.answers}).Admit(t.Context(), c.request, nil)
			if c.want == "" {
				if err != nil {
					t.Errorf("got %v, want none", err)
				}
				return
			}
			if diff := cmp.Diff(unavailableWith(c.want), toldOf(err)); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
	if (&gate{gone}).Handles(admission.Connect) {
		t.Error("a connection to a member does not need the store")
	}
}
