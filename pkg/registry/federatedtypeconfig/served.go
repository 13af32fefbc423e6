package federatedtypeconfig

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// recently is how long a change of what is served is told to watches that begin: their
// clients listed a moment before.
const recently = time.Minute

// Served knows which FederatedTypeConfigs' kinds are served now. The condition Served is
// computed from it whenever an object is read, and never stored: KubeFed's controllers PUT
// the status right after the spec, and a write of ours in between would make that a
// conflict, which they answer by restarting the kind.
//
// Everything may be called concurrently.
type Served struct {
	systemNamespace string

	mu       sync.Mutex // guards all below
	verdicts map[types.UID]verdict
	round    int           // counts changes
	changed  chan struct{} // closed, and made anew, with every change
	// count returns how many objects of a federated resource there are; nil if nobody can.
	count func(ctx context.Context, resource string) (int64, error)
}

// verdict is what is served of one configuration.
type verdict struct {
	ok         bool
	message    string // why not, or what else there is to say, in a whole sentence
	generation int64  // of the configuration that was looked at
	round      int    // in which it was new
	at         time.Time
}

// NewServed returns what is told of configurations in systemNamespace, and that all
// others are not used.
func NewServed(systemNamespace string) *Served {
	return &Served{systemNamespace: systemNamespace, verdicts: map[types.UID]verdict{}, changed: make(chan struct{})}
}

// Set replaces what is known: which configurations are served, why others are not, and
// remarks on those that are, in whole sentences.
func (s *Served) Set(served []*v1beta1.FederatedTypeConfig, refused, remarks map[*v1beta1.FederatedTypeConfig]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, round := time.Now(), s.round+1
	next := make(map[types.UID]verdict, len(served)+len(refused))
	add := func(config *v1beta1.FederatedTypeConfig, ok bool, message string) {
		v := verdict{ok: ok, message: message, generation: config.Generation, round: round, at: now}
		if last, known := s.verdicts[config.UID]; known && last.says(v) {
			v = last
		} else {
			s.round = round
		}
		next[config.UID] = v
	}
	for _, config := range served {
		add(config, true, remarks[config])
	}
	for config, reason := range refused {
		add(config, false, reason)
	}
	s.verdicts = next
	if s.round == round {
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

func (v verdict) says(other verdict) bool {
	return v.ok == other.ok && v.message == other.message && v.generation == other.generation
}

// news are configurations with a verdict that a watch has not told of.
type news struct {
	uids  map[types.UID]bool
	round int             // in which they were collected
	next  <-chan struct{} // closed when there is more
}

// newsSince returns what is newer than a round.
func (s *Served) newsSince(round int) news {
	return s.newsOf(func(v verdict) bool { return v.round > round })
}

// recentNews returns what clients may have missed that listed before they watch.
func (s *Served) recentNews() news {
	then := time.Now().Add(-recently)
	return s.newsOf(func(v verdict) bool { return v.at.After(then) })
}

func (s *Served) newsOf(isNew func(verdict) bool) news {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := news{uids: map[types.UID]bool{}, round: s.round, next: s.changed}
	for uid, v := range s.verdicts {
		if isNew(v) {
			n.uids[uid] = true
		}
	}
	return n
}

// condition returns the condition Served of a configuration. Its transition time is the
// creation of the object, as every server of a store has to give the same answer.
func (s *Served) condition(config *v1beta1.FederatedTypeConfig) metav1.Condition {
	condition := metav1.Condition{
		Type: v1beta1.TypeServed, Status: metav1.ConditionFalse,
		LastTransitionTime: config.CreationTimestamp, ObservedGeneration: config.Generation,
	}
	if config.Namespace != s.systemNamespace {
		condition.Reason = v1beta1.ReasonForeignNamespace
		condition.Message = fmt.Sprintf("Only FederatedTypeConfigs of namespace %s are used.", s.systemNamespace)
		return condition
	}
	s.mu.Lock()
	v, known := s.verdicts[config.UID]
	s.mu.Unlock()
	switch {
	case !known:
		condition.Status, condition.Reason, condition.Message = metav1.ConditionUnknown, v1beta1.ReasonLoading, "The kind is being loaded."
		return condition
	case v.ok:
		condition.Status, condition.Reason, condition.Message = metav1.ConditionTrue, v1beta1.ReasonServed, "Served in v1beta1 and v1beta2."
		if v.message != "" {
			condition.Message += " " + v.message
		}
		for _, problem := range targetProblems(config) {
			condition.Message += " " + problem + "."
		}
	default:
		condition.Reason, condition.Message = v1beta1.ReasonNameConflict, v.message+"."
	}
	condition.ObservedGeneration = v.generation
	return condition
}

// decorate sets the condition in an object or list that nobody else holds.
func (s *Served) decorate(obj runtime.Object) {
	switch o := obj.(type) {
	case *v1beta1.FederatedTypeConfig:
		s.setCondition(o)
	case *v1beta1.FederatedTypeConfigList:
		for i := range o.Items {
			s.setCondition(&o.Items[i])
		}
	}
}

// setCondition leaves the array of conditions as it is: copies of an object share it.
func (s *Served) setCondition(config *v1beta1.FederatedTypeConfig) {
	config.Status.Conditions = append(withoutServed(config.Status.Conditions), s.condition(config))
}

// withoutServed returns a copy of the conditions that are stored: all but Served.
func withoutServed(conditions []metav1.Condition) []metav1.Condition {
	out := slices.Clone(conditions)
	apimeta.RemoveStatusCondition(&out, v1beta1.TypeServed)
	if len(out) == 0 {
		return nil
	}
	return out
}
