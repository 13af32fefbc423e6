package following

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

func TestWhatTheLabelSays(t *testing.T) {
	for value, want := range map[string][2]bool{"true": {true, false}, "keep": {true, true}, "false": {false, false}} {
		wanted, keep, problem := Wanted(map[string]string{v1beta1.FederateLabel: value})
		if wanted != want[0] || keep != want[1] || problem != "" {
			t.Errorf("%q: wanted %t, keep %t, problem %q", value, wanted, keep, problem)
		}
	}
	if wanted, _, problem := Wanted(nil); wanted || problem != "" {
		t.Errorf("no label: wanted %t, problem %q", wanted, problem)
	}
	if wanted, _, problem := Wanted(map[string]string{v1beta1.FederateLabel: "yes"}); wanted || problem != "must be true, keep or false" {
		t.Errorf("another value: wanted %t, problem %q", wanted, problem)
	}
}

func TestMarksAreReadAsTheyAreWritten(t *testing.T) {
	for _, mark := range []Mark{{UID: "u"}, {UID: "u", Keep: true}, {UID: "u", Ended: true}} {
		got := MarkOf(map[string]string{v1beta1.FollowsAnnotation: mark.String()})
		if diff := cmp.Diff(&mark, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", mark, diff)
		}
	}
	for _, value := range []string{"", "u", "{}", `{"uid":""}`, `{"uid":"u","more":1}`, `{"uid":"u"}{}`} {
		if got := MarkOf(map[string]string{v1beta1.FollowsAnnotation: value}); got != nil || MarkProblem(value) == "" {
			t.Errorf("%q: got %v, want none", value, got)
		}
	}
}

func TestWhereAFederatedObjectIsPlacedThatFollows(t *testing.T) {
	names := func(of ...string) Placed {
		p := Placed{}
		p.Topologies = []v1beta2.TopologyReference{}
		for _, name := range of {
			p.Topologies = append(p.Topologies, v1beta2.TopologyReference{Name: name})
		}
		return p
	}
	everywhere := Placed{}
	everywhere.TopologySelector = &metav1.LabelSelector{}
	cells := Placed{TopologyType: "cell"}
	cells.TopologySelector = &metav1.LabelSelector{MatchLabels: map[string]string{"city": "hangzhou"}}
	for name, c := range map[string]struct {
		value   string
		want    Placed
		problem string
	}{
		"by name":           {`{"topologies":[{"name":"m1"},{"name":"m2"}]}`, names("m1", "m2"), ""},
		"nowhere":           {`topologies: []`, names(), ""},
		"everywhere":        {`topologySelector: {}`, everywhere, ""},
		"in cells":          {`{topologyType: cell, topologySelector: {matchLabels: {city: hangzhou}}}`, cells, ""},
		"in both ways":      {`{topologies: [], topologySelector: {}}`, Placed{}, "topologies or topologySelector, and not both"},
		"in no way":         {`{}`, Placed{}, "topologies or topologySelector"},
		"as KubeFed has it": {`clusters: [{name: m1}]`, Placed{}, "as spec.placement"},
		"by a list":         {`m1,m2`, Placed{}, "as spec.placement"},
		"by no selector":    {`topologySelector: {matchLabels: {"a b": c}}`, Placed{}, "topologySelector: "},
	} {
		got, err := PlacementOf(map[string]string{v1beta1.PlacementAnnotation: c.value})
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if (err != nil) != (c.problem != "") || err != nil && (!strings.Contains(err.Error(), c.problem) || !strings.Contains(err.Error(), v1beta1.PlacementAnnotation)) {
			t.Errorf("%s: got %v, want %q", name, err, c.problem)
		}
	}
	if got, err := PlacementOf(nil); err != nil || got.Topologies == nil || len(got.Topologies) > 0 {
		t.Errorf("without the annotation: got %v, %v, want nobody", got, err)
	}
}

func TestTypesThatGiveRightsAreFollowedIfAnAdministratorSaysSo(t *testing.T) {
	for name, c := range map[string]struct {
		group, kind, follow string
		followed            bool
	}{
		"ConfigMaps":                        {"", "ConfigMap", "", true},
		"ConfigMaps that are turned off":    {"", "ConfigMap", "Disabled", false},
		"Roles":                             {"rbac.authorization.k8s.io", "Role", "", false},
		"RoleBindings":                      {"rbac.authorization.k8s.io", "RoleBinding", "", false},
		"Roles that are turned on":          {"rbac.authorization.k8s.io", "Role", "Enabled", true},
		"Roles if the word is not known":    {"rbac.authorization.k8s.io", "Role", "true", false},
		"ConfigMaps if it is not, as usual": {"", "ConfigMap", "true", true},
	} {
		config := &v1beta1.FederatedTypeConfig{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{v1beta1.FollowAnnotation: c.follow}}}
		config.Spec.TargetType = v1beta1.APIResource{Group: c.group, Kind: c.kind}
		if err := TypeProblem(config); (err == nil) != c.followed {
			t.Errorf("%s: got %v, want followed %t", name, err, c.followed)
		}
	}
}
