package propagation

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

// What admission saw may be another than the namespace has now.
func TestANamespaceIsNotSentWithLabelsThatTheHostLacks(t *testing.T) {
	const template = `{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"privileged","team":"a"}}}`
	for name, test := range map[string]struct {
		template string
		host     map[string]string
		want     string
	}{
		"no template":  {},
		"any label":    {template: `{"metadata":{"labels":{"team":"a"}}}`, want: refusedTeam},
		"the same":     {template: template, host: map[string]string{"pod-security.kubernetes.io/enforce": "privileged", "team": "a"}},
		"another one":  {template: template, host: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}, want: refusedPrivileged},
		"none":         {template: template, want: refusedPrivileged},
		"no such text": {template: `{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":1}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
			if err := indexer.Add(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: test.host}}); err != nil {
				t.Fatal(err)
			}
			e := &Engine{Config: Config{SystemNamespace: "system", Namespaces: corelisters.NewNamespaceLister(indexer)}}
			k := &kind{}
			k.gvk.Kind = "Namespace"
			v := &view{key: objectKey{namespace: "shop", name: "shop"}, kind: k, federated: &v1beta2.FederatedObject{
				Spec: v1beta2.FederatedObjectSpec{Template: rawjson.Value(test.template)},
			}}
			if got := e.refuse(v); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

const (
	refusedPrivileged = `spec.template.metadata.labels[pod-security.kubernetes.io/enforce]: Forbidden: "privileged" may be set only as the namespace that is federated has it: label that namespace first`
	refusedTeam       = `spec.template.metadata.labels[team]: Forbidden: "a" may be set only as the namespace that is federated has it: label that namespace first`
)
