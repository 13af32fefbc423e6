package propagationrecord

import (
	"cmp"
	"crypto/md5" //nolint:gosec // KubeFed's hash; nothing is kept safe by it
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/lru"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/computed"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// nameOf is what the record of a federated object is called; ok is false if nothing can be called
// that.
func nameOf(kind federated.Kind, name string) (record string, ok bool) {
	record = prefixOf(kind) + name
	return record, isName(record)
}

func isName(record string) bool { return len(record) <= validation.DNS1123SubdomainMaxLength }

// objectOf is nameOf the other way round.
func objectOf(kind federated.Kind, record string) (name string, ok bool) {
	name, ok = strings.CutPrefix(record, prefixOf(kind))
	return name, ok && name != "" && isName(record)
}

func prefixOf(kind federated.Kind) string { return strings.ToLower(kind.Target.Kind) + "-" }

// propagated reports whether some target has a version: KubeFed has a record from then on.
func propagated(o *typesv1beta2.FederatedObject) bool {
	return o.Status != nil && slices.ContainsFunc(o.Status.Targets, func(t typesv1beta2.TargetStatus) bool { return t.Version != "" })
}

// metadataOf is that of a record. Its UID follows from that of the object, so that garbage
// collectors tell records apart.
func metadataOf(name string, o *typesv1beta2.FederatedObject) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: name, Namespace: o.Namespace, UID: computed.UID("propagatedversion", o.UID), Generation: 1,
		CreationTimestamp: o.CreationTimestamp,
		OwnerReferences:   []metav1.OwnerReference{{APIVersion: federated.V1beta1.String(), Kind: o.Kind, Name: o.Name, UID: o.UID}},
	}
}

// statusOf is what KubeFed would have recorded: the versions of template and overrides that there are
// now, and the clusters that run them. Of Secrets the versions are empty: who reads records need not
// be able to read Secrets, and could try what has that hash.
func (h hashes) statusOf(kind federated.Kind, o *typesv1beta2.FederatedObject) (v1alpha1.PropagatedVersionStatus, error) {
	status := v1alpha1.PropagatedVersionStatus{ClusterVersions: []v1alpha1.ClusterObjectVersion{}}
	if kind.Target.Group != "" || kind.Target.Kind != "Secret" {
		var err error
		if status.TemplateVersion, status.OverrideVersion, err = h.of(o); err != nil {
			return status, err
		}
	}
	for i := range o.Status.Targets {
		if t := &o.Status.Targets[i]; t.Version != "" && t.State.UpToDate() {
			status.ClusterVersions = append(status.ClusterVersions, v1alpha1.ClusterObjectVersion{
				ClusterName: topology.ClusterName(o.Spec.TopologyType, o.Namespace, t.Name), Version: t.Version,
			})
		}
	}
	slices.SortFunc(status.ClusterVersions, func(a, b v1alpha1.ClusterObjectVersion) int { return cmp.Compare(a.ClusterName, b.ClusterName) })
	return status, nil
}

// hashes remembers those of specs that were computed last: most changes of an object are of its status,
// and lists are of what has not changed.
type hashes struct{ known *lru.Cache }

// rememberedHashes is how many objects' are remembered, at some 200 bytes.
const rememberedHashes = 8192

func newHashes() hashes { return hashes{lru.New(rememberedHashes)} }

// hashed is a spec: the generation of an object is that of its spec.
type hashed struct {
	uid        types.UID
	generation int64
}

func (h hashes) of(o *typesv1beta2.FederatedObject) (template, overrides string, err error) {
	spec := hashed{o.UID, o.Generation}
	if known, ok := h.known.Get(spec); ok {
		versions := known.([2]string)
		return versions[0], versions[1], nil
	}
	if template, err = templateVersion(o); err != nil {
		return "", "", err
	}
	if overrides, err = overridesVersion(o); err != nil {
		return "", "", err
	}
	h.known.Add(spec, [2]string{template, overrides})
	return template, overrides, nil
}

// templateVersion is KubeFed's GetTemplateHash; "" without a template.
func templateVersion(o *typesv1beta2.FederatedObject) (string, error) {
	if !o.Spec.Template.IsObject() {
		return "", nil
	}
	var template map[string]any
	if err := utiljson.Unmarshal(o.Spec.Template, &template); err != nil {
		return "", fmt.Errorf("read the template: %w", err)
	}
	return hash(template)
}

// The form in which KubeFed hashes overrides: its GenericOverrideItem.
type (
	genericOverride struct {
		ClusterName      string            `json:"clusterName"`
		ClusterOverrides []clusterOverride `json:"clusterOverrides,omitempty"`
	}
	clusterOverride struct {
		Op    string `json:"op,omitempty"`
		Path  string `json:"path"`
		Value any    `json:"value,omitempty"`
	}
)

// overridesVersion is KubeFed's GetOverrideHash, of the overrides as clients of v1beta1 see them.
func overridesVersion(o *typesv1beta2.FederatedObject) (string, error) {
	seen, err := conversion.ToV1beta1(o)
	if err != nil {
		return "", fmt.Errorf("convert the overrides: %w", err)
	}
	data, err := json.Marshal(seen.Spec.Overrides)
	if err != nil {
		return "", fmt.Errorf("read the overrides: %w", err)
	}
	var overrides []genericOverride
	if err := json.Unmarshal(data, &overrides); err != nil {
		return "", fmt.Errorf("read the overrides: %w", err)
	}
	return hash(map[string]any{"overrides": overrides})
}

// hash is KubeFed's hashUnstructured: of the JSON that the library makes of an unstructured object,
// with the newline behind it.
func hash(object map[string]any) (string, error) {
	data, err := (&unstructured.Unstructured{Object: object}).MarshalJSON()
	if err != nil {
		return "", err
	}
	sum := md5.Sum(data) //nolint:gosec // see above
	return hex.EncodeToString(sum[:]), nil
}
