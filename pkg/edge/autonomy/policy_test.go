package autonomy

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPolicyOf(t *testing.T) {
	type values = map[string]string
	for name, test := range map[string]struct {
		labels, annotations values
		want                Policy
		problem             string
	}{
		"a node that says nothing":                  {nil, nil, Policy{}, ""},
		"an annotation":                             {nil, values{Autonomy: "true"}, Policy{On: true}, ""},
		"a label":                                   {values{Autonomy: "true"}, nil, Policy{On: true}, ""},
		"the annotation counts":                     {values{Autonomy: "true"}, values{Autonomy: "false"}, Policy{}, ""},
		"a duration":                                {values{Autonomy: "true"}, values{Duration: "500s"}, Policy{true, 500 * time.Second}, ""},
		"a duration in a label":                     {values{Autonomy: "true", Duration: "24h"}, nil, Policy{true, 24 * time.Hour}, ""},
		"no time is no end":                         {nil, values{Autonomy: "true", Duration: "0"}, Policy{On: true}, ""},
		"less is no end":                            {nil, values{Autonomy: "true", Duration: "-1s"}, Policy{On: true}, ""},
		"a duration that is none is no end":         {nil, values{Autonomy: "true", Duration: "500"}, Policy{On: true}, `edge.koinon.io/autonomy-duration is "500": it must be a duration such as 500s or 24h, or 0 for no end, and is taken for 0`},
		"a value that is none is off":               {nil, values{Autonomy: "yes"}, Policy{}, `edge.koinon.io/autonomy is "yes": it must be true or false, and is taken for false`},
		"a duration alone":                          {nil, values{Duration: "500s"}, Policy{}, "has no effect without edge.koinon.io/autonomy"},
		"OpenYurt's autonomy":                       {nil, values{openYurtAutonomy: "true"}, Policy{On: true}, ""},
		"OpenYurt's autonomy with Alibaba's":        {nil, values{openYurtAutonomy: "true", alibabaDuration: "500s"}, Policy{true, 500 * time.Second}, ""},
		"OpenYurt's autonomy is no label":           {values{openYurtAutonomy: "true"}, nil, Policy{}, ""},
		"OpenYurt's autonomy that is off":           {nil, values{openYurtAutonomy: "false", alibabaDuration: "500s"}, Policy{}, ""},
		"OpenYurt's binding":                        {nil, values{openYurtBinding: "true", openYurtAutonomy: "true", alibabaDuration: "1s"}, Policy{On: true}, ""},
		"OpenYurt's duration says it alone":         {nil, values{openYurtDuration: "24h"}, Policy{true, 24 * time.Hour}, ""},
		"OpenYurt's duration without end":           {nil, values{openYurtDuration: "0", openYurtBinding: "false"}, Policy{On: true}, ""},
		"OpenYurt's duration that is empty is none": {nil, values{openYurtDuration: ""}, Policy{On: true}, "node.openyurt.io/autonomy-duration"},
		"ours counts, not OpenYurt's":               {nil, values{Autonomy: "false", openYurtBinding: "true"}, Policy{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, problem := PolicyOf(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: test.labels, Annotations: test.annotations}})
			if got != test.want {
				t.Errorf("the policy is %v, want %v", got, test.want)
			}
			if test.problem == "" && problem != nil || test.problem != "" && (problem == nil || !strings.Contains(problem.Error(), test.problem)) {
				t.Errorf("the problem is %v, want %q", problem, test.problem)
			}
		})
	}
}

func TestSecondsAreWhole(t *testing.T) {
	if got := (Policy{true, 1500 * time.Millisecond}).seconds(); *got != 2 {
		t.Errorf("1.5 s are %d", *got)
	}
	if got := (Policy{On: true}).seconds(); got != nil {
		t.Errorf("no end is %d", *got)
	}
}
