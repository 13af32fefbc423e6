package follow

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/koinon-io/koinon/pkg/apis/federation/rights"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/following"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/native"
	"github.com/koinon-io/koinon/pkg/federation/reach"
)

// observation is what is seen of a native object that wants to be followed.
type observation struct {
	config *v1beta1.FederatedTypeConfig
	object *unstructured.Unstructured
	keep   bool
	// federated is the federated object of that name, nil if there is none.
	federated *v1beta2.FederatedObject
	// held are the targets that have objects of the namespace, if the object is one: of objects that its placement narrows.
	held []placement.Candidate
}

// decision is what is to be done. At most one of its fields is set; none if all is well.
type decision struct {
	// refused says why the object is not followed.
	refused string
	// create is the federated object that is made.
	create *v1beta2.FederatedObject
	// update is what the federated object gets.
	update *update
	// wait: the federated object, or the native one, is on its way out.
	wait bool
}

// update is a change of a federated object. A nil template stays.
type update struct {
	template []byte
	mark     following.Mark
}

// decide says how a federated object comes to follow a native one. It modifies nothing.
func decide(o observation) (decision, error) {
	if o.object.GetDeletionTimestamp() != nil {
		return decision{wait: true}, nil
	}
	tree := native.Template(o.config, o.object, false)
	if why := whyNot(o, tree); why != "" {
		return decision{refused: why}, nil
	}
	template, err := json.Marshal(tree)
	if err != nil {
		return decision{}, fmt.Errorf("encode the template: %w", err)
	}
	mark := following.Mark{UID: o.object.GetUID(), Keep: o.keep}
	if o.federated == nil {
		return o.making(template, mark), nil
	}
	was := following.MarkOf(o.federated.Annotations)
	switch {
	case o.federated.DeletionTimestamp != nil:
		return decision{wait: true}, nil
	case was == nil, was.Ended && was.UID != mark.UID:
		return decision{refused: fmt.Sprintf(
			"there is a %s %q already, and it was not made from this object: \"kubectl koinon federate --follow --replace\" has it follow", o.config.Spec.FederatedType.Kind, o.federated.Name)}, nil
	case !sameJSON(o.federated.Spec.Template, template):
		return decision{update: &update{template: template, mark: mark}}, nil
	case *was != mark:
		return decision{update: &update{mark: mark}}, nil
	}
	return decision{}, nil
}

// whyNot says why an object is not followed, whatever there is already; empty if it is.
func whyNot(o observation, template map[string]any) string {
	if err := following.TypeProblem(o.config); err != nil {
		return err.Error()
	}
	if native.InEachCluster[rights.Target(o.config)] {
		return "each cluster makes such objects by itself"
	}
	if why := native.WhyNot(reach.KindOf(&o.config.Spec).GroupKind(), o.object, template); why != "" {
		return "it is " + why
	}
	return ""
}

// making makes a federated object, if it is known where it goes.
func (o observation) making(template []byte, mark following.Mark) decision {
	placed, err := following.PlacementOf(o.object.GetAnnotations())
	if err != nil {
		return decision{refused: err.Error()}
	}
	if problem := o.takesAway(placed); problem != "" {
		return decision{refused: problem}
	}
	k := keyOf(o.config, o.object.GetNamespace(), o.object.GetName())
	namespace, name := k.federated(o.config)
	return decision{create: &v1beta2.FederatedObject{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: map[string]string{v1beta1.FollowsAnnotation: mark.String()}},
		Spec:       v1beta2.FederatedObjectSpec{TopologyType: placed.TopologyType, Template: template, Placement: &placed.Placement},
	}}
}

// takesAway says why the FederatedNamespace of a namespace is not made: while there is none, objects of the namespace stay where they are, and one
// that does not go there has them deleted.
func (o observation) takesAway(placed following.Placed) string {
	if !reach.KindOf(&o.config.Spec).IsNamespace() {
		return ""
	}
	if placed.Topologies != nil && len(placed.Topologies) == 0 {
		return fmt.Sprintf("where a namespace goes has to be said by the annotation %s: a FederatedNamespace that goes nowhere takes objects of its namespace out of members",
			v1beta1.PlacementAnnotation)
	}
	none := placement.Namespace{Name: o.object.GetName()}
	made := none
	made.Federated = &v1beta2.FederatedObject{Spec: v1beta2.FederatedObjectSpec{TopologyType: placed.TopologyType, Placement: &placed.Placement}}
	left, err := placement.TakesAway(topologyOf(placed), o.held, none, made)
	switch {
	case err != nil:
		return err.Error()
	case len(left) == 0:
		return ""
	}
	return fmt.Sprintf("%s %q has objects of this namespace, which has no FederatedNamespace, and one that does not go there would delete them", topology.Base(topologyOf(placed)), left[0].Name)
}

// topologyOf is the topology type of a placement, defaulted.
func topologyOf(placed following.Placed) string {
	return cmp.Or(placed.TopologyType, v1beta2.TopologyCluster)
}

// sameJSON compares what two documents say. Whole numbers are compared as they are: as those of JavaScript, large ones would be the same.
func sameJSON(a, b []byte) bool {
	var one, other any
	return utiljson.Unmarshal(a, &one) == nil && utiljson.Unmarshal(b, &other) == nil && reflect.DeepEqual(one, other)
}
