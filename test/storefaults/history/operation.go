package history

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Kind is what an operation does.
type Kind int

const (
	// Create puts a key that must not be there.
	Create Kind = iota
	// Update puts a key that must have the revision Compare.
	Update
	// Delete deletes a key that must have the revision Compare.
	Delete
	// Get reads a key.
	Get
	// List reads all keys that begin with Key.
	List
)

// String is the kind in lower case.
func (k Kind) String() string { return [...]string{"create", "update", "delete", "get", "list"}[k] }

// Outcome is what a client was told.
type Outcome int

const (
	// Unknown means that there was no answer, or an error that does not say whether a
	// write happened.
	Unknown Outcome = iota
	// Done means that a write happened, or that a read was answered.
	Done
	// Refused means that a write did not happen, since its condition did not hold.
	Refused
)

// Version is a key's value. The zero Version means that the key is not there.
type Version struct {
	Value string
	// Mod is the revision of the value, Created that of the key.
	Mod, Created int64
	// Number counts the puts since the key was created, from 1.
	Number int64
}

// Operation is one request of a client.
type Operation struct {
	Client int
	Store  string
	Kind   Kind
	// Key is a prefix for List.
	Key string
	// Value is what a create or an update puts.
	Value string
	// Compare is the revision that an update or a delete expects; a list reads the state at
	// it, 0 meaning now.
	Compare int64
	// Call and Return are times since the beginning of the recording.
	Call, Return time.Duration

	Outcome Outcome
	// Revision is that of the write if it is done, and else that of the store.
	Revision int64
	// Found is what a read found, or what a refused write found instead; nil means that
	// nothing was said.
	Found map[string]Version
	// Err is what a client was told when the outcome is unknown.
	Err string
}

// IsWrite reports whether it changes something, if it happens.
func (o Operation) IsWrite() bool { return o.Kind <= Delete }

// String is for reports.
func (o Operation) String() string {
	what := fmt.Sprintf("%s %q", o.Kind, o.Key)
	if o.Value != "" {
		what += " := " + o.Value
	}
	if o.Compare != 0 {
		what += fmt.Sprintf(" at %d", o.Compare)
	}
	told := [...]string{"unknown", "done", "refused"}[o.Outcome]
	if o.Err != "" {
		told += " (" + o.Err + ")"
	}
	if len(o.Found) == 1 {
		told += fmt.Sprintf(" found %v", o.Found)
	}
	return fmt.Sprintf("[client %d at %s, %v–%v: %s: %s, revision %d]", o.Client, o.Store,
		o.Call.Round(time.Microsecond), o.Return.Round(time.Microsecond), what, told, o.Revision)
}

// Recorder keeps operations. The zero Recorder is ready. Any number of goroutines may use
// it, each with operations of its own.
type Recorder struct {
	mu    sync.Mutex // guards the rest
	began time.Time
	done  []Operation
}

// Now is the time since the beginning of the recording.
func (r *Recorder) Now() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.began.IsZero() {
		r.began = time.Now()
	}
	return time.Since(r.began)
}

// Begin notes when an operation is sent; whoever gets it fills in the outcome and calls End.
func (r *Recorder) Begin(o Operation) *Operation {
	o.Call = r.Now()
	return &o
}

// End notes when the answer came, and keeps the operation.
func (r *Recorder) End(o *Operation) {
	o.Return = r.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done = append(r.done, *o)
}

// Operations are those that have ended, in the order of their calls.
func (r *Recorder) Operations() []Operation {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Clone(r.done)
	slices.SortStableFunc(all, func(a, b Operation) int { return int(a.Call - b.Call) })
	return all
}
