package edgenode_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/test/bench/report"
	"github.com/koinon-io/koinon/test/testbed"
)

// powerOnVariable is how often a node is powered on in each way: it has TestRealNodePowerOn measure, which no other test run waits for. KOINON_BENCH_MARKDOWN names a file for the table.
const powerOnVariable, powerOnMarkdown = "KOINON_BENCH", "KOINON_BENCH_MARKDOWN"

// tenPods are those that OpenYurt publishes figures of: of a Deployment, each ready when it has been asked once.
const tenPods = `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {greeting: hello}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: NODE}
spec:
  replicas: 10
  selector: {matchLabels: {app: NODE}}
  template:
    metadata: {labels: {app: NODE}}
    spec:
      nodeName: NODE
      terminationGracePeriodSeconds: 0
      containers:
      - name: main
        image: "IMAGE"
        command: [sh, -c, 'cat /settings/greeting > /out/$NAME; sleep 1000000']
        env:
        - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        readinessProbe: {exec: {command: [sh, -c, 'cp /out/$NAME /out/$NAME.ready']}, periodSeconds: 1}
        volumeMounts: [{name: out, mountPath: /out}, {name: settings, mountPath: /settings}]
      volumes: [{name: out, hostPath: {path: /var/out}}, {name: settings, configMap: {name: settings}}]
`

// powered is a node that is powered on again and again.
type powered struct {
	*site
	pods int
}

// newPowered makes a node with pods that are ready.
func newPowered(t *testing.T, cluster *testbed.Cluster, name string, hub bool) *powered {
	t.Helper()
	s := &site{T: t, cluster: cluster, client: cluster.Client(t), kubeconfig: cluster.Kubeconfig()}
	s.node = testbed.StartNode(t, cluster, name, testbed.NodeOptions{Hub: hub, Network: network})
	if err := os.MkdirAll(s.out(), 0o777); err != nil {
		t.Fatal(err)
	}
	testbed.KubectlStdin(t, s.kubeconfig, strings.NewReplacer("NODE", name, "IMAGE", testbed.NodeImage).Replace(tenPods), "apply", "-f", "-")
	testbed.Kubectl(t, s.kubeconfig, "rollout", "status", "deployment/"+name, "--timeout=180s")
	return &powered{s, 10}
}

// powerOn has the node lose its power, and returns how long it takes from its return until all pods are ready.
func (p *powered) powerOn(start func(testing.TB)) time.Duration {
	p.Helper()
	p.node.Kill9(p)
	p.forget()
	began := time.Now()
	ready := make(chan time.Time, 1)
	ctx, cancel := context.WithTimeout(p.Context(), 5*time.Minute)
	defer cancel()
	go func() { // ends when all pods are ready, or with ctx
		for ctx.Err() == nil {
			if files, _ := filepath.Glob(p.out("*.ready")); len(files) == p.pods {
				ready <- time.Now()
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	start(p) // online it waits for more than the pods
	select {
	case at := <-ready:
		return at.Sub(began)
	case <-ctx.Done():
		p.Fatalf("not all of %d pods were ready in time: %v", p.pods, p.said())
		return 0
	}
}

// How long it takes from power to ten pods that are ready: of a node as Kubernetes has it, of one with a hub, and of one with a hub and no cloud. The same pods are there afterwards.
func TestRealNodePowerOn(t *testing.T) {
	rounds, err := strconv.Atoi(os.Getenv(powerOnVariable))
	if err != nil || rounds < 1 {
		t.Skipf("measures for minutes: %s=3 has it do so, three times each, as make bench-edge does", powerOnVariable)
	}
	testbed.RequireNodes(t)
	cluster := testbed.StartCluster(t, testbed.ClusterOptions{Name: "cloud"})
	const native, online, offline = "native", "hub, online", "hub, offline"
	table := report.New(native, online, offline)
	seconds := report.Measure{Group: "Power-on until ten pods are ready", Name: "from power", Unit: "s"}

	p := newPowered(t, cluster, "native-1", false)
	for range rounds {
		table.Add(native, seconds, p.powerOn(p.node.Start).Seconds())
	}
	p.node.Kill9(t)

	p = newPowered(t, cluster, "edge-1", true)
	before := p.uidsOf("edge-1")
	for range rounds {
		table.Add(online, seconds, p.powerOn(p.node.Start).Seconds())
		table.Add(offline, seconds, p.powerOn(p.node.StartCut).Seconds())
		p.node.Heal(t)
		p.isReady()
	}
	if after := p.uidsOf("edge-1"); after != before {
		t.Errorf("the pods are %s, and were %s", after, before)
	}
	table.AtMost("offline, against online, from power", table.Median(offline, seconds)/table.Median(online, seconds), 1)
	var text strings.Builder
	fmt.Fprintf(&text, "## power-on\n\n")
	if err := table.Write(&text); err != nil {
		t.Fatal(err)
	}
	t.Log(text.String())
	if file := os.Getenv(powerOnMarkdown); file != "" {
		if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// uidsOf are those of the pods of a Deployment, in order.
func (p *powered) uidsOf(app string) string {
	p.Helper()
	list, err := p.client.CoreV1().Pods("default").List(p.Context(), metav1.ListOptions{LabelSelector: "app=" + app})
	if err != nil {
		p.Fatal(err)
	}
	var all []string
	for i := range list.Items {
		all = append(all, list.Items[i].Name+" "+string(list.Items[i].UID))
	}
	return strings.Join(all, ", ")
}
