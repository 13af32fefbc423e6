package static_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1alpha1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/computed"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
	"github.com/koinon-io/koinon/pkg/registry/static"
)

// recorded are federated objects that were propagated, by kind.
type recorded map[federated.Kind][]*typesv1beta2.FederatedObject

var (
	recordedMaps  = federated.Kind{Kind: "FederatedConfigMap", Resource: "federatedconfigmaps", Namespaced: true, Target: schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}}
	recordedRoles = federated.Kind{Kind: "FederatedClusterRole", Resource: "federatedclusterroles", Target: schema.GroupVersionKind{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"}}
)

func (r recorded) Kinds() []federated.Kind { return []federated.Kind{recordedMaps, recordedRoles} }

func (r recorded) Object(_ context.Context, kind federated.Kind, namespace, name string) (*typesv1beta2.FederatedObject, error) {
	for _, o := range r[kind] {
		if o.Namespace == namespace && o.Name == name {
			return o, nil
		}
	}
	return nil, nil
}

func (r recorded) List(ctx context.Context, kind federated.Kind, _ *metainternalversion.ListOptions) (*typesv1beta2.FederatedObjectList, error) {
	list := &typesv1beta2.FederatedObjectList{ListMeta: metav1.ListMeta{ResourceVersion: "1000"}}
	for _, o := range r[kind] {
		if namespace := genericapirequest.NamespaceValue(ctx); namespace == "" || o.Namespace == namespace {
			list.Items = append(list.Items, *o)
		}
	}
	return list, nil
}

func (r recorded) Objects(ctx context.Context, kind federated.Kind, namespace string, visit func(*typesv1beta2.FederatedObject) error) error {
	list, err := r.List(genericapirequest.WithNamespace(ctx, namespace), kind, nil)
	for i := 0; err == nil && i < len(list.Items); i++ {
		err = visit(&list.Items[i])
	}
	return err
}

func (recorded) Encoding(federated.Kind) (objectstore.Encoding, bool) {
	return objectstore.Encoding{}, false
}

func (recorded) Sees(context.Context, schema.GroupResource, metav1.Object) (bool, error) {
	return true, nil
}

func inOneCluster(kind federated.Kind, namespace, name string) *typesv1beta2.FederatedObject {
	o := &typesv1beta2.FederatedObject{TypeMeta: metav1.TypeMeta{Kind: kind.Kind}, ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(namespace + name), ResourceVersion: "5"}}
	o.Status = &typesv1beta2.FederatedObjectStatus{Targets: []typesv1beta2.TargetStatus{{Name: "m1", Version: "gen:2"}}}
	return o
}

// storageOf returns the storage of a resource of core.kubefed.io/v1alpha1.
func storageOf(t *testing.T, registry *static.Registry, resource string) rest.StandardStorage {
	t.Helper()
	for _, group := range registry.Groups {
		if storage, ok := group.VersionedResourcesStorageMap["v1alpha1"][resource]; ok {
			return storage.(rest.StandardStorage)
		}
	}
	t.Fatalf("there is no %s", resource)
	return nil
}

func namesOf(t *testing.T, storage rest.StandardStorage, namespace string, options *metainternalversion.ListOptions) []string {
	t.Helper()
	list, err := storage.List(in(t, namespace), options)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	switch l := list.(type) {
	case *v1alpha1.PropagatedVersionList:
		for _, item := range l.Items {
			names = append(names, item.Namespace+"/"+item.Name)
		}
	case *v1alpha1.ClusterPropagatedVersionList:
		for _, item := range l.Items {
			names = append(names, item.Name)
		}
	}
	return names
}

func TestRecordsAreComputedUnlessTheyAreStored(t *testing.T) {
	never := inOneCluster(recordedMaps, "shop", "never")
	never.Status.Targets[0].Version = ""
	otherEngine := false
	registry := newServerOf(t, newStore(t), recorded{
		recordedMaps: {
			inOneCluster(recordedMaps, "shop", "a"), inOneCluster(recordedMaps, "shop", "b"), inOneCluster(recordedMaps, "bank", "a"), never,
			inOneCluster(recordedMaps, "shop", strings.Repeat("x", 250)),
		},
		recordedRoles: {inOneCluster(recordedRoles, "", "viewer")},
	}, func(context.Context) bool { return otherEngine })
	versions, clusterVersions := storageOf(t, registry, "propagatedversions"), storageOf(t, registry, "clusterpropagatedversions")
	stored := create(t, versions, "shop", &v1alpha1.PropagatedVersion{ObjectMeta: metav1.ObjectMeta{Name: "configmap-b", Namespace: "shop"}})

	for name, test := range map[string]struct {
		storage   rest.StandardStorage
		namespace string
		options   *metainternalversion.ListOptions
		want      []string
	}{
		"of a namespace":      {versions, "shop", nil, []string{"shop/configmap-b", "shop/configmap-a"}},
		"of all":              {versions, "", nil, []string{"shop/configmap-b", "shop/configmap-a", "bank/configmap-a"}},
		"of one name":         {versions, "", &metainternalversion.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", "configmap-a")}, []string{"shop/configmap-a", "bank/configmap-a"}},
		"without a namespace": {clusterVersions, "", nil, []string{"clusterrole-viewer"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, namesOf(t, test.storage, test.namespace, test.options)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	got, err := versions.Get(in(t, "shop"), "configmap-a", &metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	record := got.(*v1alpha1.PropagatedVersion)
	if diff := cmp.Diff([]v1alpha1.ClusterObjectVersion{{ClusterName: "m1", Version: "gen:2"}}, record.Status.ClusterVersions); diff != "" || record.ResourceVersion != "5" {
		t.Errorf("got %+v\n%s", record, diff)
	}
	if got, err := versions.Get(in(t, "shop"), "configmap-b", &metav1.GetOptions{}); err != nil || got.(*v1alpha1.PropagatedVersion).UID != stored.UID {
		t.Errorf("one is stored, and got %+v and %v", got, err)
	}
	for _, name := range []string{"configmap-never", "configmap-", "secret-a", "clusterrole-viewer", "configmap-" + strings.Repeat("x", 250)} {
		if got, err := versions.Get(in(t, "shop"), name, &metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("%s: got %+v and %v", name, got, err)
		}
	}
	if _, _, err := versions.Delete(in(t, "shop"), "configmap-a", rest.ValidateAllObjectFunc, &metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("to delete one that is computed: got %v", err)
	}

	otherEngine = true
	if diff := cmp.Diff([]string{"shop/configmap-b"}, namesOf(t, versions, "", nil)); diff != "" {
		t.Errorf("while another engine propagates (-want +got):\n%s", diff)
	}
}

var _ computed.Source = recorded{}
