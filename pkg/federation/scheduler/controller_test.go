package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/membership"
	"github.com/koinon-io/koinon/pkg/federation/propagation"
	"github.com/koinon-io/koinon/pkg/federation/replicas"
	"github.com/koinon-io/koinon/pkg/generated/clientset/versioned/fake"
	listersv1alpha1 "github.com/koinon-io/koinon/pkg/generated/listers/scheduling/v1alpha1"
)

var web = key{"FederatedDeployment", "shop", "web"}

// world is one federated object, with targets, and what was patched.
type world struct {
	*testing.T
	*Controller
	object   *v1beta2.FederatedObject
	targets  []propagation.SightTarget
	settings Settings
	client   *fake.Clientset
	cached   cache.Indexer
	patches  []string
	refuse   error
	unlooked bool
}

func (w *world) Kind(federatedKind string) (string, bool) {
	if w.unlooked {
		return "", false
	}
	return map[string]string{"FederatedDeployment": "deployments.apps", "FederatedReplicaSet": "replicasets.apps"}[federatedKind], true
}
func (w *world) Synced(string) bool { return true }
func (w *world) Get(kind, _, _ string) *v1beta2.FederatedObject {
	if kind != "deployments.apps" {
		return nil
	}
	return w.object
}

func (w *world) Look(kind, namespace, name string) (*propagation.Sight, error) {
	return &propagation.Sight{Federated: w.Get(kind, namespace, name), Topology: "cluster", Source: "shop/web", Targets: w.targets}, nil
}

// Patch merges what the scheduler sends: placement and overrides are replaced as a whole.
func (w *world) Patch(_ context.Context, kind, _, _, manager string, patch []byte) error {
	if kind != "deployments.apps" || manager != fieldManager {
		w.Errorf("patched %s as %s", kind, manager)
	}
	if w.refuse != nil {
		return w.refuse
	}
	var p struct {
		Metadata struct {
			ResourceVersion string
			Annotations     map[string]*string
		}
		Spec struct {
			Placement *v1beta2.Placement
			Overrides []v1beta2.Override
		}
	}
	if err := json.Unmarshal(patch, &p); err != nil {
		return err
	}
	if p.Metadata.ResourceVersion != w.object.ResourceVersion {
		return fmt.Errorf("patched version %s", p.Metadata.ResourceVersion)
	}
	w.patches = append(w.patches, string(patch))
	w.object = w.object.DeepCopy()
	w.object.ResourceVersion += "1"
	w.object.Spec.Overrides = p.Spec.Overrides
	if p.Spec.Placement != nil {
		merged := v1beta2.Placement{}
		if w.object.Spec.Placement != nil {
			merged = *w.object.Spec.Placement
		}
		merged.Topologies = p.Spec.Placement.Topologies
		w.object.Spec.Placement = &merged
	}
	w.object.Annotations = nil
	if record := p.Metadata.Annotations[v1alpha1.ReplicaSchedulingAnnotation]; record != nil {
		w.object.Annotations = map[string]string{v1alpha1.ReplicaSchedulingAnnotation: *record}
	}
	return nil
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		T: t, settings: Settings{Enabled: true, Delays: replicas.Delays{Unavailable: time.Minute, Available: 20 * time.Second}},
		client: fake.NewSimpleClientset(), //nolint:staticcheck // the other one needs schemas that are not generated
		cached: cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}),
		object: &v1beta2.FederatedObject{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "u", ResourceVersion: "1"}},
	}
	for _, name := range []string{"m1", "m2"} {
		w.targets = append(w.targets, propagation.SightTarget{
			Candidate: placement.Candidate{Name: name, Member: name}, Known: true, Member: &membership.Member{Name: name, Health: membership.Ready},
		})
	}
	var err error
	w.Controller, err = New(Config{
		Objects: w, Preferences: listersv1alpha1.NewReplicaSchedulingPreferenceLister(w.cached),
		Client: w.client.KubeFedSchedulingV1alpha1(), Settings: func() Settings { return w.settings },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.prefer("FederatedDeployment")
	w.sync()
	if got := w.replicas(); got != "m1=5 m2=5" {
		t.Fatalf("at first: got %s, want m1=5 m2=5", got)
	}
	return w
}

func (w *world) stored() interface {
	Get(context.Context, string, metav1.GetOptions) (*v1alpha1.ReplicaSchedulingPreference, error)
	Delete(context.Context, string, metav1.DeleteOptions) error
} {
	return w.client.KubeFedSchedulingV1alpha1().ReplicaSchedulingPreferences("shop")
}

// prefer makes the preference one for a kind, in the cache and past it.
func (w *world) prefer(kind string) {
	w.Helper()
	preference := &v1alpha1.ReplicaSchedulingPreference{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", Generation: 1},
		Spec:       v1alpha1.ReplicaSchedulingPreferenceSpec{TargetKind: kind, TotalReplicas: 10},
	}
	_ = w.stored().Delete(w.Context(), "web", metav1.DeleteOptions{})
	if _, err := w.client.KubeFedSchedulingV1alpha1().ReplicaSchedulingPreferences("shop").Create(w.Context(), preference, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
	if err := w.cached.Update(preference); err != nil {
		w.Fatal(err)
	}
}

func (w *world) sync() {
	w.Helper()
	if err := w.Controller.sync(w.Context(), web); err != nil {
		w.Fatal(err)
	}
	// The cache shows what was said, if it shows the preference.
	stored, err := w.stored().Get(w.Context(), "web", metav1.GetOptions{})
	if cached, _ := w.Preferences.ReplicaSchedulingPreferences("shop").Get("web"); cached != nil && err == nil {
		cached = cached.DeepCopy()
		cached.Status = stored.Status
		_ = w.cached.Update(cached)
	}
}

func (w *world) replicas() string {
	var parts []string
	for _, o := range w.object.Spec.Overrides {
		for _, p := range o.TopologyOverrides {
			if p.Path == "/spec/replicas" {
				parts = append(parts, o.TopologyName+"="+string(p.Value))
			}
		}
	}
	return strings.Join(parts, " ")
}

func (w *world) condition() string {
	w.Helper()
	preference, err := w.stored().Get(w.Context(), "web", metav1.GetOptions{})
	if err != nil {
		w.Fatal(err)
	}
	if len(preference.Status.Conditions) == 0 {
		return ""
	}
	return preference.Status.Conditions[0].Reason
}

func TestWhatIsWrittenIsTakenBack(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*world)
		want   string // of replicas
		reason string // of the condition, if there is a preference
	}{
		"kubefed#1066: the preference is deleted": {change: func(w *world) {
			_ = w.stored().Delete(w.Context(), "web", metav1.DeleteOptions{})
			_ = w.cached.Delete(&v1alpha1.ReplicaSchedulingPreference{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}})
		}},
		"a preference that only the cache does not show keeps what it has": {change: func(w *world) {
			_ = w.cached.Delete(&v1alpha1.ReplicaSchedulingPreference{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}})
		}, want: "m1=5 m2=5", reason: v1alpha1.ReasonPlaced},
		"the preference is for another kind":                {change: func(w *world) { w.prefer("FederatedReplicaSet") }},
		"the feature gate is disabled":                      {change: func(w *world) { w.settings.Enabled = false }, reason: v1alpha1.ReasonDisabled},
		"the object names groups":                           {change: func(w *world) { w.object.Spec.TopologyType = "cell:zone" }, reason: v1alpha1.ReasonGrouped},
		"the object leaves replicas to its members":         {change: func(w *world) { w.object.Spec.RetainReplicas = new(true) }, reason: v1alpha1.ReasonRetainReplicas},
		"a member goes for a moment: nothing changes":       {change: func(w *world) { w.targets[0].Member = &membership.Member{Health: membership.Offline} }, want: "m1=5 m2=5", reason: v1alpha1.ReasonPlaced},
		"members are being set up: nothing changes":         {change: func(w *world) { w.targets[0].Known, w.targets[0].Member = false, nil }, want: "m1=5 m2=5", reason: v1alpha1.ReasonPlaced},
		"the cluster is gone for a moment: nothing changes": {change: func(w *world) { w.targets = w.targets[1:] }, want: "m1=5 m2=5", reason: v1alpha1.ReasonPlaced},
		"the namespace does not go there any more":          {change: func(w *world) { w.targets[0].Outside = true }, want: "m2=10", reason: v1alpha1.ReasonPlaced},
		"the namespace is not federated any more: nothing changes": {change: func(w *world) {
			for i := range w.targets {
				w.targets[i].Unfederated = "nobody federates it"
			}
		}, want: "m1=5 m2=5", reason: v1alpha1.ReasonLimited},
		"another tenant has a member for a moment: nothing changes": {change: func(w *world) { w.targets[0].Refusal = "it is another tenant's" }, want: "m1=5 m2=5", reason: v1alpha1.ReasonPlaced},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			test.change(w)
			w.sync()
			if got := w.replicas(); got != test.want {
				t.Errorf("got replicas %q, want %q", got, test.want)
			}
			if test.want == "" {
				if w.object.Annotations != nil || len(w.object.Spec.Placement.Topologies) != 2 {
					t.Errorf("got annotations %v and placement %v, want none, and the last one", w.object.Annotations, w.object.Spec.Placement)
				}
			}
			if test.reason != "" && w.condition() != test.reason {
				t.Errorf("got reason %q, want %q", w.condition(), test.reason)
			}
			patches := len(w.patches)
			w.sync()
			if len(w.patches) != patches {
				t.Errorf("written again: %s", w.patches[patches])
			}
		})
	}
}

// Labels of a namespace and of a member that are changed together are seen one after the other: in between the member is another
// tenant's. Who left the placement then would be deleted there.
func TestATargetOfAnotherTenantLeavesThePlacementOnlyIfItStaysThat(t *testing.T) {
	w := newWorld(t)
	now := time.Now()
	w.Controller.now = func() time.Time { return now }
	patches := len(w.patches)
	for range 3 {
		w.targets[0].Refusal = "it is another tenant's"
		w.sync()
		now = now.Add(40 * time.Second)
		w.sync()
		w.targets[0].Refusal = ""
		w.sync()
	}
	if len(w.patches) != patches {
		t.Errorf("patched %s", w.patches[patches:])
	}
	w.targets[0].Refusal = "it is another tenant's"
	w.sync()
	now = now.Add(time.Minute)
	w.sync()
	if got := w.replicas(); got != "m2=10" || len(w.object.Spec.Placement.Topologies) != 1 {
		t.Errorf("got replicas %s and placement %v", got, w.object.Spec.Placement)
	}
}

func TestAPatchHasNothingButPlacementAndOverrides(t *testing.T) {
	w := newWorld(t)
	want := `{"metadata":{"annotations":{"federation.koinon.io/replica-scheduling":`
	if len(w.patches) != 1 || !strings.HasPrefix(w.patches[0], want) || !strings.Contains(w.patches[0], `"resourceVersion":"1","uid":"u"},"spec":{"overrides":[`) ||
		strings.Contains(w.patches[0], "template") || strings.Contains(w.patches[0], "placementMask") {
		t.Errorf("got %s", w.patches)
	}
}

func TestWhoWroteInBetweenIsNotOverwritten(t *testing.T) {
	w := newWorld(t)
	w.settings.Enabled = false
	w.refuse = errors.New("conflict")
	if err := w.Controller.sync(t.Context(), web); !errors.Is(err, w.refuse) {
		t.Errorf("got %v, want it tried again", err)
	}
}

func TestThePlacementOfTheObjectLimits(t *testing.T) {
	w := newWorld(t)
	w.targets[0].Labels = map[string]string{"zone": "a"}
	w.object.Spec.Placement.TopologySelector = &metav1.LabelSelector{MatchLabels: map[string]string{"zone": "a"}}
	w.sync()
	if got := w.replicas(); got != "m1=5 m2=5" {
		t.Errorf("without intersection: got %s, want m1=5 m2=5", got)
	}
	stored, err := w.Preferences.ReplicaSchedulingPreferences("shop").Get("web")
	if err != nil {
		t.Fatal(err)
	}
	changed := stored.DeepCopy()
	changed.Spec.IntersectWithClusterSelector = true
	if err := w.cached.Update(changed); err != nil {
		t.Fatal(err)
	}
	w.sync()
	if got := w.replicas(); got != "m1=10" || w.object.Spec.Placement.TopologySelector == nil {
		t.Errorf("with intersection: got %s and placement %v, want m1=10, and the selector still there", got, w.object.Spec.Placement)
	}
}

func TestAPreferenceWithoutAnObjectSaysSo(t *testing.T) {
	w := newWorld(t)
	w.object = nil
	w.sync()
	if got := w.condition(); got != v1alpha1.ReasonNoObject {
		t.Errorf("got %q, want %q", got, v1alpha1.ReasonNoObject)
	}
}

func TestTheUnavailableDelayCountsFromWhenTheMemberWent(t *testing.T) {
	w := newWorld(t)
	at := time.Now()
	w.now = func() time.Time { return at }
	offline := &membership.Member{Name: "m1", Health: membership.Offline}
	w.targets[0].Member = offline
	w.MemberChanged("m1", offline)
	at = at.Add(59 * time.Second)
	w.sync()
	if got := w.replicas(); got != "m1=5 m2=5" {
		t.Errorf("before the delay: got %s, want m1=5 m2=5", got)
	}
	at = at.Add(time.Second)
	w.sync()
	if got := w.replicas(); got != "m1=5 m2=10" {
		t.Errorf("after it: got %s, want m1=5 m2=10", got)
	}
	w.targets[0].Member = &membership.Member{Name: "m1", Health: membership.Ready}
	w.MemberChanged("m1", w.targets[0].Member)
	at = at.Add(19 * time.Second)
	w.sync()
	if got := w.replicas(); got != "m1=5 m2=10" {
		t.Errorf("back for a moment: got %s, want m1=5 m2=10", got)
	}
	at = at.Add(time.Second)
	w.sync()
	if got := w.replicas(); got != "m1=5 m2=5" {
		t.Errorf("back: got %s, want m1=5 m2=5", got)
	}
}

// TestNothingIsSaidBeforeTheTypesAreKnown: each restart would say that there is no object.
func TestNothingIsSaidBeforeTheTypesAreKnown(t *testing.T) {
	w := newWorld(t)
	w.unlooked = true
	w.sync()
	if got := w.condition(); got != v1alpha1.ReasonPlaced {
		t.Errorf("got %q, want %q", got, v1alpha1.ReasonPlaced)
	}
}

// TestChangesAreGathered: each look is at every target.
func TestChangesAreGathered(t *testing.T) {
	w := newWorld(t)
	for range 100 {
		w.ObjectChanged("deployments.apps", "shop", "web", true)
		w.ObjectChanged("deployments.apps", "shop", "web", false)
	}
	w.EverythingChanged()
	if got := w.queue.Len(); got != 0 {
		t.Errorf("%d objects are looked at at once", got)
	}
}

func TestTooManyTargetsAreSaid(t *testing.T) {
	w := newWorld(t)
	for i := range 1000 {
		name := fmt.Sprintf("m%03d%s", i, strings.Repeat("x", 150))
		w.targets = append(w.targets, propagation.SightTarget{
			Candidate: placement.Candidate{Name: name, Member: name}, Known: true, Member: &membership.Member{Name: name, Health: membership.Ready},
		})
	}
	stored, err := w.Preferences.ReplicaSchedulingPreferences("shop").Get("web")
	if err != nil {
		t.Fatal(err)
	}
	changed := stored.DeepCopy()
	changed.Spec.TotalReplicas = 2000
	if err := w.cached.Update(changed); err != nil {
		t.Fatal(err)
	}
	w.sync()
	if got := w.replicas(); got != "m1=5 m2=5" || w.condition() != v1alpha1.ReasonInvalid {
		t.Errorf("got %s and reason %s, want nothing written, and %s", got, w.condition(), v1alpha1.ReasonInvalid)
	}
}
