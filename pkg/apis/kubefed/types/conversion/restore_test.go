package conversion_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion/conversiontest"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

const (
	oldCell = metaShop + `,"spec":{"topologyType":"cell","placement":{"topologies":[{"name":"rz00a"}]},"placementMask":{"topologies":[]},` +
		`"overrides":[{"topologyName":"rz00a"},{"topologySelector":{}},{"topologyName":"rz01a"}]}`
	oldCluster = metaShop + `,"spec":{"topologyType":"cluster","placement":{"topologies":[{"name":"m1"}]},"placementMask":{"topologies":[]},"overrides":[{"topologySelector":{}}]}`
)

func TestRestore(t *testing.T) {
	for sentence, tc := range map[string]struct{ old, sent, want string }{
		"names, mask and selectors of a cell object come back": {
			old:  oldCell,
			sent: metaShop + `,"spec":{"template":{"a":1},"placement":{"clusters":[{"name":"rz00a.shop"},{"name":"rz02a.shop"}]},"overrides":[{"clusterName":"rz02a.shop"}]}`,
			want: metaShop + `,"spec":{"topologyType":"cell","template":{"a":1},"placement":{"topologies":[{"name":"rz00a"},{"name":"rz02a"}]},"placementMask":{"topologies":[]},"overrides":[{"topologyName":"rz02a"},{"topologySelector":{}}]}`,
		},
		"a list of overrides that became shorter": {
			old:  oldCell,
			sent: metaShop + `,"spec":{"overrides":[]}`,
			want: metaShop + `,"spec":{"topologyType":"cell","placementMask":{"topologies":[]},"overrides":[{"topologySelector":{}}]}`,
		},
		"a selector of cells loses the labels": {
			old:  metaShop + `,"spec":{"topologyType":"cell"}`,
			sent: metaShop + `,"spec":{"placement":{"clusterSelector":{"matchLabels":{` + markers + `,"region":"eu"}}}}`,
			want: metaShop + `,"spec":{"topologyType":"cell","placement":{"topologySelector":{"matchLabels":{"region":"eu"}}}}`,
		},
		"mask and selectors of a cluster object come back": {
			old:  oldCluster,
			sent: metaShop + `,"spec":{"placement":{"clusters":[{"name":"m2"}]},"overrides":[{"clusterName":"m2"}]}`,
			want: metaShop + `,"spec":{"topologyType":"cluster","placement":{"topologies":[{"name":"m2"}]},"placementMask":{"topologies":[]},"overrides":[{"topologySelector":{}},{"topologyName":"m2"}]}`,
		},
		"an annotation that says less is believed": {
			old:  oldCell,
			sent: annotated(`{"topologyType":"cell"}`) + `,"spec":{"placement":{"clusters":[]}}`,
			want: metaShop + `,"spec":{"topologyType":"cell","placement":{"topologies":[]}}`,
		},
		"a plain object stays plain": {
			old:  metaShop + `,"spec":{"topologyType":"cluster"}`,
			sent: metaShop + `,"spec":{"placement":{"clusterSelector":{}}}`,
			want: metaShop + `,"spec":{"topologyType":"cluster","placement":{"topologySelector":{}}}`,
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			old, sent, want := hubObject(t, tc.old), sentObject(t, tc.sent), hubObject(t, tc.want)
			before := encode(t, old)
			for range 2 { // the second call changes nothing
				if err := conversion.Restore(old, sent, ""); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(encode(t, want), encode(t, sent)); diff != "" {
					t.Errorf("restored (-want +got):\n%s", diff)
				}
			}
			if after := encode(t, old); after != before {
				t.Errorf("old was modified:\n%s", cmp.Diff(before, after))
			}
		})
	}
}

func TestRestoreRefusesWhatIsNoTarget(t *testing.T) {
	for sentence, tc := range map[string]struct{ sent, want string }{
		"a placement": {
			`"spec":{"placement":{"clusters":[{"name":"rz00a.shop"},{"name":"m3"}]}}`,
			`spec.placement.clusters[1].name: Invalid value: "m3": topologyType is cell, so the name must be <cell>.shop`,
		},
		"an override": {
			`"spec":{"overrides":[{"clusterName":"m3"}]}`,
			`spec.overrides[0].clusterName: Invalid value: "m3": topologyType is cell, so the name must be <cell>.shop`,
		},
		"an empty selector, which means every cluster": {
			`"spec":{"placement":{"clusterSelector":{}}}`,
			`spec.placement.clusterSelector: Invalid value: "{}": topologyType is cell, so matchLabels must hold federation.koinon.io/topology: cell and federation.koinon.io/topology-namespace: shop`,
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			sent := sentObject(t, metaShop+","+tc.sent)
			before := encode(t, sent)
			err := conversion.Restore(hubObject(t, oldCell), sent, "")
			var fieldErr *field.Error
			if !errors.As(err, &fieldErr) {
				t.Fatalf("got %v, want a *field.Error", err)
			}
			if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if after := encode(t, sent); after != before {
				t.Errorf("changed in spite of the error:\n%s", cmp.Diff(before, after))
			}
		})
	}
}

func TestRestoreStatus(t *testing.T) {
	const spec = `,"spec":{"topologyType":"cell"}`
	const oldStatus = `"status":{"observedGeneration":1,"conditions":[{"type":"Propagation","status":"False","reason":"CheckClusters","message":"rz01a: no"}],"targets":[` +
		`{"name":"rz00a","message":"fine","cluster":"m1","namespace":"shop-a","hash":"h","version":"gen:3","generation":7},` +
		`{"name":"rz01a","state":"UpdateFailed","message":"no","cluster":"m2"},` +
		`{"name":"rz02a","state":"Masked","hash":"old"}]}`
	for sentence, tc := range map[string]struct{ sent, want string }{
		"a stock controller's status gets the rest back": {
			sent: metaShop + `,"spec":{},"status":{"observedGeneration":2,"conditions":[{"type":"Propagation","status":"False","reason":"CheckClusters","lastUpdateTime":"2026-11-22T00:00:00Z"}],"clusters":[{"name":"rz01a.shop"},{"name":"rz00a.shop"}]}`,
			want: metaShop + spec + `,"status":{"observedGeneration":2,"conditions":[{"type":"Propagation","status":"False","reason":"CheckClusters","message":"rz01a: no","lastUpdateTime":"2026-11-22T00:00:00Z"}],"targets":[` +
				`{"name":"rz00a","message":"fine","cluster":"m1","namespace":"shop-a","hash":"h","version":"gen:3","generation":7},{"name":"rz01a","cluster":"m2"},{"name":"rz02a","state":"Masked","hash":"old"}]}`,
		},
		"the same with the annotation kept": {
			sent: annotated(`{"topologyType":"cell"}`) + `,"spec":{},"status":{"clusters":[{"name":"rz00a.shop"}]}`,
			want: metaShop + spec + `,"status":{"targets":[{"name":"rz00a","message":"fine","cluster":"m1","namespace":"shop-a","hash":"h","version":"gen:3","generation":7},{"name":"rz02a","state":"Masked","hash":"old"}]}`,
		},
		"a message does not outlive what it explains": {
			sent: metaShop + `,"spec":{},"status":{"conditions":[{"type":"Propagation","status":"True"}]}`,
			want: metaShop + spec + `,"status":{"conditions":[{"type":"Propagation","status":"True"}],"targets":[{"name":"rz02a","state":"Masked","hash":"old"}]}`,
		},
		"a status with its topology is believed": {
			sent: annotated(`{"topologyType":"cell"}`) + `,"spec":{},"status":{"clusters":[{"name":"rz01a.shop"}],"topology":{"targets":[{"name":"rz01a","hash":"x"}]}}`,
			want: metaShop + spec + `,"status":{"targets":[{"name":"rz01a","hash":"x"}]}`,
		},
		"a cluster that is no cell is reported as such": {
			sent: metaShop + `,"spec":{},"status":{"clusters":[{"name":"m3","status":"WaitingForRemoval"},{"name":"m3"}]}`,
			want: metaShop + spec + `,"status":{"targets":[{"name":"cluster:m3","state":"WaitingForRemoval"},{"name":"rz02a","state":"Masked","hash":"old"}]}`,
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			old, sent, want := hubObject(t, metaShop+spec+","+oldStatus), sentObject(t, tc.sent), hubObject(t, tc.want)
			for range 2 { // the second call changes nothing
				if err := conversion.Restore(old, sent, "status"); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(encode(t, want), encode(t, sent)); diff != "" {
					t.Errorf("restored (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestRestoreStatusAfterTheSpecWasRestored(t *testing.T) {
	old := hubObject(t, metaShop+`,"spec":{"topologyType":"cell"},"status":{"targets":[{"name":"rz00a","hash":"h"}]}`)
	sent := sentObject(t, metaShop+`,"spec":{},"status":{"clusters":[{"name":"rz00a.shop"}]}`)
	sent.Spec = old.Spec
	conversion.RestoreStatus(old, sent)
	if diff := cmp.Diff(encode(t, old), encode(t, sent)); diff != "" {
		t.Errorf("(-stored +written):\n%s", diff)
	}
}

func TestSameSpec(t *testing.T) {
	for sentence, tc := range map[string]struct {
		a, b string
		want bool
	}{
		"equal":                          {`"template":{"a":1},"overrides":[]`, `"template":{"a":1},"overrides":[]`, true},
		"labels of a selector left out":  {`"placement":{"topologySelector":{"matchLabels":{}}}`, `"placement":{"topologySelector":{}}`, true},
		"an empty list is not an absent": {`"placement":{"topologies":[]}`, `"placement":{}`, false},
		"null is not an absent value":    {`"template":null`, ``, false},
		"an empty selector is one":       {`"placement":{"topologySelector":{}}`, `"placement":{}`, false},
		"another template":               {`"template":{"a":1}`, `"template":{"a":2}`, false},
	} {
		t.Run(sentence, func(t *testing.T) {
			a, b := hubObject(t, `"spec":{`+tc.a+`}`), hubObject(t, `"spec":{`+tc.b+`}`)
			if got := conversion.SameSpec(&a.Spec, &b.Spec); got != tc.want {
				t.Errorf("got %t, want %t", got, tc.want)
			}
		})
	}
}

// TestAnIgnorantClientLosesNothing drops, from random objects, all that KubeFed's types
// do not have, writes the rest back, and expects the stored object.
func TestAnIgnorantClientLosesNothing(t *testing.T) {
	objects := conversiontest.NewObjects(7)
	for range rounds {
		old := objects.Next()
		cluster := toV1beta1(t, old)
		sent := toV1beta2(t, ignorant(t, cluster))
		if err := conversion.Restore(old, sent, ""); err != nil {
			t.Fatal(err)
		}
		want, got := old.DeepCopy(), sent
		want.Status, got.Status = nil, nil
		if want.Spec.Overrides != nil && len(want.Spec.Overrides) == 0 {
			want.Spec.Overrides, got.Spec.Overrides = nil, nil
		}
		if diff := cmp.Diff(encode(t, want), encode(t, got)); diff != "" {
			t.Fatalf("after a PUT without topology (-stored +written):\n%s", diff)
		}
	}
}

// ignorant is the object as a client of KubeFed's own Go types writes it back.
func ignorant(t *testing.T, in *v1beta1.FederatedObject) *v1beta1.FederatedObject {
	t.Helper()
	var out v1beta1.FederatedObject
	decode(t, encode(t, in), &out)
	delete(out.Annotations, v1beta1.TopologyAnnotation)
	if out.Status != nil {
		out.Status.Topology = nil
	}
	return &out
}

func hubObject(t *testing.T, data string) *v1beta2.FederatedObject {
	t.Helper()
	var obj v1beta2.FederatedObject
	if err := json.Unmarshal([]byte("{"+data+"}"), &obj); err != nil {
		t.Fatalf("decode %s: %v", data, err)
	}
	return &obj
}

// sentObject is what the server makes of a request in v1beta1.
func sentObject(t *testing.T, data string) *v1beta2.FederatedObject {
	t.Helper()
	var obj v1beta1.FederatedObject
	if err := json.Unmarshal([]byte("{"+data+"}"), &obj); err != nil {
		t.Fatalf("decode %s: %v", data, err)
	}
	return toV1beta2(t, &obj)
}
