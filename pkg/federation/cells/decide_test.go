package cells

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

func member(status corev1.ConditionStatus, labels map[string]string) *v1beta1.KubeFedCluster {
	message := "because"
	return &v1beta1.KubeFedCluster{
		ObjectMeta: metav1.ObjectMeta{Name: "m1", Namespace: "sys", Labels: labels},
		Spec:       v1beta1.KubeFedClusterSpec{APIEndpoint: "m1:6443", CABundle: []byte("ca"), SecretRef: v1beta1.LocalSecretReference{Name: "s"}},
		Status:     v1beta1.KubeFedClusterStatus{Conditions: []v1beta1.ClusterCondition{{Type: v1beta1.ClusterReady, Status: status, Message: &message}}},
	}
}

func cellOf(labels map[string]string) Unit {
	return Unit{TopologyType: v1beta2.TopologyCell, Namespace: "shop", Name: "rz00a", Member: "m1", Labels: labels, Generation: 2}
}

func TestReady(t *testing.T) {
	ofTenantB := map[string]string{federationv1alpha1.TenantLabel: "b"}
	for name, test := range map[string]struct {
		member *v1beta1.KubeFedCluster
		status metav1.ConditionStatus
		reason string
		text   string
		change func(*observation)
	}{
		"a namespace that is somebody else's": {member: member(corev1.ConditionTrue, nil), status: "False", reason: federationv1alpha1.ReasonNamespaceTaken,
			text:   `namespace "shop-rz00a" of member "m1" belongs to namespace shop-rz00a of the host; nothing is written there for this cell`,
			change: func(o *observation) { holder := ownership.NamespaceOwner("shop-rz00a"); o.holder = &holder }},
		"a namespace of the member itself": {member: member(corev1.ConditionTrue, nil), status: "False", reason: federationv1alpha1.ReasonSystemNamespace,
			text:   `namespace "kube-system" of member "m1" belongs to the member itself`,
			change: func(o *observation) { o.unit.MemberNamespace = "kube-system" }},
		"labels of another tenant": {member: member(corev1.ConditionTrue, nil), status: "False", reason: federationv1alpha1.ReasonForeignMember,
			text:   `metadata.labels: the cell has the label federation.koinon.io/tenant=b, and namespace "shop" has a`,
			change: func(o *observation) { o.unit.Labels = ofTenantB }},
		"a member that is ready":       {member(corev1.ConditionTrue, nil), "True", federationv1alpha1.ReasonMemberReady, `member "m1" is ready`, nil},
		"a member that is not ready":   {member(corev1.ConditionFalse, nil), "False", federationv1alpha1.ReasonMemberNotReady, `member "m1" is not ready: because`, nil},
		"a member that does not exist": {nil, "False", federationv1alpha1.ReasonMemberNotFound, `there is no KubeFedCluster "m1"`, nil},
		"a member of another tenant":   {member(corev1.ConditionTrue, ofTenantB), "False", federationv1alpha1.ReasonForeignMember, `member "m1" has the label federation.koinon.io/tenant=b, and namespace "shop" has a`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			o := observation{unit: cellOf(nil), tenant: tenancy.Tenant{Name: "a"}, member: test.member}
			if test.change != nil {
				test.change(&o)
			}
			got := o.ready()
			if got.Status != test.status || got.Reason != test.reason || !strings.Contains(got.Message, test.text) || got.ObservedGeneration != 2 {
				t.Errorf("got %+v", got)
			}
			hasCluster := test.reason == federationv1alpha1.ReasonMemberReady || test.reason == federationv1alpha1.ReasonMemberNotReady
			if (o.cluster("sys") != nil) != hasCluster {
				t.Errorf("has a cluster: %v, want %v", !hasCluster, hasCluster)
			}
		})
	}
}

func TestCluster(t *testing.T) {
	o := observation{
		unit:   cellOf(map[string]string{"zone": "a", federationv1alpha1.TenantLabel: "a", federationv1alpha1.TopologyLabel: "pretended"}),
		tenant: tenancy.Tenant{Name: "a"}, member: member(corev1.ConditionTrue, nil),
	}
	got := o.cluster("sys")
	want := &v1beta1.KubeFedCluster{
		ObjectMeta: metav1.ObjectMeta{
			Name: "rz00a.shop", Namespace: "sys",
			Labels: map[string]string{
				"zone":                                    "a",
				federationv1alpha1.TenantLabel:            "a",
				federationv1alpha1.TopologyLabel:          "cell",
				federationv1alpha1.TopologyNamespaceLabel: "shop",
				federationv1alpha1.TopologyNameLabel:      "rz00a",
				federationv1alpha1.MemberLabel:            "m1",
			},
			Annotations: map[string]string{federationv1alpha1.MemberNamespaceAnnotation: "shop-rz00a"},
		},
		Spec: o.member.Spec,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("cluster (-want +got):\n%s", diff)
	}
	current := want.DeepCopy()
	current.Annotations["their"] = "own"
	if merged, changed := merge(current, want); changed {
		t.Errorf("an annotation of others is a change: %+v", merged)
	}
	current.Labels["old"] = "label"
	if merged, changed := merge(current, want); !changed || merged.Labels["old"] != "" {
		t.Error("a label that the cell has no more stays")
	}
	o.unit.Deleting = true
	if o.cluster("sys") != nil {
		t.Error("a cell that is being deleted has a cluster")
	}
}

func TestMirror(t *testing.T) {
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(status corev1.ConditionStatus, probed time.Duration) *v1beta1.KubeFedClusterStatus {
		s := member(status, nil).Status
		s.Conditions[0].LastProbeTime = metav1.NewTime(day.Add(probed))
		return &s
	}
	upgraded := at(corev1.ConditionTrue, 0)
	upgraded.KubernetesVersion = "v1.36.0"
	for name, test := range map[string]struct {
		current, member *v1beta1.KubeFedClusterStatus
		since           time.Time
		want            bool
	}{
		"the first status is written":            {&v1beta1.KubeFedClusterStatus{}, at(corev1.ConditionTrue, 0), day, true},
		"another probe is not worth a write":     {at(corev1.ConditionTrue, 0), at(corev1.ConditionTrue, time.Minute), day, false},
		"a probe much later is":                  {at(corev1.ConditionTrue, 0), at(corev1.ConditionTrue, time.Hour), day, true},
		"but not soon after a restart":           {at(corev1.ConditionTrue, 0), at(corev1.ConditionTrue, 25*time.Hour), day.Add(24*time.Hour + time.Minute), false},
		"another state is":                       {at(corev1.ConditionTrue, 0), at(corev1.ConditionFalse, time.Second), day, true},
		"another version is":                     {at(corev1.ConditionTrue, 0), upgraded, day, true},
		"a member that was not checked yet is":   {at(corev1.ConditionTrue, 0), &v1beta1.KubeFedClusterStatus{}, day, true},
		"an earlier probe is not worth a write":  {at(corev1.ConditionTrue, time.Hour), at(corev1.ConditionTrue, 0), day, false},
		"two that were not checked are the same": {&v1beta1.KubeFedClusterStatus{}, &v1beta1.KubeFedClusterStatus{}, day, false},
	} {
		t.Run(name, func(t *testing.T) {
			if _, got := mirror(test.current, test.member, time.Hour, test.since); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestACellSaysWhatItsMoveAndItsEndWaitFor(t *testing.T) {
	objects := &federationv1alpha1.CellObjects{Held: 2}
	const unlisted = `the objects of the type "a" are not known: they cannot be listed`
	draining := metav1.Condition{Type: federationv1alpha1.CellReady, Reason: federationv1alpha1.ReasonDraining, Message: "as it was said before the start"}
	for name, test := range map[string]struct {
		deleting bool
		counted  Count
		// told is what was told of its objects; nil: that 2 are held. said are the conditions that the cell has.
		told *federationv1alpha1.CellObjects
		said []metav1.Condition
		// moving and ready are reason and message of the conditions; moving is empty if there is none.
		moving, ready string
	}{
		"it does not move": {counted: Count{Known: true}},
		"objects are on their way": {counted: Count{Known: true, Waits: "FederatedDeployment shop/web (Progressing)"},
			moving: "ObjectsMoving: the place that the cell has left is left together, once all that moves is up to date and healthy where the cell is now; it waits for FederatedDeployment shop/web (Progressing)"},
		"not all are known for long": {counted: Count{Waits: "FederatedDeployment shop/web (Progressing)", Unknown: unlisted},
			moving: "ObjectsUnknown: nothing leaves the place that the cell has left until it is known what is in it: " + unlisted},
		"not all are known yet": {counted: Count{Waits: "FederatedDeployment shop/web (Progressing)"}},
		"it ends": {deleting: true, counted: Count{Known: true, Waits: "FederatedDeployment shop/web (Masked)"},
			ready: "Draining: the cell is being deleted, and waits for what 2 federated objects have in it to be removed: FederatedDeployment shop/web (Masked)"},
		"it has been filled moments ago, and ends": {deleting: true, told: new(federationv1alpha1.CellObjects{}), counted: Count{Known: true, Objects: *objects, WaitsTold: true},
			ready: "Draining: the cell is being deleted, and waits for what 2 federated objects have in it to be removed"},
		"it ends, and was not looked at yet": {deleting: true, told: new(federationv1alpha1.CellObjects{}), counted: Count{Objects: *objects},
			ready: "Draining: the cell is being deleted, and waits until its objects were looked at"},
		"it ends, and after a start nothing was told of it": {deleting: true, counted: Count{Known: true}, said: []metav1.Condition{draining},
			ready: "Draining: " + draining.Message},
		"it ends, and something was told of it since": {deleting: true, counted: Count{Known: true, WaitsTold: true}, said: []metav1.Condition{draining},
			ready: "Draining: the cell is being deleted, and waits for what 2 federated objects have in it to be removed"},
		"it ends, and it is not known of what": {deleting: true, counted: Count{Unknown: unlisted},
			ready: "Draining: the cell is being deleted, and waits until it is known what is in it: " + unlisted},
	} {
		if test.told == nil {
			test.told = objects
		}
		o := observation{unit: Unit{TopologyType: v1beta2.TopologyCell, Name: "c1", Deleting: test.deleting, Conditions: test.said}, objects: test.told, counted: test.counted}
		moving := ""
		if c := o.moving(); c != nil {
			moving = c.Reason + ": " + c.Message
		}
		if moving != test.moving {
			t.Errorf("%s: Moving says %q, want %q", name, moving, test.moving)
		}
		if ready := o.ready(); test.ready != "" && ready.Reason+": "+ready.Message != test.ready {
			t.Errorf("%s: Ready says %s: %s, want %s", name, ready.Reason, ready.Message, test.ready)
		}
	}
}
