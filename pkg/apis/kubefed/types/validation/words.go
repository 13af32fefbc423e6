package validation

import (
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// words finds paths and values of an object as the client knows them.
type words struct {
	obj *v1beta2.FederatedObject
	// clusterShape: the client wrote v1beta1, where the stash holds what that has no field
	// for.
	clusterShape bool
	// indexes holds, for each override, its index among those of its sort, which v1beta1
	// keeps apart; nil in v1beta2.
	indexes []int
}

func newWords(obj *v1beta2.FederatedObject, clusterShape bool) words {
	w := words{obj: obj, clusterShape: clusterShape}
	if !clusterShape {
		return w
	}
	named, bySelector := 0, 0
	for i := range obj.Spec.Overrides {
		if obj.Spec.Overrides[i].TopologySelector != nil {
			w.indexes = append(w.indexes, bySelector)
			bySelector++
			continue
		}
		w.indexes = append(w.indexes, named)
		named++
	}
	return w
}

var (
	specPath  = field.NewPath("spec")
	stashPath = field.NewPath("metadata", "annotations").Key(v1beta1.TopologyAnnotation)
)

func (w words) topologyType() *field.Path {
	if w.clusterShape {
		return stashPath.Child("topologyType")
	}
	return specPath.Child("topologyType")
}

// target names whom the spec names: as v1beta1 does where that has fields for it.
func (w words) target(name string) string {
	if w.clusterShape && name != "" {
		return topology.SpecClusterName(w.obj.Spec.TopologyType, w.obj.Namespace, name)
	}
	return name
}

// selectsGroups reports whether the client sees the names in the placement as values of a selector.
func (w words) selectsGroups() bool {
	return w.clusterShape && topology.Label(w.obj.Spec.TopologyType) != ""
}

// placed is target for a name in the placement.
func (w words) placed(name string) string {
	if w.selectsGroups() {
		return name
	}
	return w.target(name)
}

func (w words) placementName(i int) *field.Path {
	if w.selectsGroups() {
		return w.placementSelector().Child("matchExpressions").Index(0).Child("values").Index(i)
	}
	return w.placementList().Index(i).Child("name")
}

func (w words) maskName(i int) *field.Path {
	return w.mask().Child("topologies").Index(i).Child("name")
}

func (w words) placementList() *field.Path {
	if w.clusterShape {
		return specPath.Child("placement", "clusters")
	}
	return specPath.Child("placement", "topologies")
}

func (w words) placementSelector() *field.Path {
	if w.clusterShape {
		return specPath.Child("placement", "clusterSelector")
	}
	return specPath.Child("placement", "topologySelector")
}

func (w words) mask() *field.Path {
	if w.clusterShape {
		return stashPath.Child("placementMask")
	}
	return specPath.Child("placementMask")
}

// override is the path of the i-th override; those by selector are apart in v1beta1.
func (w words) override(i int) *field.Path {
	if !w.clusterShape {
		return specPath.Child("overrides").Index(i)
	}
	if w.obj.Spec.Overrides[i].TopologySelector != nil {
		return stashPath.Child("selectorOverrides").Index(w.indexes[i]).Child("override")
	}
	return specPath.Child("overrides").Index(w.indexes[i])
}

func (w words) overrideName(i int) *field.Path {
	if w.clusterShape && w.obj.Spec.Overrides[i].TopologySelector == nil {
		return w.override(i).Child("clusterName")
	}
	return w.override(i).Child("topologyName")
}

func (w words) overridePatches(i int) *field.Path { return w.override(i).Child(w.patchesField(i)) }

func (w words) patchesField(i int) string {
	if w.clusterShape && w.obj.Spec.Overrides[i].TopologySelector == nil {
		return "clusterOverrides"
	}
	return "topologyOverrides"
}
