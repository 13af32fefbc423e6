package propagation

import (
	"testing"

	"github.com/koinon-io/koinon/pkg/federation/compose"
)

func TestAFightIsToldInWords(t *testing.T) {
	const often = "; it is written back once a minute at most"
	for name, test := range map[string]struct {
		contested []compose.Contested
		want      string
	}{
		"nobody knows what": {nil, "somebody in the member changes the object back each time it is written; it is written again once a minute at most"},
		"two managers, sorted, and one that is not known": {
			[]compose.Contested{{Path: ".data.b", Manager: "kubectl"}, {Path: ".data.a", Manager: "argo"}, {Path: ".data[x.y]"}},
			`in the member, against the manifest, somebody sets .data[x.y]; field manager "argo" sets .data.a; field manager "kubectl" sets .data.b` + often,
		},
		"more fields than are told": {
			[]compose.Contested{{Path: ".a"}, {Path: ".b"}, {Path: ".c"}, {Path: ".d"}, {Path: ".e"}, {Path: ".f"}},
			"in the member, against the manifest, somebody sets .a, .b, .c, .d, .e, ..." + often,
		},
		"an autoscaler, and what to do": {
			[]compose.Contested{{Path: ".spec.replicas", Manager: "kube-controller-manager"}},
			`in the member, against the manifest, field manager "kube-controller-manager" sets .spec.replicas` + often +
				"; spec.retainReplicas: true of the federated object would leave the replicas to an autoscaler there",
		},
	} {
		if got := changedThere(test.contested); got != test.want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, test.want)
		}
	}
}
