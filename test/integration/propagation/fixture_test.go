// Package propagation_test runs the controllers of pkg/federation in the test process,
// against a real koinon API server and two real members.
package propagation_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation"
	"github.com/koinon-io/koinon/pkg/federation/fedclient"
	"github.com/koinon-io/koinon/pkg/generated/clientset/versioned"
	"github.com/koinon-io/koinon/test/testbed"
)

// patience is how long anything may take before a test gives up. It is no assertion about
// speed: the machine may be busy.
const patience = 90 * time.Second

const system = v1beta1.DefaultNamespace

var (
	host = testbed.SharedKoinon(func() (testbed.KoinonOptions, error) {
		return testbed.KoinonOptions{Args: []string{"--components=apiserver"}}, nil
	})
	members = map[string]*testbed.Shared[*testbed.Cluster]{
		"m1": testbed.SharedCluster(testbed.ClusterOptions{Name: "m1"}),
		"m2": testbed.SharedCluster(testbed.ClusterOptions{Name: "m2"}),
	}

	configMaps  = corev1.SchemeGroupVersion.WithResource("configmaps")
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	services    = corev1.SchemeGroupVersion.WithResource("services")
	namespaces  = corev1.SchemeGroupVersion.WithResource("namespaces")
)

func TestMain(m *testing.M) { testbed.Main(m) }

// fixture is a namespace of its own, and running controllers.
type fixture struct {
	*testing.T
	namespace  string
	kubeconfig string
	config     *rest.Config
	koinon     versioned.Interface
	kube       kubernetes.Interface
	applier    *testbed.Applier
	stop       func()
}

// start prepares a namespace and the two members, and runs the controllers.
func start(t *testing.T) *fixture {
	t.Helper()
	f := connect(t, host.Get(t))
	f.run()
	f.prepare()
	return f
}

// connect makes clients of a control plane.
func connect(t *testing.T, k *testbed.Koinon) *fixture {
	t.Helper()
	f := &fixture{T: t, kubeconfig: k.Kubeconfig(), config: k.RESTConfig(t)}
	f.namespace = strings.ToLower(strings.TrimPrefix(t.Name(), "Test"))
	var err error
	if f.koinon, err = versioned.NewForConfig(f.config); err != nil {
		t.Fatal(err)
	}
	if f.kube, err = kubernetes.NewForConfig(f.config); err != nil {
		t.Fatal(err)
	}
	if f.applier, err = testbed.NewApplier(f.config); err != nil {
		t.Fatal(err)
	}
	return f
}

// prepare makes the test's namespace and joins the members.
func (f *fixture) prepare() {
	f.Helper()
	f.eventually("the default types exist", func() error {
		_, err := f.koinon.KubeFedCoreV1beta1().FederatedTypeConfigs(system).Get(f.Context(), "clusterroles.rbac.authorization.k8s.io", metav1.GetOptions{})
		return err
	})
	f.apply(fmt.Sprintf(`{apiVersion: v1, kind: Namespace, metadata: {name: %s}}`, f.namespace))
	f.federateNamespace(`topologySelector: {}`)
	f.quickHealthChecks()
	for name, shared := range members {
		f.join(name, shared.Get(f.T))
	}
	f.ready("m1")
	f.ready("m2")
}

// federateNamespace says where the test's namespace goes, and with it what is in it: wherever a test
// places something, unless it says otherwise.
func (f *fixture) federateNamespace(placement string) {
	f.Helper()
	f.apply(fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedNamespace, metadata: {name: %[1]s, namespace: %[1]s}, spec: {placement: {%[2]s}}}`, f.namespace, placement))
}

// run runs the controllers until the test ends or stop is called.
func (f *fixture) run() {
	f.Helper()
	manager, err := federation.New(federation.Config{RESTConfig: f.config, FollowNative: true})
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(f.Context()))
	ended := make(chan error, 1)
	go func() { ended <- manager.Run(ctx) }() // ends with ctx
	stopped := false
	f.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				f.Errorf("the controllers ended: %v", err)
			}
		case <-time.After(patience):
			f.Error("the controllers do not end")
		}
	}
	f.Cleanup(f.stop)
}

// quickHealthChecks spares tests the half minute until a member counts as offline.
func (f *fixture) quickHealthChecks() {
	f.Helper()
	f.apply(`
apiVersion: core.kubefed.io/v1beta1
kind: KubeFedConfig
metadata: {name: kubefed, namespace: ` + system + `}
spec: {clusterHealthCheck: {period: 1s, timeout: 1s, failureThreshold: 2}}`)
}

// join makes a KubeFedCluster with the member's own kubeconfig.
func (f *fixture) join(name string, member *testbed.Cluster) {
	f.Helper()
	f.joinAs(name, member.Kubeconfig(), member.Server())
}

// joinAs makes the KubeFedCluster of a server with the kubeconfig in a file.
func (f *fixture) joinAs(name, file, server string) {
	f.Helper()
	kubeconfig, err := os.ReadFile(file)
	if err != nil {
		f.Fatal(err)
	}
	f.secret(name, map[string]string{v1beta1.KubeconfigKey: string(kubeconfig)})
	f.apply(fmt.Sprintf(`
apiVersion: core.kubefed.io/v1beta1
kind: KubeFedCluster
metadata: {name: %s, namespace: %s}
spec: {apiEndpoint: %q, secretRef: {name: %s}}`, name, system, server, name))
}

func (f *fixture) secret(name string, data map[string]string) {
	f.Helper()
	f.boundSecret(name, "", data)
}

// boundSecret makes a Secret whose token may be sent to an endpoint.
func (f *fixture) boundSecret(name, endpoint string, data map[string]string) {
	f.Helper()
	secret := &corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: system, Annotations: map[string]string{
			v1beta1.CredentialsForAnnotation: name, v1beta1.APIEndpointAnnotation: endpoint,
		}},
		StringData: data,
	}
	manifest, err := json.Marshal(secret)
	if err != nil {
		f.Fatal(err)
	}
	_ = f.kube.CoreV1().Secrets(system).Delete(f.Context(), name, metav1.DeleteOptions{})
	f.apply(string(manifest))
}

func (f *fixture) ready(cluster string) {
	f.Helper()
	f.condition(cluster, v1beta1.ClusterReady, corev1.ConditionTrue, "")
}

// condition waits for a condition of a KubeFedCluster whose message has the given part.
func (f *fixture) condition(cluster string, kind v1beta1.ClusterConditionType, status corev1.ConditionStatus, message string) {
	f.Helper()
	f.eventually(fmt.Sprintf("cluster %s has %s=%s", cluster, kind, status), func() error {
		got, err := f.koinon.KubeFedCoreV1beta1().KubeFedClusters(system).Get(f.Context(), cluster, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range got.Status.Conditions {
			if c.Type == kind && c.Status == status && strings.Contains(*c.Message, message) {
				return nil
			}
		}
		return fmt.Errorf("got %s", asJSON(got.Status.Conditions))
	})
}

// apply applies manifests to the host, with the requests that users' kubectl makes.
func (f *fixture) apply(manifests string) {
	f.Helper()
	f.applier.Apply(f.T, manifests)
}

// cells makes cells of the test's namespace, given as name and member in turn.
func (f *fixture) cells(nameMember ...string) {
	f.Helper()
	for i := 0; i < len(nameMember); i += 2 {
		f.apply(fmt.Sprintf(`
apiVersion: federation.koinon.io/v1alpha1
kind: Cell
metadata: {name: %s, namespace: %s, labels: {zone: %s}}
spec: {clusterName: %s}`, nameMember[i], f.namespace, nameMember[i], nameMember[i+1]))
	}
}

// in is the namespace of a cell in its member.
func (f *fixture) in(cell string) string { return f.namespace + "-" + cell }

func (f *fixture) federated(plural string) *fedclient.Client {
	f.Helper()
	factory, err := fedclient.New(f.config, "types.kubefed.io")
	if err != nil {
		f.Fatal(err)
	}
	return factory.Resource(plural, f.namespace)
}

// states waits until the targets of a federated object are in the given states, given as
// name and state in turn, and the status speaks of the latest generation.
func (f *fixture) states(plural, name string, nameState ...string) *v1beta2.FederatedObject {
	f.Helper()
	want := map[string]string{}
	for i := 0; i < len(nameState); i += 2 {
		want[nameState[i]] = nameState[i+1]
	}
	var object *v1beta2.FederatedObject
	f.eventually(fmt.Sprintf("%s %s has targets %v", plural, name, want), func() (err error) {
		object, err = f.federated(plural).Get(f.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if object.Status == nil || object.Status.ObservedGeneration != object.Generation {
			return fmt.Errorf("got status %s at generation %d", asJSON(object.Status), object.Generation)
		}
		got := map[string]string{}
		for _, target := range object.Status.Targets {
			got[target.Name] = string(target.State)
		}
		if asJSON(got) != asJSON(want) {
			return fmt.Errorf("got status %s", asJSON(object.Status))
		}
		return nil
	})
	return object
}

func (f *fixture) target(object *v1beta2.FederatedObject, name string) v1beta2.TargetStatus {
	f.Helper()
	for _, target := range object.Status.Targets {
		if target.Name == name {
			return target
		}
	}
	f.Fatalf("there is no target %q in %s", name, asJSON(object.Status))
	return v1beta2.TargetStatus{}
}

func (f *fixture) delete(plural, name string) {
	f.Helper()
	if err := f.federated(plural).Delete(f.Context(), name, metav1.DeleteOptions{}); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) gone(plural, name string) {
	f.Helper()
	f.eventually(fmt.Sprintf("%s %s is gone", plural, name), func() error {
		object, err := f.federated(plural).Get(f.Context(), name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(err, fmt.Errorf("got status %s", asJSON(object.Status)))
	})
}

// member returns a client of a member.
func (f *fixture) member(name string) dynamic.Interface {
	f.Helper()
	client, err := dynamic.NewForConfig(members[name].Get(f.T).RESTConfig(f.T))
	if err != nil {
		f.Fatal(err)
	}
	return client
}

// object reads an object from a member.
func (f *fixture) object(member string, gvr schema.GroupVersionResource, namespace, name string) *unstructured.Unstructured {
	f.Helper()
	object, err := f.member(member).Resource(gvr).Namespace(namespace).Get(f.Context(), name, metav1.GetOptions{})
	if err != nil {
		f.Fatal(err)
	}
	return object
}

// absent checks that a member has no such object.
func (f *fixture) absent(member string, gvr schema.GroupVersionResource, namespace, name string) {
	f.Helper()
	_, err := f.member(member).Resource(gvr).Namespace(namespace).Get(f.Context(), name, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		f.Errorf("%s has %s %s/%s (error %v), want none", member, gvr.Resource, namespace, name, err)
	}
}

// field returns a field of an object as JSON.
func field(object *unstructured.Unstructured, path ...string) string {
	value, _, _ := unstructured.NestedFieldNoCopy(object.Object, path...)
	return asJSON(value)
}

func asJSON(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// eventually waits until check returns nil.
func (f *fixture) eventually(what string, check func() error) {
	f.Helper()
	var last error
	err := wait.PollUntilContextTimeout(f.Context(), 50*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		last = check()
		return last == nil, nil
	})
	if err != nil {
		f.Fatalf("waited in vain until %s: %v", what, last)
	}
}
