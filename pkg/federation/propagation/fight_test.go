package propagation

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/compose"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/federation/render"
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

// A member notes anew who owns what whenever a field is sent that it stores in another way (rules: [] as
// null), and so stores a write that changes nothing, once somebody else owns something too.
func TestAWriteIsAgainstSomebodyOnlyIfItChangesWhatIsThere(t *testing.T) {
	object := func(version, value, record, theirs string, managers ...string) *unstructured.Unstructured {
		o := &unstructured.Unstructured{Object: map[string]any{"data": map[string]any{"key": value}}}
		o.SetUID("u1")
		o.SetResourceVersion(version)
		o.SetAnnotations(map[string]string{"theirs": theirs, manifest.RecordAnnotation: record})
		var fields []metav1.ManagedFieldsEntry
		for _, manager := range managers {
			fields = append(fields, metav1.ManagedFieldsEntry{Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate})
		}
		o.SetManagedFields(fields)
		return o
	}
	for sentence, test := range map[string]struct {
		before, after *unstructured.Unstructured
		want          standing
	}{
		"it moves no version": {object("5", "v", "{}", "1"), object("5", "v", "{}", "1"), standing{held: true}},
		"it moves the version alone": {
			object("5", "v", "{}", "1", "koinon", "balancer"), object("6", "v", "{}", "1", "balancer", "koinon"), standing{held: true},
		},
		"it changes content": {object("5", "theirs", "{}", "1"), object("6", "v", "{}", "1"), standing{
			on: true, held: true, against: "in the member, against the manifest, somebody sets .data.key; it is written back once a minute at most",
		}},
		"it writes down anew what is ours": {object("5", "v", "", "1"), object("6", "v", "{}", "1"), standing{
			on: true, held: true, against: "somebody in the member changes the object back each time it is written; it is written again once a minute at most",
		}},
	} {
		m, now := &memory{fights: map[string]*fight{}, stamps: map[string]compose.Stamp{}}, time.Now()
		o := observation{manifest: &render.Manifest{Hash: "h"}, record: v1beta2.TargetStatus{Name: "m1", Hash: "h", Version: "rv:4"}}
		live, err := memberclient.NewLive(test.after, memberclient.Keep{})
		if err != nil {
			t.Fatal(err)
		}
		for range freeWrites + 1 {
			m.wroteThere(now, o, test.before, nil, memberclient.Written{Live: live, Object: test.after})
		}
		got := m.stands("m1", now)
		got.until = 0
		if got != test.want {
			t.Errorf("%s: got %+v, want %+v", sentence, got, test.want)
		}
	}
}
