package aggregated_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/following"
	"github.com/koinon-io/koinon/test/testbed"
)

// followRole is the ClusterRole of docs/operations-aggregated.md, for one type.
const followRole = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: koinon-follow-workloads
  labels: {federation.koinon.io/aggregate-to-follow: "true"}
rules:
- {apiGroups: [apps], resources: [deployments], verbs: [get, list, watch]}
`

// native is a Deployment of the host.
func native(name, label string, replicas int) string {
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata:
  name: %s
  labels: {app: %[1]s%s}
  annotations: {%s: '{"topologies":[{"name":"nowhere"}]}'}
spec:
  replicas: %d
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec: {containers: [{name: web, image: registry.example/web}]}
`, name, label, v1beta1.PlacementAnnotation, replicas)
}

const toBeFollowed = `, ` + v1beta1.FederateLabel + `: "true"`

// TestFederatedObjectsFollowThoseOfAHost runs a server with --follow-native-objects behind a host of its own, with the rights that
// the manifests give it and the ClusterRole that they wait for.
func TestFederatedObjectsFollowThoseOfAHost(t *testing.T) {
	host := testbed.StartCluster(t, testbed.ClusterOptions{Name: "follow"})
	account := install(t, host)
	f := newFixture(t, host)
	f.server = testbed.StartKoinon(t, testbed.KoinonOptions{
		HostKubeconfig: account, Args: []string{"--service-name=koinon-outside", "--connection-drain-timeout=0s", "--follow-native-objects"},
	})
	f.awaitServed("federateddeployments")

	f.apply(native("web", toBeFollowed, 1))
	f.apply(native("other", "", 1))
	if said := f.accountMay("list", "deployments.apps"); said != "no" {
		t.Errorf("by the manifests alone the server may list Deployments: %s", said)
	}
	f.apply(followRole)
	f.followed("web", func(o *unstructured.Unstructured) error { return hasReplicas(o, 1) })
	for _, verb := range []string{"create", "update", "patch", "delete"} {
		if said := f.accountMay(verb, "deployments.apps"); said != "no" {
			t.Errorf("the server may %s Deployments: %s", verb, said)
		}
	}

	f.apply(native("web", toBeFollowed, 3))
	f.followed("web", func(o *unstructured.Unstructured) error { return hasReplicas(o, 3) })

	// What is labelled later is followed, and what is labelled no longer keeps what it has.
	f.kubectl("label", "deployment", "other", "-n", f.namespace, v1beta1.FederateLabel+"=true")
	f.followed("other", func(o *unstructured.Unstructured) error { return hasReplicas(o, 1) })
	f.kubectl("label", "deployment", "other", "-n", f.namespace, v1beta1.FederateLabel+"-")
	f.followed("other", func(o *unstructured.Unstructured) error {
		if mark := following.MarkOf(o.GetAnnotations()); mark == nil || !mark.Ended {
			return fmt.Errorf("its annotations are %v", o.GetAnnotations())
		}
		return nil
	})

	f.kubectl("delete", "deployment", "web", "other", "-n", f.namespace)
	f.eventually("the federated object to go with its native one", func(ctx context.Context) error {
		_, err := f.dynamic.Resource(deployments).Namespace(f.namespace).Get(ctx, "web", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("got error %v", err)
	})
	f.followed("other", func(*unstructured.Unstructured) error { return nil })
}

// accountMay asks the host whether the server's account may do something everywhere: yes or no.
func (f *fixture) accountMay(verb, resource string) string {
	f.Helper()
	answer := testbed.RunKubectl(f, f.kubeconfig, "", "auth", "can-i", verb, resource, "-A", "--as", "system:serviceaccount:"+system+":koinon", requestTimeout)
	return strings.TrimSpace(answer.Stdout)
}

// followed waits until there is a FederatedDeployment that is as check wants it.
func (f *fixture) followed(name string, check func(*unstructured.Unstructured) error) {
	f.Helper()
	f.eventually("what follows "+name, func(ctx context.Context) error {
		object, err := f.dynamic.Resource(deployments).Namespace(f.namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return check(object)
	})
}

func hasReplicas(o *unstructured.Unstructured, want int64) error {
	if got, _, err := unstructured.NestedInt64(o.Object, "spec", "template", "spec", "replicas"); err != nil || got != want {
		return fmt.Errorf("its template has %d replicas, want %d; %v", got, want, err)
	}
	return nil
}
