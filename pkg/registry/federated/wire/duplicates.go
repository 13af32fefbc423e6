package wire

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"

	typesv1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/mistakes"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

// duplicateFields returns an error, in the library's words, for keys that come twice in a raw
// value of an object, up to mistakes.Max and in the order in which they are written. Paths are those of
// the version that the object is in.
func duplicateFields(obj runtime.Object) []error {
	var errs []error
	look := func(v rawjson.Value, path string) {
		if len(errs) >= mistakes.Max {
			return
		}
		for _, duplicate := range v.Duplicates(path) {
			errs = append(errs, fmt.Errorf("duplicate field %q", duplicate))
		}
	}
	switch o := obj.(type) {
	case *typesv1beta2.FederatedObject:
		look(o.Spec.Template, "spec.template")
		for i := range o.Spec.Overrides {
			for j, p := range o.Spec.Overrides[i].TopologyOverrides {
				look(p.Value, fmt.Sprintf("spec.overrides[%d].topologyOverrides[%d].value", i, j))
			}
		}
		if o.Status != nil {
			for i := range o.Status.Targets {
				look(o.Status.Targets[i].RemoteStatus, fmt.Sprintf("status.targets[%d].remoteStatus", i))
			}
		}
	case *typesv1beta1.FederatedObject:
		errs = append(errs, stashDuplicates(o)...)
		look(o.Spec.Template, "spec.template")
		for i := range o.Spec.Overrides {
			for j, p := range o.Spec.Overrides[i].ClusterOverrides {
				look(p.Value, fmt.Sprintf("spec.overrides[%d].clusterOverrides[%d].value", i, j))
			}
		}
		if o.Status != nil {
			for i := range o.Status.Clusters {
				look(o.Status.Clusters[i].RemoteStatus, fmt.Sprintf("status.clusters[%d].remoteStatus", i))
			}
		}
	}
	return errs[:min(len(errs), mistakes.Max)]
}

// stashDuplicates does that for the annotation that holds what v1beta1 has no fields for.
func stashDuplicates(obj runtime.Object) []error {
	o, ok := obj.(*typesv1beta1.FederatedObject)
	if !ok {
		return nil
	}
	stash, ok := o.Annotations[typesv1beta1.TopologyAnnotation]
	if !ok {
		return nil
	}
	var errs []error
	for _, duplicate := range rawjson.Value(stash).Duplicates("metadata.annotations[" + typesv1beta1.TopologyAnnotation + "]") {
		errs = append(errs, fmt.Errorf("duplicate field %q", duplicate))
	}
	return errs
}
