package propagation

import (
	"cmp"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/lifecycle"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/federation/membership"
	"github.com/koinon-io/koinon/pkg/federation/reach"
	"github.com/koinon-io/koinon/pkg/federation/render"
)

// view is one federated object with all its targets.
type view struct {
	key       objectKey
	kind      *kind
	federated *v1beta2.FederatedObject
	memory    *memory
	tenant    tenancy.Tenant
	// departed says that the namespace of the object is gone, whatever has its name now. It
	// has no tenant then.
	departed bool
	targets  []viewTarget
	// namespace is where the namespace of the object goes, and unfederated why nothing new is placed in
	// clusters, empty if it is. outside are the targets that the placement names and the namespace does
	// not go to.
	namespace   placement.Namespace
	unfederated string
	outside     []placement.Target
	// problem is why the targets cannot be computed; targets are then empty.
	problem string
	// total is of the targets that were decided on.
	total total
	// shown are the places in targets that stay by the objects that caches show there, for as long as all targets are
	// decided on; nil at other times.
	shown map[types.UID][]int
	// stored are the statuses of objects that are stored, by target; nil if nobody asked yet.
	stored map[string]rawjson.Value
}

// viewTarget is one target with what it is meant to be.
type viewTarget struct {
	placement.Candidate
	intent intent
	reason string
	// former is the slot of a place that the target has left; empty where it is now.
	former string
	// awaited is the member that has to be ready before the object leaves this one; empty if none has to be.
	awaited string
	// onward: the target is placed elsewhere now, and leaves this place before it enters that one.
	onward bool
	// recorded: nothing but the record says that the target is there.
	recorded bool
	// named: the placement names the target. leftOut is why it is not placed there all the same;
	// empty if nobody asks.
	named   bool
	leftOut string
}

// look builds the view of an object. It returns nil if the object is gone, or is left as it is until
// it is known where its namespace goes, and an error if the caches cannot tell yet.
func (e *Engine) look(key objectKey) (*view, error) {
	k := e.kind(key.kind)
	if k == nil || k.onlyNarrows {
		return nil, nil
	}
	federated := k.get(key)
	if federated == nil {
		e.forget(key)
		e.stir(key.namespace)
		e.bases.drop(key)
		return nil, nil
	}
	v := &view{key: key, kind: k, federated: federated, memory: e.remember(key, federated)}
	if k.paused && federated.DeletionTimestamp == nil {
		return nil, nil
	}
	var err error
	if v.tenant, v.departed, err = e.tenantOf(federated); err != nil {
		return nil, err
	}
	if v.departed {
		v.addDeparted(e)
		return v, nil
	}
	candidates, err := e.candidates(v)
	if err != nil {
		return nil, err
	}
	if federated.DeletionTimestamp != nil {
		v.problem = "" // what cannot be placed can be cleaned up
		v.addDeparting(e, candidates)
		if v.memory.inherited {
			v.addInherited(candidates)
		}
		return v, nil
	}
	if v.problem == "" {
		v.problem = e.refuse(v)
	}
	if v.problem != "" {
		return v, nil
	}
	if v.namespace = e.namespaceOf(v); v.namespace.Unknown {
		return nil, nil // what tells has all objects looked at again
	}
	v.addPlaced(e, candidates)
	if v.problem == "" {
		v.addDeparting(e, candidates)
		v.addOutside()
	}
	return v, nil
}

// refuse returns why an object cannot be propagated at all.
func (e *Engine) refuse(v *view) string {
	if !v.kind.isNamespace() {
		return ""
	}
	var host map[string]string
	if namespace, err := e.Namespaces.Get(v.key.namespace); err == nil {
		host = namespace.Labels
	}
	return v.object().RefuseNamespace(v.federated, e.SystemNamespace, host)
}

// topologyOf returns the topology type of an object, defaulted.
func topologyOf(federated *v1beta2.FederatedObject) string { return reach.TopologyOf(federated) }

func (v *view) topologyOf() string { return topologyOf(v.federated) }

// addPlaced adds the targets that the placement names or selects.
func (v *view) addPlaced(e *Engine, candidates []placement.Candidate) {
	spec := &v.federated.Spec
	targets, err := placement.Resolve(v.topologyOf(), spec.Placement, spec.PlacementMask, candidates)
	if err == nil && v.kind.isNarrowed() {
		targets, err = placement.Narrow(v.topologyOf(), targets, v.namespace)
	}
	if err != nil {
		v.problem = err.Error()
		return
	}
	for _, t := range targets {
		added := viewTarget{Candidate: t.Candidate, reason: t.Message, named: t.Named}
		moved := v.kind.ofReach().Moved(v.object(), t.Candidate, v.memory.record(t.Name))
		switch {
		case t.Leaving != "" && (t.Disposition == placement.Placed || t.Disposition == placement.Masked):
			if v.memory.record(t.Name).Hash != "" {
				continue // it departs from there
			}
			added.intent, added.reason = absent, t.Leaving
		case t.Disposition == placement.Placed && moved:
			added = e.move(v, added)
		case t.Disposition == placement.Placed:
			added.intent = run
		case t.Disposition == placement.Masked:
			added.intent = keep
			added = v.heldBack(added)
		case t.Disposition == placement.NotFound:
			added.intent = absent
		case t.Disposition == placement.Unfederated:
			added.intent, v.unfederated = unfederated, t.Message
		case t.Disposition == placement.Outside: // it departs from there, if it is there
			if t.Named {
				v.outside = append(v.outside, t)
			}
			continue
		}
		v.targets = append(v.targets, added)
	}
}

// addDeparting adds the targets that hold the object, or may, and are not placed: those
// with a record, and those where a cache shows it.
func (v *view) addDeparting(e *Engine, candidates []placement.Candidate) {
	known := map[string]bool{}
	for _, t := range v.targets {
		known[t.Name] = true
	}
	byName := map[string]*placement.Candidate{}
	for i := range candidates {
		byName[candidates[i].Name] = &candidates[i]
	}
	staying := e.staying(v)
	holds := func(c *placement.Candidate) bool { return c != nil && c.Refusal == "" && e.holds(v, *c, staying) }
	for _, name := range v.memory.names() {
		if !known[name] {
			known[name] = true
			v.depart(v.recorded(name), byName[name], v.memory.record(name).Hash != "" || holds(byName[name]))
		}
	}
	for i := range candidates {
		if c := &candidates[i]; !known[c.Name] && !v.isLeft(c.Name) && holds(c) {
			v.depart(*c, c, true)
		}
	}
	v.addFormer(byName)
	v.sortTargets()
}

// isLeft reports whether the deletion of the object has given up or released what a target has, which a cache may show
// still.
func (v *view) isLeft(target string) bool {
	return v.federated.DeletionTimestamp != nil && v.memory.isOrphan(target)
}

// sortTargets sorts them by name; where a target is now comes before where it was.
func (v *view) sortTargets() {
	slices.SortFunc(v.targets, func(a, b viewTarget) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.former, b.former))
	})
}

// addInherited adds the targets of a deleted object to which somebody else may have written:
// those that its placement names. A cache that is not filled yet does not show them.
func (v *view) addInherited(candidates []placement.Candidate) {
	spec := &v.federated.Spec
	placed, err := placement.Resolve(v.topologyOf(), spec.Placement, nil, candidates)
	if err != nil {
		return // nobody could place it
	}
	known := map[string]bool{}
	for _, t := range v.targets {
		known[t.Name] = true
	}
	for _, t := range placed {
		if t.Disposition == placement.Placed && !known[t.Name] && !v.isLeft(t.Name) {
			v.depart(t.Candidate, &t.Candidate, false)
		}
	}
}

// recorded is the place of a target as the record has it: the cell may be gone.
func (v *view) recorded(name string) placement.Candidate {
	return v.recordedIn(v.memory.record(name), name)
}

func (v *view) recordedIn(record v1beta2.TargetStatus, name string) placement.Candidate {
	return placement.Candidate{Name: name, Member: record.Cluster, Namespace: record.Namespace, Owner: v.ownerOf(name)}
}

// depart adds a target that the object leaves, as far as the mask lets it. there says that the
// object is there, or may be: that is what a mask keeps.
func (v *view) depart(c placement.Candidate, candidate *placement.Candidate, there bool) {
	v.targets = append(v.targets, v.departing(c, candidate, there))
}

func (v *view) departing(c placement.Candidate, candidate *placement.Candidate, there bool) viewTarget {
	t := viewTarget{Candidate: c, intent: remove}
	t.recorded = candidate == nil || candidate.Member != c.Member || candidate.Namespace != c.Namespace
	if v.federated.DeletionTimestamp != nil {
		if lifecycle.LeavesAll(v.federated.Annotations) {
			t.intent = release
		}
		return t
	}
	mask, err := placement.NewMask(v.topologyOf(), v.federated.Spec.PlacementMask)
	if err == nil && !mask.Allows(c.Name, candidate) && there {
		t.intent, t.reason = keep, "the target is no longer placed, and the mask keeps the object there"
	} else if why := v.object().Lost(v.federated.Spec.Placement, c); candidate == nil && why != "" {
		t.intent, t.reason = lost, why
	}
	return t
}

// live returns the object in a candidate as the member's cache shows it, nil if it does
// not.
func (e *Engine) live(v *view, c placement.Candidate) *memberclient.Live {
	member, ok := e.member(c.Member)
	if !ok || member.Conn == nil {
		return nil
	}
	namespace, name := v.place(c)
	live, _, _ := member.Conn.Cached(v.kind.target.Resource, namespace, name)
	return live
}

// staying returns the objects that run in placed targets: a cluster that was joined twice
// shows them in a target that is not placed too.
func (e *Engine) staying(v *view) map[types.UID]bool {
	uids := map[types.UID]bool{}
	for _, t := range v.targets {
		if !t.intent.stays() {
			continue
		}
		if live := e.live(v, t.Candidate); live != nil {
			uids[live.UID] = true
		}
	}
	return uids
}

// twin returns another target that stays, in another member, and shows the very object that a
// target is to lose: both members are one cluster.
func (e *Engine) twin(v *view, t viewTarget, uid types.UID) *viewTarget {
	shown := v.shown
	if shown == nil {
		shown = e.shownIn(v)
	}
	for _, i := range shown[uid] {
		if other := &v.targets[i]; other.Member != t.Member {
			return other
		}
	}
	return nil
}

// shownIn returns where the objects are that caches show in targets that stay.
func (e *Engine) shownIn(v *view) map[types.UID][]int {
	shown := map[types.UID][]int{}
	for i, t := range v.targets {
		if !t.intent.stays() {
			continue
		}
		if live := e.live(v, t.Candidate); live != nil {
			shown[live.UID] = append(shown[live.UID], i)
		}
	}
	return shown
}

// holds reports whether a cache shows the object in a candidate that is not placed and
// not recorded. One without our annotation was made by KubeFed, which knows no cells.
func (e *Engine) holds(v *view, c placement.Candidate, staying map[types.UID]bool) bool {
	live := e.live(v, c)
	if live == nil || staying[live.UID] {
		return false
	}
	source, ok := live.Annotations[render.SourceAnnotation]
	return source == v.key.source() || (!ok && v.object().Base() == v1beta2.TopologyCluster && !c.ByNameOnly)
}

// place returns namespace and name of the object in a target.
func (v *view) place(c placement.Candidate) (namespace, name string) {
	return v.kind.ofReach().Place(v.object(), c)
}

// observe gathers what a decision on one target needs, but for the manifest.
func (e *Engine) observe(v *view, t viewTarget) observation {
	o := e.observeTarget(v, t)
	o.observeHealth(v.kind.health)
	return o
}

func (e *Engine) observeTarget(v *view, t viewTarget) observation {
	o := observation{
		intent:         t.intent,
		reason:         t.reason,
		named:          t.named,
		leftOut:        t.leftOut,
		source:         v.key.source(),
		federation:     e.Federation,
		unmarkedIsOurs: !v.departed && v.kubeFedsPlace(t.Candidate),
		generation:     v.federated.Generation,
		record:         v.memory.record(t.slot()),
		inherited:      v.memory.inherited,
		cache:          memberclient.Unwatched,
		reruns:         v.kind.completion.RerunOnChange(),
		aborts:         v.aborts(),
		fight:          v.memory.stands(t.Name, e.now()),
	}
	namespace, name := v.place(t.Candidate)
	o.former = t.former != ""
	o.record.Name = t.Name
	if t.intent == run || (o.record.Hash == "" && (t.intent.stays() || t.leftOut != "")) {
		o.record.Cluster = t.Member
		if o.record.Namespace = namespace; v.kind.isNamespace() {
			o.record.Namespace = name
		}
	}
	member, ok := e.member(t.Member)
	if !ok {
		v.observeLeaving(t, &o)
		o.unchecked = e.isJoined(t.Member)
		return o
	}
	o.member = &member
	e.observeHome(v, t, &o)
	if o.memberRefusal == "" && o.homeRefusal == "" && member.Conn != nil { // else nothing is read there either
		o.live, o.cache, o.cacheErr = member.Conn.Cached(v.kind.target.Resource, namespace, name)
		o.observeEnd(member.Conn, v.kind, namespace, name)
	}
	v.observeLeaving(t, &o)
	if o.live != nil && (t.intent == remove || t.intent == release) {
		if twin := e.twin(v, t, o.live.UID); twin != nil {
			o.twin = oneCluster(t, *twin)
		}
	}
	return o
}

// member returns a member, as its KubeFedCluster has it now: the cache of those knows before the members do that one
// has left, was made anew, or is another tenant's. Of what has left nothing is asked and nothing is deleted there.
func (e *Engine) member(name string) (membership.Member, bool) {
	member, ok := e.Members.Get(name)
	if !ok {
		return member, false
	}
	cluster, err := e.Clusters.Get(name)
	if err != nil || cluster == nil || cluster.UID != member.UID {
		return membership.Member{}, false
	}
	member.Labels = cluster.Labels
	return member, true
}

// isJoined reports whether there is a KubeFedCluster of that name, so that its member is only
// not set up yet. It is also true if that cannot be found out.
func (e *Engine) isJoined(member string) bool {
	if member == "" {
		return false
	}
	cluster, err := e.Clusters.Get(member)
	if err != nil {
		return true
	}
	return cluster != nil && !isUnit(cluster)
}

// kubeFedsPlace reports whether KubeFed would have put the object there: in the namespace of
// the same name.
func (v *view) kubeFedsPlace(c placement.Candidate) bool {
	return v.object().KubeFedsPlace(c)
}

// isNotFound is apierrors.IsNotFound, for lister errors that were wrapped.
func isNotFound(err error) bool { return apierrors.IsNotFound(err) }
