package validation

import (
	"fmt"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// Warnings returns sentences on what is allowed in obj but hardly meant. old is nil when
// an object is created; what did not change since old is not warned about.
func Warnings(obj, old *v1beta2.FederatedObject, opts Options) []string {
	if old == nil {
		old = &v1beta2.FederatedObject{}
	}
	w := warner{check: newCheck(obj, old, opts)}
	if !reflect.DeepEqual(obj.Spec.Template, old.Spec.Template) {
		w.template()
	}
	maskChanged := !reflect.DeepEqual(obj.Spec.PlacementMask, old.Spec.PlacementMask)
	placementChanged := !reflect.DeepEqual(obj.Spec.Placement, old.Spec.Placement)
	if maskChanged && obj.Spec.PlacementMask != nil && opts.OtherEngine {
		does := "and change every placed target"
		if opts.MasksHeld && topology.Base(obj.Spec.TopologyType) == v1beta2.TopologyCell {
			does = "and report that they failed in cells that it leaves out, which are kept as they are"
		}
		w.warn(w.mask(), "clients of v1beta1, such as stock KubeFed controllers, do not see the mask "+does)
	}
	if maskChanged || placementChanged {
		w.maskedNames()
	}
	if placementChanged {
		w.clusterSelector()
	}
	overridesChanged := !reflect.DeepEqual(obj.Spec.Overrides, old.Spec.Overrides)
	if overridesChanged {
		w.overrides()
	}
	if overridesChanged || placementChanged {
		w.overriddenNames()
	}
	if old.Name == "" && obj.Name != "" && w.opts.targetKind(obj) == "Namespace" {
		if problem := manifest.NamespaceProblem(obj.Namespace, obj.Name); problem != "" {
			w.warn(field.NewPath("metadata", "name"), problem)
		}
	}
	return BoundWarnings(w.sentences)
}

// MaxWarnings is how many warnings are told of one write. The API server's library puts each
// into a header, of up to 256 characters if there are many, and however many there are: these
// are 8 KiB, which is what common proxies take.
const MaxWarnings = 32

// BoundWarnings returns the first MaxWarnings of more, and a last one that says so.
func BoundWarnings(sentences []string) []string {
	if len(sentences) <= MaxWarnings {
		return sentences
	}
	return append(slices.Clone(sentences[:MaxWarnings]), fmt.Sprintf("there are more warnings than these %d", MaxWarnings))
}

type warner struct {
	*check
	sentences []string
}

func (w *warner) warn(path *field.Path, sentence string) {
	if len(w.sentences) > MaxWarnings {
		return
	}
	w.sentences = append(w.sentences, path.String()+": "+sentence)
}

// template tells of every part that is not sent to members, of each once.
func (w *warner) template() {
	template := w.opts.template(w.obj)
	drops := manifest.Drops(template, w.opts.Propagates)
	if manifest.IsNamespace(w.opts.targetKind(w.obj)) {
		drops = append(drops, manifest.NamespaceDrops(template)...)
	}
	told := map[string]bool{}
	for _, drop := range drops {
		if value := drop.Value(template); !manifest.IsEmpty(value) {
			path := drop.Path(templatePath)
			told[path.String()] = true
			w.warn(path, drop.Reason)
		}
	}
	for _, copied := range manifest.CopiedFields(template, w.opts.targetGroupKind(w.obj)) {
		if path := copied.Path(templatePath); !told[path.String()] {
			w.warn(path, copied.Reason)
		}
	}
}

func (w *warner) maskedNames() {
	mask := w.obj.Spec.PlacementMask
	if mask == nil {
		return
	}
	for i := range mask.Topologies {
		name := mask.Topologies[i].Name
		if byName, placed := placedByName(w.obj.Spec.Placement, name); byName && !placed {
			w.warn(w.maskName(i), fmt.Sprintf("%q has no effect: spec.placement does not name it", name))
		}
	}
}

// overriddenNames tells of overrides for what is not placed: a name with a typo leaves its target
// without them.
func (w *warner) overriddenNames() {
	p := w.obj.Spec.Placement
	if p == nil || p.Topologies == nil {
		return // a selector may pick anything
	}
	placed := sets.New[string]()
	for i := range p.Topologies {
		placed.Insert(p.Topologies[i].Name)
	}
	for i := range w.obj.Spec.Overrides {
		if name := w.obj.Spec.Overrides[i].TopologyName; name != "" && !placed.Has(name) {
			w.warn(w.overrideName(i), fmt.Sprintf("%q has no effect: spec.placement does not name it", w.target(name)))
		}
	}
}

func (w *warner) clusterSelector() {
	p := w.obj.Spec.Placement
	if p == nil || p.TopologySelector == nil || topology.Scoped(w.obj.Spec.TopologyType) {
		return
	}
	if _, used := p.TopologySelector.MatchLabels[v1alpha1.TopologyLabel]; used {
		w.warn(w.placementSelector(), fmt.Sprintf("selects nothing: topologyType is %s, which passes over everything with the label %s", w.obj.Spec.TopologyType, v1alpha1.TopologyLabel))
	}
}

func (w *warner) overrides() {
	for i := range w.obj.Spec.Overrides {
		o := &w.obj.Spec.Overrides[i]
		if o.TopologySelector != nil && w.opts.OtherEngine {
			w.warn(w.override(i), "clients of v1beta1, such as stock KubeFed controllers, do not see an override with a topologySelector")
		}
		if o.TopologySelector == nil && w.opts.OtherEngine && topology.Label(w.obj.Spec.TopologyType) != "" {
			w.warn(w.override(i), fmt.Sprintf("clients of v1beta1, such as stock KubeFed controllers, see an override for cluster %s, which is none, and do not apply it",
				topology.SpecClusterName(w.obj.Spec.TopologyType, w.obj.Namespace, o.TopologyName)))
		}
		for j := range o.TopologyOverrides {
			w.patch(&o.TopologyOverrides[j], w.overridePatches(i).Index(j))
		}
	}
}

// patch tells of what a patch sets and members do not get, or do not get as it looks.
func (w *warner) patch(p *v1beta2.OverridePatch, at *field.Path) {
	removes := manifest.Operation(p) == manifest.OpRemove
	switch {
	case removes && p.Value != nil:
		w.warn(at.Child("value"), "is ignored: op is remove")
	case !removes && p.Value == nil:
		w.warn(at.Child("value"), "is left out, so that null is set; to take a field away say op: remove")
	}
	if reason := manifest.PatchDrop(p); reason != "" {
		w.warn(at.Child("path"), fmt.Sprintf("%q %s", p.Path, reason))
	}
	if p.Path != "/metadata" || !p.Value.IsObject() {
		return
	}
	metadata, err := p.Value.Tree()
	if err != nil {
		return
	}
	for _, drop := range manifest.ServerFields(map[string]any{"metadata": metadata}) {
		w.warn(at.Child("value", drop.Steps[1]), drop.Reason)
	}
}
