package propagation

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/federation/membership"
	"github.com/koinon-io/koinon/pkg/federation/render"
)

// An orphan is an object in a member that says that it comes from a federated object of this federation,
// which does not exist any more: it left the federation while its member was unjoined, or was given up.
// It loses our marks, and stays. That there is no federated object is believed only of an API server that
// says so of this object, and of a kind whose objects are all known; what names no federation may
// be another one's, and is left alone. So is what is older than its FederatedTypeConfig: that may have been made
// anew with another federated kind, which never had the objects of the one before it.

const (
	// orphanWorkers release orphans; the pace in each member is orphansPerSecond.
	orphanWorkers, orphansPerSecond = 2, 5
	// orphanGrace is how long an object has no federated object before it is looked at: most go a
	// moment later, or their federated objects come.
	orphanGrace = 5 * time.Second
)

// orphanKey names an object in a member.
type orphanKey struct{ member, kind, namespace, name string }

// suspect has an object looked at whose federated object is not known.
func (e *Engine) suspect(member membership.Member, k *kind, live *memberclient.Live) {
	if k.paused || !namesUs(live.Annotations, e.Federation) || member.Conn == nil {
		return
	}
	if there, _, _ := member.Conn.Cached(k.target.Resource, live.Namespace, live.Name); there == nil {
		return // it is gone already
	}
	e.orphans.AddAfter(orphanKey{member.Name, k.name, live.Namespace, live.Name}, orphanGrace)
}

// namesUs reports whether the annotations of an object in a member say that a federated object of a
// federation made it.
func namesUs(annotations map[string]string, federation string) bool {
	source, named := annotations[render.SourceAnnotation]
	return named && source != render.NoSource && annotations[federationv1alpha1.FederationAnnotation] == federation
}

// suspectAll looks for orphans in a member that is well: what happened to their federated objects while
// it was not is no event of it.
func (e *Engine) suspectAll(member membership.Member) {
	for _, k := range e.runningKinds() {
		e.suspectOf(member, k)
	}
}

// suspectOf looks for orphans of a kind, whose objects have to be known: others are all suspects.
func (e *Engine) suspectOf(member membership.Member, k *kind) {
	if member.Conn == nil || member.Health != membership.Ready || k.paused || !k.informer.HasSynced() {
		return
	}
	objects, _ := member.Conn.Managed(k.target.Resource)
	for _, live := range objects {
		if k.get(k.keyOf(live)) == nil {
			e.suspect(member, k, live)
		}
	}
}

// suspectOnceKnown looks for orphans of a kind once its objects are known: events of members told of some
// before that.
func (e *Engine) suspectOnceKnown(ctx context.Context, name string, f *feed) {
	if !cache.WaitForCacheSync(ctx.Done(), f.informer.HasSynced) {
		return
	}
	k := e.kind(name)
	if k == nil || k.feed != f {
		return
	}
	for _, member := range e.Members.List() {
		e.suspectOf(member, k)
	}
}

// orphan is what is known of an object that may be one.
type orphan struct {
	// live is the object as the cache of its member shows it, nil if it does not.
	live *memberclient.Live
	// source is the federated object that it names. known: all objects of its kind are, and it is not
	// among them.
	source objectKey
	known  bool
	// federation is what this one is called.
	federation string
	memberWell bool
	// home is the namespace in the member that it is in, or is; holder has it in the book, if it is held.
	home   string
	holder ownership.Owner
	held   bool
	// refusal is why nothing may be done there: the member is another tenant's, or has the namespace
	// for itself.
	refusal string
}

// mayBeReleased reports whether an object is an orphan as far as caches show, in a place that is its
// namespace's. It is pure.
func (o orphan) mayBeReleased() bool {
	switch {
	case o.live == nil, !o.known, !o.memberWell, o.refusal != "":
		return false
	case o.live.Labels[v1beta1.ManagedLabel] != "true" || !namesUs(o.live.Annotations, o.federation):
		return false
	case o.home == "":
		return true
	case o.held:
		return o.holder.Namespace == o.source.namespace
	}
	return o.home == o.source.namespace
}

// observeOrphan looks at caches only.
func (e *Engine) observeOrphan(key orphanKey, k *kind, member membership.Member) orphan {
	o := orphan{federation: e.Federation, memberWell: member.Health == membership.Ready && member.Conn != nil}
	if !o.memberWell {
		return o
	}
	o.live, _, _ = member.Conn.Cached(k.target.Resource, key.namespace, key.name)
	if o.live == nil {
		return o
	}
	o.source = k.keyOf(o.live)
	o.known = !k.paused && k.informer.HasSynced() && k.get(o.source) == nil
	if o.home = o.live.Namespace; k.isNamespace() {
		o.home = o.live.Name
	}
	if o.home != "" {
		o.holder, o.held = e.Book.Holder(o.home, key.member)
		o.refusal = member.System.Refusal(o.home)
	}
	if o.refusal == "" {
		o.refusal = e.tenantRefusal(o, member)
	}
	return o
}

// tenantRefusal says why the tenant of an orphan may not use a member. A namespace that is gone has none:
// what it left is nobody's.
func (e *Engine) tenantRefusal(o orphan, member membership.Member) string {
	if o.source.namespace == "" {
		return tenancy.Refusal("", tenancy.Tenant{}, tenancy.Of(member.Labels), tenancy.WholeCluster)
	}
	namespace, err := e.Namespaces.Get(o.source.namespace)
	switch {
	case isNotFound(err):
		return ""
	case err != nil:
		return err.Error()
	}
	use := tenancy.WholeCluster
	if o.held && o.holder != ownership.NamespaceOwner(o.source.namespace) {
		use = tenancy.Unit
	}
	return tenancy.Refusal(namespace.Name, tenancy.Of(namespace.Labels), tenancy.Of(member.Labels), use)
}

// syncOrphan releases an object if it is an orphan.
func (e *Engine) syncOrphan(ctx context.Context, key orphanKey) error {
	member, joined := e.member(key.member)
	if !joined {
		return nil // its turns are dropped with it
	}
	turns, k := e.releasesIn(key.member), e.kind(key.kind)
	var o orphan
	if k != nil {
		o = e.observeOrphan(key, k, member)
	}
	if !o.mayBeReleased() || turns.keeps(key, o.live.UID) {
		turns.forgo(key)
		return nil
	}
	if wait := turns.wait(key, e.now()); wait > 0 {
		e.orphans.AddAfter(key, wait)
		return nil
	}
	absent, err := k.isAbsent(ctx, o.source)
	if err != nil || !absent {
		return err
	}
	released, old, err := e.release(ctx, k, member.Conn, o)
	if old {
		turns.keep(key, o.live.UID)
	}
	var foreign *memberclient.ForeignNamespaceError
	switch {
	case apierrors.IsConflict(err):
		return nil // somebody writes it: its event has it looked at again
	case errors.As(err, &foreign):
		return nil // suspectAll finds it again: until then it takes no turns of others
	case err != nil:
		return fmt.Errorf("release %s in member %q: %s", o.source, key.member, memberclient.Problem(err))
	case !released:
		return nil
	}
	klog.FromContext(ctx).V(2).Info("Released orphan", "object", o.source.source(), "type", key.kind, "member", key.member)
	return nil
}

// release takes our marks from an orphan, unless its namespace is somebody else's by its own marks, or the object
// is no orphan when it is read. old says that it is older than its type, as it will always be.
func (e *Engine) release(ctx context.Context, k *kind, conn *memberclient.Conn, o orphan) (released, old bool, err error) {
	owner := ownership.NamespaceOwner(o.source.namespace)
	if o.held {
		owner = o.holder
	}
	if err := conn.CheckHold(ctx, memberclient.HoldFor(o.home, e.Federation, owner)); err != nil {
		return false, false, err
	}
	there, err := conn.Get(ctx, k.target.Resource, o.live.Namespace, o.live.Name)
	switch {
	case err != nil || !o.isStill(there):
		return false, false, err
	case there.GetCreationTimestamp().Time.Before(k.since):
		return false, true, nil
	}
	err = conn.ReleaseVersion(ctx, k.target.Resource, o.live.Namespace, o.live.Name, there.GetUID(), there.GetResourceVersion(), manifest.Marks()...)
	if err != nil {
		return false, false, err
	}
	conn.Gone(k.target.Resource, o.live.Namespace, o.live.Name, o.live.UID)
	return true, false, nil
}

// isStill reports whether what the member has there, nil if nothing, is the orphan that the cache showed.
func (o orphan) isStill(there *unstructured.Unstructured) bool {
	if there == nil || there.GetUID() != o.live.UID || !namesUs(there.GetAnnotations(), o.federation) {
		return false // another one
	}
	return there.GetAnnotations()[render.SourceAnnotation] == o.live.Annotations[render.SourceAnnotation]
}

// isAbsent reports whether the API server says that it has no such federated object. That it does
// not serve the kind says nothing.
func (k *kind) isAbsent(ctx context.Context, key objectKey) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	_, err := k.factory.Resource(k.plural, key.namespace).Get(ctx, key.name, metav1.GetOptions{})
	if err == nil || !apierrors.IsNotFound(err) {
		return false, err
	}
	return memberclient.IsMissing(err, key.name), nil
}

// releases paces what is released in one member. Each orphan that has to wait gets a turn of its own, and
// keeps it until it is looked at then, or is none any more.
type releases struct {
	mu      sync.Mutex
	limiter *rate.Limiter           // guarded by mu
	turns   map[orphanKey]time.Time // guarded by mu
	// kept are those that are older than their type: they stay as they are for ever, and nobody is asked about them
	// again; guarded by mu.
	kept map[orphanKey]types.UID
}

func newReleases() *releases {
	return &releases{limiter: rate.NewLimiter(orphansPerSecond, orphansPerSecond), turns: map[orphanKey]time.Time{}, kept: map[orphanKey]types.UID{}}
}

// releasesIn returns the turns in a member.
func (e *Engine) releasesIn(member string) *releases {
	e.mu.RLock()
	r := e.releases[member]
	e.mu.RUnlock()
	if r != nil {
		return r
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.releases[member] == nil {
		e.releases[member] = newReleases()
	}
	return e.releases[member]
}

// wait returns how long an orphan has to wait for its turn; 0 takes it.
func (r *releases) wait(key orphanKey, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	turn, waits := r.turns[key]
	if !waits {
		turn = now.Add(r.limiter.ReserveN(now, 1).DelayFrom(now))
	}
	if wait := turn.Sub(now); wait > 0 {
		r.turns[key] = turn
		return wait
	}
	delete(r.turns, key)
	return 0
}

// keep notes that an object stays as it is, and keeps reports whether it does.
func (r *releases) keep(key orphanKey, uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept[key] = uid
}

func (r *releases) keeps(key orphanKey, uid types.UID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kept[key] == uid
}

// forgo gives up the turn of an object that is no orphan.
func (r *releases) forgo(key orphanKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.turns, key)
}
