package placement

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

func TestWhyATargetIsPickedOrNot(t *testing.T) {
	inZone := &v1beta2.Placement{TopologySelector: &metav1.LabelSelector{MatchLabels: map[string]string{"zone": "a", "env": "prod"}}}
	here := &Candidate{Name: "m1", Labels: map[string]string{"zone": "a", "env": "prod"}}
	type answer struct {
		Picks bool
		Why   string
	}
	for name, c := range map[string]struct {
		placement *v1beta2.Placement
		candidate *Candidate
		want      answer
	}{
		"no placement picks nobody":               {nil, here, answer{false, "there is none"}},
		"one that says nothing picks nobody":      {&v1beta2.Placement{}, here, answer{false, "it has neither topologies nor topologySelector"}},
		"a name that is there":                    {&v1beta2.Placement{Topologies: []v1beta2.TopologyReference{{Name: "m1"}}}, here, answer{true, "topologies names it"}},
		"a name that is not there":                {&v1beta2.Placement{Topologies: []v1beta2.TopologyReference{}}, here, answer{false, "topologies does not name it"}},
		"an empty selector picks all":             {&v1beta2.Placement{TopologySelector: &metav1.LabelSelector{}}, here, answer{true, "topologySelector is empty, which picks all"}},
		"a selector that is met says with what":   {inZone, here, answer{true, "topologySelector wants env=prod,zone=a, which it has"}},
		"another value says which":                {inZone, &Candidate{Name: "m1", Labels: map[string]string{"zone": "b", "env": "prod"}}, answer{false, "topologySelector wants zone=a, and it has zone=b"}},
		"a label that is missing is named":        {inZone, &Candidate{Name: "m1", Labels: map[string]string{"zone": "a"}}, answer{false, "topologySelector wants env=prod, and it has no label env"}},
		"the cluster of a cell is never selected": {inZone, &Candidate{Name: "m1", Labels: here.Labels, ByNameOnly: true}, answer{false, `topologySelector "env=prod,zone=a" picks no cluster that a cell or an edge unit appears as`}},
		"another tenant's is never selected":      {inZone, &Candidate{Name: "m1", Labels: here.Labels, Refusal: "no"}, answer{false, `topologySelector "env=prod,zone=a" picks only what the namespace may use`}},
		"what does not exist is not selected":     {inZone, nil, answer{false, `topologySelector "env=prod,zone=a" picks only what there is`}},
	} {
		t.Run(name, func(t *testing.T) {
			picks, why, err := Why("cluster", c.placement, "m1", c.candidate)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, answer{picks, why}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
