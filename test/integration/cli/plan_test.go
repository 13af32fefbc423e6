// Package cli_test runs kubectl koinon against a control plane and two real members.
package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/koinon-io/koinon/test/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m) }

const (
	system    = "kube-federation-system"
	namespace = "shop"
)

// world is a federation of both members, with a namespace that goes to all of them.
type world struct {
	*testing.T
	kubeconfig string
	m1, m2     *testbed.Cluster
}

func start(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, m1: testbed.StartCluster(t, testbed.ClusterOptions{Name: "m1"}), m2: testbed.StartCluster(t, testbed.ClusterOptions{Name: "m2"})}
	w.kubeconfig = testbed.StartKoinon(t, testbed.KoinonOptions{}).Kubeconfig()
	for name, member := range map[string]*testbed.Cluster{"m1": w.m1, "m2": w.m2} {
		w.join(name, member)
	}
	w.kubectl("wait", "kubefedcluster", "m1", "m2", "-n", system, "--for=condition=Ready", "--timeout=60s")
	w.apply(`{apiVersion: v1, kind: Namespace, metadata: {name: shop}}`)
	w.apply(`
apiVersion: types.kubefed.io/v1beta1
kind: FederatedNamespace
metadata: {name: shop, namespace: shop}
spec: {placement: {clusterSelector: {}}}`)
	w.kubectl("wait", "federatednamespace", namespace, "-n", namespace, "--for=condition=Propagation", "--timeout=60s")
	return w
}

// join joins a member, and lets Koinon's administrators do everything in it.
func (w *world) join(name string, member *testbed.Cluster) {
	w.Helper()
	testbed.Kubectl(w, member.Kubeconfig(), "create", "clusterrolebinding", "administrators", "--clusterrole=cluster-admin", "--group=koinon:administrators")
	kubeconfig, err := os.ReadFile(member.Kubeconfig())
	if err != nil {
		w.Fatal(err)
	}
	secret, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Secret", "stringData": map[string]string{"kubeconfig": string(kubeconfig)},
		"metadata": map[string]any{"name": name, "namespace": system, "annotations": map[string]string{"federation.koinon.io/credentials-for": name}},
	})
	if err != nil {
		w.Fatal(err)
	}
	w.apply(string(secret))
	w.apply(fmt.Sprintf(`
apiVersion: core.kubefed.io/v1beta1
kind: KubeFedCluster
metadata: {name: %s, namespace: %s}
spec: {apiEndpoint: %q, secretRef: {name: %s}}`, name, system, member.Server(), name))
}

func (w *world) kubectl(args ...string) string {
	w.Helper()
	return testbed.Kubectl(w, w.kubeconfig, args...)
}

func (w *world) apply(manifest string) {
	w.Helper()
	testbed.KubectlStdin(w, w.kubeconfig, manifest, "apply", "-f", "-")
}

// plugin runs kubectl koinon with an input. It is to exit with a code.
func (w *world) plugin(code int, stdin string, args ...string) string {
	w.Helper()
	binary, err := testbed.Binary("kubectl-koinon")
	if err != nil {
		w.Fatal(err)
	}
	cmd := exec.CommandContext(w.Context(), binary, append(args, "--kubeconfig", w.kubeconfig, "-n", namespace)...)
	var out, said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &said
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		w.Fatalf("kubectl koinon %s exits with %d, want %d:\n%s%s", strings.Join(args, " "), got, code, &said, &out)
	}
	w.Logf("kubectl koinon %s\n%s%s", strings.Join(args, " "), &said, &out)
	return out.String()
}

// has fails unless a text has all parts.
func (w *world) has(text string, parts ...string) {
	w.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			w.Errorf("%q is missing in:\n%s", part, text)
		}
	}
}

// web is a federated ConfigMap of a colour.
func web(color string) string {
	return fmt.Sprintf(`
apiVersion: types.kubefed.io/v1beta2
kind: FederatedConfigMap
metadata: {name: web}
spec:
  template: {data: {color: %s}}
  placement: {topologies: [{name: m1}, {name: m2}]}
  overrides:
  - {topologyName: m2, topologyOverrides: [{op: add, path: /data/size, value: "2"}]}
`, color)
}

// inCell has a federated object, and what it goes by.
const inCell = `
apiVersion: types.kubefed.io/v1beta2
kind: FederatedConfigMap
metadata: {name: in-cell}
spec: {topologyType: cell, template: {data: {color: blue}}, placement: {topologies: [{name: c1}]}}
---
apiVersion: federation.koinon.io/v1alpha1
kind: Cell
metadata: {name: c1}
spec: {clusterName: m1, memberNamespace: shop-c1}
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
`

// TestAReleaseIsPlannedMaskedAndExplained goes through a gray release of two members, one of which is lost in the end.
func TestAReleaseIsPlannedMaskedAndExplained(t *testing.T) {
	w := start(t)

	// A plan changes nothing.
	planned := w.plugin(1, web("blue"), "plan", "-f", "-")
	w.has(planned, "FederatedConfigMap shop/web: 2 created", "m1: is created\n", "m2: is created\n", "+  color: blue\n", "+  size: \"2\"\n")
	if got := w.kubectl("get", "federatedconfigmaps", "-n", namespace, "-o", "name"); got != "" {
		t.Errorf("after the plan there is %s", got)
	}
	for _, member := range []*testbed.Cluster{w.m1, w.m2} {
		if got := testbed.RunKubectl(t, member.Kubeconfig(), "", "get", "configmap", "web", "-n", namespace); got.Err == nil {
			t.Errorf("after the plan there is %s", got.Stdout)
		}
	}

	// What is in the same file counts: the object goes to a cell that there is not yet.
	w.has(w.plugin(1, inCell, "plan", "-f", "-"), "Namespace shop does not change\nCell shop/c1 is created\n",
		"FederatedConfigMap shop/in-cell: 1 created\nc1: is created: its namespace is made first")
	if got := w.kubectl("get", "cells", "-n", namespace, "-o", "name"); got != "" {
		t.Errorf("after the plan there is %s", got)
	}

	testbed.KubectlStdin(t, w.kubeconfig, web("blue"), "apply", "-n", namespace, "-f", "-")
	w.kubectl("wait", "federatedconfigmap", "web", "-n", namespace, "--for=condition=Propagation", "--timeout=60s")
	w.has(w.plugin(0, web("blue"), "plan", "-f", "-"), "2 unchanged", "m1 and m2: do not change")

	// Of what changes, the mask holds back m2.
	w.plugin(0, "", "mask", "set", "federatedconfigmap/web", "--targets", "m1", "--wait")
	changed := w.plugin(1, web("green"), "plan", "-f", "-", "--v", "1")
	w.has(changed, "1 changed, 1 held back by the mask", "m1: changes\n", "-  color: blue\n+  color: green\n", "m2: masked: would change, held back\n")
	testbed.KubectlStdin(t, w.kubeconfig, web("green"), "apply", "-n", namespace, "-f", "-")
	w.plugin(0, "", "mask", "add", "federatedconfigmap/web", "--targets", "m1", "--wait")
	w.has(w.plugin(0, "", "mask", "status", "federatedconfigmap/web"), "the mask lets change m1\n", "may change, up to date: m1\n", "m2        1      3       update\n")
	w.color(w.m1, "green")
	w.color(w.m2, "blue")

	masked := w.plugin(0, "", "explain", "federatedconfigmap/web", "m2")
	w.has(masked, "m2 (shop/web of m2): masked: it runs generation 1, and generation 3 waits\n", "spec.placement: topologies names it",
		"no   spec.placementMask: topologies does not name it", "override   spec.overrides[0], by name: /data/size")
	w.has(w.plugin(0, "", "explain", "fcm/web", "m9"), `m9: there is no cluster "m9"; there are m1, m2`)

	w.plugin(0, "", "mask", "clear", "federatedconfigmap/web", "--wait")
	w.color(w.m2, "green")

	// A member that is lost does not keep the plan from saying what it knows.
	w.m2.Kill(t)
	w.has(w.plugin(3, web("red"), "plan", "-f", "-"), "1 changed, 1 not asked", "m1: changes\n", "m2: could not be asked: ")

	// Nor does it keep the object for ever. What is left behind there stays when the member is back.
	w.kubectl("patch", "kubefedconfig", "kubefed", "-n", system, "--type=merge", "-p", `{"spec": {"clusterHealthCheck": {"period": "1s", "timeout": "1s", "failureThreshold": 2}}}`)
	w.kubectl("wait", "kubefedcluster", "m2", "-n", system, "--for=condition=Offline", "--timeout=60s")
	w.kubectl("delete", "federatedconfigmap", "web", "-n", namespace, "--wait=false")
	w.has(w.plugin(1, "", "abandon", "federatedconfigmap/web"), "1 of its targets would be left behind", `m2: ConfigMap shop/web in member m2 (member "m2" is Offline: `)
	w.kubectl("get", "federatedconfigmap", "web", "-n", namespace)
	w.has(w.plugin(0, "", "abandon", "federatedconfigmap/web", "m2", "--yes"), "1 of its targets is left behind")
	w.kubectl("wait", "federatedconfigmap", "web", "-n", namespace, "--for=delete", "--timeout=60s")
	w.m2.Start(t)
	testbed.Eventually(t, "what was left behind is released", func(context.Context) error {
		labels := testbed.RunKubectl(t, w.m2.Kubeconfig(), "", "get", "configmap", "web", "-n", namespace, "-o", "jsonpath={.metadata.labels}")
		if labels.Err != nil || labels.Stdout != "" {
			return fmt.Errorf("labels %s%s, error %v", labels.Stdout, labels.Stderr, labels.Err)
		}
		return nil
	})
	w.color(w.m2, "green")
}

// color waits for nothing: what a member has is there.
func (w *world) color(member *testbed.Cluster, want string) {
	w.Helper()
	if got := testbed.Kubectl(w, member.Kubeconfig(), "get", "configmap", "web", "-n", namespace, "-o", "jsonpath={.data.color}"); got != want {
		w.Errorf("member %s is %s, want %s", member.Name(), got, want)
	}
}
