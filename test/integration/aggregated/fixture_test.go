// Package aggregated_test runs koinon behind the aggregator of a real kube-apiserver, with
// the rights that the manifests give it and no others, and uses it through the host.
package aggregated_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"

	"github.com/koinon-io/koinon/test/testbed"
)

const (
	// patience is how long anything may take before a test gives up. It is no assertion
	// about speed: the machine may be busy.
	patience = 90 * time.Second
	system   = "kube-federation-system"
	// requestTimeout is for every kubectl, which would wait for ever otherwise.
	requestTimeout = "--request-timeout=20s"
)

var (
	sharedHost   = testbed.SharedCluster(testbed.ClusterOptions{Name: "host"})
	sharedServer = testbed.SharedKoinon(func() (testbed.KoinonOptions, error) {
		// The manifests' own Service leads to pods, of which this host runs none. No test of this
		// server minds a request that is lost when it ends.
		return testbed.KoinonOptions{HostKubeconfig: installed.kubeconfig, Args: []string{"--service-name=koinon-outside", "--connection-drain-timeout=0s"}}, nil
	})
	installed struct {
		once       sync.Once
		kubeconfig string // of the server's ServiceAccount
	}
)

func TestMain(m *testing.M) { testbed.Main(m) }

// fixture is a namespace of the host in which a test works.
type fixture struct {
	*testing.T
	namespace  string
	kubeconfig string // the host's administrator
	server     *testbed.Koinon
	config     *rest.Config
	kube       kubernetes.Interface
	dynamic    dynamic.Interface
	aggregator aggregator.Interface
}

// setup starts host and server with the first test, and waits until the host serves the
// federated kinds.
func setup(t *testing.T) *fixture {
	t.Helper()
	host := sharedHost.Get(t)
	installed.once.Do(func() { installed.kubeconfig = install(t, host) })
	f := newFixture(t, host)
	f.server = sharedServer.Get(t)
	f.awaitServed("federateddeployments")
	return f
}

func newFixture(t *testing.T, host *testbed.Cluster) *fixture {
	t.Helper()
	f := &fixture{T: t, kubeconfig: host.Kubeconfig(), config: host.RESTConfig(t)}
	var errs [3]error
	f.kube, errs[0] = kubernetes.NewForConfig(f.config)
	f.dynamic, errs[1] = dynamic.NewForConfig(f.config)
	f.aggregator, errs[2] = aggregator.NewForConfig(f.config)
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	f.namespace = f.newNamespace(strings.ToLower(t.Name()))
	return f
}

// install applies the directory artifacts/deploy and returns a kubeconfig for the ServiceAccount
// in it.
func install(t *testing.T, host *testbed.Cluster) string {
	t.Helper()
	applyDirectory(t, host.Kubeconfig())
	testbed.KubectlStdin(t, host.Kubeconfig(), outsideRole, "apply", "-f", "-", requestTimeout)
	return host.AccountKubeconfig(t, system, "koinon")
}

// applyDirectory fails the test if the host has anything to warn of.
func applyDirectory(t *testing.T, kubeconfig string) {
	t.Helper()
	applied := testbed.RunKubectl(t, kubeconfig, "", "apply", "--server-side", "--validate=strict", "-k", artifact(t, ""), requestTimeout)
	if applied.Err != nil || applied.Stderr != "" {
		t.Fatalf("kubectl apply -k artifacts/deploy: %v\n%s", applied.Err, applied.Stderr)
	}
}

// artifact is the path of a file in artifacts/deploy, or of the directory.
func artifact(t *testing.T, name string) string {
	t.Helper()
	root, err := testbed.Root()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, "artifacts", "deploy", name)
}

// outsideRole is what a server outside of the host needs besides: it makes its Service.
const outsideRole = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: koinon-outside, namespace: kube-federation-system}
rules:
- apiGroups: [""]
  resources: [services]
  verbs: [get, create, update]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: koinon-outside, namespace: kube-federation-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: koinon-outside}
subjects:
- {kind: ServiceAccount, name: koinon, namespace: kube-federation-system}
`

// newNamespace makes a namespace that goes with the test.
func (f *fixture) newNamespace(name string) string {
	f.Helper()
	f.kubectl("create", "namespace", name)
	f.Cleanup(func() {
		ctx := context.WithoutCancel(f.Context())
		_ = f.kube.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{})
	})
	return name
}

// kubectl runs kubectl as the administrator of the host.
func (f *fixture) kubectl(args ...string) string {
	f.Helper()
	return testbed.Kubectl(f, f.kubeconfig, append(args, requestTimeout)...)
}

// apply applies a manifest in the test's namespace.
func (f *fixture) apply(manifest string, args ...string) string {
	f.Helper()
	args = append([]string{"apply", "-n", f.namespace, "-f", "-", requestTimeout}, args...)
	return testbed.KubectlStdin(f, f.kubeconfig, manifest, args...)
}

// eventually waits for a condition; what says what it is waited for.
func (f *fixture) eventually(what string, condition func(ctx context.Context) error) time.Duration {
	f.Helper()
	began := time.Now()
	var last error
	err := wait.PollUntilContextTimeout(f.Context(), 50*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		last = condition(ctx)
		return last == nil, nil
	})
	if err != nil {
		f.Fatalf("%s: %v; last answer: %v", what, err, last)
	}
	return time.Since(began)
}

// awaitServed waits until the host's discovery has a federated kind, in both versions.
func (f *fixture) awaitServed(resource string) time.Duration {
	f.Helper()
	return f.eventually("discovery of "+resource, func(ctx context.Context) error {
		for _, version := range []string{"v1beta1", "v1beta2"} {
			if err := f.discovered(ctx, version, resource); err != nil {
				return err
			}
		}
		return nil
	})
}

// discovered asks for aggregated discovery, which the host answers from its cache.
func (f *fixture) discovered(ctx context.Context, version, resource string) error {
	answer, err := f.kube.Discovery().RESTClient().Get().AbsPath("/apis").
		SetHeader("Accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList").DoRaw(ctx)
	if err != nil {
		return err
	}
	var list apidiscoveryv2.APIGroupDiscoveryList
	if err := json.Unmarshal(answer, &list); err != nil {
		return err
	}
	for _, group := range list.Items {
		for _, v := range group.Versions {
			if group.Name == "types.kubefed.io" && v.Version == version && slices.ContainsFunc(v.Resources, func(r apidiscoveryv2.APIResourceDiscovery) bool { return r.Resource == resource }) {
				return nil
			}
		}
	}
	return fmt.Errorf("discovery has no %s in %s", resource, version)
}

// deployment is a FederatedDeployment for a member that there is none of: it stays where
// it is.
func deployment(name string) string {
	return fmt.Sprintf(`
apiVersion: types.kubefed.io/v1beta2
kind: FederatedDeployment
metadata: {name: %[1]s, labels: {app: %[1]s}}
spec:
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      replicas: 1
      selector: {matchLabels: {app: %[1]s}}
      template:
        metadata: {labels: {app: %[1]s}}
        spec: {containers: [{name: web, image: "nginx:1"}]}
  placement: {topologies: [{name: nowhere}]}
`, name)
}
