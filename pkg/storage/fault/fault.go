// Package fault says what is wrong with a datastore, as a type, from the driver that has met
// an error up to the answer for a client.
//
// An error of a driver is classified once: package sqllog does so for databases, package
// datastore for etcd. What they return is an *Error, which is for operators: it names the
// datastore, says what the database said, and what to do. The store makes an *Unavailable of
// it, which is for clients: it passes through etcd's API as a gRPC status and is found again
// with From on the other side. It holds nothing of where the datastore is, of users,
// statements or values.
//
// All values may be used by any number of goroutines.
package fault

import (
	"errors"
	"slices"
)

// Kind is what has happened, as far as it matters to whoever waits for the datastore.
type Kind string

// The kinds of fault.
const (
	// Failed is what nobody has foreseen.
	Failed Kind = "Failed"
	// Refused is an answer of the datastore that says nothing more.
	Refused Kind = "Refused"
	// Away is a datastore that is not reached, that has ended the connection, or is not
	// ready yet. It comes back by itself, or another one takes its place.
	Away Kind = "Away"
	// Silent is one that is reached and does not answer in time.
	Silent Kind = "Silent"
	// Overloaded is one that has no room for one more: connections, memory, locks.
	Overloaded Kind = "Overloaded"
	// Conflict says that other transactions were in the way, and that this one was undone.
	Conflict Kind = "Conflict"
	// Locked says that another transaction has kept a lock for longer than one waits.
	Locked Kind = "Locked"
	// ReadOnly is a datastore that takes no writes. It may be a replica that is about to take
	// over.
	ReadOnly Kind = "ReadOnly"
	// Full is one without room on its disk, or above a quota.
	Full Kind = "Full"
	// Denied says that the user, the password or a privilege is not accepted.
	Denied Kind = "Denied"
	// Settings says that the datastore refuses because of how it, or the connection to it, is
	// set up.
	Settings Kind = "Settings"
	// Damaged is a datastore whose disk or data is.
	Damaged Kind = "Damaged"
	// Unfit is one that works, and whose contents this program must not use as they are.
	Unfit Kind = "Unfit"
	// Lost is one that has lost what it had acknowledged, or whose contents were replaced
	// while something was written.
	Lost Kind = "Lost"
	// Closed says that it is this process that ends.
	Closed Kind = "Closed"
)

// Answered says that the datastore is there and has said no.
func (k Kind) Answered() bool { return !slices.Contains([]Kind{Failed, Away, Silent, Closed}, k) }

// NeedsHelp says that waiting is of no use: somebody has to do something about it.
func (k Kind) NeedsHelp() bool { return slices.Contains([]Kind{Full, Denied, Settings, Unfit}, k) }

// Passes says that it may well be over when it is tried again.
func (k Kind) Passes() bool {
	return slices.Contains([]Kind{Away, Silent, Overloaded, Conflict, Locked}, k)
}

// RefusesWrites says that a write which met it says nothing about reads.
func (k Kind) RefusesWrites() bool {
	return slices.Contains([]Kind{ReadOnly, Full, Denied, Settings}, k)
}

// Fault is what is wrong with a datastore.
type Fault struct {
	Kind Kind
	// Reason says it in a few words that may follow "the datastore is not available: ". It
	// holds nothing that not everybody may see: no addresses, files, users, statements or
	// values.
	Reason string
	// Remedy says what somebody can do about it, in the imperative. It may be empty.
	Remedy string
}

// Error is an error of a datastore for its operator.
type Error struct {
	Fault
	// Doing is what was attempted, and on which datastore.
	Doing string
	cause error
}

// New makes an error of what was attempted, what is wrong, and the error of the driver, which
// may be nil. Of an *Error in its place only its cause is told.
func New(doing string, what Fault, cause error) *Error {
	var known *Error
	if errors.As(cause, &known) && known.cause != nil {
		cause = known.cause
	}
	return &Error{what, doing, cause}
}

// Error implements error: in one sentence what was attempted, what is wrong, what to do, and
// what the driver said.
func (e *Error) Error() string {
	if e.Doing == "" {
		return e.Detail()
	}
	return e.Doing + ": " + e.Detail()
}

// Detail is Error without what was attempted.
func (e *Error) Detail() string {
	if e.Kind == Failed && e.cause != nil {
		return e.cause.Error()
	}
	said := e.Reason
	if e.Remedy != "" {
		said += ": " + e.Remedy
	}
	if e.cause != nil {
		said += " (" + e.cause.Error() + ")"
	}
	return said
}

// Unwrap returns the error of the driver.
func (e *Error) Unwrap() error { return e.cause }

// Of is the fault that an error has, or else that it Failed.
func Of(err error) Fault {
	var known *Error
	if errors.As(err, &known) {
		return known.Fault
	}
	var told *Unavailable
	if errors.As(err, &told) {
		return told.Fault
	}
	return Fault{Kind: Failed, Reason: "it failed in a way that only the server's log explains"}
}

// KindOf is the kind of Of, and empty for no error.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	return Of(err).Kind
}
