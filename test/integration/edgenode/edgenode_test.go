// Package edgenode_test has a real node, with kubelet, containerd and pods, use koinon-edgehub as its API server, and cuts it off, kills its programs and restarts it: "make test-edge".
package edgenode_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/koinon-io/koinon/pkg/edgehub/ipam/book"
	"github.com/koinon-io/koinon/test/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m) }

// site is a cluster with one edge node.
type site struct {
	*testing.T
	cluster    *testbed.Cluster
	client     kubernetes.Interface
	kubeconfig string
	node       *testbed.Node
}

func newSite(t *testing.T) *site {
	t.Helper()
	testbed.RequireNodes(t)
	cluster := testbed.StartCluster(t, testbed.ClusterOptions{Name: "cloud"})
	s := &site{T: t, cluster: cluster, client: cluster.Client(t), kubeconfig: cluster.Kubeconfig()}
	s.node = testbed.StartNode(t, cluster, "edge-1", testbed.NodeOptions{Hub: true, HubArgs: []string{"--v=4"}, Network: network})
	return s
}

// network gives pods addresses that they keep.
const network = `{"cniVersion": "0.4.0", "name": "testbed", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "koinon-ipam", "ranges": [[{"subnet": "SUBNET"}]], "routes": [{"dst": "0.0.0.0/0"}]}}
]}
`

// out is where pods write what they have to say, on the node's disk.
func (s *site) out(parts ...string) string {
	return filepath.Join(append([]string{s.node.Disk(), "out"}, parts...)...)
}

// pods are of several kinds: each writes its UID, its address and what it was given into a file, and again when it is ready.
const pods = `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {greeting: hello}
---
apiVersion: v1
kind: Secret
metadata: {name: password}
stringData: {password: s3cret}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template: &template
    metadata: {labels: {app: web}}
    spec:
      nodeName: NODE
      terminationGracePeriodSeconds: 0
      initContainers:
      - {name: first, image: "IMAGE", command: [sh, -c, "echo first > /scratch/first"], volumeMounts: [{name: scratch, mountPath: /scratch}]}
      containers:
      - name: main
        image: "IMAGE"
        command: [sh, -c, 'echo "$UID_ $IP $(cat /scratch/first) $(cat /settings/greeting) $PASSWORD $(test -s /var/run/secrets/kubernetes.io/serviceaccount/token && echo token) $KUBERNETES_SERVICE_HOST" > /out/$NAME; sleep 1000000']
        env:
        - {name: UID_, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
        - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
        - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        - {name: PASSWORD, valueFrom: {secretKeyRef: {name: password, key: password}}}
        readinessProbe: {exec: {command: [sh, -c, 'echo ready > /out/$NAME.ready']}, periodSeconds: 1}
        volumeMounts:
        - {name: out, mountPath: /out}
        - {name: scratch, mountPath: /scratch}
        - {name: settings, mountPath: /settings}
      volumes:
      - {name: out, hostPath: {path: /var/out}}
      - {name: scratch, emptyDir: {}}
      - {name: settings, configMap: {name: settings}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 1
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      nodeName: NODE
      terminationGracePeriodSeconds: 0
      containers:
      - name: main
        image: "IMAGE"
        command: [sh, -c, 'echo "$UID_ $IP" > /out/$NAME; sleep 1000000']
        env:
        - {name: UID_, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
        - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
        - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        readinessProbe: {exec: {command: [sh, -c, 'echo ready > /out/$NAME.ready']}, periodSeconds: 1}
        volumeMounts: [{name: out, mountPath: /out}]
      volumes: [{name: out, hostPath: {path: /var/out}}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      hostNetwork: true
      nodeName: NODE
      terminationGracePeriodSeconds: 0
      containers:
      - name: main
        image: "IMAGE"
        command: [sh, -c, 'echo "$UID_ $IP" > /out/$NAME; sleep 1000000']
        env:
        - {name: UID_, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
        - {name: IP, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
        - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        readinessProbe: {exec: {command: [sh, -c, 'echo ready > /out/$NAME.ready']}, periodSeconds: 1}
        volumeMounts: [{name: out, mountPath: /out}]
      volumes: [{name: out, hostPath: {path: /var/out}}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: reader, namespace: default}]
---
# A program in the cluster: kubectl of the machine that the tests run on, with its libraries.
apiVersion: v1
kind: Pod
metadata: {name: reader}
spec:
  nodeName: NODE
  serviceAccountName: reader
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: "IMAGE"
    command:
    - sh
    - -c
    - |
      echo "$UID_" > /out/reader
      ld=$(echo /host/usr/lib/*/ld-linux-*.so.*)
      while :; do
        timeout 10 "$ld" --library-path "${ld%/*}" "/hostKUBECTL" get configmaps,secrets -o name > /out/read.new 2>&1
        mv /out/read.new /out/read
        echo ready > /out/reader.ready
        sleep 1
      done
    env:
    - {name: HOME, value: /tmp}
    - {name: UID_, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
    volumeMounts: [{name: out, mountPath: /out}, {name: host, mountPath: /host, readOnly: true}]
  volumes: [{name: out, hostPath: {path: /var/out}}, {name: host, hostPath: {path: /}}]
---
apiVersion: v1
kind: Pod
metadata: {name: again}
spec: &naked
  nodeName: NODE
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: "IMAGE"
    command: [sh, -c, 'echo "$UID_" > /out/$NAME; echo ready > /out/$NAME.ready; sleep 1000000']
    env:
    - {name: UID_, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
    - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    volumeMounts: [{name: out, mountPath: /out}]
  volumes: [{name: out, hostPath: {path: /var/out}}]
`

// static is a static pod.
const static = `
apiVersion: v1
kind: Pod
metadata: {name: static, namespace: default}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: "IMAGE"
    command: [sh, -c, 'echo "GREETING" > /out/static; echo ready > /out/static.ready; sleep 1000000']
    volumeMounts: [{name: out, mountPath: /out}]
  volumes: [{name: out, hostPath: {path: /var/out}}]
`

// putStatic makes the static pod, or changes it.
func (s *site) putStatic(greeting string) {
	s.Helper()
	text := strings.NewReplacer("IMAGE", testbed.NodeImage, "GREETING", greeting).Replace(static)
	file := filepath.Join(s.node.StaticPods(), "static.yaml")
	if err := errors.Join(os.WriteFile(file+".new", []byte(text), 0o600), os.Rename(file+".new", file)); err != nil {
		s.Fatal(err)
	}
}

// run makes pods, and waits until all of them are ready.
func (s *site) run() {
	s.Helper()
	if err := os.MkdirAll(s.out(), 0o777); err != nil {
		s.Fatal(err)
	}
	kubectl, err := testbed.Binary("kubectl")
	if err != nil {
		s.Fatal(err)
	}
	bin, err := filepath.EvalSymlinks(filepath.Dir(kubectl))
	if err != nil {
		s.Fatal(err)
	}
	manifest := strings.NewReplacer("&template", "", "&naked", "", "NODE", s.node.Name(), "IMAGE", testbed.NodeImage, "KUBECTL", filepath.Join(bin, "kubectl")).Replace(pods)
	s.putStatic("first")
	testbed.KubectlStdin(s, s.kubeconfig, manifest, "apply", "-f", "-")
	for _, what := range []string{"deployment/web", "statefulset/db", "daemonset/agent"} {
		testbed.Kubectl(s, s.kubeconfig, "rollout", "status", what, "--timeout=120s")
	}
	testbed.Kubectl(s, s.kubeconfig, "wait", "--for=condition=Ready", "pods", "--all", "--timeout=120s")
	testbed.Eventually(s, "the program in the cluster reads", func(context.Context) error { return s.reads("configmap/settings") })
}

// reads looks whether the program in the cluster reads something, by its own right, and not what it may not.
func (s *site) reads(what string) error {
	text, err := os.ReadFile(s.out("read"))
	if err != nil {
		return err
	}
	if !strings.Contains(string(text), what+"\n") || strings.Contains(string(text), "secret/") {
		return fmt.Errorf("it reads %s", text)
	}
	return nil
}

// said is what pods have written, by pod, of those that are ready.
func (s *site) said() map[string]string {
	all := map[string]string{}
	entries, err := os.ReadDir(s.out())
	if err != nil {
		s.Fatal(err)
	}
	for _, e := range entries {
		name, ready := strings.CutSuffix(e.Name(), ".ready")
		text, err := os.ReadFile(s.out(name))
		if ready && err == nil {
			all[name] = strings.TrimSpace(string(text))
		}
	}
	return all
}

// uids are those of pods, as the API server has them.
func (s *site) uids() map[string]string {
	s.Helper()
	list, err := s.client.CoreV1().Pods("default").List(s.Context(), metav1.ListOptions{})
	if err != nil {
		s.Fatal(err)
	}
	all := map[string]string{}
	for i := range list.Items {
		p := &list.Items[i]
		all[p.Name] = string(p.UID) + " " + string(p.Status.Phase)
	}
	return all
}

// restartCut has the node lose its power and come back without the cloud.
func (s *site) restartCut() {
	s.Helper()
	s.node.Kill9(s)
	s.forget()
	s.node.StartCut(s)
}

// forget removes what pods have said.
func (s *site) forget() {
	s.Helper()
	entries, err := os.ReadDir(s.out())
	for _, e := range entries {
		err = errors.Join(err, os.Remove(s.out(e.Name())))
	}
	if err != nil {
		s.Fatal(err)
	}
}

// tasks are the containers that run on the node, with their processes.
func (s *site) tasks() string {
	s.Helper()
	out, err := s.node.Run(s.Context(), "ctr", "--namespace", "k8s.io", "tasks", "list")
	if err != nil {
		s.Fatal(err, out)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// says waits until pods say what they said before: their UID, their address, and what they were given.
func (s *site) says(what string, before map[string]string) {
	s.Helper()
	testbed.Eventually(s, what, func(context.Context) error {
		now := s.said()
		for name, said := range before {
			if now[name] != said {
				return fmt.Errorf("%s says %q, and said %q", name, now[name], said)
			}
		}
		return nil
	})
}

// addresses are the pods that addresses are kept for.
func (s *site) addresses() (pods []string, err error) {
	all, err := book.In(filepath.Join(s.node.Disk(), "lib", "koinon-ipam")).Reservations()
	for i := range all {
		if !all[i].Gone {
			pods = append(pods, all[i].Name)
		}
	}
	return pods, err
}

// isReady waits until the API server says that the node is.
func (s *site) isReady() {
	s.Helper()
	testbed.Eventually(s, "the node is Ready", func(ctx context.Context) error {
		node, err := s.client.CoreV1().Nodes().Get(ctx, s.node.Name(), metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range node.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return errors.New("it is not")
	})
}

// A node is cut off. Its programs are killed and started, a container dies, it loses its power, a static pod is changed: everything runs, by itself, as what it was. Meanwhile the cloud
// goes on, and after the return the node is as the cloud wants it, and nothing was replaced that did not have to be.
func TestRealNodeLivesWithoutTheCloud(t *testing.T) {
	s := newSite(t)
	s.run()
	before, uids := s.said(), s.uids()
	t.Logf("before: %v", before)

	s.node.Cut(t)
	running := s.tasks()
	s.node.KillHub(t)
	s.node.KillKubelet(t)
	s.node.StartHub(t)
	s.node.StartKubelet(t)
	s.forget()
	testbed.Eventually(t, "kubelet runs again, and the program in the cluster reads", func(context.Context) error { return s.reads("configmap/settings") })
	s.putStatic("second")
	testbed.Eventually(t, "a static pod that was changed is another one", func(context.Context) error {
		if said := s.said()["static"]; said != "second" {
			return fmt.Errorf("it says %q", said)
		}
		return nil
	})
	for _, line := range strings.Split(running, "\n") {
		if now := s.tasks(); !strings.Contains(now, line) && strings.Count(running, "\n")-strings.Count(now, "\n") > 2 {
			t.Errorf("what ran does not run any more: %s; there is\n%s", line, now)
		}
	}

	s.restartCut()
	before["static"] = "second"
	s.says("all pods are back", before)
	testbed.Eventually(t, "the program in the cluster reads", func(context.Context) error { return s.reads("configmap/settings") })
	t.Logf("after: %v", s.said())

	// In the cloud.
	kubectl := func(args ...string) { testbed.Kubectl(t, s.kubeconfig, args...) }
	kubectl("delete", "pod", "again", "--wait=false")
	kubectl("delete", "pod", "db-0", "--wait=false")
	kubectl("create", "configmap", "later")
	kubectl("scale", "deployment", "web", "--replicas=4")

	s.node.Heal(t)
	s.isReady()
	testbed.Eventually(t, "the node is as the cloud wants it", func(ctx context.Context) error {
		if err := s.reads("configmap/later"); err != nil {
			return err
		}
		list, err := s.client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		now := map[string]bool{}
		for i := range list.Items {
			p := &list.Items[i]
			now[p.Name] = true
			ready := slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue })
			if p.DeletionTimestamp != nil || p.Status.Phase != corev1.PodRunning || !ready {
				return fmt.Errorf("%s is %s, ready: %t, to be deleted at %v", p.Name, p.Status.Phase, ready, p.DeletionTimestamp)
			}
			before, was := uids[p.Name]
			if was && p.Name != "db-0" && !strings.HasPrefix(p.Name, "static") && before != string(p.UID)+" Running" {
				return fmt.Errorf("%s was %s, and is %s", p.Name, before, p.UID)
			}
		}
		if addresses, err := s.addresses(); err != nil || len(addresses) != len(now)-1 { // but that of the host's network
			return fmt.Errorf("addresses are kept for %v, %w", addresses, err)
		}
		if now["again"] || len(now) != len(uids) { // one less, and one more web
			return fmt.Errorf("there are %v, and were %v", now, uids)
		}
		if said := s.said()["db-0"]; said == before["db-0"] {
			return errors.New("db-0 was to be replaced")
		}
		return nil
	})
}
