package propagation

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	federationlisters "github.com/koinon-io/koinon/pkg/generated/listers/federation/v1alpha1"
)

// A tenant's thousand clusters are not looked at for each object of another.
func TestClustersOfOthersAreLookedAtOnlyIfTheyAreNamed(t *testing.T) {
	ofTenant := func(name string) map[string]string { return map[string]string{federationv1alpha1.TenantLabel: name} }
	ofCell := func(namespace string) map[string]string {
		return map[string]string{federationv1alpha1.TopologyLabel: v1beta2.TopologyCell, federationv1alpha1.TopologyNamespaceLabel: namespace,
			federationv1alpha1.MemberLabel: "m1", federationv1alpha1.TenantLabel: "a"}
	}
	informer := cache.NewSharedIndexInformer(&cache.ListWatch{}, &v1beta1.KubeFedCluster{}, 0, cache.Indexers{})
	clusters, err := NewClusters(informer, "system")
	if err != nil {
		t.Fatal(err)
	}
	for name, labels := range map[string]map[string]string{
		"m1": ofTenant("a"), "m2": ofTenant("b"), "m3": ofTenant("b"), "m4": nil, "m5": ofTenant("c"),
		"rz00a.shop": ofCell("shop"), "rz00a.bank": ofCell("bank"), "rz01a.bank": ofCell("bank"),
	} {
		if err := informer.GetIndexer().Add(&v1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: name, Labels: labels}}); err != nil {
			t.Fatal(err)
		}
	}
	noCells := federationlisters.NewCellLister(cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}))
	e := &Engine{Config: Config{Clusters: clusters, Cells: noCells}}
	v := viewOf("shop", "cluster", configMaps)
	v.tenant = tenancy.Of(ofTenant("a"))
	v.memory = &memory{records: map[string]v1beta2.TargetStatus{"m5": {}, "gone": {}}}
	v.federated.Spec.Placement = &v1beta2.Placement{Topologies: []v1beta2.TopologyReference{{Name: "m1"}, {Name: "m2"}, {Name: "rz00a.bank"}, {Name: "nowhere"}}}
	candidates, err := e.candidates(v)
	if err != nil {
		t.Fatal(err)
	}
	refused := map[string]bool{}
	for _, c := range candidates {
		if _, twice := refused[c.Name]; twice {
			t.Errorf("%s is there twice", c.Name)
		}
		refused[c.Name] = c.Refusal != ""
	}
	want := map[string]bool{"m1": false, "rz00a.shop": false, "m2": true, "m5": true, "rz00a.bank": true}
	if diff := cmp.Diff(want, refused); diff != "" {
		t.Errorf("candidates, and whether they are refused (-want +got):\n%s\n%s", diff, strings.Join(slices.Sorted(maps.Keys(refused)), ", "))
	}
}
