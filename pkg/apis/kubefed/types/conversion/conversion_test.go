package conversion_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// Objects in these tests are JSON without the outer braces.
const (
	metaShop = `"metadata":{"name":"web","namespace":"shop"}`
	markers  = `"federation.koinon.io/topology":"cell","federation.koinon.io/topology-namespace":"shop"`
)

func annotated(stash string) string {
	return `"metadata":{"name":"web","namespace":"shop","annotations":{"federation.koinon.io/topology":` + quote(stash) + `}}`
}

func quote(s string) string {
	return `"` + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), `"`, `\"`) + `"`
}

// normal decodes data, and returns it as the type encodes it.
func normal(t *testing.T, data string, into any) string {
	t.Helper()
	decode(t, "{"+data+"}", into)
	return encode(t, into)
}

// TestBothWays holds pairs that are each other's conversion.
func TestBothWays(t *testing.T) {
	for sentence, tc := range map[string]struct{ topology, cluster string }{
		"clusters keep their names and need no annotation": {
			topology: metaShop + `,"spec":{"topologyType":"cluster","placement":{"topologies":[{"name":"m1"}]},"overrides":[{"topologyName":"m1","topologyOverrides":[{"path":"/spec/replicas","value":3}]}]}`,
			cluster:  metaShop + `,"spec":{"placement":{"clusters":[{"name":"m1"}]},"overrides":[{"clusterName":"m1","clusterOverrides":[{"path":"/spec/replicas","value":3}]}]}`,
		},
		"cells are named with their namespace": {
			topology: metaShop + `,"spec":{"topologyType":"cell","placement":{"topologies":[{"name":"rz01a"},{"name":"rz00a"}]},"overrides":[{"topologyName":"rz01a"}]}`,
			cluster:  annotated(`{"topologyType":"cell"}`) + `,"spec":{"placement":{"clusters":[{"name":"rz01a.shop"},{"name":"rz00a.shop"}]},"overrides":[{"clusterName":"rz01a.shop"}]}`,
		},
		"edge units have their own suffix": {
			topology: metaShop + `,"spec":{"topologyType":"edgeunit","placement":{"topologies":[{"name":"store7"}]}}`,
			cluster:  annotated(`{"topologyType":"edgeunit"}`) + `,"spec":{"placement":{"clusters":[{"name":"store7.shop.edgeunit"}]}}`,
		},
		"a selector of cells asks for their labels": {
			topology: metaShop + `,"spec":{"topologyType":"cell","placement":{"topologySelector":{"matchLabels":{"region":"eu"}}}}`,
			cluster:  annotated(`{"topologyType":"cell"}`) + `,"spec":{"placement":{"clusterSelector":{"matchLabels":{` + markers + `,"region":"eu"}}}}`,
		},
		"an empty selector of cells does so too": {
			topology: metaShop + `,"spec":{"topologyType":"cell","placement":{"topologySelector":{}}}`,
			cluster:  annotated(`{"topologyType":"cell"}`) + `,"spec":{"placement":{"clusterSelector":{"matchLabels":{` + markers + `}}}}`,
		},
		"an empty selector of clusters stays as KubeFed wrote it": {
			topology: metaShop + `,"spec":{"topologyType":"cluster","placement":{"topologySelector":{}}}`,
			cluster:  metaShop + `,"spec":{"placement":{"clusterSelector":{}}}`,
		},
		"an empty list of targets stays": {
			topology: metaShop + `,"spec":{"topologyType":"cluster","placement":{"topologies":[]}}`,
			cluster:  metaShop + `,"spec":{"placement":{"clusters":[]}}`,
		},
		"an empty placement stays": {
			topology: metaShop + `,"spec":{"topologyType":"cluster","placement":{}}`,
			cluster:  metaShop + `,"spec":{"placement":{}}`,
		},
		"empty lists of overrides and of changes stay": {
			topology: metaShop + `,"spec":{"topologyType":"cluster","overrides":[{"topologyName":"m1","topologyOverrides":[]}]}`,
			cluster:  metaShop + `,"spec":{"overrides":[{"clusterName":"m1","clusterOverrides":[]}]}`,
		},
		"no overrides at all stay an empty list": {
			topology: metaShop + `,"spec":{"topologyType":"cluster","overrides":[]}`,
			cluster:  metaShop + `,"spec":{"overrides":[]}`,
		},
		"a value of null is not an absent one": {
			topology: metaShop + `,"spec":{"topologyType":"cluster","template":null,"overrides":[{"topologyName":"m1","topologyOverrides":[{"path":"/a","value":null},{"path":"/b"}]}]}`,
			cluster:  metaShop + `,"spec":{"template":null,"overrides":[{"clusterName":"m1","clusterOverrides":[{"path":"/a","value":null},{"path":"/b"}]}]}`,
		},
		"retainReplicas false is not an absent one": {
			topology: metaShop + `,"spec":{"topologyType":"cluster","retainReplicas":false}`,
			cluster:  metaShop + `,"spec":{"retainReplicas":false}`,
		},
		"a mask of clusters needs the annotation": {
			topology: metaShop + `,"spec":{"topologyType":"cluster","placementMask":{"topologies":[]}}`,
			cluster:  annotated(`{"placementMask":{"topologies":[]}}`) + `,"spec":{}`,
		},
		"overrides by selector keep their index": {
			topology: metaShop + `,"spec":{"topologyType":"cell","overrides":[{"topologySelector":{},"topologyOverrides":[{"path":"/a","value":"<"}]},{"topologyName":"rz00a"},{"topologySelector":{"matchLabels":{"r":"eu"}}}]}`,
			cluster: annotated(`{"topologyType":"cell","selectorOverrides":[{"index":0,"override":{"topologySelector":{},"topologyOverrides":[{"path":"/a","value":"<"}]}},{"index":2,"override":{"topologySelector":{"matchLabels":{"r":"eu"}}}}]}`) +
				`,"spec":{"overrides":[{"clusterName":"rz00a.shop"}]}`,
		},
		"overrides by selector alone leave no list": {
			topology: metaShop + `,"spec":{"topologyType":"cluster","overrides":[{"topologySelector":{}}]}`,
			cluster:  annotated(`{"selectorOverrides":[{"index":0,"override":{"topologySelector":{}}}]}`) + `,"spec":{}`,
		},
		"other annotations stay": {
			topology: `"metadata":{"name":"web","namespace":"shop","annotations":{"a":"b"}},"spec":{"topologyType":"cell"}`,
			cluster:  `"metadata":{"name":"web","namespace":"shop","annotations":{"a":"b","federation.koinon.io/topology":"{\"topologyType\":\"cell\"}"}},"spec":{}`,
		},
		"version of the kind": {
			topology: `"apiVersion":"types.kubefed.io/v1beta2","kind":"FederatedService",` + metaShop + `,"spec":{"topologyType":"cluster"}`,
			cluster:  `"apiVersion":"types.kubefed.io/v1beta1","kind":"FederatedService",` + metaShop + `,"spec":{}`,
		},
		"version of a kind in another group": {
			topology: `"apiVersion":"fed.example.com/v1beta2","kind":"FederatedService",` + metaShop + `,"spec":{"topologyType":"cluster"}`,
			cluster:  `"apiVersion":"fed.example.com/v1beta1","kind":"FederatedService",` + metaShop + `,"spec":{}`,
		},
		"a status that KubeFed can say has no more": {
			topology: metaShop + `,"spec":{"topologyType":"cell"},"status":{"observedGeneration":2,"conditions":[{"type":"Propagation","status":"True"}],"targets":[{"name":"rz01a"},{"name":"rz00a","state":"UpdateFailed","remoteStatus":{"a":1}}]}`,
			cluster:  annotated(`{"topologyType":"cell"}`) + `,"spec":{},"status":{"observedGeneration":2,"conditions":[{"type":"Propagation","status":"True"}],"clusters":[{"name":"rz01a.shop"},{"name":"rz00a.shop","status":"UpdateFailed","remoteStatus":{"a":1}}]}`,
		},
		"a richer status keeps the rest beside it": {
			topology: metaShop + `,"spec":{"topologyType":"cell"},"status":{"conditions":[{"type":"Propagation","status":"False","reason":"CheckClusters","message":"rz00a: no"}],"targets":[{"name":"rz00a","state":"Masked","message":"m","cluster":"m1","namespace":"shop-a","hash":"h","version":"gen:3","generation":7,"remoteStatus":null},{"name":"rz01a"}]}`,
			cluster: annotated(`{"topologyType":"cell"}`) + `,"spec":{},"status":{"conditions":[{"type":"Propagation","status":"False","reason":"CheckClusters"}],"clusters":[{"name":"rz00a.shop","status":"Masked","remoteStatus":null},{"name":"rz01a.shop"}],` +
				`"topology":{"messages":{"Propagation":"rz00a: no"},"targets":[{"name":"rz00a","message":"m","cluster":"m1","namespace":"shop-a","hash":"h","version":"gen:3","generation":7}]}}`,
		},
		"an empty status is not an absent one": {
			topology: metaShop + `,"spec":{"topologyType":"cluster"},"status":{}`,
			cluster:  metaShop + `,"spec":{},"status":{}`,
		},
		"a stock controller may report on a cluster that is no cell": {
			topology: metaShop + `,"spec":{"topologyType":"cell"},"status":{"targets":[{"name":"cluster:m3","state":"WaitingForRemoval"},{"name":"rz00a"}]}`,
			cluster:  annotated(`{"topologyType":"cell"}`) + `,"spec":{},"status":{"clusters":[{"name":"m3","status":"WaitingForRemoval"},{"name":"rz00a.shop"}]}`,
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			var hub v1beta2.FederatedObject
			var cluster v1beta1.FederatedObject
			wantHub, wantCluster := normal(t, tc.topology, &hub), normal(t, tc.cluster, &cluster)
			if diff := cmp.Diff(wantCluster, encode(t, toV1beta1(t, &hub))); diff != "" {
				t.Errorf("ToV1beta1 (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(wantHub, encode(t, toV1beta2(t, &cluster))); diff != "" {
				t.Errorf("ToV1beta2 (-want +got):\n%s", diff)
			}
		})
	}
}

// TestFromClusterShape holds what clients may send beside what the server sent them.
func TestFromClusterShape(t *testing.T) {
	for sentence, tc := range map[string]struct{ cluster, topology string }{
		"an empty stash says cluster": {
			cluster:  annotated(`{}`) + `,"spec":{}`,
			topology: metaShop + `,"spec":{"topologyType":"cluster"}`,
		},
		"white space in the stash is harmless": {
			cluster:  annotated(` { "topologyType" : "cell" } `) + `,"spec":{}`,
			topology: metaShop + `,"spec":{"topologyType":"cell"}`,
		},
		"an unknown type is left to validation": {
			cluster:  annotated(`{"topologyType":"zone"}`) + `,"spec":{"placement":{"clusters":[{"name":"a.b"}]}}`,
			topology: metaShop + `,"spec":{"topologyType":"zone","placement":{"topologies":[{"name":"a.b"}]}}`,
		},
		"without a namespace the names tell it": {
			cluster:  `"metadata":{"name":"web","annotations":{"federation.koinon.io/topology":"{\"topologyType\":\"cell\"}"}},"spec":{"placement":{"clusters":[{"name":"rz00a.shop"}]}}`,
			topology: metaShop + `,"spec":{"topologyType":"cell","placement":{"topologies":[{"name":"rz00a"}]}}`,
		},
		"without a namespace a selector tells it": {
			cluster:  `"metadata":{"name":"web","annotations":{"federation.koinon.io/topology":"{\"topologyType\":\"cell\"}"}},"spec":{"placement":{"clusterSelector":{"matchLabels":{` + markers + `}}}}`,
			topology: metaShop + `,"spec":{"topologyType":"cell","placement":{"topologySelector":{}}}`,
		},
		"a shorter list of overrides takes selectors at its end": {
			cluster:  annotated(`{"selectorOverrides":[{"index":7,"override":{"topologySelector":{}}},{"index":-1,"override":{"topologySelector":{"matchLabels":{"a":"b"}}}}]}`) + `,"spec":{"overrides":[{"clusterName":"m1"}]}`,
			topology: metaShop + `,"spec":{"topologyType":"cluster","overrides":[{"topologySelector":{"matchLabels":{"a":"b"}}},{"topologyName":"m1"},{"topologySelector":{}}]}`,
		},
		"clusters win over topology for state, order and presence": {
			cluster:  metaShop + `,"spec":{},"status":{"clusters":[{"name":"m2","status":"UpdateFailed"},{"name":"m1"}],"topology":{"messages":{"Gone":"x"},"targets":[{"name":"m1","state":"Masked","hash":"h1","remoteStatus":{}},{"name":"m2","hash":"h2"},{"name":"m3","hash":"h3"}]}}`,
			topology: metaShop + `,"spec":{"topologyType":"cluster"},"status":{"targets":[{"name":"m2","state":"UpdateFailed","hash":"h2"},{"name":"m1","hash":"h1"}]}`,
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			var hub v1beta2.FederatedObject
			var cluster v1beta1.FederatedObject
			want := normal(t, tc.topology, &hub)
			normal(t, tc.cluster, &cluster)
			if diff := cmp.Diff(want, encode(t, toV1beta2(t, &cluster))); diff != "" {
				t.Errorf("ToV1beta2 (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRefusalsAreSentencesInTheWordsOfV1beta1(t *testing.T) {
	cell := `{"topologyType":"cell"}`
	for sentence, tc := range map[string]struct{ cluster, want string }{
		"a placement that is no cell": {
			cluster: annotated(cell) + `,"spec":{"placement":{"clusters":[{"name":"rz00a.shop"},{"name":"m3"}]}}`,
			want:    `spec.placement.clusters[1].name: Invalid value: "m3": topologyType is cell, so the name must be <cell>.shop`,
		},
		"a cell of another namespace": {
			cluster: annotated(cell) + `,"spec":{"placement":{"clusters":[{"name":"rz00a.bank"}]}}`,
			want:    `spec.placement.clusters[0].name: Invalid value: "rz00a.bank": topologyType is cell, so the name must be <cell>.shop`,
		},
		"an override that is no edge unit": {
			cluster: annotated(`{"topologyType":"edgeunit"}`) + `,"spec":{"overrides":[{"clusterName":"rz00a.shop"}]}`,
			want:    `spec.overrides[0].clusterName: Invalid value: "rz00a.shop": topologyType is edgeunit, so the name must be <unit>.shop.edgeunit`,
		},
		"a selector that could select clusters": {
			cluster: annotated(cell) + `,"spec":{"placement":{"clusterSelector":{"matchLabels":{"region":"eu"}}}}`,
			want:    `spec.placement.clusterSelector: Invalid value: "region=eu": topologyType is cell, so matchLabels must hold federation.koinon.io/topology: cell and federation.koinon.io/topology-namespace: shop`,
		},
		"names of two namespaces where none is given": {
			cluster: `"metadata":{"annotations":{"federation.koinon.io/topology":` + quote(cell) + `}},"spec":{"placement":{"clusters":[{"name":"a.shop"},{"name":"b.bank"}]}}`,
			want:    `spec.placement.clusters[1].name: Invalid value: "b.bank": topologyType is cell, so the name must be <cell>.shop`,
		},
		"a name without a namespace where none is given": {
			cluster: `"metadata":{"annotations":{"federation.koinon.io/topology":` + quote(cell) + `}},"spec":{"placement":{"clusters":[{"name":"m3"}]}}`,
			want:    `spec.placement.clusters[0].name: Invalid value: "m3": topologyType is cell, so the name must be <cell>.<namespace>`,
		},
		"an annotation that is not JSON": {
			cluster: annotated(`cell`) + `,"spec":{}`,
			want:    `metadata.annotations[federation.koinon.io/topology]: Invalid value: must be the JSON that this server wrote there, with topologyType, placementMask, selectorOverrides: invalid character 'c' looking for beginning of value`,
		},
		"an annotation with more than one value": {
			cluster: annotated(`{}{}`) + `,"spec":{}`,
			want:    `metadata.annotations[federation.koinon.io/topology]: Invalid value: must be the JSON that this server wrote there, with topologyType, placementMask, selectorOverrides: more than one JSON value`,
		},
		"an annotation with a field that would be lost": {
			cluster: annotated(`{"topology":"cell"}`) + `,"spec":{}`,
			want:    `metadata.annotations[federation.koinon.io/topology]: Invalid value: must be the JSON that this server wrote there, with topologyType, placementMask, selectorOverrides: json: unknown field "topology"`,
		},
		"an override by name in the annotation": {
			cluster: annotated(`{"selectorOverrides":[{"index":0,"override":{"topologyName":"m1"}}]}`) + `,"spec":{}`,
			want:    `metadata.annotations[federation.koinon.io/topology].selectorOverrides[0].override.topologySelector: Required value: an override by name belongs in spec.overrides`,
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			var cluster v1beta1.FederatedObject
			normal(t, tc.cluster, &cluster)
			_, err := conversion.ToV1beta2(&cluster)
			var fieldErr *field.Error
			if !errors.As(err, &fieldErr) {
				t.Fatalf("got %v, want a *field.Error", err)
			}
			if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAForgedAnnotationInV1beta2DoesNotReachV1beta1(t *testing.T) {
	var hub v1beta2.FederatedObject
	normal(t, annotated(`{"topologyType":"cell"}`)+`,"spec":{"topologyType":"cluster"}`, &hub)
	if got := toV1beta1(t, &hub); conversion.HasStash(got) {
		t.Errorf("got %v, want the annotation gone", got.Annotations)
	}
}
