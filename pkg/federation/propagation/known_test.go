package propagation

import (
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
	k.stop = func() {}
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
	c := &counts{counter: newCounter(e), taken: map[string][]time.Time{}, clock: time.Unix(0, 0)}
	e.OnCensus = func(_, cell string) { c.told = append(c.told, cell) }
	e.now = func() time.Time { return c.clock }
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
