package simulation

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
)

// schemas are those of the built-in types, made when first needed.
var schemas = sync.OnceValue(func() managedfields.TypeConverter { return applyconfigurations.NewTypeConverter(scheme.Scheme) })

// owners returns what keeps managedFields of the type, and applies; nil if the member does not.
// The schemas of types that are not built in are deduced: their lists are atomic. m.mu is held.
func (m *Member) owners(of *registry, subresource string) *managedfields.FieldManager {
	if !m.options.ManagedFields {
		return nil
	}
	if made := of.owners[subresource]; made != nil {
		return made
	}
	kind := of.groupVersionKind()
	build, converter := managedfields.NewDefaultFieldManager, schemas
	if !scheme.Scheme.Recognizes(kind) {
		build, converter = managedfields.NewDefaultCRDFieldManager, managedfields.NewDeducedTypeConverter
	}
	made, err := build(converter(), oneVersion{}, oneVersion{}, oneVersion{}, kind, kind.GroupVersion(), subresource, nil)
	if err != nil {
		panic(fmt.Sprintf("simulation: fields of %s: %v", kind, err))
	}
	if of.owners == nil {
		of.owners = map[string]*managedfields.FieldManager{}
	}
	of.owners[subresource] = made
	return made
}

// oneVersion stands for a scheme in which every kind has one version and no defaults.
type oneVersion struct{}

func (oneVersion) Default(runtime.Object) {}

func (oneVersion) New(kind schema.GroupVersionKind) (runtime.Object, error) {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(kind)
	return object, nil
}

func (oneVersion) Convert(_, _, _ any) error { return fmt.Errorf("there is nothing to convert to") }

func (oneVersion) ConvertToVersion(in runtime.Object, _ runtime.GroupVersioner) (runtime.Object, error) {
	return in, nil
}

func (oneVersion) ConvertFieldLabel(_ schema.GroupVersionKind, label, value string) (string, string, error) {
	return label, value, nil
}

// managerOf is who a request says that it is.
func managerOf(r *http.Request) string {
	if name := r.URL.Query().Get("fieldManager"); name != "" {
		return name
	}
	name, _, _ := strings.Cut(r.UserAgent(), "/")
	return name
}

// own records whose the fields of a written object are. old is nil on create. m.mu is held.
func (m *Member) own(of *registry, how intent, object, old map[string]any) map[string]any {
	owners := m.owners(of, how.subresource)
	if owners == nil || how.direct {
		return object
	}
	if !how.applied {
		object = owners.UpdateNoErrors(m.live(of, old), &unstructured.Unstructured{Object: object}, how.manager).(*unstructured.Unstructured).Object
	}
	if old != nil && bytes.Equal(untimed(old), untimed(object)) {
		carry("managedFields", metadataOf(old), metadataOf(object))
	}
	return object
}

// live is an object as field managers take it.
func (m *Member) live(of *registry, old map[string]any) *unstructured.Unstructured {
	if old != nil {
		return (&unstructured.Unstructured{Object: old}).DeepCopy()
	}
	empty, _ := oneVersion{}.New(of.groupVersionKind()) // cannot fail
	return empty.(*unstructured.Unstructured)
}

// untimed are the managed fields without their times, which alone are no change.
func untimed(object map[string]any) []byte {
	fields := (&unstructured.Unstructured{Object: object}).GetManagedFields()
	for i := range fields {
		fields[i].Time = nil
	}
	list := &metav1.ObjectMeta{ManagedFields: fields}
	u, err := runtime.DefaultUnstructuredConverter.ToUnstructured(list)
	if err != nil {
		panic("simulation: " + err.Error())
	}
	return encode(u)
}

// merge applies a manifest. old is nil if there is no object yet. m.mu is held.
func (m *Member) merge(of *registry, r *http.Request, how intent, old *stored, manifest map[string]any) (map[string]any, error) {
	var was map[string]any
	if old != nil {
		was = old.decode()
	}
	force, _ := strconv.ParseBool(r.URL.Query().Get("force"))
	merged, err := m.owners(of, how.subresource).Apply(m.live(of, was), &unstructured.Unstructured{Object: manifest}, how.manager, force)
	if err != nil {
		return nil, err
	}
	return merged.(*unstructured.Unstructured).Object, nil
}
