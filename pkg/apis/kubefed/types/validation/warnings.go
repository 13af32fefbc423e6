package validation

import (
	"fmt"
	"reflect"

	kjson "sigs.k8s.io/json"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// Warnings returns sentences on what is allowed in obj but hardly meant. old is nil when
// an object is created; what did not change since old is not warned about.
func Warnings(obj, old *v1beta2.FederatedObject, opts Options) []string {
	if old == nil {
		old = &v1beta2.FederatedObject{}
	}
	w := warner{check: newCheck(obj, opts)}
	if !reflect.DeepEqual(obj.Spec.Template, old.Spec.Template) {
		w.template()
	}
	maskChanged := !reflect.DeepEqual(obj.Spec.PlacementMask, old.Spec.PlacementMask)
	placementChanged := !reflect.DeepEqual(obj.Spec.Placement, old.Spec.Placement)
	if maskChanged && obj.Spec.PlacementMask != nil {
		w.warn(w.mask(), "clients of v1beta1, such as stock KubeFed controllers, do not see the mask and change every placed target")
	}
	if maskChanged || placementChanged {
		w.maskedNames()
	}
	if placementChanged {
		w.clusterSelector()
	}
	if !reflect.DeepEqual(obj.Spec.Overrides, old.Spec.Overrides) {
		w.overrides()
	}
	if obj.Kind == "FederatedNamespace" && obj.Name != obj.Namespace && old.Name == "" && obj.Name != "" {
		w.warn(field.NewPath("metadata", "name"), fmt.Sprintf("%q is ignored: a FederatedNamespace has the name of its namespace, %q", obj.Name, obj.Namespace))
	}
	return w.sentences
}

type warner struct {
	*check
	sentences []string
}

func (w *warner) warn(path *field.Path, sentence string) {
	w.sentences = append(w.sentences, path.String()+": "+sentence)
}

func (w *warner) template() {
	var head struct {
		Metadata map[string]any `json:"metadata"`
	}
	template := w.obj.Spec.Template
	if !template.IsObject() || len(template) > MaxPayloadBytes || kjson.UnmarshalCaseSensitivePreserveInts(template, &head) != nil {
		return
	}
	for _, key := range []string{"name", "namespace", "generateName"} {
		if value, there := head.Metadata[key]; there {
			w.warn(templatePath.Child("metadata", key), fmt.Sprintf("%q is ignored: objects in members have the name of the federated object", fmt.Sprint(value)))
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
			w.warn(w.mask().Child("topologies").Index(i).Child("name"), fmt.Sprintf("%q has no effect: spec.placement does not name it", name))
		}
	}
}

func (w *warner) clusterSelector() {
	p := w.obj.Spec.Placement
	if p == nil || p.TopologySelector == nil || topology.Scoped(w.obj.Spec.TopologyType) {
		return
	}
	if _, used := p.TopologySelector.MatchLabels[v1alpha1.TopologyLabel]; used {
		w.warn(w.placementSelector(), fmt.Sprintf("selects nothing: topologyType is cluster, which passes over everything with the label %s", v1alpha1.TopologyLabel))
	}
}

func (w *warner) overrides() {
	for i := range w.obj.Spec.Overrides {
		o := &w.obj.Spec.Overrides[i]
		if o.TopologySelector != nil {
			w.warn(w.override(i), "clients of v1beta1, such as stock KubeFed controllers, do not see an override with a topologySelector")
		}
		for j := range o.TopologyOverrides {
			if p := &o.TopologyOverrides[j]; p.Op == "remove" && p.Value != nil {
				w.warn(w.overridePatches(i).Index(j).Child("value"), "is ignored: op is remove")
			}
		}
	}
}
