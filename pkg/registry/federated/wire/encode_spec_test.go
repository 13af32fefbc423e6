package wire

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/randfill"

	typesv1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// oddTexts are strings that an encoder may get wrong.
var oddTexts = []string{"", "web", "a\"b\\c", "\n\t\r\b\f", "\x00\x1f\x7f", "<&>", "é", "\u2028\u2029", "\U0001F600", "\xff\xc3", "\uFFFD"}

// oddValues are compact, as all are that were decoded.
var oddValues = []rawjson.Value{nil, {}, rawjson.Value(`null`), rawjson.Value(`1.50`), rawjson.Value(`"<&>"`), rawjson.Value("\"\u2028\u00e2\""),
	rawjson.Value("\"\xff\xe2\""), rawjson.Value(`{"a":["b",{}],"c":"\u003c"}`)}

// odd fills specs and statuses, but for templates, with what an encoder may get wrong. Lists,
// maps and pointers are nil, empty or full.
func odd(seed int64) *randfill.Filler {
	pick := rand.New(rand.NewPCG(uint64(seed), 0))
	return randfill.NewWithSeed(seed).NilChance(0.3).NumElements(0, 3).Funcs(
		func(s *string, _ randfill.Continue) {
			*s = oddTexts[pick.IntN(len(oddTexts))] + oddTexts[pick.IntN(len(oddTexts))]
		},
		func(v *rawjson.Value, _ randfill.Continue) { *v = oddValues[pick.IntN(len(oddValues))] },
		func(n *int64, _ randfill.Continue) { *n = pick.Int64N(3) - 1 },
	)
}

// TestSpecAndStatusAreTheBytesOfTheLibrary: stored bytes decide whether an update changes
// anything, so that others that mean the same would not do.
func TestSpecAndStatusAreTheBytesOfTheLibrary(t *testing.T) {
	fill := odd(1)
	for range 2_000 {
		var topology typesv1beta2.FederatedObjectSpec
		var topologyStatus typesv1beta2.FederatedObjectStatus
		var cluster typesv1beta1.FederatedObjectSpec
		var clusterStatus typesv1beta1.FederatedObjectStatus
		for _, into := range []any{&topology, &topologyStatus, &cluster, &clusterStatus} {
			fill.Fill(into)
		}
		topology.Template, cluster.Template = nil, nil // these are copied, and come first
		for _, one := range []struct {
			value  any
			append func([]byte) ([]byte, error)
		}{
			{topology, func(b []byte) ([]byte, error) { return appendTopologySpec(b, &topology) }},
			{topologyStatus, func(b []byte) ([]byte, error) { return appendTopologyStatus(b, &topologyStatus) }},
			{cluster, func(b []byte) ([]byte, error) { return appendClusterSpec(b, &cluster) }},
			{clusterStatus, func(b []byte) ([]byte, error) { return appendClusterStatus(b, &clusterStatus) }},
		} {
			want, err := json.Marshal(one.value)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := one.append([]byte("x")); err != nil || string(got) != "x"+string(want) {
				t.Fatalf("%T: got %v\n%s, want\nx%s", one.value, err, got, want)
			}
		}
	}
}

// TestEveryFieldOfAnObjectIsWritten finds a field that is new and not written.
func TestEveryFieldOfAnObjectIsWritten(t *testing.T) {
	full := randfill.NewWithSeed(1).NilChance(0).NumElements(1, 1).Funcs(
		func(s *string, _ randfill.Continue) { *s = "web" },
		func(v *rawjson.Value, _ randfill.Continue) { *v = rawjson.Value(`{"a":1}`) },
		func(n *int64, _ randfill.Continue) { *n = 1 },
	)
	topology, cluster := newDeployment(), &typesv1beta1.FederatedObject{TypeMeta: metav1.TypeMeta{Kind: "FederatedDeployment", APIVersion: federated.V1beta1.String()}}
	for _, into := range []any{&topology.Spec, &topology.Status, &cluster.Spec, &cluster.Status} {
		full.Fill(into)
	}
	sameAsLibrary(t, topology)
	sameAsLibrary(t, cluster)
}

func TestATemplateComesFirst(t *testing.T) {
	spec := typesv1beta2.FederatedObjectSpec{TopologyType: "cell", Template: rawjson.Value(`{"a":"<&>"}`)}
	got, err := appendTopologySpec(nil, &spec)
	if want := `{"template":{"a":"<&>"},"topologyType":"cell"}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	spec = typesv1beta2.FederatedObjectSpec{Template: rawjson.Value{}}
	if got, err := appendTopologySpec(nil, &spec); err != nil || strings.Contains(string(got), "template") {
		t.Errorf("got %s, %v, want no template", got, err)
	}
}
