package conversion_test

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
)

// ofZones is an object of type cell:zone in namespace shop, as clients of v1beta1 send it.
func ofZones(t *testing.T, placement string) *v1beta1.FederatedObject {
	t.Helper()
	obj := &v1beta1.FederatedObject{}
	decode(t, `{"metadata":{"namespace":"shop","annotations":{"federation.koinon.io/topology":"{\"topologyType\":\"cell:zone\"}"}},"spec":{"placement":{`+placement+`}}}`, obj)
	return obj
}

const (
	shopsCells = `"matchLabels":{"federation.koinon.io/topology":"cell","federation.koinon.io/topology-namespace":"shop"}`
	zonesAandB = `"clusterSelector":{` + shopsCells + `,"matchExpressions":[{"key":"zone","operator":"In","values":["b","a"]}]}`
	anyZone    = `"clusterSelector":{` + shopsCells + `,"matchExpressions":[{"key":"zone","operator":"Exists"}]}`
)

func TestGroupsInTheClusterShape(t *testing.T) {
	for sentence, test := range map[string]struct{ sent, placement, shown string }{
		"a selector of values is names":       {zonesAandB, `{"topologies":[{"name":"b"},{"name":"a"}]}`, zonesAandB},
		"names are shown as a selector":       {`"clusters":[{"name":"zone=b"},{"name":"zone=a"}]`, `{"topologies":[{"name":"b"},{"name":"a"}]}`, zonesAandB},
		"names win over what was shown":       {`"clusters":[{"name":"zone=b"},{"name":"zone=a"}],` + strings.Replace(zonesAandB, `"b","a"`, `"c"`, 1), `{"topologies":[{"name":"b"},{"name":"a"}]}`, zonesAandB},
		"no names are nowhere":                {`"clusters":[],` + zonesAandB, `{"topologies":[]}`, `"clusters":[]`},
		"a selector of all that carry it":     {anyZone, `{"topologySelector":{}}`, anyZone},
		"an empty list beside a selector":     {`"clusters":[],` + anyZone, `{"topologies":[],"topologySelector":{}}`, `"clusters":[],` + anyZone},
		"neither of both":                     {"", `{}`, ""},
		"further expressions are the user's":  {strings.Replace(anyZone, `"Exists"}`, `"Exists"},{"key":"zone","operator":"In","values":["a"]}`, 1), `{"topologySelector":{"matchExpressions":[{"key":"zone","operator":"In","values":["a"]}]}}`, strings.Replace(anyZone, `"Exists"}`, `"Exists"},{"key":"zone","operator":"In","values":["a"]}`, 1)},
		"labels beside values are no names":   {strings.Replace(zonesAandB, `"shop"`, `"shop","tier":"x"`, 1), "", ""},
		"a selector of another namespace":     {strings.Replace(zonesAandB, `"shop"`, `"bank"`, 1), "", ""},
		"a selector of all cells":             {`"clusterSelector":{` + shopsCells + `}`, "", ""},
		"a cluster":                           {`"clusters":[{"name":"m1"}]`, "", ""},
		"a cell":                              {`"clusters":[{"name":"rz00a.shop"}]`, "", ""},
		"a value of another label":            {`"clusters":[{"name":"idc=a"}]`, "", ""},
		"names beside a selector of the user": {`"clusters":[{"name":"zone=a"}],` + anyZone, "", ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			hub, err := conversion.ToV1beta2(ofZones(t, test.sent))
			if test.placement == "" {
				if err == nil || !strings.Contains(err.Error(), "topologyType is cell:zone, so ") {
					t.Errorf("got %v, want a refusal", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.placement+"\n", encode(t, hub.Spec.Placement)); diff != "" {
				t.Errorf("in v1beta2 (-want +got):\n%s", diff)
			}
			want := ofZones(t, test.shown)
			if diff := cmp.Diff(encode(t, want.Spec.Placement), encode(t, toV1beta1(t, hub).Spec.Placement)); diff != "" {
				t.Errorf("in v1beta1 (-want +got):\n%s", diff)
			}
		})
	}
}

// Whatever a client makes of the parts of a placement: what converts comes back.
func TestWhatConvertsOfGroupsIsStable(t *testing.T) {
	r := rand.New(rand.NewSource(7))
	pick := func(choices ...string) string { return choices[r.Intn(len(choices))] }
	requirement := func() string {
		return fmt.Sprintf(`{"key":%q,"operator":%q%s}`, pick("zone", "federation.koinon.io/topology", "tier"), pick("In", "Exists", "DoesNotExist"),
			pick("", `,"values":["a"]`, `,"values":["a","b"]`, `,"values":[]`, `,"values":[""]`))
	}
	converted := 0
	for range 20000 {
		var parts []string
		if clusters := pick("", "", `[]`, `[{"name":"zone=a"}]`, `[{"name":"zone=a.b"},{"name":"zone==x"}]`, `[{"name":"zone="}]`); clusters != "" {
			parts = append(parts, `"clusters":`+clusters)
		}
		if r.Intn(4) > 0 {
			var requirements []string
			for range r.Intn(4) {
				requirements = append(requirements, requirement())
			}
			parts = append(parts, `"clusterSelector":{`+pick(shopsCells, shopsCells, `"matchLabels":{"tier":"x"}`, `"matchLabels":{}`)+`,"matchExpressions":[`+strings.Join(requirements, ",")+`]}`)
		}
		sent := ofZones(t, strings.Join(parts, ","))
		sent.Annotations[v1beta1.TopologyAnnotation] = fmt.Sprintf(`{"topologyType":%q}`, pick("cell:zone", "cluster:zone"))
		hub, err := conversion.ToV1beta2(sent)
		if err != nil {
			continue
		}
		converted++
		again := toV1beta2(t, toV1beta1(t, hub))
		if diff := cmp.Diff(encode(t, hub), encode(t, again)); diff != "" {
			t.Fatalf("%s (-before +after):\n%s", encode(t, sent), diff)
		}
	}
	if converted < 1000 {
		t.Errorf("only %d convert", converted)
	}
}
