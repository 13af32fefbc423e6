package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	edgev1alpha1 "github.com/koinon-io/koinon/pkg/apis/edge/v1alpha1"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	schedulingv1alpha1 "github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/following"
)

// plannedHostObject is an object that is not federated: applying it changes the host alone. It is planned since a folder has
// such objects beside federated ones, and where those go may depend on it.
type plannedHostObject struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Outcome is Created, Updated or Unchanged.
	Outcome outcome `json:"outcome"`
	// Message is a sentence on what comes of it in members, and is not planned.
	Message string `json:"message,omitempty"`
}

// Kinds that decide where federated objects go.
var (
	namespaceKind = schema.GroupKind{Kind: "Namespace"}
	configKind    = schema.GroupKind{Group: v1beta1.SchemeGroupVersion.Group, Kind: "KubeFedConfig"}
	typeKind      = schema.GroupKind{Group: v1beta1.SchemeGroupVersion.Group, Kind: "FederatedTypeConfig"}
	clusterKind   = schema.GroupKind{Group: v1beta1.SchemeGroupVersion.Group, Kind: "KubeFedCluster"}
	cellKind      = schema.GroupKind{Group: federationv1alpha1.GroupName, Kind: "Cell"}
	edgeUnitKind  = schema.GroupKind{Group: edgev1alpha1.GroupName, Kind: "EdgeUnit"}
)

// decides has what later objects depend on before those. A kind that decides nothing is not in it.
var decides = []schema.GroupKind{namespaceKind, configKind, typeKind, clusterKind, cellKind, edgeUnitKind}

// planOrder has an object planned after those that decide where it goes: a namespace goes where its FederatedNamespace says.
func planOrder(d document) int {
	if at := slices.Index(decides, d.GroupVersionKind().GroupKind()); at >= 0 {
		return at
	}
	if d.GetKind() == "FederatedNamespace" {
		return len(decides)
	}
	return len(decides) + 1
}

// planHost plans an object that is not federated, and has the objects after it planned as if it were applied.
func (o *planOptions) planHost(ctx context.Context, h *hub, d document) (*plannedHostObject, error) {
	kind := d.GroupVersionKind()
	resource, err := h.resourceOf(ctx, kind)
	if err != nil {
		return nil, err
	}
	if resource == nil {
		return nil, fmt.Errorf("%s is no federated object, and the server does not serve its kind", d)
	}
	if err := o.place(d, resource.Namespaced); err != nil {
		return nil, err
	}
	gvr := kind.GroupVersion().WithResource(resource.Name)
	before, answer, err := o.dryRunHost(ctx, h, gvr, d)
	if err != nil {
		return nil, err
	}
	planned := &plannedHostObject{Kind: d.GetKind(), Namespace: d.GetNamespace(), Name: d.GetName(), Outcome: outUpdated}
	switch {
	case before == nil:
		planned.Outcome = outCreated
		h.come(pathOf(gvr, d.GetNamespace(), d.GetName()))
	case diffOf(before, answer) == "":
		planned.Outcome = outUnchanged
	}
	planned.Message = comesOf(kind.GroupKind(), before, answer, planned.Outcome)
	return planned, h.supposeApplied(ctx, kind.GroupKind(), gvr, answer)
}

// place has an object in the namespace in which it would be applied.
func (o *planOptions) place(d document, namespaced bool) error {
	if d.GetName() == "" {
		return errors.New("metadata.name: it must be set")
	}
	namespace, err := o.namespaceOf(namespaced, d)
	d.SetNamespace(namespace)
	return err
}

// dryRunHost applies an object as a dry run. before is what there is; nil if nothing is.
func (o *planOptions) dryRunHost(ctx context.Context, h *hub, gvr schema.GroupVersionResource, d document) (before, after map[string]any, err error) {
	stored, _, err := h.do(ctx, sent{verb: http.MethodGet, path: pathOf(gvr, d.GetNamespace(), d.GetName())})
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return nil, nil, fmt.Errorf("read %s %q: %s", d.GetKind(), d.GetName(), sentence(err))
	default:
		if err := json.Unmarshal(stored, &before); err != nil {
			return nil, nil, err
		}
	}
	request, err := o.request(ctx, h, gvr, d, before != nil)
	if err != nil || request == nil { // nothing changes
		return before, before, err
	}
	answer, warnings, err := h.do(ctx, *request)
	switch {
	case isNamespaceMissing(err) && h.comes(namespacePath(d.GetNamespace())):
		return before, d.Object, nil // nobody can check it before there is the namespace
	case err != nil:
		return nil, nil, notTaken(err)
	}
	o.warn(d, warnings)
	return before, after, json.Unmarshal(answer, &after)
}

func notTaken(err error) error { return fmt.Errorf("the server does not take it: %s", sentence(err)) }

func (o *planOptions) warn(d document, warnings []string) {
	for _, warning := range warnings {
		fmt.Fprintf(o.ErrOut, "Warning: %s %s: %s\n", d.GetKind(), d.GetName(), warning)
	}
}

const elsewhereToo = "where federated objects go that are not in these files may depend on it, and is not planned"

// comesOf says what comes of an object of the host in members, beside what is planned.
func comesOf(kind schema.GroupKind, before, after map[string]any, is outcome) string {
	object := metav1.PartialObjectMetadata{}
	if data, err := json.Marshal(after); err != nil || json.Unmarshal(data, &object) != nil {
		return ""
	}
	wanted, _, _ := following.Wanted(object.Labels)
	switch {
	case is == outUnchanged, kind == namespaceKind && is == outCreated:
		return ""
	case kind == cellKind && is == outUpdated && memberOf(before) != memberOf(after):
		return fmt.Sprintf("it moves from member %q to member %q, with federated objects that are not in these files, and are not planned", memberOf(before), memberOf(after))
	case slices.Contains(decides, kind):
		return elsewhereToo
	case kind == schema.GroupKind{Group: schedulingv1alpha1.GroupName, Kind: "ReplicaSchedulingPreference"}:
		return "how it divides replicas is not planned"
	case wanted:
		return "the federated object that follows it is not planned"
	}
	return ""
}

func memberOf(cell map[string]any) any {
	spec, _ := cell["spec"].(map[string]any)
	return spec["clusterName"]
}

// resourceOf is the resource of a kind; nil if the server does not serve it.
func (h *hub) resourceOf(ctx context.Context, kind schema.GroupVersionKind) (*metav1.APIResource, error) {
	path := "/apis/" + kind.GroupVersion().String()
	if kind.Group == "" {
		path = "/api/" + kind.Version
	}
	list, err := readInto[metav1.APIResourceList](ctx, h, path)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask the server what it serves of %s: %s", kind.GroupVersion(), sentence(err))
	}
	at := slices.IndexFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Kind == kind.Kind && !strings.Contains(r.Name, "/") })
	if at < 0 {
		return nil, nil
	}
	return &list.APIResources[at], nil
}

// come notes that what is at a path is made with what is planned, and comes tells it.
func (h *hub) come(path string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.coming[path] = true
}

func (h *hub) comes(path string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.coming[path]
}

// supposeApplied has all that is read later be as if an object were applied.
func (h *hub) supposeApplied(ctx context.Context, kind schema.GroupKind, gvr schema.GroupVersionResource, after map[string]any) error {
	data, err := json.Marshal(after)
	if err != nil {
		return err
	}
	var meta metav1.PartialObjectMetadata
	if err := json.Unmarshal(data, &meta); err != nil {
		return err
	}
	one, all := pathOf(gvr, meta.Namespace, meta.Name), pathOf(gvr, meta.Namespace, "")
	switch kind {
	case namespaceKind:
		return supposeOne[corev1.Namespace](h, one, data)
	case configKind:
		return supposeOne[v1beta1.KubeFedConfig](h, one, data)
	case typeKind:
		return supposeAmong(ctx, h, all, data, func(l *v1beta1.FederatedTypeConfigList) *[]v1beta1.FederatedTypeConfig { return &l.Items })
	case clusterKind:
		return supposeAmong(ctx, h, all, data, func(l *v1beta1.KubeFedClusterList) *[]v1beta1.KubeFedCluster { return &l.Items })
	case cellKind:
		return supposeAmong(ctx, h, all, data, func(l *federationv1alpha1.CellList) *[]federationv1alpha1.Cell { return &l.Items })
	case edgeUnitKind:
		return supposeAmong(ctx, h, all, data, func(l *edgev1alpha1.EdgeUnitList) *[]edgev1alpha1.EdgeUnit { return &l.Items })
	}
	return nil
}

func supposeOne[T any](h *hub, path string, data []byte) error {
	object := new(T)
	if err := json.Unmarshal(data, object); err != nil {
		return err
	}
	h.suppose(path, object)
	return nil
}

// supposeAmong has an object in the list at a path, in the place of the one of its name. What may not be listed nothing is
// decided by.
func supposeAmong[L, T any, P interface {
	*T
	metav1.Object
}](ctx context.Context, h *hub, path string, data []byte, itemsOf func(*L) *[]T) error {
	object := P(new(T))
	if err := json.Unmarshal(data, object); err != nil {
		return err
	}
	list, err := readInto[L](ctx, h, path)
	if err != nil {
		return nil
	}
	changed := *list
	items := slices.Clone(*itemsOf(list))
	at := slices.IndexFunc(items, func(item T) bool { return P(&item).GetName() == object.GetName() })
	if at < 0 {
		at, items = len(items), append(items, *object)
	}
	items[at] = *object
	*itemsOf(&changed) = items
	h.suppose(path, &changed)
	return nil
}
