package ownership

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/federated/wire"
)

const scaleSubresource = "scale"

// replicasPath is what a Scale has in spec.replicas.
var replicasPath = fieldpath.MakePathOrDie("spec", "template", "spec", "replicas")

var replicasPaths = managedfields.ResourcePathMappings{
	federated.V1beta1.String(): replicasPath,
	federated.V1beta2.String(): replicasPath,
}

// ScaleOwners turns the managedFields of an object into those of its Scale, and back. It is
// the library's ScaleHandler, which Deployments have, but for what it loses.
type ScaleOwners struct {
	object  []metav1.ManagedFieldsEntry
	handler *managedfields.ScaleHandler
}

// NewScaleOwners returns the owners in an object that is scaled through a version.
func NewScaleOwners(object []metav1.ManagedFieldsEntry, version schema.GroupVersion) *ScaleOwners {
	return &ScaleOwners{object, managedfields.NewScaleHandler(object, version, replicasPaths)}
}

// nobodysReplicas stands in a Scale whose replicas nobody owns. Without any entry, the field
// manager would take the Scale for one whose owners are not tracked. It drops this one.
var nobodysReplicas = metav1.ManagedFieldsEntry{
	Manager: "nobody", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: wire.ScaleKind.GroupVersion().String(),
	FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1("{}"), Subresource: scaleSubresource,
}

// Scale returns the entries of the Scale: those of the owners of the replicas.
func (o *ScaleOwners) Scale() ([]metav1.ManagedFieldsEntry, error) {
	entries, err := o.handler.ToSubresource()
	if err == nil && len(entries) == 0 && len(o.object) > 0 {
		entries = []metav1.ManagedFieldsEntry{nobodysReplicas}
	}
	return entries, err
}

// Object returns the entries of the object, given those of the Scale that was written.
//
// The library makes two entries of a manager that updated the object, as it tells managers
// of a Scale by the Scale's version: only one of them would be read. And it forgets when a
// manager scaled.
func (o *ScaleOwners) Object(scale []metav1.ManagedFieldsEntry) ([]metav1.ManagedFieldsEntry, error) {
	entries, err := o.handler.ToParent(scale)
	if err != nil {
		return nil, err
	}
	for i := range entries {
		e := &entries[i]
		if was := find(o.object, keyOf(e)); was != nil && e.Subresource != scaleSubresource {
			e.APIVersion = was.APIVersion // it did not write, and both versions name the replicas alike
		}
		if written := find(scale, entryKey{e.Manager, e.Subresource, wire.ScaleKind.Group, e.Operation}); written != nil && e.Time == nil {
			e.Time = written.Time
		}
	}
	return inOrder(oneEach(entries)), nil
}
