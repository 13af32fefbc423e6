package propagation

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/compose"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/federation/membership"
	"github.com/koinon-io/koinon/pkg/federation/render"
)

func TestTheAnnotationOfAnObjectWinsOverItsTypesPolicy(t *testing.T) {
	for sentence, test := range map[string]struct {
		ofType     v1beta1.ConflictPolicy
		annotation string
		want       bool
	}{
		"without a policy, fields are taken":       {"", "", false},
		"the type aborts":                          {v1beta1.AbortOnConflicts, "", true},
		"the object aborts":                        {v1beta1.OverwriteConflicts, "Abort", true},
		"the object overwrites":                    {v1beta1.AbortOnConflicts, "Overwrite", false},
		"a word that admission refuses is no word": {v1beta1.AbortOnConflicts, "overwrite", true},
	} {
		v := &view{
			kind:      &kind{spec: v1beta1.FederatedTypeConfigSpec{Conflicts: test.ofType}},
			federated: &v1beta2.FederatedObject{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{v1beta1.ConflictsAnnotation: test.annotation}}},
		}
		if got := v.aborts(); got != test.want {
			t.Errorf("%s: got %v", sentence, got)
		}
	}
}

func TestConflictsAreToldByOwner(t *testing.T) {
	edit := func(path string) compose.Conflict { return compose.Conflict{Path: path, Manager: "kubectl-edit"} }
	for sentence, test := range map[string]struct {
		found        []compose.Conflict
		all          int
		owned, taken string
	}{
		"one field": {[]compose.Conflict{edit(".data.a")}, 1,
			`field .data.a is owned by "kubectl-edit"; the annotation federation.koinon.io/conflicts=Overwrite takes over what others own`,
			`the write took over .data.a from field manager "kubectl-edit"`},
		"fields of several, and more": {[]compose.Conflict{edit(".data.a"), {Path: ".data.b", Manager: "helm"}, edit(".data.c")}, 12,
			`fields .data.a, .data.c are owned by "kubectl-edit"; field .data.b is owned by "helm"; and 9 more; the annotation federation.koinon.io/conflicts=Overwrite takes over what others own`,
			`the write took over .data.a, .data.c from field manager "kubectl-edit"; .data.b from field manager "helm"; and 9 more`},
		"replicas that an autoscaler set": {[]compose.Conflict{{Path: ".spec.replicas", Manager: "hpa", Subresource: "scale"}}, 1,
			`field .spec.replicas is owned by "hpa", which wrote the subresource scale; the annotation federation.koinon.io/conflicts=Overwrite takes over what others own` + replicasHint,
			`the write took over .spec.replicas from field manager "hpa", which wrote the subresource scale` + replicasHint},
		"of nobody that is known": {[]compose.Conflict{{Path: ".data.a"}}, 1,
			`field .data.a is owned by somebody whom the member does not name, since the object has no managedFields; the annotation federation.koinon.io/conflicts=Overwrite takes over what others own`, ""},
		"none": {nil, 0, "", ""},
	} {
		if test.all > 0 {
			if diff := cmp.Diff(test.owned, ownedThere(test.found, test.all)); diff != "" {
				t.Errorf("%s, aborted (-want +got):\n%s", sentence, diff)
			}
		}
		if diff := cmp.Diff(test.taken, takenThere(test.found, test.all)); diff != "" {
			t.Errorf("%s, overwritten (-want +got):\n%s", sentence, diff)
		}
	}
	long := ownedThere([]compose.Conflict{edit("." + strings.Repeat("a", 2*v1beta2.MaxMessageBytes))}, 1)
	if len(long) > v1beta2.MaxMessageBytes || !strings.HasSuffix(long, "takes over what others own") {
		t.Errorf("a long path takes what to do about it away: %s", long)
	}
}

func TestAConflictIsTriedAgainOnceAnythingChanges(t *testing.T) {
	at := func(version string, aborts bool) string {
		o := observation{
			aborts: aborts, member: &membership.Member{}, manifest: &render.Manifest{Hash: "h"},
			live: &memberclient.Live{ObjectMeta: metav1.ObjectMeta{UID: "u", ResourceVersion: version}},
		}
		return about(o, decision{action: applyManifest})
	}
	if at("1", true) == at("2", true) {
		t.Error("a change of the object there waits as the conflict does")
	}
	if at("1", true) == at("1", false) {
		t.Error("another policy waits as the conflict does")
	}
	if at("1", false) != at("2", false) {
		t.Error("who changes the object all the time is answered each time")
	}
}
