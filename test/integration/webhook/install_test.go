package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/koinon-io/koinon/test/testbed"
)

const (
	system  = "kube-federation-system"
	server  = "koinon-webhook"
	secret  = "koinon-webhook-ca"
	timeout = "--request-timeout=20s"
)

// installation is what artifacts/webhook has brought into a cluster, and the replicas of its
// Deployment.
type installation struct {
	cluster  *testbed.Cluster
	dir      string // of the kustomization
	dynamic  dynamic.Interface
	kube     kubernetes.Interface
	replicas []*testbed.Koinon
	balancer *testbed.Balancer
}

// overlay changes of artifacts/webhook what a cluster without nodes and without kube-proxy needs
// different: the Service leads to this machine, and it and whoever names it have a port that is
// free here. The API server resolves a Service of the type ExternalName by itself.
const overlay = `
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [%[1]s]
patches:
- target: {kind: Service}
  patch: '[{"op": "replace", "path": "/spec", "value": {"type": "ExternalName", "externalName": "localhost"}}]'
- target: {kind: CustomResourceDefinition}
  patch: '[{"op": "add", "path": "/spec/conversion/webhook/clientConfig/service/port", "value": %[2]d}]'
- target: {kind: "(Mutating|Validating)WebhookConfiguration"}
  patch: '[{"op": "add", "path": "/webhooks/0/clientConfig/service/port", "value": %[2]d}]'
`

// install applies the directory as its README says, and runs its Deployment.
func install(t *testing.T, cluster *testbed.Cluster) *installation {
	t.Helper()
	i := &installation{cluster: cluster, balancer: testbed.StartBalancer(t), dir: t.TempDir()}
	config := cluster.RESTConfig(t)
	var err error
	if i.dynamic, err = dynamic.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	if i.kube, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	root, err := testbed.Root()
	if err != nil {
		t.Fatal(err)
	}
	artifacts, err := filepath.Rel(i.dir, filepath.Join(root, "artifacts", "webhook"))
	if err != nil {
		t.Fatal(err)
	}
	kustomization := fmt.Sprintf(overlay, artifacts, i.balancer.Port())
	if err := os.WriteFile(filepath.Join(i.dir, "kustomization.yaml"), []byte(kustomization), 0o600); err != nil {
		t.Fatal(err)
	}
	i.apply(t)
	i.run(t)
	return i
}

// apply applies the directory, and fails the test if there is anything to warn of.
func (i *installation) apply(t *testing.T) {
	t.Helper()
	applied := testbed.RunKubectl(t, i.cluster.Kubeconfig(), "", "apply", "-k", i.dir, timeout)
	if applied.Err != nil || applied.Stderr != "" {
		t.Fatalf("kubectl apply -k: %v\n%s", applied.Err, applied.Stderr)
	}
}

// run starts the replicas of the Deployment, with the rights of its ServiceAccount.
func (i *installation) run(t *testing.T) {
	t.Helper()
	deployment, err := i.kube.AppsV1().Deployments(system).Get(t.Context(), server, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig := i.cluster.AccountKubeconfig(t, system, deployment.Spec.Template.Spec.ServiceAccountName)
	for range *deployment.Spec.Replicas {
		replica := testbed.StartKoinon(t, testbed.KoinonOptions{HostKubeconfig: kubeconfig, Args: commandLine(t, deployment), StopGrace: stopGrace})
		i.replicas = append(i.replicas, replica)
		i.balancer.Add(replica.Port())
	}
}

// stopGrace is the Deployment's terminationGracePeriodSeconds, or so: API servers keep
// connections open that they do not use.
const stopGrace = 3 * time.Minute

// commandLine is that of the Deployment, but for what the test bed has its own of: there is no
// pod that says where the cluster is, and replicas on one machine need ports and directories of
// their own. Certificates live shorter, for the test to see them renewed.
func commandLine(t *testing.T, deployment *appsv1.Deployment) []string {
	t.Helper()
	container := deployment.Spec.Template.Spec.Containers[0]
	if want := []string{"koinon", "server"}; !slices.Equal(append(container.Command, container.Args[0]), want) {
		t.Fatalf("the Deployment runs %q %q, want %q", container.Command, container.Args, want)
	}
	args := container.Args[1:]
	for _, own := range []string{"--in-cluster", "--bind-address", "--secure-port", "--data-dir"} {
		at := slices.IndexFunc(args, func(arg string) bool { name, _, _ := strings.Cut(arg, "="); return name == own })
		if at < 0 {
			t.Fatalf("the Deployment has no %s: %q", own, args)
		}
		args = slices.Delete(slices.Clone(args), at, at+1)
	}
	return append(args, "--serving-certificate-lifetime=30s")
}

func podsAreLetIn(t *testing.T, kubeconfig string) {
	poll(t, "the namespace's Pod Security lets the pods in", func(context.Context) error {
		pods := testbed.RunKubectl(t, kubeconfig, "", "-n", system, "get", "pods", "-l", "app.kubernetes.io/name="+server, "-o", "name", timeout)
		if count := strings.Count(pods.Stdout, "pod/"); count != 2 {
			return fmt.Errorf("there are %d pods: %w", count, pods.Err)
		}
		return nil
	})
}

// caller is an object that calls the webhook, and where in it the clientConfig is.
type caller struct {
	schema.GroupVersionResource
	name string
	path string // JSON pointer
}

var (
	crds       = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	mutating   = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"}
	validating = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"}
)

// callers are all objects that call the webhook.
func (i *installation) callers(t *testing.T) []caller {
	t.Helper()
	callers := []caller{{mutating, "koinon", "/webhooks/0/clientConfig"}, {validating, "koinon", "/webhooks/0/clientConfig"}}
	list, err := i.dynamic.Resource(crds).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, crd := range list.Items {
		callers = append(callers, caller{crds, crd.GetName(), "/spec/conversion/webhook/clientConfig"})
	}
	if len(callers) != 12 {
		t.Fatalf("%d objects call the webhook, want ten kinds and two configurations", len(callers))
	}
	return callers
}

// bundle is the authorities that a caller trusts.
func (i *installation) bundle(ctx context.Context, c caller) ([]byte, error) {
	object, err := i.dynamic.Resource(c.GroupVersionResource).Get(ctx, c.name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	var outline struct {
		Spec struct {
			Conversion struct {
				Webhook struct{ ClientConfig struct{ CABundle []byte } }
			}
		}
		Webhooks []struct{ ClientConfig struct{ CABundle []byte } }
	}
	data, err := object.MarshalJSON()
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &outline); err != nil {
		return nil, err
	}
	if len(outline.Webhooks) > 0 {
		return outline.Webhooks[0].ClientConfig.CABundle, nil
	}
	return outline.Spec.Conversion.Webhook.ClientConfig.CABundle, nil
}

// awaitBundle waits until all trust that bundle.
func (i *installation) awaitBundle(t *testing.T, want []byte, callers ...caller) {
	t.Helper()
	for _, c := range callers {
		poll(t, "the authority is not in "+c.Resource+" "+c.name, func(ctx context.Context) error {
			got, err := i.bundle(ctx, c)
			if err == nil && !bytes.Equal(got, want) {
				err = fmt.Errorf("it has %q", got)
			}
			return err
		})
	}
}

// shared is the bundle of the Secret.
func (i *installation) shared(t *testing.T) []byte {
	t.Helper()
	object, err := i.kube.CoreV1().Secrets(system).Get(t.Context(), secret, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return object.Data["ca.crt"]
}
