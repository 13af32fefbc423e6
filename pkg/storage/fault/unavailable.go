package fault

import (
	"errors"
	"strconv"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Unavailable is what clients are told of a request that a store cannot serve.
type Unavailable struct {
	Fault
	// Store is what the store is, without saying where, such as "mysql datastore".
	Store string
	// Writes says that the store refuses writes, and may serve reads.
	Writes bool
}

// Read is what those are told who read from a store and met an error.
func Read(store string, err error) *Unavailable { return &Unavailable{Fault: Of(err), Store: store} }

// Write is Read for those who write. Not every fault that a write meets is one of writes.
func Write(store string, err error) *Unavailable {
	what := Of(err)
	return &Unavailable{Fault: what, Store: store, Writes: what.Kind.RefusesWrites()}
}

// Error implements error: one sentence that everybody may see.
func (u *Unavailable) Error() string { return u.about(u.Store) + u.Reason }

// For is the sentence for those who may know where the store is, and can do something.
func (u *Unavailable) For(name string) string {
	said := u.about(name) + u.Reason
	if u.Remedy != "" {
		said += ": " + u.Remedy
	}
	return said
}

func (u *Unavailable) about(name string) string {
	if u.Writes {
		return "the " + name + " refuses writes: "
	}
	return "the " + name + " is not available: "
}

// domain is that of the details of a gRPC status, and the keys are those of its metadata.
const (
	domain = "store.koinon.io"

	storeKey  = "store"
	reasonKey = "reason"
	remedyKey = "remedy"
	writesKey = "writes"
)

// GRPCStatus is how it passes through etcd's API. The code is Aborted: of Unavailable, etcd's
// client repeats reads a hundred times and logs each attempt, although the store has waited as
// long as it makes sense and the caller should ask again later, just what gRPC has Aborted for.
func (u *Unavailable) GRPCStatus() *status.Status {
	plain := status.New(codes.Aborted, u.Error())
	detailed, err := plain.WithDetails(&errdetails.ErrorInfo{
		Domain: domain, Reason: string(u.Kind),
		Metadata: map[string]string{storeKey: u.Store, reasonKey: u.Reason, remedyKey: u.Remedy, writesKey: strconv.FormatBool(u.Writes)},
	})
	if err != nil {
		return plain
	}
	return detailed
}

// From finds what a store has said in an error, also on the other side of etcd's API.
func From(err error) (*Unavailable, bool) {
	var told *Unavailable
	if errors.As(err, &told) {
		return told, true
	}
	var rpc interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &rpc) {
		return nil, false
	}
	for _, detail := range rpc.GRPCStatus().Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == domain {
			return fromInfo(info), true
		}
	}
	return nil, false
}

func fromInfo(info *errdetails.ErrorInfo) *Unavailable {
	about := info.GetMetadata()
	return &Unavailable{
		Fault: Fault{Kind: Kind(info.GetReason()), Reason: about[reasonKey], Remedy: about[remedyKey]},
		Store: about[storeKey], Writes: about[writesKey] == strconv.FormatBool(true),
	}
}
