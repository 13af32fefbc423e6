package propagation

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	listersv1beta1 "github.com/koinon-io/koinon/pkg/generated/listers/core/v1beta1"
)

func TestWhetherAKindPropagates(t *testing.T) {
	type answer struct {
		Name  string
		Known bool
	}
	for name, test := range map[string]struct {
		configured, running, paused, looked bool
		want                                answer
	}{
		"there is none":                         {want: answer{"", true}},
		"right after a start":                   {configured: true, want: answer{"", false}},
		"it propagates":                         {configured: true, running: true, looked: true, want: answer{"deployments.apps", true}},
		"it is paused":                          {configured: true, running: true, paused: true, looked: true, want: answer{"", true}},
		"it is not served":                      {configured: true, looked: true, want: answer{"", true}},
		"it runs a moment before that is noted": {configured: true, running: true, want: answer{"deployments.apps", true}},
	} {
		t.Run(name, func(t *testing.T) {
			ftc := &v1beta1.FederatedTypeConfig{ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: "deployments.apps"}}
			ftc.Spec.FederatedType.Kind = "FederatedDeployment"
			stored := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
			e := &Engine{kinds: map[string]*kind{}, looked: map[string]bool{ftc.Name: test.looked}}
			e.Types = listersv1beta1.NewFederatedTypeConfigLister(stored).FederatedTypeConfigs("system")
			if test.configured {
				if err := stored.Add(ftc); err != nil {
					t.Fatal(err)
				}
			}
			if test.running {
				e.kinds[ftc.Name] = &kind{name: ftc.Name, spec: ftc.Spec, paused: test.paused}
			}
			got := answer{}
			got.Name, got.Known = e.Kind("FederatedDeployment")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

// TestWhoPlacesSeesWhereTheNamespaceGoes: the rule is the engine's own.
func TestWhoPlacesSeesWhereTheNamespaceGoes(t *testing.T) {
	candidates := []placement.Candidate{{Name: "m1"}, {Name: "m2"}, {Name: "m3", Refusal: "it is another tenant's"}}
	for name, test := range map[string]struct {
		world world
		want  []placement.Disposition
		err   error
	}{
		"to some":               {world{typed: true, feed: feedOf(t, true, federatedShop("u1", "m1"))}, []placement.Disposition{placement.Placed, placement.Outside, placement.NotFound}, nil},
		"it is not federated":   {world{typed: true, feed: feedOf(t, true)}, []placement.Disposition{placement.Unfederated, placement.Unfederated, placement.NotFound}, nil},
		"nobody can tell yet":   {world{typed: true, feed: feedOf(t, false)}, nil, placement.ErrNamespaceUnknown},
		"it is in no namespace": {world{typed: true, feed: feedOf(t, false), target: namespaces}, []placement.Disposition{placement.Placed, placement.Placed, placement.NotFound}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			e, v := engineIn(t, test.world)
			v.namespace = e.namespaceOf(v)
			targets, err := v.narrow(candidates)
			if !errors.Is(err, test.err) {
				t.Fatalf("got error %v, want %v", err, test.err)
			}
			var got []placement.Disposition
			for _, target := range targets {
				got = append(got, target.Disposition)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("dispositions (-want +got):\n%s", diff)
			}
		})
	}
}

// TestWhoPlacesIsToldOfOtherTargets: where the namespace goes, and which clusters there are.
func TestWhoPlacesIsToldOfOtherTargets(t *testing.T) {
	for name, of := range map[string]scope{"of a namespace": {namespace: "shop"}, "of clusters": {clusters: true}} {
		t.Run(name, func(t *testing.T) {
			var told []objectKey
			e := &Engine{objects: newObjectQueue(), kinds: map[string]*kind{
				"configmaps": {name: "configmaps", target: viewOf("shop", "cluster", configMaps).kind.target, feed: feedOf(t, true, federatedShop("u1"))},
			}}
			e.OnObject = func(kind, namespace, name string, inMember bool) {
				if told = append(told, objectKey{kind, namespace, name}); inMember {
					t.Error("told of a change in a member")
				}
			}
			if err := e.syncScope(t.Context(), of); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]objectKey{{"configmaps", "shop", "shop"}}, told, cmp.AllowUnexported(objectKey{})); diff != "" {
				t.Errorf("told of (-want +got):\n%s", diff)
			}
		})
	}
}

// TestWhoMakesAFederatedNamespaceIsToldWhatTheTargetsAre: a selector of it may pick them, and what is another tenant's loses nothing by it.
func TestWhoMakesAFederatedNamespaceIsToldWhatTheTargetsAre(t *testing.T) {
	e, v := engineIn(t, world{})
	informer := cache.NewSharedIndexInformer(&cache.ListWatch{}, &v1beta1.KubeFedCluster{}, 0, cache.Indexers{})
	var err error
	if e.Clusters, err = NewClusters(informer, "system"); err != nil {
		t.Fatal(err)
	}
	for name, labels := range map[string]map[string]string{"m1": {"zone": "a"}, "m2": {federationv1alpha1.TenantLabel: "b"}, "empty": nil} {
		if err := informer.GetIndexer().Add(&v1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: name, Labels: labels}}); err != nil {
			t.Fatal(err)
		}
	}
	object := federatedShop("u1")
	object.Status = &v1beta2.FederatedObjectStatus{Targets: []v1beta2.TargetStatus{{Name: "m2", Hash: "h"}, {Name: "m1", Hash: "h"}, {Name: "left", Hash: "h"}, {Name: "empty"}}}
	v.kind.feed = feedOf(t, true, object)
	e.kinds["configmaps"] = v.kind
	targets, known := e.InTargets("shop", "cluster")
	if !known || len(targets) != 2 || targets[0].Name != "m1" || targets[0].Labels["zone"] != "a" || targets[0].Refusal != "" || targets[1].Name != "m2" || targets[1].Refusal == "" {
		t.Errorf("got %+v, known: %t; want m1 with its zone, and m2, which is another tenant's", targets, known)
	}
	v.kind.feed = feedOf(t, false, object)
	if _, known := e.InTargets("shop", "cluster"); known {
		t.Error("before all objects are known, it is known where they are")
	}
}
