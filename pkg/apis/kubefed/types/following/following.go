// Package following reads what says that a federated object follows a native object of the host: the label
// and the annotation of the native one, the mark on the federated one, and the switch of their type.
// Controllers, admission and the command line call it.
//
// Everything is pure, modifies nothing that it is given, and may be called concurrently.
package following

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// Values of v1beta1.FederateLabel. "false" is as no label.
const (
	LabelTrue  = "true"
	LabelKeep  = "keep"
	LabelFalse = "false"
)

// Wanted reports what the labels of a native object say: whether it is to be followed, and whether the
// federated object stays when it is deleted. problem is what is wrong with the value, in words that can follow it;
// nothing is wanted then, and nothing ends.
func Wanted(labels map[string]string) (wanted, keep bool, problem string) {
	value, there := labels[v1beta1.FederateLabel]
	switch {
	case !there || value == LabelFalse:
		return false, false, ""
	case value == LabelTrue, value == LabelKeep:
		return true, value == LabelKeep, ""
	}
	return false, false, "must be true, keep or false"
}

// IsOriginal reports whether an object in a member is one that a federation follows, and no copy: one of this federation,
// whose host may be its own member, or of one that the member hosts. Manifests do not have the label.
func IsOriginal(labels map[string]string) bool {
	wanted, _, _ := Wanted(labels)
	return wanted
}

// Mark is the value of v1beta1.FollowsAnnotation.
type Mark struct {
	// UID is that of the native object.
	UID types.UID `json:"uid"`
	// Keep: the federated object stays when the native one is deleted.
	Keep bool `json:"keep,omitempty"`
	// Ended: it follows no longer. The native object that has the UID may be followed again.
	Ended bool `json:"ended,omitempty"`
}

// MarkOf reads the mark of a federated object, given its annotations; nil if there is none that can be read.
func MarkOf(annotations map[string]string) *Mark {
	value, there := annotations[v1beta1.FollowsAnnotation]
	if !there || MarkProblem(value) != "" {
		return nil
	}
	var mark Mark
	_ = json.Unmarshal([]byte(value), &mark)
	return &mark
}

// MarkProblem returns what is wrong with a value of v1beta1.FollowsAnnotation, in words that can follow it, or "".
func MarkProblem(value string) string {
	decoder := json.NewDecoder(bytes.NewReader([]byte(value)))
	decoder.DisallowUnknownFields()
	var mark Mark
	if err := decoder.Decode(&mark); err != nil || decoder.More() || mark.UID == "" {
		return `must be as controllers write it, such as {"uid":"2c3f…"}: remove it, and the object follows nothing`
	}
	return ""
}

// String is the value of the annotation.
func (m Mark) String() string {
	value, err := json.Marshal(m)
	if err != nil {
		return "" // never: it is made of strings
	}
	return string(value)
}

// Placed is where the federated object is placed when it is made.
type Placed struct {
	// TopologyType is empty for clusters.
	TopologyType      string `json:"topologyType,omitempty"`
	v1beta2.Placement `json:",inline"`
}

// PlacementOf reads v1beta1.PlacementAnnotation of a native object. Without it, the placement selects nobody.
func PlacementOf(annotations map[string]string) (Placed, error) {
	value, there := annotations[v1beta1.PlacementAnnotation]
	placed := Placed{}
	if !there {
		placed.Topologies = []v1beta2.TopologyReference{}
		return placed, nil
	}
	problem := func(what string) (Placed, error) {
		return Placed{}, fmt.Errorf("metadata.annotations[%s] is %q: %s", v1beta1.PlacementAnnotation, value, what)
	}
	switch err := yaml.UnmarshalStrict([]byte(value), &placed); {
	case err != nil:
		return problem(`it must be as spec.placement of a federated object, with topologyType beside it if it is not cluster, such as {"topologies":[{"name":"m1"}]}`)
	case (placed.Topologies == nil) == (placed.TopologySelector == nil):
		return problem("it must have topologies or topologySelector, and not both")
	}
	if placed.TopologySelector != nil {
		if _, err := metav1.LabelSelectorAsSelector(placed.TopologySelector); err != nil {
			return problem("topologySelector: " + err.Error())
		}
	}
	return placed, nil
}

// ErrOff: the FederatedTypeConfig says that no object of its type is followed.
var ErrOff = errors.New("the annotation " + v1beta1.FollowAnnotation + " of its FederatedTypeConfig is " + string(v1beta1.Disabled))

// TypeProblem returns why no object of a type is followed; nil if they are. What is not Enabled or Disabled says nothing.
func TypeProblem(config *v1beta1.FederatedTypeConfig) error {
	target := config.Spec.TargetType
	switch config.Annotations[v1beta1.FollowAnnotation] {
	case string(v1beta1.Enabled):
		return nil
	case string(v1beta1.Disabled):
		return ErrOff
	}
	if manifest.GrantVerb(target.Group, target.Kind) != "" {
		return fmt.Errorf("objects of type %s give rights in members: they are followed only if the FederatedTypeConfig %q has the annotation %s: %s",
			target.Kind, config.Name, v1beta1.FollowAnnotation, v1beta1.Enabled)
	}
	return nil
}
