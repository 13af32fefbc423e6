package propagation

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/render"
)

func TestWhichOrphansMayBeReleased(t *testing.T) {
	cell := ownership.UnitOwner(v1beta2.TopologyCell, "shop", "rz00a")
	for name, test := range map[string]struct {
		change func(*orphan)
		want   bool
	}{
		"one whose federated object is gone":                         {func(*orphan) {}, true},
		"one in a cell of its namespace":                             {func(o *orphan) { o.home, o.holder = "shop-rz00a", cell }, true},
		"one in a namespace that nobody holds any more":              {func(o *orphan) { o.held = false }, true},
		"one that has no namespace":                                  {func(o *orphan) { o.home, o.held = "", false }, true},
		"none while it is not known whether there is one":            {func(o *orphan) { o.known = false }, false},
		"none that is gone":                                          {func(o *orphan) { o.live = nil }, false},
		"none in a member that is not well":                          {func(o *orphan) { o.memberWell = false }, false},
		"none in a member of another tenant":                         {func(o *orphan) { o.refusal = "theirs" }, false},
		"none of another federation":                                 {func(o *orphan) { o.live.Annotations[federationv1alpha1.FederationAnnotation] = "f2" }, false},
		"none that names no federation":                              {func(o *orphan) { delete(o.live.Annotations, federationv1alpha1.FederationAnnotation) }, false},
		"none that KubeFed has written":                              {func(o *orphan) { o.live.Annotations = nil }, false},
		"no namespace that was made since something is placed in it": {func(o *orphan) { o.live.Annotations[render.SourceAnnotation] = render.NoSource }, false},
		"none that was released":                                     {func(o *orphan) { o.live.Labels = nil }, false},
		"none in a namespace that is somebody else's by now":         {func(o *orphan) { o.holder = ownership.NamespaceOwner("other") }, false},
		"none in another namespace that nobody holds":                {func(o *orphan) { o.home, o.held = "other", false }, false},
		"none in a cell of another namespace, whatever it is called": {func(o *orphan) { o.holder = ownership.UnitOwner(v1beta2.TopologyCell, "other", "shop") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := orphan{
				live: ourObject(), source: objectKey{"configmaps", "shop", "web"}, known: true, federation: "f1", memberWell: true,
				home: "shop", holder: ownership.NamespaceOwner("shop"), held: true,
			}
			test.change(&o)
			if got := o.mayBeReleased(); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestWhatIsReleasedIsTheOrphanAsItWasSeen(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*unstructured.Unstructured)
		want   bool
	}{
		"it is as it was":                   {func(*unstructured.Unstructured) {}, true},
		"it was made anew":                  {func(u *unstructured.Unstructured) { u.SetUID("u2") }, false},
		"it lost our marks":                 {func(u *unstructured.Unstructured) { u.SetAnnotations(nil) }, false},
		"another federation has taken it":   {annotate(federationv1alpha1.FederationAnnotation, "f2"), false},
		"it names another federated object": {annotate(render.SourceAnnotation, "shop/other"), false},
	} {
		t.Run(name, func(t *testing.T) {
			live := ourObject()
			there := &unstructured.Unstructured{Object: map[string]any{}}
			there.SetUID(live.UID)
			there.SetAnnotations(live.Annotations)
			test.change(there)
			if got := (orphan{live: live, federation: "f1"}).isStill(there); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
	if (orphan{live: ourObject(), federation: "f1"}).isStill(nil) {
		t.Error("what is not there was released")
	}
}

func TestWhatIsOlderThanItsTypeIsAskedForOnce(t *testing.T) {
	r, key := newReleases(), orphanKey{"m1", "configmaps", "shop", "a"}
	if r.keeps(key, "u1") {
		t.Error("it is kept before anybody has looked")
	}
	r.keep(key, "u1")
	if !r.keeps(key, "u1") || r.keeps(key, "u2") || r.keeps(orphanKey{"m1", "configmaps", "shop", "b"}, "u1") {
		t.Error("kept is another object than the one that is older")
	}
}

func annotate(key, value string) func(*unstructured.Unstructured) {
	return func(u *unstructured.Unstructured) {
		annotations := u.GetAnnotations()
		annotations[key] = value
		u.SetAnnotations(annotations)
	}
}

// TestOrphansThatWaitAreLookedAtTwiceAtMost: a member that is back may have a thousand.
func TestOrphansThatWaitAreLookedAtTwiceAtMost(t *testing.T) {
	const orphans = 1000
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r, due := newReleases(), map[time.Duration][]orphanKey{}
	for i := range orphans {
		due[0] = append(due[0], orphanKey{"m1", "configmaps", "shop", fmt.Sprint(i)})
	}
	looks, released, last := 0, 0, time.Duration(0)
	for len(due) > 0 {
		now := earliest(due)
		keys := due[now]
		delete(due, now)
		for _, key := range keys {
			looks++
			if wait := r.wait(key, start.Add(now)); wait > 0 {
				due[now+wait] = append(due[now+wait], key)
				continue
			}
			released, last = released+1, now
		}
	}
	if released != orphans || looks > 2*orphans {
		t.Errorf("%d of %d were released in %d looks", released, orphans, looks)
	}
	if want := (orphans - orphansPerSecond) * time.Second / orphansPerSecond; last.Round(time.Millisecond) != want {
		t.Errorf("the last was released after %s, want %s", last, want)
	}
	if len(r.turns) > 0 {
		t.Errorf("turns are left: %v", r.turns)
	}
}

func earliest(due map[time.Duration][]orphanKey) time.Duration {
	return slices.Min(slices.Collect(maps.Keys(due)))
}

func TestAnOrphanThatWaitsKeepsItsTurn(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r, key := newReleases(), orphanKey{"m1", "configmaps", "shop", "web"}
	for i := range orphansPerSecond {
		if wait := r.wait(orphanKey{name: fmt.Sprint(i)}, now); wait != 0 {
			t.Fatalf("the first ones wait for %s", wait)
		}
	}
	turn := r.wait(key, now)
	if turn <= 0 {
		t.Fatal("it does not wait")
	}
	if again := r.wait(key, now); again != turn {
		t.Errorf("looked at too early, it waits for %s, want %s", again, turn)
	}
	if wait := r.wait(key, now.Add(turn)); wait != 0 {
		t.Errorf("at its turn, it waits for %s", wait)
	}
	if wait := r.wait(key, now.Add(turn)); wait <= 0 {
		t.Error("its turn counts twice")
	}
	r.forgo(key)
	if len(r.turns) > 0 {
		t.Errorf("turns are left: %v", r.turns)
	}
}
