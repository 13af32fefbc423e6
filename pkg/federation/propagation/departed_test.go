package propagation

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

func TestTheTenantOfAnObjectIsThatOfItsOwnNamespace(t *testing.T) {
	shop := func(deleting bool) *corev1.Namespace {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", UID: "now", Labels: map[string]string{federationv1alpha1.TenantLabel: "acme"}}}
		if deleting {
			namespace.DeletionTimestamp = &metav1.Time{}
		}
		return namespace
	}
	acme := tenancy.Tenant{Name: "acme"}
	for name, test := range map[string]struct {
		namespace *corev1.Namespace // of now; nil if there is none
		bound     string
		deleting  bool
		fresh     bool // it was made a moment ago
		want      tenancy.Tenant
		departed  bool
		unknown   bool
	}{
		"it was made in it":                                      {namespace: shop(false), bound: "now", want: acme},
		"nobody wrote down where it was made":                    {namespace: shop(false), want: acme},
		"it was made in an earlier one":                          {namespace: shop(false), bound: "then", departed: true},
		"it was made in an earlier one and is deleted":           {namespace: shop(false), bound: "then", deleting: true, departed: true},
		"there is none yet, as far as the cache knows":           {bound: "now", fresh: true, unknown: true},
		"there is none, and it is not deleted":                   {bound: "now", departed: true},
		"there is none, and it is deleted":                       {bound: "then", deleting: true, departed: true},
		"it was made in a later one than the cache knows so far": {namespace: shop(true), bound: "later", fresh: true, unknown: true},
		"its own is being deleted, as is another one":            {namespace: shop(true), bound: "then", deleting: true, departed: true},
	} {
		t.Run(name, func(t *testing.T) {
			indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
			if test.namespace != nil {
				if err := indexer.Add(test.namespace); err != nil {
					t.Fatal(err)
				}
			}
			object := &v1beta2.FederatedObject{ObjectMeta: metav1.ObjectMeta{Namespace: "shop"}}
			if test.bound != "" {
				object.Annotations = map[string]string{federationv1alpha1.NamespaceUIDAnnotation: test.bound}
			}
			if test.deleting {
				object.DeletionTimestamp = &metav1.Time{}
			}
			now := time.Now()
			if test.fresh {
				object.CreationTimestamp = metav1.NewTime(now)
			}
			e := &Engine{now: func() time.Time { return now }, Config: Config{Namespaces: corelisters.NewNamespaceLister(indexer)}}
			tenant, departed, err := e.tenantOf(object)
			if tenant != test.want || departed != test.departed || (err != nil) != test.unknown {
				t.Errorf("got %v, departed %v, error %v", tenant, departed, err)
			}
		})
	}
}
