package propagation

import (
	"cmp"
	"fmt"
	"time"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/status"
)

// namedAfter is how long the objects of a cell wait for each other before their statuses name one: until then
// each is named for a moment, and every status would be written for that.
const namedAfter = 5 * time.Second

// straggler is a federated object that others of its cell wait for, with what is recorded of the target.
type straggler struct {
	key    objectKey
	kind   string // of the federated object
	cell   string
	paused bool // nobody decides on it
	record v1beta2.TargetStatus
}

// name of the object, and of its target if that is not called as the cell.
func (s straggler) name() string {
	name := s.kind + " " + s.key.source()
	if s.record.Name != s.cell {
		name += " in target " + s.record.Name
	}
	return name
}

// word says why it is waited for. It changes seldom.
func (s straggler) word() string {
	switch r := s.record; {
	case s.paused:
		return "its type is Disabled"
	case !r.State.UpToDate():
		return string(r.State)
	case r.Health != "" && r.Health != v1beta2.HealthHealthy && r.Health != v1beta2.HealthSuspended:
		return string(r.Health)
	}
	return string(v1beta2.TargetPending)
}

func (s straggler) message() string {
	switch {
	case s.paused:
		return ""
	case s.record.State.UpToDate():
		return s.record.HealthMessage
	}
	return s.record.Message
}

// String is everything that is known of it.
func (s straggler) String() string {
	why := s.word()
	if message := s.message(); message != "" {
		why += ": " + message
	}
	return fmt.Sprintf("%s (%s)", s.name(), status.Cut(why, v1beta2.MaxMessageBytes/2))
}

// before orders those first that something keeps, which is said, or nobody decides on: they are there longest.
func (s straggler) before(other straggler) bool {
	tells := func(s straggler) int {
		if s.paused || s.message() != "" || s.record.State == v1beta2.TargetMasked {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(tells(s), tells(other)), cmp.Compare(s.key.kind, other.key.kind), cmp.Compare(s.key.source(), other.key.source())) < 0
}

// stragglers are those of one cell. The first stays that one while it is among them, so that what is said of a cell
// does not change with each of them.
type stragglers struct {
	all   map[objectKey]straggler
	first *straggler
	since time.Time
}

func (s *stragglers) add(one straggler) {
	if s.all == nil {
		s.all = map[objectKey]straggler{}
	}
	if there, known := s.all[one.key]; known && !one.before(there) {
		return
	}
	s.all[one.key] = one
}

// follow chooses the first, given those of an earlier census; nil if there was none.
func (s *stragglers) follow(earlier *stragglers, now time.Time) {
	if len(s.all) == 0 {
		return
	}
	s.since = now
	if earlier != nil && len(earlier.all) > 0 {
		s.since = earlier.since
		if stays, still := s.all[earlier.first.key]; still {
			s.first = &stays
			return
		}
	}
	s.first = s.leastBut(objectKey{})
}

func (s *stragglers) leastBut(key objectKey) (least *straggler) {
	for _, one := range s.all {
		if one.key != key && (least == nil || one.before(*least)) {
			least = &one
		}
	}
	return least
}

// but returns one that is not the object of that key, nil if there is none.
func (s *stragglers) but(key objectKey) *straggler {
	if s.first == nil || s.first.key != key {
		return s.first
	}
	return s.leastBut(key)
}

// String names the first, and counts the others; empty if there are none.
func (s *stragglers) String() string {
	switch {
	case s.first == nil:
		return ""
	case len(s.all) == 1:
		return s.first.String()
	}
	return fmt.Sprintf("%s and %d more", s.first, len(s.all)-1)
}
