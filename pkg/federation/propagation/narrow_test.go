package propagation

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/hostwatch"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/federation/membership"
	listersv1beta1 "github.com/koinon-io/koinon/pkg/generated/listers/core/v1beta1"
)

// filledFeed is a feed that has synced, or never does.
type filledFeed struct {
	cache.SharedIndexInformer
	synced bool
}

func (f filledFeed) HasSynced() bool { return f.synced }

func feedOf(t *testing.T, synced bool, objects ...*v1beta2.FederatedObject) *feed {
	t.Helper()
	informer := cache.NewSharedIndexInformer(&cache.ListWatch{}, &v1beta2.FederatedObject{}, 0, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	for _, object := range objects {
		if err := informer.GetIndexer().Add(object); err != nil {
			t.Fatal(err)
		}
	}
	return &feed{informer: &hostwatch.Informer{SharedIndexInformer: filledFeed{informer, synced}}}
}

func federatedShop(uid types.UID, topologies ...string) *v1beta2.FederatedObject {
	placed := &v1beta2.Placement{Topologies: []v1beta2.TopologyReference{}}
	for _, name := range topologies {
		placed.Topologies = append(placed.Topologies, v1beta2.TopologyReference{Name: name})
	}
	return &v1beta2.FederatedObject{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop", UID: uid, Generation: 1},
		Spec:       v1beta2.FederatedObjectSpec{Placement: placed},
	}
}

func ofNamespace(federated *v1beta2.FederatedObject, uid string) *v1beta2.FederatedObject {
	federated.Annotations = map[string]string{federationv1alpha1.NamespaceUIDAnnotation: uid}
	return federated
}

// world is what an engine knows of namespaces.
type world struct {
	feed   *feed        // nil: the kind is not running
	mode   v1beta1.Mode // of the kind; empty is Enabled
	paused bool
	off    bool
	scope  v1beta1.ResourceScope
	typed  bool // there is a FederatedTypeConfig of FederatedNamespaces
	target v1beta1.APIResource
}

// engineIn makes an engine that knows what is in the world, and one object of namespace shop.
func engineIn(t *testing.T, w world) (*Engine, *view) {
	t.Helper()
	hostNamespaces := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	if err := hostNamespaces.Add(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", UID: "now"}}); err != nil {
		t.Fatal(err)
	}
	ftcs := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	if w.typed {
		if err := ftcs.Add(&v1beta1.FederatedTypeConfig{ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: namespaceType}}); err != nil {
			t.Fatal(err)
		}
	}
	e := &Engine{
		Config: Config{
			Scope: w.scope, SystemNamespace: "system",
			Namespaces: corelisters.NewNamespaceLister(hostNamespaces),
			Types:      listersv1beta1.NewFederatedTypeConfigLister(ftcs).FederatedTypeConfigs("system"),
		},
		kinds:         map[string]*kind{},
		namespacesOff: w.off,
	}
	if w.mode == "" {
		w.mode = v1beta1.Enabled
	}
	if w.feed != nil {
		k, err := newKind(&v1beta1.FederatedTypeConfig{ObjectMeta: metav1.ObjectMeta{Name: namespaceType}, Spec: v1beta1.FederatedTypeConfigSpec{TargetType: namespaces, Propagation: w.mode}})
		if err != nil {
			t.Fatal(err)
		}
		k.feed, k.paused, k.onlyNarrows = w.feed, w.paused, e.inOneNamespace()
		e.kinds[namespaceType] = k
	}
	if w.target.Kind == "" {
		w.target = configMaps
	}
	return e, viewOf("shop", "cluster", w.target)
}

func TestWhatIsKnownOfTheNamespaceOfAnObject(t *testing.T) {
	federated := federatedShop("u1", "m1")
	for name, test := range map[string]struct {
		world world
		want  placement.Namespace
	}{
		"the cache shows its FederatedNamespace": {
			world{typed: true, feed: feedOf(t, true, federated)}, placement.Namespace{Name: "shop", Federated: federated}},
		"the cache shows that there is none": {
			world{typed: true, feed: feedOf(t, true)}, placement.Namespace{Name: "shop"}},
		"an empty cache that is not filled shows nothing": {
			world{typed: true, feed: feedOf(t, false)}, placement.Namespace{Name: "shop", Unknown: true}},
		"nor does what a cache has that is not filled": {
			world{typed: true, feed: feedOf(t, false, federated)}, placement.Namespace{Name: "shop", Unknown: true}},
		"a kind that is not running yet shows nothing": {
			world{typed: true}, placement.Namespace{Name: "shop", Unknown: true}},
		"a kind that does not propagate is off": {
			world{typed: true, off: true}, placement.Namespace{Name: "shop", Off: true}},
		"a kind that is not configured is off": {
			world{}, placement.Namespace{Name: "shop", Off: true}},
		"a kind that is Disabled is off, whatever its cache shows": {
			world{typed: true, feed: feedOf(t, true, federated), mode: v1beta1.Disabled, paused: true}, placement.Namespace{Name: "shop", Off: true}},
		"also before that is filled": {
			world{typed: true, feed: feedOf(t, false), mode: v1beta1.Disabled, paused: true}, placement.Namespace{Name: "shop", Off: true}},
		"a kind that is paused with all others is not": {
			world{typed: true, feed: feedOf(t, true, federated), paused: true}, placement.Namespace{Name: "shop", Federated: federated}},
		"in scope Namespaced one that is Disabled narrows: it is not propagated anyway": {
			world{typed: true, feed: feedOf(t, true, federated), mode: v1beta1.Disabled, paused: true, scope: v1beta1.NamespaceScoped},
			placement.Namespace{Name: "shop", Optional: true, Federated: federated}},
		"one of an earlier namespace is none": {
			world{typed: true, feed: feedOf(t, true, ofNamespace(federatedShop("u1", "m1"), "then"))}, placement.Namespace{Name: "shop"}},
		"in scope Namespaced it is optional": {
			world{typed: true, feed: feedOf(t, true), scope: v1beta1.NamespaceScoped}, placement.Namespace{Name: "shop", Optional: true}},
		"in scope Namespaced what is not known is not known": {
			world{typed: true, feed: feedOf(t, false), scope: v1beta1.NamespaceScoped}, placement.Namespace{Name: "shop", Optional: true, Unknown: true}},
		"what is in no namespace of members is not narrowed": {
			world{typed: true, target: clusterRoles}, placement.Namespace{}},
		"nor is a namespace": {
			world{typed: true, target: namespaces}, placement.Namespace{}},
	} {
		t.Run(name, func(t *testing.T) {
			e, v := engineIn(t, test.world)
			if diff := cmp.Diff(test.want, e.namespaceOf(v)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnOrderIsOutdatedOnceTheNamespaceGoesElsewhere(t *testing.T) {
	of := func(change func(*v1beta2.FederatedObject)) placement.Namespace {
		federated := federatedShop("u1", "m1")
		if change != nil {
			change(federated)
		}
		return placement.Namespace{Name: "shop", Federated: federated}
	}
	for name, test := range map[string]struct {
		now  placement.Namespace
		same bool
	}{
		"nothing happened":            {of(nil), true},
		"only its status changed":     {of(func(f *v1beta2.FederatedObject) { f.ResourceVersion = "9" }), true},
		"its spec changed":            {of(func(f *v1beta2.FederatedObject) { f.Generation = 2 }), false},
		"it is being deleted":         {of(func(f *v1beta2.FederatedObject) { f.DeletionTimestamp = &metav1.Time{} }), false},
		"it was made anew":            {of(func(f *v1beta2.FederatedObject) { f.UID = "u2" }), false},
		"it is gone":                  {placement.Namespace{Name: "shop"}, false},
		"nobody knows any more":       {placement.Namespace{Name: "shop", Unknown: true}, false},
		"they are not propagated":     {placement.Namespace{Name: "shop", Off: true}, false},
		"the scope is another by now": {placement.Namespace{Name: "shop", Optional: true, Federated: federatedShop("u1", "m1")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := sameNamespace(of(nil), test.now); got != test.same {
				t.Errorf("got %v, want %v", got, test.same)
			}
		})
	}
}

func TestAnObjectIsLeftAsItIsUntilItIsKnownWhereItsNamespaceGoes(t *testing.T) {
	object := &v1beta2.FederatedObject{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "u1", CreationTimestamp: metav1.NewTime(time.Now())},
		Spec:       v1beta2.FederatedObjectSpec{Placement: &v1beta2.Placement{TopologySelector: &metav1.LabelSelector{}}},
		Status:     &v1beta2.FederatedObjectStatus{Targets: []v1beta2.TargetStatus{{Name: "m1", Cluster: "m1", Hash: "h", Version: "gen:1"}}},
	}
	e, v := engineIn(t, world{typed: true, feed: feedOf(t, false)})
	informer := cache.NewSharedIndexInformer(&cache.ListWatch{}, &v1beta1.KubeFedCluster{}, 0, cache.Indexers{})
	var err error
	if e.Clusters, err = NewClusters(informer, "system"); err != nil {
		t.Fatal(err)
	}
	e.now, e.memories, e.holders = time.Now, map[objectKey]*memory{}, map[string]map[objectKey]bool{}
	v.kind.feed = feedOf(t, true, object)
	e.kinds["configmaps"] = v.kind
	key := objectKey{"configmaps", "shop", "web"}
	looked, err := e.look(key)
	if err != nil || looked != nil {
		t.Fatalf("got %+v, error %v, want nothing to be done", looked, err)
	}
	if got := e.recall(key).record("m1").Hash; got != "h" {
		t.Errorf("the record of m1 is %q, want it as it was", got)
	}
}

func TestTheTargetsThatANamespaceLeavesToAnObject(t *testing.T) {
	written := v1beta2.TargetStatus{Hash: "h", Version: "gen:1"}
	mask := func(names ...string) *v1beta2.Placement { return federatedShop("", names...).Spec.Placement }
	everywhere := &v1beta2.Placement{TopologySelector: &metav1.LabelSelector{}}
	type target struct {
		Intent  intent
		LeftOut bool
	}
	for name, test := range map[string]struct {
		placement, mask *v1beta2.Placement
		records         map[string]v1beta2.TargetStatus
		federated       *v1beta2.FederatedObject
		want            map[string]target
		unfederated     bool
	}{
		"it goes only where the namespace goes": {
			placement: everywhere, federated: federatedShop("u", "m1"),
			want: map[string]target{"m1": {Intent: run}}},
		"it leaves where the namespace is not": {
			placement: everywhere, federated: federatedShop("u", "m1"), records: map[string]v1beta2.TargetStatus{"m1": written, "m2": written},
			want: map[string]target{"m1": {Intent: run}, "m2": {Intent: remove}}},
		"its mask keeps it there": {
			placement: everywhere, mask: mask("m1"), federated: federatedShop("u", "m1"), records: map[string]v1beta2.TargetStatus{"m1": written, "m2": written},
			want: map[string]target{"m1": {Intent: run}, "m2": {Intent: keep}}},
		"what is named says why it is not there": {
			placement: mask("m1", "m2"), federated: federatedShop("u", "m1"),
			want: map[string]target{"m1": {Intent: run}, "m2": {Intent: remove, LeftOut: true}}},
		"what is named leaves first": {
			placement: mask("m1", "m2"), federated: federatedShop("u", "m1"), records: map[string]v1beta2.TargetStatus{"m2": written},
			want: map[string]target{"m1": {Intent: run}, "m2": {Intent: remove, LeftOut: true}}},
		"nothing is ordered where there is no FederatedNamespace": {
			placement: everywhere, records: map[string]v1beta2.TargetStatus{"m1": written},
			want: map[string]target{"m1": {Intent: unfederated}, "m2": {Intent: unfederated}}, unfederated: true},
		"its own placement is an order all the same": {
			placement: mask("m1"), records: map[string]v1beta2.TargetStatus{"m1": written, "m2": written},
			want: map[string]target{"m1": {Intent: unfederated}, "m2": {Intent: remove}}, unfederated: true},
		"an object that is placed nowhere misses nothing": {
			want: map[string]target{}},
	} {
		t.Run(name, func(t *testing.T) {
			v := viewOf("shop", "cluster", configMaps)
			v.federated.Spec.Placement, v.federated.Spec.PlacementMask = test.placement, test.mask
			v.memory = &memory{records: test.records}
			v.namespace = placement.Namespace{Name: "shop", Federated: test.federated}
			candidates := []placement.Candidate{{Name: "m1", Member: "m1"}, {Name: "m2", Member: "m2"}}
			e := &Engine{Config: Config{Members: noMembers{}}}
			v.addPlaced(nil, candidates)
			v.addDeparting(e, candidates)
			v.addOutside()
			got := map[string]target{}
			for _, t := range v.targets {
				got[t.Name] = target{t.intent, t.leftOut != ""}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("targets (-want +got):\n%s", diff)
			}
			if (v.unfederated != "") != test.unfederated {
				t.Errorf("says of the namespace: %q", v.unfederated)
			}
		})
	}
}

// noMembers has none.
type noMembers struct{}

func (noMembers) Get(string) (membership.Member, bool) { return membership.Member{}, false }
func (noMembers) List() []membership.Member            { return nil }

func TestDecideWhereTheNamespaceDoesNotGo(t *testing.T) {
	const why = "not federated"
	says := func(message string) verdict {
		return verdict{State: v1beta2.TargetNamespaceNotFederated, Message: message}
	}
	is := func(i intent) func(*observation) { return func(o *observation) { o.intent = i } }
	nobodySays := func(o *observation) { o.intent, o.reason = unfederated, why }
	byName := func(o *observation) { o.named = true }
	for name, test := range map[string]struct {
		changes []func(*observation)
		want    verdict
	}{
		"without a FederatedNamespace what is there stays as it is": {
			[]func(*observation){nobodySays}, says(why + "; what is there stays as it is")},
		"it is not updated": {
			[]func(*observation){nobodySays, func(o *observation) { o.manifest.Hash = "h8" }}, says(why + "; what is there stays as it is")},
		"it is not made anew": {
			[]func(*observation){nobodySays, func(o *observation) { o.live = nil }}, says(why + "; what is there stays as it is")},
		"it is not forgotten while its member is away": {
			[]func(*observation){nobodySays, func(o *observation) { o.member, o.live = nil, nil }}, says(why + "; what is there stays as it is")},
		"what KubeFed has made stays": {
			[]func(*observation){nobodySays, inherited, func(o *observation) { o.record.Hash, o.record.Version, o.live.Annotations = "", "", nil }}, says(why + "; what is there stays as it is")},
		"nothing new is made": {
			[]func(*observation){nobodySays, unwritten}, verdict{Forget: true}},
		"nothing new is made, and who is named says why": {
			[]func(*observation){nobodySays, unwritten, byName}, says(why)},
		"what an earlier engine may have written is not forgotten": {
			[]func(*observation){nobodySays, unwritten, inherited, func(o *observation) { o.cache = memberclient.Filling }}, says(why)},
	} {
		t.Run(name, func(t *testing.T) { check(t, running(), test.changes, test.want) })
	}
	t.Run("a named target says why, once it was left", func(t *testing.T) {
		o := running()
		is(remove)(&o)
		o.leftOut = why
		check(t, o, nil, verdict{Action: deleteObject, State: v1beta2.TargetWaitingForRemoval})
		unwritten(&o)
		check(t, o, nil, says(why))
	})
	t.Run("nothing of what was there is left in its record", func(t *testing.T) {
		o := running()
		is(remove)(&o)
		o.leftOut, o.memberRefusal = why, "foreign"
		want := v1beta2.TargetStatus{Name: "m1", Cluster: "m1", Namespace: "shop", State: v1beta2.TargetNamespaceNotFederated, Message: why}
		if diff := cmp.Diff(want, decide(o).status); diff != "" {
			t.Errorf("status (-want +got):\n%s", diff)
		}
	})
}

func TestWhichTypesAScopeHas(t *testing.T) {
	for name, test := range map[string]struct {
		scope  v1beta1.ResourceScope
		name   string
		target v1beta1.APIResource
		out    bool
	}{
		"whole clusters have all":                         {v1beta1.ClusterScoped, "clusterroles.rbac.authorization.k8s.io", clusterRoles, false},
		"one namespace has what lies in it":               {v1beta1.NamespaceScoped, "configmaps", configMaps, false},
		"one namespace has nothing that lies in none":     {v1beta1.NamespaceScoped, "clusterroles.rbac.authorization.k8s.io", clusterRoles, true},
		"FederatedNamespaces are read, since they narrow": {v1beta1.NamespaceScoped, "namespaces", namespaces, false},
	} {
		t.Run(name, func(t *testing.T) {
			e := &Engine{Config: Config{Scope: test.scope}}
			ftc := &v1beta1.FederatedTypeConfig{ObjectMeta: metav1.ObjectMeta{Name: test.name}, Spec: v1beta1.FederatedTypeConfigSpec{TargetType: test.target}}
			if got := e.isOutOfScope(ftc); got != test.out {
				t.Errorf("out of scope: %v, want %v", got, test.out)
			}
		})
	}
}

// What waits for the cache of FederatedNamespaces is looked at once it is filled.
func TestObjectsAreLookedAtOnceItIsKnownWhereNamespacesGo(t *testing.T) {
	object := &v1beta2.FederatedObject{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}}
	e, v := engineIn(t, world{typed: true, feed: feedOf(t, true)})
	v.kind.name, v.kind.feed = "configmaps", feedOf(t, true, object)
	e.kinds["configmaps"] = v.kind
	e.objects = newObjectQueue()
	defer e.objects.ShutDown()
	e.narrowOnceKnown(e.kinds[namespaceType].feed)
	got, _ := e.objects.Get()
	if want := (objectKey{"configmaps", "shop", "web"}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
