package propagation

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	listersv1beta1 "github.com/koinon-io/koinon/pkg/generated/listers/core/v1beta1"
	federationlisters "github.com/koinon-io/koinon/pkg/generated/listers/federation/v1alpha1"
)

// typeOf is a FederatedTypeConfig of FederatedConfigMaps.
func typeOf(name string) *v1beta1.FederatedTypeConfig {
	ftc := &v1beta1.FederatedTypeConfig{ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: name}}
	ftc.Spec.FederatedType = v1beta1.APIResource{Kind: "FederatedConfigMap", Scope: v1beta1.NamespaceScoped}
	return ftc
}

// countingEngine is an engine that has these types and these cells of namespace shop.
func countingEngine(t *testing.T, types []*v1beta1.FederatedTypeConfig, cells ...*federationv1alpha1.Cell) (e *Engine, typeCache, cellCache cache.Indexer) {
	t.Helper()
	stored := func() cache.Indexer {
		return cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	}
	typeCache, cellCache = stored(), stored()
	for _, ftc := range types {
		if err := typeCache.Add(ftc); err != nil {
			t.Fatal(err)
		}
	}
	for _, cell := range cells {
		if err := cellCache.Add(cell); err != nil {
			t.Fatal(err)
		}
	}
	return newEngine(Config{
		Members: noMembers{},
		Types:   listersv1beta1.NewFederatedTypeConfigLister(typeCache).FederatedTypeConfigs("system"),
		Cells:   federationlisters.NewCellLister(cellCache),
	}), typeCache, cellCache
}

// runs has a kind of a type run.
func (e *Engine) runs(t *testing.T, name string, synced bool, objects ...*v1beta2.FederatedObject) {
	t.Helper()
	k := &kind{name: name, spec: typeOf(name).Spec, federatedNamespaced: true, feed: feedOf(t, synced, objects...)}
	k.target.Namespaced, k.stop = true, func() {}
	e.kinds[name], e.looked[name] = k, true
}

func cellIn(name, member string) *federationv1alpha1.Cell {
	return &federationv1alpha1.Cell{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Spec: federationv1alpha1.CellSpec{ClusterName: member}}
}

// While the objects of another type are listed in the place of those of a kind that was stopped, nobody knows what is in a cell.
func TestWhatIsInACellIsNotKnownWhileAKindIsReplaced(t *testing.T) {
	e, _, _ := countingEngine(t, []*v1beta1.FederatedTypeConfig{typeOf("configmaps")}, cellIn("c1", "m1"))
	known := func(want bool, when string) {
		t.Helper()
		if c := e.takeCensus("shop"); c.complete != want {
			t.Errorf("%s: known %v (%s), want %v", when, c.complete, c.lacks, want)
		}
	}
	e.runs(t, "configmaps", true)
	known(true, "the kind runs")
	e.stopKind("configmaps")
	known(false, "it is stopped")
	e.runs(t, "configmaps", false)
	known(false, "another runs, and is not listed")
	e.runs(t, "configmaps", true)
	known(true, "it is listed")
}

func TestATypeThatIsMadeAnewIsNotTakenForOneThatWasLookedAt(t *testing.T) {
	e, typeCache, _ := countingEngine(t, nil, cellIn("c1", "m1"))
	e.runs(t, "configmaps", true)
	if err := e.syncType(t.Context(), "configmaps"); err != nil {
		t.Fatal(err)
	}
	if err := typeCache.Add(typeOf("configmaps")); err != nil {
		t.Fatal(err)
	}
	if c := e.takeCensus("shop"); c.complete {
		t.Error("what is in the cell is taken for known before the new type was looked at")
	}
}

// A kind whose type is gone runs for a moment yet.
func TestAKindWhoseTypeIsGoneIsCountedOnlyIfItIsListed(t *testing.T) {
	e, _, _ := countingEngine(t, nil, cellIn("c1", "m1"))
	e.runs(t, "configmaps", false)
	if c := e.takeCensus("shop"); c.complete {
		t.Error("what is in the cell is taken for known")
	}
}

// counts is a counter whose looks a test makes, with the cells that it told of.
type counts struct {
	*counter
	told []string
	// taken are the times at which namespaces were counted.
	taken map[string][]time.Time
	clock time.Time
}

func countsOf(e *Engine) *counts {
	c := &counts{taken: map[string][]time.Time{}, clock: time.Unix(0, 0)}
	e.OnCensus = func(_, cell string) { c.told = append(c.told, cell) }
	e.now = func() time.Time { return c.clock }
	c.counter = newCounter(e)
	return c
}

// looks looks so many times, and returns the cells that are told of.
func (c *counts) looks(n int) (told []string) {
	c.told = nil
	for range n {
		c.look()
		for namespace, census := range c.censuses {
			if taken := c.taken[namespace]; len(taken) == 0 || !taken[len(taken)-1].Equal(census.taken) {
				c.taken[namespace] = append(taken, census.taken)
			}
		}
		c.clock = c.clock.Add(recount)
	}
	return c.told
}

// One type that cannot be listed would have every namespace counted all the time.
func TestWhatOnlyLacksATypeIsCountedSeldomAndOnceItIsListed(t *testing.T) {
	e, _, _ := countingEngine(t, []*v1beta1.FederatedTypeConfig{typeOf("configmaps")}, cellIn("c1", "m1"))
	e.runs(t, "configmaps", false)
	c := countsOf(e)
	e.stir("shop")
	e.stir("without-cells")
	c.looks(1)
	if c.stirred["without-cells"] || c.partly["without-cells"] {
		t.Error("a namespace without cells is looked at again")
	}
	if c.looks(4 * seldom); len(c.taken["shop"]) != 5 {
		t.Errorf("it was counted %d times in %d looks, want 5", len(c.taken["shop"]), 4*seldom+1)
	}
	e.runs(t, "configmaps", true)
	if told := c.looks(3); !slices.Equal(told, []string{"c1"}) {
		t.Errorf("once it is listed, told of %v, want c1", told)
	}
}

// movesIn has the engine know a ConfigMap in cell c1 of shop, which is recorded in a member.
func (e *Engine) movesIn(member string) *v1beta2.FederatedObject {
	web := &v1beta2.FederatedObject{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "u1"}}
	web.Spec.TopologyType = v1beta2.TopologyCell
	record := v1beta2.TargetStatus{Name: "c1", Cluster: member, Namespace: "shop-c1", Hash: "h1"}
	e.memories[objectKey{"configmaps", "shop", "web"}] = &memory{uid: "u1", decided: true, records: map[string]v1beta2.TargetStatus{"c1": record}}
	return web
}

// saysMoving has a cell say what is counted in it, and that it moves.
func saysMoving(cell *federationv1alpha1.Cell, t Tally, moving bool) *federationv1alpha1.Cell {
	cell = cell.DeepCopy()
	cell.Status = federationv1alpha1.CellStatus{Objects: new(t.Said())}
	if moving {
		cell.Status.Conditions = []metav1.Condition{{Type: federationv1alpha1.CellMoving, Status: metav1.ConditionTrue}}
	}
	return cell
}

// What a cell says may have been so before a start: until it was told of, nobody knows better.
func TestAfterAStartACellIsToldOfAMoveThatGoesOnAndOfOneThatIsOver(t *testing.T) {
	for name, test := range map[string]struct {
		recorded string // where the object is, while the cell is in m2
		says     bool
		told     bool
		waits    string
	}{
		"the move goes on, and the cell says so":      {"m1", true, true, "FederatedConfigMap shop/web (Pending)"},
		"the move goes on, and the cell says nothing": {"m1", false, true, "FederatedConfigMap shop/web (Pending)"},
		"it is over, and the cell does not know":      {"m2", true, true, ""},
		"it is over, and the cell says so":            {"m2", false, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cell := cellIn("c1", "m2")
			e, _, cellCache := countingEngine(t, []*v1beta1.FederatedTypeConfig{typeOf("configmaps")}, cell)
			e.runs(t, "configmaps", true, e.movesIn(test.recorded))
			if err := cellCache.Add(saysMoving(cell, e.takeCensus("shop").cells["c1"].Tally, test.says)); err != nil {
				t.Fatal(err)
			}
			c := countsOf(e)
			if waits, told := e.Waits("shop", "c1"); told {
				t.Errorf("before it was looked at, told %q", waits)
			}
			c.looks(5)
			if waits, told := e.Waits("shop", "c1"); waits != test.waits || told != test.told {
				t.Errorf("got %q, told %v, want %q, %v", waits, told, test.waits, test.told)
			}
			if (len(c.told) > 0) != test.told {
				t.Errorf("told of %v, want %v", c.told, test.told)
			}
		})
	}
}

// What is not known is no object that a cell waits for.
func TestWhatIsNotKnownForLongIsToldOnceAndIsNotWhatACellWaitsFor(t *testing.T) {
	cell := cellIn("c1", "m2")
	e, _, _ := countingEngine(t, []*v1beta1.FederatedTypeConfig{typeOf("configmaps"), typeOf("secrets")}, cell)
	e.runs(t, "configmaps", true, e.movesIn("m1"))
	e.runs(t, "secrets", false)
	c := countsOf(e)
	if told := c.looks(10 * seldom); !slices.Equal(told, []string{"c1"}) {
		t.Errorf("while a type is not listed, told of %v, want c1 once", told)
	}
	if waits, told := e.Waits("shop", "c1"); told {
		t.Errorf("while a type is not listed, it waits for %q", waits)
	}
	e.runs(t, "secrets", true)
	if told := c.looks(3); !slices.Contains(told, "c1") {
		t.Errorf("once it is listed, told of %v, want c1", told)
	}
	if waits, _ := e.Waits("shop", "c1"); waits != "FederatedConfigMap shop/web (Pending)" {
		t.Errorf("once it is listed, it waits for %q", waits)
	}
}

// Whatever is not known, not all cells that wait are told of it, and written, in one moment.
func TestWhatIsNotKnownForLongIsToldToAFewCellsAtATime(t *testing.T) {
	found := &census{taken: time.Unix(0, 0).Add(unlistedPatience), since: time.Unix(0, 0), lacks: "the objects of a type are not known", cells: map[string]*tally{}}
	for i := range mostTold + 1 {
		found.cells[fmt.Sprint(i)] = &tally{Tally: Tally{Waits: "web"}}
	}
	e, _, _ := countingEngine(t, nil)
	c := countsOf(e)
	for want := range 3 {
		c.told, c.room = nil, mostTold
		c.tellLasting("shop", found)
		if got := len(c.told); got != []int{mostTold, 1, 0}[want] {
			t.Errorf("at recount %d told of %d cells", want, got)
		}
	}
}

func TestObjectsThatWereNotLookedAtAreNotNamed(t *testing.T) {
	e, _, _ := countingEngine(t, []*v1beta1.FederatedTypeConfig{typeOf("configmaps")}, cellIn("c1", "m1"))
	var objects []*v1beta2.FederatedObject
	for i := range 20 {
		objects = append(objects, &v1beta2.FederatedObject{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprint("web-", i)}})
	}
	e.runs(t, "configmaps", true, objects...)
	said := map[string]bool{}
	for range 20 {
		said[e.takeCensus("shop").lacks] = true
	}
	if len(said) != 1 {
		t.Errorf("20 looks say %d different things: %v", len(said), slices.Collect(maps.Keys(said)))
	}
}

// An object that has arrived says of which other it waits, or what is not known.
func TestAnObjectThatHasArrivedSaysWhatItWaitsFor(t *testing.T) {
	for name, test := range map[string]struct {
		recorded string // where the other object is, while the cell is in m2
		listed   bool   // the objects of another type are
		arrived  bool
		want     string
	}{
		"for another":                       {"m1", true, false, "; it waits for FederatedConfigMap shop/web (Pending)"},
		"for another, and not all is known": {"m1", false, false, "; it waits for FederatedConfigMap shop/web (Pending)"},
		"not all is known":                  {"m2", false, false, `: the objects of the type "secrets" are not known: they are being listed; correct that, or delete the FederatedTypeConfig if nothing of the type is needed`},
		"for nothing":                       {"m2", true, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e, _, _ := countingEngine(t, []*v1beta1.FederatedTypeConfig{typeOf("configmaps"), typeOf("secrets")}, cellIn("c1", "m2"))
			e.runs(t, "configmaps", true, e.movesIn(test.recorded))
			e.runs(t, "secrets", test.listed)
			now := time.Unix(0, 0)
			e.now = func() time.Time { return now }
			v := viewOf("shop", v1beta2.TopologyCell, configMaps)
			v.key.name = "settings"
			e.othersArrived(v, "c1")
			now = now.Add(2 * unlistedPatience)
			if arrived, why := e.othersArrived(v, "c1"); arrived != test.arrived || why != test.want {
				t.Errorf("arrived %v, %q, want %v, %q", arrived, why, test.arrived, test.want)
			}
		})
	}
}

// What was counted moments before a cell was deleted does not say that nothing is in it.
func TestACellThatIsDeletedMomentsAfterItWasFilledIsCountedAnew(t *testing.T) {
	for name, before := range map[string][]*federationv1alpha1.Cell{"it was counted empty": {cellIn("c1", "m1")}, "it was not there when others were counted": {cellIn("c2", "m1")}} {
		t.Run(name, func(t *testing.T) {
			e, _, cellCache := countingEngine(t, []*v1beta1.FederatedTypeConfig{typeOf("configmaps")}, before...)
			now := time.Unix(0, 0)
			e.now = func() time.Time { return now }
			e.runs(t, "configmaps", true)
			e.Census("shop", "c1")
			e.runs(t, "configmaps", true, e.movesIn("m1"))
			deleted := cellIn("c1", "m1")
			deleted.DeletionTimestamp = new(metav1.Unix(0, 0))
			if err := cellCache.Add(deleted); err != nil {
				t.Fatal(err)
			}
			now = now.Add(censusAge / 2)
			if got, known, _ := e.Census("shop", "c1"); !known || got.Held != 1 {
				t.Errorf("%d are held, known %v, want 1", got.Held, known)
			}
		})
	}
}
