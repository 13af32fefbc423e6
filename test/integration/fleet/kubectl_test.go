package fleet_test

import (
	"bufio"
	"bytes"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/test/testbed"
)

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web:1}]}
`

const widgets = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.io}
spec:
  group: example.io
  names: {kind: Widget, plural: widgets, singular: widget, shortNames: [wd]}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    additionalPrinterColumns: [{name: Size, type: string, jsonPath: .spec.size}]
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: string, description: How large it is.}}}}}}
`

// shop puts something to look at into both clusters.
func (w *world) shop() {
	w.Helper()
	for _, c := range []*testbed.Cluster{w.m1, w.m2} {
		w.apply(c, "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}")
		w.apply(c, deployment)
		testbed.Kubectl(w, c.Kubeconfig(), "-n", "shop", "rollout", "status", "deployment/web", "--timeout=60s")
	}
	w.apply(w.m1, "{apiVersion: v1, kind: ConfigMap, metadata: {name: only, namespace: shop}}")
	w.apply(w.m2, widgets)
	testbed.Kubectl(w, w.m2.Kubeconfig(), "wait", "crd/widgets.example.io", "--for=condition=Established", "--timeout=30s")
	w.apply(w.m2, "{apiVersion: example.io/v1, kind: Widget, metadata: {name: w, namespace: shop}, spec: {size: large}}")
}

func TestKubectlSeesTheFleetAsACluster(t *testing.T) {
	w := start(t)
	w.T = t
	w.shop()
	for name, check := range map[string]func(*world){
		"get deployments of a namespace": func(w *world) {
			got := columns(w.kubectl("-n", "shop", "get", "deployments"))
			if len(got) != 3 || !slices.Equal(got[0], []string{"NAME", "CLUSTER", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"}) ||
				!slices.Equal(got[1][:3], []string{"web", "m1", "2/2"}) || !slices.Equal(got[2][:3], []string{"web", "m2", "2/2"}) {
				w.Error(got)
			}
		},
		"get pods of all namespaces": func(w *world) {
			got := columns(w.kubectl("get", "pods", "-A"))
			if len(got) != 5 || !slices.Equal(got[0][:4], []string{"NAMESPACE", "NAME", "CLUSTER", "READY"}) {
				w.Error(got)
			}
		},
		"in chunks": func(w *world) {
			whole := ages.ReplaceAllString(w.kubectl("get", "clusterroles", "--chunk-size=0"), "")
			if diff := cmp.Diff(whole, ages.ReplaceAllString(w.kubectl("get", "clusterroles", "--chunk-size=7"), "")); diff != "" {
				w.Error(diff)
			}
			if lines := strings.Count(whole, "\n"); lines < 100 {
				w.Error(whole)
			}
		},
		"sorted": func(w *world) {
			got := columns(w.kubectl("-n", "shop", "get", "pods", "--sort-by=.metadata.creationTimestamp", "--no-headers"))
			if len(got) != 4 {
				w.Error(got)
			}
		},
		"by labels and fields": func(w *world) {
			if got := columns(w.kubectl("get", "pods", "-A", "-l", "app=web", "--field-selector=status.phase=Running", "-o", "name")); len(got) != 4 {
				w.Error(got)
			}
		},
		"wide, with labels": func(w *world) {
			got := columns(w.kubectl("-n", "shop", "get", "pods", "-o", "wide", "--show-labels"))
			if len(got) != 5 || !slices.Contains(got[0], "NODE") || !strings.Contains(strings.Join(got[1], " "), "app=web") {
				w.Error(got)
			}
		},
		"as JSON, with the cluster": func(w *world) {
			got := w.kubectl("-n", "shop", "get", "deployments", "-o", `jsonpath={range .items[*]}{.kind} {.metadata.annotations.federation\.koinon\.io/cluster};{end}`)
			if got != "Deployment m1;Deployment m2;" {
				w.Error(got)
			}
		},
		"one object as YAML": func(w *world) {
			if got := w.kubectl("-n", "shop", "get", "configmap", "only", "-o", "yaml"); !strings.Contains(got, "federation.koinon.io/cluster: m1") {
				w.Error(got)
			}
		},
		"one name in several clusters": func(w *world) {
			if got := columns(w.kubectl("-n", "shop", "get", "deployment", "web")); len(got) != 3 {
				w.Error(got)
			}
			result := testbed.RunKubectl(w, w.kubeconfig, "", "-n", "shop", "get", "deployment", "web", "-o", "yaml")
			if result.Err == nil || !strings.Contains(result.Stderr, "in 2 clusters (m1, m2)") {
				w.Error(result)
			}
		},
		"a type that one cluster has": func(w *world) {
			got := columns(w.kubectl("-n", "shop", "get", "wd"))
			if len(got) != 2 || !slices.Equal(got[0], []string{"NAME", "CLUSTER", "SIZE"}) || !slices.Equal(got[1], []string{"w", "m2", "large"}) {
				w.Error(got)
			}
		},
		"definitions of types": func(w *world) {
			if got := columns(w.kubectl("get", "crd", "--no-headers")); len(got) != 1 || got[0][1] != "m2" {
				w.Error(got)
			}
		},
		"api-resources": func(w *world) {
			got := w.kubectl("api-resources", "-o", "wide")
			if !strings.Contains(got, "widgets") || !strings.Contains(got, "deployments") || strings.Contains(got, "delete") || strings.Contains(got, "tokenreviews") {
				w.Error(got)
			}
		},
		"explain": func(w *world) {
			if got := w.kubectl("explain", "widgets.spec.size"); !strings.Contains(got, "How large it is.") {
				w.Error(got)
			}
			if got := w.kubectl("explain", "deployment.spec.replicas"); !strings.Contains(got, "desired pods") {
				w.Error(got)
			}
		},
		"describe": func(w *world) {
			if got := w.kubectl("-n", "shop", "describe", "pods"); strings.Count(got, "federation.koinon.io/cluster: m") != 4 {
				w.Error(got)
			}
		},
		"several types": func(w *world) {
			if got := w.kubectl("-n", "shop", "get", "deployments,replicasets", "-o", "name"); strings.Count(got, "\n") != 4 {
				w.Error(got)
			}
		},
		"version": func(w *world) {
			if got := w.kubectl("version"); !strings.Contains(got, "Server Version: v1.") {
				w.Error(got)
			}
		},
		"writes are refused": func(w *world) {
			for _, args := range [][]string{{"delete", "deployment", "web"}, {"scale", "deployment/web", "--replicas=3"}, {"create", "configmap", "x"}, {"logs", "deployment/web"}} {
				if result := testbed.RunKubectl(w, w.kubeconfig, "", append([]string{"-n", "shop"}, args...)...); result.Err == nil || !strings.Contains(result.Stderr, "clusters/NAME/proxy") && !strings.Contains(result.Stderr, "clusters (m1, m2)") {
					w.Error(args, result)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.T = t
			check(&w)
		})
	}
}

// ages are the last column of many tables; they change while a test runs.
var ages = regexp.MustCompile(`\s+\d+[a-z0-9]*\n`)

func TestKubectlWatchesTheFleet(t *testing.T) {
	w := start(t)
	for _, c := range []*testbed.Cluster{w.m1, w.m2} {
		w.apply(c, "{apiVersion: v1, kind: Namespace, metadata: {name: watched}}")
		w.apply(c, "{apiVersion: v1, kind: ConfigMap, metadata: {name: before, namespace: watched}}")
	}
	binary, err := testbed.Binary("koinon-playground")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, "kubectl", "--kubeconfig", w.kubeconfig, "-n", "watched", "get", "configmaps", "-w", "--output-watch-events", "--field-selector=metadata.name!=kube-root-ca.crt")
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	lines := bufio.NewScanner(out)
	expect := func(want ...string) {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("the watch ended: %s", problems.String())
		}
		if got := strings.Fields(lines.Text()); !slices.Equal(got[:len(want)], want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	expect("EVENT", "NAME", "CLUSTER", "DATA", "AGE")
	expect("ADDED", "before", "m1")
	expect("ADDED", "before", "m2")
	w.apply(w.m2, "{apiVersion: v1, kind: ConfigMap, metadata: {name: new, namespace: watched}, data: {a: b}}")
	expect("ADDED", "new", "m2", "1")
	testbed.Kubectl(t, w.m1.Kubeconfig(), "-n", "watched", "delete", "configmap", "before")
	expect("DELETED", "before", "m1")
}

func TestAClusterThatIsAwayIsNamed(t *testing.T) {
	w := start(t)
	w.m2.Freeze(t)
	defer w.m2.Thaw(t)
	result := testbed.RunKubectl(t, w.kubeconfig, "", "get", "namespaces")
	if result.Err != nil || !strings.Contains(result.Stderr, "Warning: cluster m2 is missing in this answer: it did not answer within 5s") {
		t.Errorf("%+v", result)
	}
	if got := columns(result.Stdout); len(got) < 2 || got[1][1] != "m1" {
		t.Error(result.Stdout)
	}
}
