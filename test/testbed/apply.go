package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// Applier makes the requests of "kubectl apply --server-side --force-conflicts" without kubectl, which is a process
// for each, and discovers all kinds anew. Tests of what kubectl does and says run Kubectl.
type Applier struct {
	client dynamic.Interface
	mapper *restmapper.DeferredDiscoveryRESTMapper
}

// NewApplier returns an applier for one server. It asks nothing of it.
func NewApplier(config *rest.Config) (*Applier, error) {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("apply manifests: %w", err)
	}
	kinds, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("apply manifests: %w", err)
	}
	return &Applier{client: client, mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(kinds))}, nil
}

// Apply applies the documents of a manifest, in their order, and waits for a kind that is not served yet. It fails the
// test at the first document that is refused.
func (a *Applier) Apply(t testing.TB, manifests string) {
	t.Helper()
	for decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(manifests), 4096); ; {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("read a manifest: %v", err)
		}
		if err := a.apply(t.Context(), object, a.mapping(t, object.GroupVersionKind())); err != nil {
			t.Fatalf("apply %s %s: %v", object.GetKind(), object.GetName(), err)
		}
	}
}

func (a *Applier) mapping(t testing.TB, kind schema.GroupVersionKind) (mapping *meta.RESTMapping) {
	t.Helper()
	Eventually(t, fmt.Sprintf("%s is served", kind), func(context.Context) (err error) {
		if mapping, err = a.mapper.RESTMapping(kind.GroupKind(), kind.Version); err != nil {
			a.mapper.Reset()
		}
		return err
	})
	return mapping
}

func (a *Applier) apply(ctx context.Context, object *unstructured.Unstructured, mapping *meta.RESTMapping) error {
	resource := dynamic.ResourceInterface(a.client.Resource(mapping.Resource))
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		if object.GetNamespace() == "" {
			object.SetNamespace(metav1.NamespaceDefault)
		}
		resource = a.client.Resource(mapping.Resource).Namespace(object.GetNamespace())
	}
	data, err := object.MarshalJSON()
	if err != nil {
		return err
	}
	force := true
	_, err = resource.Patch(ctx, object.GetName(), types.ApplyPatchType, data, metav1.PatchOptions{
		FieldManager: "kubectl", Force: &force, FieldValidation: metav1.FieldValidationStrict,
	})
	return err
}
