package scheduler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/workqueue"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/validation"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/membership"
	"github.com/koinon-io/koinon/pkg/federation/propagation"
	"github.com/koinon-io/koinon/pkg/federation/replicas"
	clientv1alpha1 "github.com/koinon-io/koinon/pkg/generated/clientset/versioned/typed/scheduling/v1alpha1"
	listersv1alpha1 "github.com/koinon-io/koinon/pkg/generated/listers/scheduling/v1alpha1"
	"github.com/koinon-io/koinon/pkg/reconcile"
)

const (
	// fieldManager owns what is written into federated objects.
	fieldManager = "koinon-replicas"
	// workers sync objects. They wait for writes to the host, not for members.
	workers = 4
	// hostTimeout bounds one call to the host.
	hostTimeout = 15 * time.Second
	// gather is how long changes that concern every object are gathered, and resync how often every
	// object with a preference is looked at without any.
	gather, resync = time.Second, 10 * time.Minute
	// gatherObject is how long changes of one object and of its targets are gathered, gatherMembers those of its objects in
	// members, of which there are many, and gatherReads what is read there. Each look is at every target.
	gatherObject, gatherMembers, gatherReads = time.Second, 5 * time.Second, 500 * time.Millisecond
	// apart is how far from each other objects are looked at when all are.
	apart = 5 * time.Millisecond
	// notYet is when to look again for what the engine has not seen yet.
	notYet = time.Second
)

// Objects are the federated objects; propagation.Engine has them.
type Objects interface {
	// Kind returns the name of the FederatedTypeConfig of a federated kind; empty if none propagates. It is
	// not known before the FederatedTypeConfigs were looked at.
	Kind(federatedKind string) (name string, known bool)
	// Synced reports whether all objects of a kind are known.
	Synced(kind string) bool
	// Get returns an object from the cache, nil if there is none.
	Get(kind, namespace, name string) *v1beta2.FederatedObject
	// Look returns an object with its targets, nil if there is nothing to place.
	Look(kind, namespace, name string) (*propagation.Sight, error)
	// Patch sends a JSON merge patch.
	Patch(ctx context.Context, kind, namespace, name, manager string, patch []byte) error
}

// Settings are what a KubeFedConfig says.
type Settings struct {
	// Enabled is the feature gate SchedulerPreferences.
	Enabled bool
	Delays  replicas.Delays
}

// Config is what a Controller works with. The lister's cache must be synced before Run.
type Config struct {
	Objects     Objects
	Preferences listersv1alpha1.ReplicaSchedulingPreferenceLister
	Client      clientv1alpha1.ReplicaSchedulingPreferencesGetter
	// Settings is asked at every sync.
	Settings func() Settings
}

// key names one federated object by its federated kind. The zero key stands for all that have a
// preference.
type key struct{ kind, namespace, name string }

func (k key) String() string { return k.kind + " " + k.namespace + "/" + k.name }

// Controller schedules the replicas of all federated objects.
type Controller struct {
	Config
	queue  workqueue.TypedRateLimitingInterface[key]
	reader *reader
	now    func() time.Time
	// preferences is how many there were when all were looked at.
	preferences atomic.Int64

	mu sync.Mutex
	// states of members, by name; guarded by mu. It holds as many as there ever were, a few bytes each.
	states map[string]state

	// absences are of targets that are gone, and refusals of those that their tenant keeps from the object.
	absences, refusals absences
}

// state says since when a member is ready, or is not.
type state struct {
	ready bool
	since time.Time
}

// New returns a Controller that does nothing before Run.
func New(config Config) (*Controller, error) {
	if config.Objects == nil || config.Preferences == nil || config.Client == nil || config.Settings == nil {
		return nil, errors.New("scheduler: every field of Config must be set")
	}
	c := &Controller{
		Config: config,
		queue:  reconcile.NewQueue[key]("replicas", 500*time.Millisecond, time.Minute),
		now:    time.Now,
		states: map[string]state{},

		absences: absences{since: map[key]map[string]time.Time{}},
		refusals: absences{since: map[key]map[string]time.Time{}},
	}
	c.reader = newReader(func(k key) { c.queue.AddAfter(k, gatherReads) }, func() time.Time { return c.now() })
	return c, nil
}

// PreferenceChanged has the objects looked at again that a preference is for, or was.
func (c *Controller) PreferenceChanged(namespace, name string) {
	for _, kind := range validation.TargetKinds() {
		c.queue.Add(key{kind, namespace, name})
	}
}

// ObjectChanged has a federated object looked at again in a moment, if it has a preference or was written
// to; kind is the name of its FederatedTypeConfig. inMember says that only an object of it in a member has changed.
func (c *Controller) ObjectChanged(kind, namespace, name string, inMember bool) {
	wait := gatherObject
	if inMember {
		wait = gatherMembers
	}
	for _, federatedKind := range validation.TargetKinds() {
		if found, _ := c.Objects.Kind(federatedKind); found != kind {
			continue
		}
		_, err := c.Preferences.ReplicaSchedulingPreferences(namespace).Get(name)
		object := c.Objects.Get(kind, namespace, name)
		if err == nil || object != nil && replicas.RecordOf(object) != nil {
			c.queue.AddAfter(key{federatedKind, namespace, name}, wait)
		}
	}
}

// MemberChanged notes whether a member is ready; member is nil if there is none of that name.
func (c *Controller) MemberChanged(name string, member *membership.Member) {
	if member != nil && member.Health == membership.Unknown {
		return
	}
	if _, changed := c.stateOf(name, member != nil && member.Health == membership.Ready); changed {
		c.EverythingChanged()
	}
}

// EverythingChanged has all objects looked at again that have a preference, in a moment: there
// are other targets, or other settings. The more there are, the longer that is: members that come and go all the
// time do not have them looked at all the time.
func (c *Controller) EverythingChanged() {
	c.queue.AddAfter(key{}, gather+time.Duration(c.preferences.Load())*apart)
}

// stateOf notes what a member is now, and returns since when.
func (c *Controller) stateOf(member string, ready bool) (since time.Time, changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.states[member]
	if !ok || known.ready != ready {
		known, changed = state{ready, c.now()}, true
		c.states[member] = known
	}
	return known.since, changed
}

// Run works until ctx ends, and returns when all goroutines have.
func (c *Controller) Run(ctx context.Context) error {
	var working sync.WaitGroup
	working.Go(func() { // ends with ctx
		reconcile.Work[key]{Queue: c.queue, Do: c.sync, Failed: "Failed to schedule replicas"}.Run(ctx, workers)
	})
	wait.UntilWithContext(ctx, func(context.Context) { c.queue.Add(key{}) }, resync)
	working.Wait()
	c.reader.wait()
	return nil
}

// sync brings one object to what its preference says, if it has one.
func (c *Controller) sync(ctx context.Context, k key) error {
	if k == (key{}) {
		return c.enqueueAll()
	}
	preference, err := c.preferenceOf(k)
	if err != nil {
		return err
	}
	kind, known := c.Objects.Kind(k.kind)
	if !known {
		c.queue.AddAfter(k, notYet)
		return nil
	}
	var federated *v1beta2.FederatedObject
	if kind != "" {
		federated = c.Objects.Get(kind, k.namespace, k.name)
	}
	if federated == nil {
		c.forget(k)
		if kind == "" || c.Objects.Synced(kind) {
			return c.say(ctx, preference, verdict{metav1.ConditionFalse, v1alpha1.ReasonNoObject,
				fmt.Sprintf("there is no %s %q in this namespace that propagates", k.kind, k.name)})
		}
		c.queue.AddAfter(k, notYet)
		return nil
	}
	if federated.DeletionTimestamp != nil {
		return nil
	}
	if without := c.without(preference, federated); preference == nil || without != nil {
		c.forget(k)
		if err := c.withdraw(ctx, k, kind, federated, without == nil); err != nil {
			return err
		}
		if without == nil {
			return nil
		}
		return c.say(ctx, preference, *without)
	}
	return c.schedule(ctx, k, kind, preference)
}

func (c *Controller) enqueueAll() error {
	preferences, err := c.Preferences.List(labels.Everything())
	if err != nil {
		return fmt.Errorf("list preferences: %w", err)
	}
	c.preferences.Store(int64(len(preferences)))
	for i, p := range preferences {
		if slices.Contains(validation.TargetKinds(), p.Spec.TargetKind) {
			c.queue.AddAfter(key{p.Spec.TargetKind, p.Namespace, p.Name}, time.Duration(i)*apart)
		}
	}
	return nil
}

// forget drops what is known of an object to which nothing is written.
func (c *Controller) forget(k key) {
	c.reader.forget(k)
	c.absences.note(k, nil, c.now())
	c.refusals.note(k, nil, c.now())
}

// preferenceOf returns the preference for an object, nil if there is none.
func (c *Controller) preferenceOf(k key) (*v1alpha1.ReplicaSchedulingPreference, error) {
	preference, err := c.Preferences.ReplicaSchedulingPreferences(k.namespace).Get(k.name)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !isFor(preference, k) {
		return nil, nil
	}
	return preference, nil
}

func isFor(preference *v1alpha1.ReplicaSchedulingPreference, k key) bool {
	return preference.Spec.TargetKind == k.kind && preference.DeletionTimestamp == nil
}

// without returns why a preference has no effect on its object, nil if it has one.
func (c *Controller) without(preference *v1alpha1.ReplicaSchedulingPreference, federated *v1beta2.FederatedObject) *verdict {
	switch {
	case preference == nil:
		return nil
	case !c.Settings().Enabled:
		return &verdict{metav1.ConditionFalse, v1alpha1.ReasonDisabled,
			"no replicas are divided: the KubeFedConfig has the feature gate SchedulerPreferences Disabled"}
	case federated.Spec.RetainReplicas != nil && *federated.Spec.RetainReplicas:
		return &verdict{metav1.ConditionFalse, v1alpha1.ReasonRetainReplicas,
			"no replicas are divided: spec.retainReplicas of the federated object leaves them to its members"}
	case topology.Label(federated.Spec.TopologyType) != "":
		base := topology.Base(federated.Spec.TopologyType)
		return &verdict{metav1.ConditionFalse, v1alpha1.ReasonGrouped, fmt.Sprintf("no replicas are divided: spec.topologyType of the federated object is %s, "+
			"where placement and overrides name groups; use %s, with a selector of the label %s",
			federated.Spec.TopologyType, base, topology.Label(federated.Spec.TopologyType))}
	}
	return nil
}

// schedule looks, decides and writes.
func (c *Controller) schedule(ctx context.Context, k key, kind string, preference *v1alpha1.ReplicaSchedulingPreference) error {
	sight, err := c.Objects.Look(kind, k.namespace, k.name)
	if err != nil {
		return err
	}
	if sight == nil {
		return nil // its namespace is gone
	}
	record := replicas.RecordOf(sight.Federated)
	seen, err := c.see(k, preference, sight, record)
	if err != nil {
		return c.say(ctx, preference, verdict{metav1.ConditionFalse, v1alpha1.ReasonInvalid, err.Error()})
	}
	decision := replicas.Decide(replicas.Observation{
		Spec: preference.Spec, Record: record, Targets: seen, Listed: replicas.Listed(&sight.Federated.Spec),
		Unfederated: unfederated(sight), Delays: c.Settings().Delays, GoneSince: c.absences.of(k), Now: c.now(),
	})
	c.absences.note(k, decision.Gone, c.now())
	again := c.read(ctx, k, preference, sight, decision)
	if decision.After > 0 && (again == 0 || decision.After < again) {
		again = decision.After
	}
	if again > 0 {
		c.queue.AddAfter(k, again)
	}
	if decision.Write != nil {
		if err := c.write(ctx, k, kind, sight.Federated, record, decision.Write); err != nil {
			if tooLarge := (*replicas.TooLargeError)(nil); errors.As(err, &tooLarge) {
				return c.say(ctx, preference, verdict{metav1.ConditionFalse, v1alpha1.ReasonInvalid, err.Error()})
			}
			if !apierrors.IsInvalid(err) && !apierrors.IsForbidden(err) {
				return err
			}
			return errors.Join(err, c.say(ctx, preference, verdict{metav1.ConditionFalse, v1alpha1.ReasonInvalid, err.Error()}))
		}
	}
	return c.say(ctx, preference, verdictOf(decision))
}
