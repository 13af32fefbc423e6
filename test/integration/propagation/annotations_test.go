package propagation_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/test/testbed"
)

// balanced are objects of a type, into whose metadata a controller of the member writes, too.
type balanced struct {
	typeName string // of the FederatedTypeConfig
	kind     string
	gvr      schema.GroupVersionResource
	content  string // of the template, beside metadata
}

const (
	balancedPods = `selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: web}]}}`
	// ours match the pattern of the type and are in templates; theirs match it too, and are in none.
	balancedPattern, balancedTheirs = "lb.example.com/*", "lb.example.com/theirs"
)

var balancedTypes = []balanced{
	{"namespaces", "Namespace", namespaces, ``},
	{"configmaps", "ConfigMap", configMaps, `data: {key: v}`},
	{"secrets", "Secret", schema.GroupVersionResource{Version: "v1", Resource: "secrets"}, `data: {key: dg==}`},
	{"services", "Service", services, `spec: {ports: [{port: 80}]}`},
	{"serviceaccounts", "ServiceAccount", schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}, ``},
	{"deployments.apps", "Deployment", deployments, `spec: {replicas: 0, ` + balancedPods + `}`},
	{"replicasets.apps", "ReplicaSet", schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}, `spec: {replicas: 0, ` + balancedPods + `}`},
	{"jobs.batch", "Job", schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}, `spec: {suspend: true, template: {spec: {restartPolicy: Never, containers: [{name: web, image: web}]}}}`},
	{"ingresses.networking.k8s.io", "Ingress", schema.GroupVersionResource{Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"}, `spec: {defaultBackend: {service: {name: web, port: {number: 80}}}}`},
	{"clusterroles.rbac.authorization.k8s.io", "ClusterRole", schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"}, `rules: []`},
	{"balancers.example.com", "Balancer", schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "balancers"}, `spec: {size: 1}`},
}

func (b balanced) inCluster() bool { return b.kind == "Namespace" || b.kind == "ClusterRole" }

// Ours are set, changed and removed while a controller in the member, such as that of a load balancer,
// writes its own beside them, into objects of every type.
func TestAnnotationsAndLabelsOfMembersStayBesideOurs(t *testing.T) {
	f := start(t)
	f.serveBalancers()
	for _, b := range balancedTypes {
		f.propagateAnnotations(b.typeName, `["`+balancedPattern+`"]`)
	}
	defer testbed.RunKubectl(t, f.kubeconfig, "", "delete", "federatedclusterrole", f.namespace) // the member is shared
	m1 := f.member("m1")
	f.balance(m1, map[string]string{"ours": "1", "gone": "1"})
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	defer writers.Wait()
	defer stop()
	for _, b := range balancedTypes {
		writers.Go(func() { f.writeTheirs(ctx, b, f.balanced(m1, b)) }) // ends with ctx
	}
	f.balance(m1, map[string]string{"ours": "2", "new": "2"})
	f.balance(m1, map[string]string{})
	stop()
	writers.Wait()
}

// serveBalancers makes a type of a custom resource that m1 alone has.
func (f *fixture) serveBalancers() {
	f.Helper()
	testbed.KubectlStdin(f.T, members["m1"].Get(f.T).Kubeconfig(), `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: balancers.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: balancers, kind: Balancer}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}}]
`, "apply", "-f", "-")
	f.apply(`
apiVersion: core.kubefed.io/v1beta1
kind: FederatedTypeConfig
metadata: {name: balancers.example.com, namespace: ` + system + `}
spec:
  targetType: {group: example.com, version: v1, kind: Balancer, pluralName: balancers, scope: Namespaced}
  federatedType: {group: types.kubefed.io, version: v1beta1, kind: FederatedBalancer, pluralName: federatedbalancers, scope: Namespaced}
  propagation: Enabled`)
	f.eventually("the kind is served", func() error {
		_, err := f.federated("federatedbalancers").List(f.Context(), metav1.ListOptions{})
		return err
	})
}

// propagateAnnotations has those of a type propagate until the test ends.
func (f *fixture) propagateAnnotations(typeName, patterns string) {
	f.Helper()
	set := func(ctx context.Context, patterns string) {
		_, err := f.koinon.KubeFedCoreV1beta1().FederatedTypeConfigs(system).Patch(ctx, typeName, types.MergePatchType,
			[]byte(`{"spec":{"propagatingAnnotations":`+patterns+`}}`), metav1.PatchOptions{})
		if err != nil {
			f.Error(err)
		}
	}
	set(f.Context(), patterns)
	f.Cleanup(func() { set(context.WithoutCancel(f.Context()), `null`) })
}

// balance has the objects of all types carry annotations and labels, and waits until those in the member
// have them, and none of earlier.
func (f *fixture) balance(m1 dynamic.Interface, ours map[string]string) {
	f.Helper()
	var manifests []string
	for _, b := range balancedTypes {
		manifests = append(manifests, b.manifest(f.namespace, ours))
	}
	f.apply(strings.Join(manifests, "\n---\n"))
	f.eventually(fmt.Sprintf("all objects have %v of ours", ours), func() (problems error) {
		for _, b := range balancedTypes {
			object, err := f.balanced(m1, b).Get(f.Context(), f.balancedName(b), metav1.GetOptions{})
			if err != nil {
				problems = errors.Join(problems, fmt.Errorf("%s: %w", b.kind, err))
				continue
			}
			for _, key := range []string{"ours", "gone", "new"} {
				label := ours[key]
				if b.kind == "Namespace" {
					label = "" // the labels of a namespace are the host's
				}
				if got := object.GetAnnotations()["lb.example.com/"+key]; got != ours[key] {
					problems = errors.Join(problems, fmt.Errorf("%s: annotation %s is %q", b.kind, key, got))
				}
				if got := object.GetLabels()[key]; got != label {
					problems = errors.Join(problems, fmt.Errorf("%s: label %s is %q", b.kind, key, got))
				}
			}
			problems = errors.Join(problems, f.upToDate(b))
		}
		return problems
	})
}

// upToDate returns what keeps the target from being up to date. Who writes beside us does not write
// against us: that it is contested ends the test.
func (f *fixture) upToDate(b balanced) error {
	f.Helper()
	namespace := f.namespace
	if b.kind == "ClusterRole" {
		namespace = ""
	}
	object, err := f.federatedIn(namespace, "federated"+b.gvr.Resource).Get(f.Context(), f.balancedName(b), metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("%s: %w", b.kind, err)
	}
	if object.Status == nil || object.Status.ObservedGeneration != object.Generation {
		return fmt.Errorf("%s: its status is not of its generation", b.kind)
	}
	at := slices.IndexFunc(object.Status.Targets, func(t v1beta2.TargetStatus) bool { return t.Name == "m1" })
	if at < 0 {
		return fmt.Errorf("%s: its status has no target yet", b.kind)
	}
	m1 := object.Status.Targets[at]
	if m1.State == v1beta2.TargetContested {
		f.Fatalf("%s: %s", b.kind, m1.Message)
	}
	if m1.State != v1beta2.TargetOK {
		return fmt.Errorf("%s: the target is %s: %s", b.kind, m1.State, m1.Message)
	}
	return nil
}

func (b balanced) manifest(namespace string, ours map[string]string) string {
	var annotations, labels []string
	for key, value := range ours {
		annotations = append(annotations, fmt.Sprintf("lb.example.com/%s: %q", key, value))
		labels = append(labels, fmt.Sprintf("%s: %q", key, value))
	}
	metadata, name := "annotations: {"+strings.Join(annotations, ", ")+"}", "balanced"
	if b.kind != "Namespace" {
		metadata += ", labels: {" + strings.Join(labels, ", ") + "}"
	}
	if b.inCluster() {
		name = namespace
	}
	in := ", namespace: " + namespace
	if b.kind == "ClusterRole" {
		in = ""
	}
	content := b.content
	if content != "" {
		content = ", " + content
	}
	placed := "topologies: [{name: m1}]"
	if b.kind == "Namespace" {
		placed = "topologySelector: {}"
	}
	return fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: Federated%s, metadata: {name: %s%s}, spec: {template: {metadata: {%s}%s}, placement: {%s}}}`,
		b.kind, name, in, metadata, content, placed)
}

func (f *fixture) balanced(m1 dynamic.Interface, b balanced) dynamic.ResourceInterface {
	if b.inCluster() {
		return m1.Resource(b.gvr)
	}
	return m1.Resource(b.gvr).Namespace(f.namespace)
}

func (f *fixture) balancedName(b balanced) string {
	if b.inCluster() {
		return f.namespace
	}
	return "balanced"
}

// writeTheirs writes what is the member's own until ctx is done, ten times a second, and misses what
// somebody took away of it or put back.
func (f *fixture) writeTheirs(ctx context.Context, b balanced, client dynamic.ResourceInterface) {
	name, written := f.balancedName(b), ""
	ticks := time.NewTicker(100 * time.Millisecond)
	defer ticks.Stop()
	for n := 1; ; n++ {
		object, err := client.Get(context.WithoutCancel(ctx), name, metav1.GetOptions{})
		if err != nil {
			f.Errorf("%s: %v", b.kind, err)
			return
		}
		if missing := theirs(object, written); missing != "" {
			f.Errorf("%s: %s, and the member's controller has written %q", b.kind, missing, written)
			return
		}
		select {
		case <-ctx.Done():
			if n < 3 {
				f.Errorf("%s: the member's controller wrote %d times only", b.kind, n-1)
			}
			return
		case <-ticks.C:
		}
		next := strconv.Itoa(n)
		patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q,"state.example.org/theirs":%q},"labels":{"theirs":%q}}}`, balancedTheirs, next, next, next)
		if _, err := client.Patch(context.WithoutCancel(ctx), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "balancer"}); err != nil {
			f.Errorf("%s: %v", b.kind, err)
			return
		}
		written = next
	}
}

// theirs says what an object has not of what the member's controller has written.
func theirs(object *unstructured.Unstructured, written string) string {
	for what, got := range map[string]string{
		"annotation " + balancedTheirs:        object.GetAnnotations()[balancedTheirs],
		"annotation state.example.org/theirs": object.GetAnnotations()["state.example.org/theirs"],
		"label theirs":                        object.GetLabels()["theirs"],
	} {
		if got != written {
			return fmt.Sprintf("%s is %q", what, got)
		}
	}
	return ""
}
