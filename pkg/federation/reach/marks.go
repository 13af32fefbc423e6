package reach

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/following"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/lifecycle"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/render"
)

// Marks are what objects in members carry that were made from one federated object.
type Marks struct {
	// Source and Federation are the federated object and the federation, as they are named in
	// members.
	Source, Federation string
	// UnmarkedIsOurs: what has our label and names no source is this object's, since KubeFed
	// knows no other place of that name.
	UnmarkedIsOurs bool
}

// Foreign says whose an object is that is there, if it is not ours; empty if it may be.
func (m Marks) Foreign(annotations map[string]string) string {
	return manifest.Foreign(annotations, m.Source, m.Federation)
}

// Ours reports whether an object that is there was made from this federated object.
func (m Marks) Ours(labels, annotations map[string]string) bool {
	if labels[v1beta1.ManagedLabel] != "true" || m.Foreign(annotations) != "" {
		return false
	}
	source, named := annotations[render.SourceAnnotation]
	return named && source == m.Source || !named && m.UnmarkedIsOurs
}

// Refuses says why an object that is there already is not taken over, as the state of its target and a sentence
// without its end. The state is TargetOK if it is, and TargetWaitingForRemoval, without a sentence, if it is
// being deleted. annotations are those of the federated object, and adopt is as Adopts says.
func (m Marks) Refuses(existing metav1.Object, annotations map[string]string, adopt bool) (state v1beta2.TargetState, why string) {
	managed := existing.GetLabels()[v1beta1.ManagedLabel]
	owner := m.Foreign(existing.GetAnnotations())
	switch {
	case managed == "false":
		return v1beta2.TargetManagedLabelFalse, "the object there has the label " + v1beta1.ManagedLabel + "=false"
	case managed == "true" && owner != "":
		return v1beta2.TargetAlreadyExists, owner
	case existing.GetDeletionTimestamp() != nil:
		return v1beta2.TargetWaitingForRemoval, ""
	case managed != "true" && following.IsOriginal(existing.GetLabels()):
		return v1beta2.TargetAlreadyExists, "the object there has the label " + v1beta1.FederateLabel + ": it is one that a federation follows, and no copy"
	case managed != "true" && !lifecycle.Adopts(annotations, adopt):
		return v1beta2.TargetAlreadyExists, notAdopted(annotations)
	}
	return v1beta2.TargetOK, ""
}

// notAdopted says why an object that is there is not taken over, given the annotations of the federated
// object.
func notAdopted(annotations map[string]string) string {
	if lifecycle.Adopts(annotations, true) {
		return fmt.Sprintf("there is such an object already, and KubeFedConfig's syncController.adoptResources is Disabled; the annotation %s=true takes it over",
			v1beta1.AdoptAnnotation)
	}
	return fmt.Sprintf("there is such an object already, and the annotation %s=false leaves it alone", v1beta1.AdoptAnnotation)
}

// Adopts reports whether objects are taken over that members have already. config is nil if there is none.
func Adopts(config *v1beta1.KubeFedConfig) bool {
	if config == nil || config.Spec.SyncController == nil || config.Spec.SyncController.AdoptResources == nil {
		return true
	}
	return *config.Spec.SyncController.AdoptResources != v1beta1.Disabled
}
