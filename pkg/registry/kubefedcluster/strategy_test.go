package kubefedcluster

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

func stored() *v1beta1.KubeFedCluster {
	return &v1beta1.KubeFedCluster{
		ObjectMeta: metav1.ObjectMeta{Name: "m1", Namespace: "system", Generation: 3, Labels: map[string]string{"a": "b"}},
		Spec:       v1beta1.KubeFedClusterSpec{APIEndpoint: "m1", SecretRef: v1beta1.LocalSecretReference{Name: "s"}},
		Status:     v1beta1.KubeFedClusterStatus{KubernetesVersion: "v1"},
	}
}

func TestWarnings(t *testing.T) {
	const ca = `spec.caBundle: there is no certificate in it; it must be one or more certificates in PEM form`
	const join = `spec.joinNamespace: the credential of this member is no service account's token, which would say in which namespace of the member the account is: name it, so that no object is placed there (kube-system, if it is in no namespace)`
	reached := func(c *v1beta1.KubeFedCluster) {
		c.Status.Conditions = []v1beta1.ClusterCondition{{Type: v1beta1.ClusterReady, Status: corev1.ConditionTrue}}
	}
	for name, test := range map[string]struct {
		change func(*v1beta1.KubeFedCluster)
		create []string
		update []string
	}{
		"a member that was reached with a credential that does not say whose it is": {change: reached, update: []string{join}},
		"a member that was reached with a token": {
			change: func(c *v1beta1.KubeFedCluster) { reached(c); c.Status.JoinNamespace = "join" }},
		"a member whose account's namespace somebody named": {
			change: func(c *v1beta1.KubeFedCluster) { reached(c); c.Spec.JoinNamespace = "join" }},
		"another credential than the one that was looked at": {
			change: func(c *v1beta1.KubeFedCluster) { reached(c); c.Spec.SecretRef.Name = "another" }},
		"a cell": {
			change: func(c *v1beta1.KubeFedCluster) { reached(c); c.Labels[federationv1alpha1.TopologyLabel] = "cell" }},
		"a member in the system namespace": {change: func(*v1beta1.KubeFedCluster) {}},
		"a bundle without a certificate": {
			change: func(c *v1beta1.KubeFedCluster) { c.Spec.CABundle = []byte("abc") },
			create: []string{ca}, update: []string{ca}},
		"another namespace": {
			change: func(c *v1beta1.KubeFedCluster) { c.Namespace = "shop" },
			create: []string{`metadata.namespace: clusters outside of namespace "system" are kept and not used`}},
	} {
		t.Run(name, func(t *testing.T) {
			strategy := newStrategy(runtime.NewScheme(), "system")
			cluster := stored()
			test.change(cluster)
			if diff := cmp.Diff(test.create, strategy.WarningsOnCreate(t.Context(), cluster)); diff != "" {
				t.Errorf("on create (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.update, strategy.WarningsOnUpdate(t.Context(), cluster, stored())); diff != "" {
				t.Errorf("on update (-want +got):\n%s", diff)
			}
			status := newStatusStrategy(strategy, runtime.NewScheme())
			if got := status.WarningsOnUpdate(t.Context(), cluster, stored()); got != nil {
				t.Errorf("on a write of the status: got %q, want none", got)
			}
		})
	}
}

func TestReady(t *testing.T) {
	for name, test := range map[string]struct {
		conditions []v1beta1.ClusterCondition
		want       string
	}{
		"nothing is known":             {},
		"the cluster is ready":         {conditions: []v1beta1.ClusterCondition{{Type: v1beta1.ClusterReady, Status: corev1.ConditionTrue}}, want: "True"},
		"it answers that it is not":    {conditions: []v1beta1.ClusterCondition{{Type: v1beta1.ClusterOffline, Status: corev1.ConditionFalse}, {Type: v1beta1.ClusterReady, Status: corev1.ConditionFalse}}, want: "False"},
		"it does not answer":           {conditions: []v1beta1.ClusterCondition{{Type: v1beta1.ClusterOffline, Status: corev1.ConditionTrue}}, want: "False"},
		"it cannot be asked":           {conditions: []v1beta1.ClusterCondition{{Type: v1beta1.ClusterConfigMalformed, Status: corev1.ConditionTrue}}, want: "False"},
		"an earlier trouble is solved": {conditions: []v1beta1.ClusterCondition{{Type: v1beta1.ClusterOffline, Status: corev1.ConditionFalse}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Ready(&v1beta1.KubeFedClusterStatus{Conditions: test.conditions}); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
