package render

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

// SourceAnnotation is on every object in a member that we wrote, and names the federated
// object that it came from: <namespace>/<name>, or <name> for cluster-scoped ones.
const SourceAnnotation = manifest.SourceAnnotation

// NoSource is the value of SourceAnnotation on a namespace that was made because objects
// were placed in it, not because a FederatedNamespace says so. No object has this name.
const NoSource = "-"

// Input is everything that a manifest is made of.
type Input struct {
	Template  rawjson.Value
	Overrides []v1beta2.Override
	// PropagatingAnnotations are the patterns of the FederatedTypeConfig.
	PropagatingAnnotations []string
	RetainReplicas         bool

	// Kind, Name and Namespace of the object in the member.
	Kind      schema.GroupVersionKind
	Name      string
	Namespace string
	// Source is the value of SourceAnnotation.
	Source string
	// Annotations are set whatever the template and the overrides say: the marks of a
	// namespace.
	Annotations map[string]string

	// TargetName and TargetLabels pick the overrides that apply.
	TargetName   string
	TargetLabels map[string]string
	// NodeSelector is set in pod templates; nil leaves them alone.
	NodeSelector map[string]string
}

// Manifest is what a target should run.
type Manifest struct {
	// JSON is canonical: the same input gives the same bytes.
	JSON []byte
	// Hash stands for JSON and for what Retain does.
	Hash string
	// Version is the kind's, unless an override has another one for a member that does not
	// serve that.
	Version schema.GroupVersion
	// Labels and Annotations are those in JSON.
	Labels, Annotations map[string]string

	kind           schema.GroupVersionKind
	retainReplicas bool
}

// TemplateError says that a template is not a manifest. It concerns every target.
type TemplateError struct{ Problem string }

func (e *TemplateError) Error() string { return "spec.template: " + e.Problem }

// Render makes the manifest of one target. It returns a *TemplateError or an
// *OverrideError if the spec cannot be rendered; trying again without a change of the
// spec gives the same.
func Render(in Input) (*Manifest, error) {
	object, err := decodeObject(in.Template)
	if err != nil {
		return nil, err
	}
	prepare(object, in)
	if object, err = applyOverrides(object, in); err != nil {
		return nil, err
	}
	if len(in.NodeSelector) > 0 {
		bindPods(object, in.NodeSelector)
	}
	identify(object, in)
	return newManifest(object, in)
}

func newManifest(object map[string]any, in Input) (*Manifest, error) {
	data, err := encode(object)
	if err != nil {
		return nil, &TemplateError{err.Error()}
	}
	sum := sha256.New()
	sum.Write(data)
	if in.RetainReplicas {
		sum.Write([]byte("\nretainReplicas"))
	}
	apiVersion, _ := object["apiVersion"].(string)
	version, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return nil, &TemplateError{err.Error()}
	}
	metadata := object["metadata"].(map[string]any)
	return &Manifest{
		JSON:           data,
		Version:        version,
		Hash:           hex.EncodeToString(sum.Sum(nil)[:16]),
		Labels:         stringMap(metadata["labels"]),
		Annotations:    stringMap(metadata["annotations"]),
		kind:           in.Kind,
		retainReplicas: in.RetainReplicas,
	}, nil
}

// decodeObject reads a template; none at all is an empty object, as a FederatedNamespace
// needs none.
func decodeObject(template rawjson.Value) (map[string]any, error) {
	if len(template) == 0 || string(template) == "null" {
		return map[string]any{}, nil
	}
	if !template.IsObject() {
		return nil, &TemplateError{"must be a JSON object"}
	}
	object := map[string]any{}
	if err := decode(template, &object); err != nil {
		return nil, &TemplateError{err.Error()}
	}
	return object, nil
}

// prepare takes out what is not sent to members, says what the object is, and makes the
// lists and maps that an override may want to add to.
func prepare(object map[string]any, in Input) {
	manifest.Remove(object, manifest.Drops(object, manifest.Patterns(in.PropagatingAnnotations).Match))
	if manifest.IsNamespace(in.Kind.Kind) {
		manifest.Remove(object, manifest.NamespaceDrops(object))
	}
	metadata := makeMap(object, "metadata")
	makeMap(metadata, "labels")
	makeMap(metadata, "annotations")
	metadata["finalizers"] = []any{}
	object["apiVersion"], object["kind"] = in.Kind.ToAPIVersionAndKind()
}

// makeMap returns the map in a field, which becomes one if it is none.
func makeMap(parent map[string]any, field string) map[string]any {
	m, ok := parent[field].(map[string]any)
	if !ok {
		m = map[string]any{}
		parent[field] = m
	}
	return m
}

// identify sets what no template and no override may change. The version is one that an
// override may.
func identify(object map[string]any, in Input) {
	manifest.Remove(object, manifest.ServerFields(object))
	object["kind"] = in.Kind.Kind
	metadata := makeMap(object, "metadata")
	delete(metadata, "generateName")
	metadata["name"] = in.Name
	delete(metadata, "namespace")
	if in.Namespace != "" {
		metadata["namespace"] = in.Namespace
	}
	marks := makeMap(metadata, "labels")
	marks[v1beta1.ManagedLabel] = "true"
	if _, there := marks[corev1.LabelMetadataName]; there && manifest.IsNamespace(in.Kind.Kind) {
		marks[corev1.LabelMetadataName] = in.Name // API servers set it to that, whatever is sent
	}
	makeMap(metadata, "annotations")[SourceAnnotation] = in.Source
	for key, value := range in.Annotations {
		makeMap(metadata, "annotations")[key] = value
	}
	if list, ok := metadata["finalizers"].([]any); ok && len(list) == 0 {
		delete(metadata, "finalizers")
	}
}

// bindPods adds the node selector to the pod template of a workload, a CronJob or a Pod.
// Kinds without pods are left alone.
func bindPods(object map[string]any, nodeSelector map[string]string) {
	for _, steps := range [][]string{
		{"spec", "template", "spec"},
		{"spec", "jobTemplate", "spec", "template", "spec"},
	} {
		if pod := child(object, steps...); pod != nil {
			addNodeSelector(pod, nodeSelector)
			return
		}
	}
	if pod := child(object, "spec"); pod != nil && pod["containers"] != nil {
		addNodeSelector(pod, nodeSelector)
	}
}

func addNodeSelector(pod map[string]any, nodeSelector map[string]string) {
	for key, value := range nodeSelector {
		makeMap(pod, "nodeSelector")[key] = value
	}
}

// child walks down maps; nil if there is none at the end.
func child(object map[string]any, steps ...string) map[string]any {
	for _, step := range steps {
		object, _ = object[step].(map[string]any)
	}
	return object
}

func stringMap(value any) map[string]string {
	m, _ := value.(map[string]any)
	out := make(map[string]string, len(m))
	for key, v := range m {
		if s, ok := v.(string); ok {
			out[key] = s
		}
	}
	return out
}

func decode(data []byte, into *map[string]any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(into)
}

func encode(object map[string]any) ([]byte, error) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(object); err != nil {
		return nil, err
	}
	return bytes.TrimRight(buf.Bytes(), "\n"), nil
}

// Has reports whether an object with these labels and annotations carries those of the
// manifest. Further ones belong to the member.
func (m *Manifest) Has(liveLabels, liveAnnotations map[string]string) bool {
	return contains(liveLabels, m.Labels) && contains(liveAnnotations, m.Annotations)
}

func contains(have, want map[string]string) bool {
	for key, value := range want {
		if got, ok := have[key]; !ok || got != value {
			return false
		}
	}
	return true
}

// selects reports whether an override is for this target.
func selects(o v1beta2.Override, targetName string, selector labels.Selector, targetLabels map[string]string) bool {
	if selector != nil {
		return selector.Matches(labels.Set(maps.Clone(targetLabels)))
	}
	return o.TopologyName == targetName
}
