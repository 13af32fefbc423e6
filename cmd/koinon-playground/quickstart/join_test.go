package quickstart

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	fleetfake "github.com/koinon-io/koinon/pkg/generated/clientset/versioned/fake"
)

func TestMakeAccountTwiceGivesTheSameToken(t *testing.T) {
	client := fake.NewClientset()
	// What the token controller of a real cluster does.
	client.PrependReactor("create", "secrets", func(a clienttesting.Action) (bool, runtime.Object, error) {
		secret := a.(clienttesting.CreateAction).GetObject().(*corev1.Secret)
		if secret.Type == corev1.SecretTypeServiceAccountToken {
			secret.Data = map[string][]byte{corev1.ServiceAccountTokenKey: []byte("t0ken")}
		}
		return false, nil, nil
	})
	for range 2 {
		token, err := makeAccount(t.Context(), client)
		if err != nil {
			t.Fatal(err)
		}
		if string(token) != "t0ken" {
			t.Errorf("token: got %q, want t0ken", token)
		}
	}
}

func TestMakeAccountEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := makeAccount(ctx, fake.NewClientset()); err == nil {
		t.Error("got a token from a cluster that makes none")
	}
}

func TestAdministratorsKeepWhatTheyMayDo(t *testing.T) {
	client := fake.NewClientset()
	for range 2 {
		if err := bindAdministrators(t.Context(), client); err != nil {
			t.Fatal(err)
		}
	}
	binding, err := client.RbacV1().ClusterRoleBindings().Get(t.Context(), "koinon-administrators", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(binding.Subjects) != 1 || binding.Subjects[0].Name != "koinon:administrators" || binding.RoleRef.Name != "cluster-admin" {
		t.Errorf("got %v with the role %s", binding.Subjects, binding.RoleRef.Name)
	}
}

func TestKeepSecretCorrectsWhatChanged(t *testing.T) {
	client := fake.NewClientset()
	for _, access := range []string{"one", "one", "two"} {
		if err := keepSecret(t.Context(), client, "m1", []byte(access)); err != nil {
			t.Fatal(err)
		}
		secret, err := client.CoreV1().Secrets(corev1beta1.DefaultNamespace).Get(t.Context(), "m1", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := string(secret.Data[corev1beta1.KubeconfigKey]); got != access {
			t.Errorf("kubeconfig: got %q, want %q", got, access)
		}
	}
	if diff := cmp.Diff([]string{"create", "update"}, writes(client.Actions())); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
}

func TestKeepClusterCorrectsWhereAMemberIs(t *testing.T) {
	fleet := fleetfake.NewSimpleClientset() // nothing here is applied, so it needs no schema
	clusters := fleet.KubeFedCoreV1beta1().KubeFedClusters(corev1beta1.DefaultNamespace)
	for _, endpoint := range []string{"https://127.0.0.1:1", "https://127.0.0.1:1", "https://127.0.0.1:2"} {
		spec := corev1beta1.KubeFedClusterSpec{APIEndpoint: endpoint, SecretRef: corev1beta1.LocalSecretReference{Name: "m1"}}
		if err := keepCluster(t.Context(), clusters, "m1", spec); err != nil {
			t.Fatal(err)
		}
		cluster, err := clusters.Get(t.Context(), "m1", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if cluster.Spec.APIEndpoint != endpoint {
			t.Errorf("endpoint: got %q, want %q", cluster.Spec.APIEndpoint, endpoint)
		}
	}
	if diff := cmp.Diff([]string{"create", "update"}, writes(fleet.Actions())); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
}

func writes(actions []clienttesting.Action) []string {
	var verbs []string
	for _, a := range actions {
		if verb := a.GetVerb(); verb != "get" {
			verbs = append(verbs, verb)
		}
	}
	return verbs
}

func TestClusterReady(t *testing.T) {
	message := "connection refused"
	tests := map[string]struct {
		conditions []corev1beta1.ClusterCondition
		ready      bool
		said       string
	}{
		"nobody looked": {said: "it has no conditions: no controller looked at it"},
		"ready":         {conditions: []corev1beta1.ClusterCondition{{Type: corev1beta1.ClusterReady, Status: corev1.ConditionTrue}}, ready: true},
		"not ready, and why": {
			conditions: []corev1beta1.ClusterCondition{{Type: corev1beta1.ClusterOffline, Status: corev1.ConditionTrue, Message: &message}},
			said:       "Offline is True: connection refused",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			ready, said := clusterReady(&corev1beta1.KubeFedCluster{Status: corev1beta1.KubeFedClusterStatus{Conditions: test.conditions}})
			if ready != test.ready || said != test.said {
				t.Errorf("got %t %q, want %t %q", ready, said, test.ready, test.said)
			}
		})
	}
}
