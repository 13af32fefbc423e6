package propagation_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// bank is six cells in two cities, each city a member, with one application in all of them.
type bank struct {
	*fixture
	// image, replicas, cells that are named, and what else the spec says; see release.
	image     string
	placement string
	mask      string
	overrides []string
}

// bankCells are the cells of the bank, with their members.
var bankCells = map[string]string{"hz1": "m1", "hz2": "m1", "hz3": "m1", "sh1": "m2", "sh2": "m2", "sh3": "m2"}

func openBank(t *testing.T) *bank {
	t.Helper()
	b := &bank{fixture: start(t), placement: `{topologySelector: {}}`}
	var manifests []string
	for _, cell := range slices.Sorted(maps.Keys(bankCells)) {
		manifests = append(manifests, fmt.Sprintf(`
apiVersion: federation.koinon.io/v1alpha1
kind: Cell
metadata: {name: %s, namespace: %s, labels: {city: %s}}
spec: {clusterName: %s}`, cell, b.namespace, cell[:2], bankCells[cell]))
	}
	b.apply(strings.Join(manifests, "\n---"))
	return b
}

// release writes the application.
func (b *bank) release() {
	b.Helper()
	mask := ""
	if b.mask != "" {
		mask = "  placementMask: " + b.mask
	}
	b.deployment(2, b.placement, fmt.Sprintf("%s\n  overrides: [%s]", mask, strings.Join(append([]string{
		fmt.Sprintf(`{topologySelector: {}, topologyOverrides: [{path: /spec/template/spec/containers/0/image, value: %q}]}`, b.image),
	}, b.overrides...), ", ")))
}

// runs waits until the status says of every cell whether it is masked, and compares what cells run:
// IMAGE, or IMAGE*REPLICAS where it is not two. Cells that are not named have nothing, and no entry.
func (b *bank) runs(what string, want map[string]string, masked ...string) *v1beta2.FederatedObject {
	b.Helper()
	var states []string
	for _, cell := range slices.Sorted(maps.Keys(want)) {
		states = append(states, cell, "")
		if slices.Contains(masked, cell) {
			states[len(states)-1] = string(v1beta2.TargetMasked)
		}
	}
	object := b.states("federateddeployments", "web", states...)
	for cell, member := range bankCells {
		image := want[cell]
		if image == "" || image == nothingThere {
			b.absent(member, deployments, b.in(cell), "web")
			continue
		}
		there := b.object(member, deployments, b.in(cell), "web")
		containers := field(there, "spec", "template", "spec", "containers")
		replicas := "2"
		image, other, ok := strings.Cut(image, "*")
		if ok {
			replicas = other
		}
		if got := field(there, "spec", "replicas"); got != replicas || !strings.Contains(containers, fmt.Sprintf(`"image":%q`, image)) {
			b.Errorf("%s: cell %s runs %s replicas of %s, want %s of %s", what, cell, got, containers, replicas, image)
		}
	}
	return object
}

// nothingThere is what runs in a cell that has an entry and no object.
const nothingThere = "nothing"

func everyCell(image string, others ...string) map[string]string {
	cells := map[string]string{}
	for cell := range bankCells {
		cells[cell] = image
	}
	for i := 0; i < len(others); i += 2 {
		cells[others[i]] = others[i+1]
	}
	return cells
}

// versions are those of what all cells have, but for what the member's own controllers write.
func (b *bank) versions() map[string]string {
	b.Helper()
	versions := map[string]string{}
	for cell, member := range bankCells {
		list, err := b.member(member).Resource(deployments).Namespace(b.in(cell)).List(b.Context(), metav1.ListOptions{})
		if err != nil {
			b.Fatal(err)
		}
		for _, there := range list.Items {
			versions[cell] = fmt.Sprintf("%s of generation %d", there.GetUID(), there.GetGeneration())
		}
	}
	return versions
}

// A bank releases cell by cell, stops, goes on, goes back, loses a city and has it back. At every
// step cells that the mask does not name are left as they are, whatever else happens.
func TestABankReleasesCellByCellAndSurvivesACity(t *testing.T) {
	b := openBank(t)
	b.image = "bank:1"
	b.release()
	b.runs("the first release", everyCell("bank:1"))

	// Gray release: one cell first.
	b.image, b.mask = "bank:2", `{topologies: [{name: hz1}]}`
	b.release()
	others := []string{"hz2", "hz3", "sh1", "sh2", "sh3"}
	object := b.runs("one cell", everyCell("bank:1", "hz1", "bank:2"), others...)
	if open, waiting := b.target(object, "hz1"), b.target(object, "sh1"); open.Generation != object.Generation || waiting.Generation >= object.Generation {
		t.Errorf("hz1 runs generation %d and sh1 %d of %d", open.Generation, waiting.Generation, object.Generation)
	}

	// Whatever is written meanwhile waits: an override, a cell that is taken out, a new one; and what
	// somebody changes in a member stays as it is.
	before := b.versions()
	b.overrides = []string{`{topologyName: sh1, topologyOverrides: [{path: /spec/replicas, value: 5}]}`}
	b.placement = `{topologies: [{name: hz1}, {name: hz2}, {name: hz3}, {name: sh1}, {name: sh2}]}`
	b.release()
	b.runs("changes that wait", everyCell("bank:1", "hz1", "bank:2"), others...)
	if got := b.versions(); !maps.Equal(got, before) {
		t.Errorf("cells were written to: %v, before %v", got, before)
	}
	if _, err := b.member("m1").Resource(deployments).Namespace(b.in("hz2")).Patch(t.Context(), "web", types.MergePatchType,
		[]byte(`{"spec":{"replicas":9}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}

	// The controllers are started anew in the middle, and a city leaves and comes back.
	before = b.versions()
	b.stop()
	b.run()
	kubeconfigs := b.koinon.KubeFedCoreV1beta1().KubeFedClusters(system)
	if err := kubeconfigs.Delete(t.Context(), "m2", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	b.eventually("the city is gone", func() error {
		_, err := kubeconfigs.Get(t.Context(), "m2", metav1.GetOptions{})
		if err == nil {
			return fmt.Errorf("it is there")
		}
		return nil
	})
	b.join("m2", members["m2"].Get(t))
	b.ready("m2")
	b.runs("the city is back", everyCell("bank:1", "hz1", "bank:2", "hz2", "bank:1*9"), others...)
	if got := b.versions(); !maps.Equal(got, before) {
		t.Errorf("a restart and a city that came back had cells written to: %v, before %v", got, before)
	}

	// On to the whole city, by its label; back, and forward again.
	b.mask = `{topologySelector: {matchLabels: {city: hz}}}`
	b.release()
	b.runs("one city", everyCell("bank:1", "hz1", "bank:2", "hz2", "bank:2", "hz3", "bank:2"), "sh1", "sh2", "sh3")
	b.image = "bank:1"
	b.release()
	b.runs("back", everyCell("bank:1"), "sh1", "sh2", "sh3")
	b.image = "bank:3"
	b.release()
	b.runs("forward", everyCell("bank:1", "hz1", "bank:3", "hz2", "bank:3", "hz3", "bank:3"), "sh1", "sh2", "sh3")

	// Everywhere: what waited is done, and the cell that was taken out is left.
	b.mask = ""
	b.release()
	all := everyCell("bank:3", "sh1", "bank:3*5")
	delete(all, "sh3")
	b.runs("everywhere", all)

	// Disaster release: one city takes all, and the other one is frozen as it is. Nothing new begins there.
	b.mask, b.placement = `{topologySelector: {matchLabels: {city: hz}}}`, `{topologySelector: {}}`
	b.image, b.overrides = "bank:4", []string{`{topologySelector: {matchLabels: {city: hz}}, topologyOverrides: [{path: /spec/replicas, value: 7}]}`}
	b.release()
	disaster := everyCell("bank:4*7", "sh1", "bank:3*5", "sh2", "bank:3", "sh3", nothingThere)
	b.runs("disaster", disaster, "sh1", "sh2", "sh3")

	// Frozen: a mask that names nobody.
	b.mask, b.image = `{topologies: []}`, "bank:5"
	b.release()
	b.runs("frozen", disaster, slices.Collect(maps.Keys(bankCells))...)

	// And home again, one city after the other.
	b.mask, b.overrides = `{topologySelector: {matchLabels: {city: sh}}}`, nil
	b.release()
	b.runs("the other city", everyCell("bank:4*7", "sh1", "bank:5", "sh2", "bank:5", "sh3", "bank:5"), "hz1", "hz2", "hz3")
	b.mask = ""
	b.release()
	b.runs("home", everyCell("bank:5"))

	// Deleting the application itself is not masked.
	b.mask = `{topologies: []}`
	b.release()
	b.runs("before the end", everyCell("bank:5"), slices.Collect(maps.Keys(bankCells))...)
	b.delete("federateddeployments", "web")
	b.gone("federateddeployments", "web")
	for cell, member := range bankCells {
		b.absent(member, deployments, b.in(cell), "web")
	}
}
