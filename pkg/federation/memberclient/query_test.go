package memberclient

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestWhereObjectsAreListed(t *testing.T) {
	deployments := schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	for name, test := range map[string]struct {
		query query
		want  string
	}{
		"in all namespaces":                  {query{resource: configMaps.Resource}, "/api/v1/configmaps"},
		"in one namespace":                   {query{resource: configMaps.Resource, namespace: "shop"}, "/api/v1/namespaces/shop/configmaps"},
		"in one namespace, those of a group": {query{resource: deployments, namespace: "shop"}, "/apis/apps/v1/namespaces/shop/deployments"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.query.path(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
