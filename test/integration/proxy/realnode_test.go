package proxy_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
	utilexec "k8s.io/client-go/util/exec"

	"github.com/koinon-io/koinon/test/testbed"
)

// Tests of this file run kubelet and containerd, as "make test-edge" has them: see testbed.StartNode.

// realPods are a pod that answers what it is told, one that serves, /0 to /4 at servedPort, and one that
// others look into.
const realPods = `
apiVersion: v1
kind: Pod
metadata: {name: talks}
spec:
  nodeName: NODE
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: ` + testbed.NodeImage + `
    stdin: true
    command: [sh, -c, 'while :; do echo attached; sleep 1; done & while read line; do echo "heard $line"; done']
---
apiVersion: v1
kind: Pod
metadata: {name: serves}
spec:
  nodeName: NODE
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: ` + testbed.NodeImage + `
    command: [sh, -c, 'echo one; echo two; mkdir /www; for i in 0 1 2 3 4; do printf "served /$i" >/www/$i; done; exec httpd -f -p 8080 -h /www']
    readinessProbe: {httpGet: {path: /0, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Pod
metadata: {name: debugged}
spec:
  nodeName: NODE
  terminationGracePeriodSeconds: 0
  containers:
  - {name: main, image: "` + testbed.NodeImage + `", command: [sleep, "123456789"]}
`

const servedPort = 8080

// runPods makes realPods in a namespace of the member, and waits until they are ready.
func (p *place) runPods(node *testbed.Node, ns string) {
	p.Helper()
	testbed.KubectlStdin(p, p.direct, strings.ReplaceAll(realPods, "NODE", node.Name()), "apply", "-n", ns, "-f", "-", requestTimeout)
	testbed.Kubectl(p, p.direct, "wait", "-n", ns, "--for=condition=Ready", "pods", "--all", "--timeout="+patience.String())
}

// way is one to the pods of a namespace of the member.
type way struct {
	name, kubeconfig string
	// ns is what the namespace is called there.
	ns string
	// whole says that the way leads to all of the member, and not to a cell alone.
	whole bool
}

func TestRealNodeDoesThroughEveryProxyWhatItDoesDirectly(t *testing.T) {
	testbed.RequireNodes(t)
	node := testbed.StartNode(t, sharedMember.Get(t), "real", testbed.NodeOptions{})
	places(t, func(p *place) {
		shop := fmt.Sprintf("real-%s-%x", p.name, rand.Uint32())
		p.hostNamespace(shop)
		cell := p.cell(shop, "rz00a")
		inMember := shop + "-rz00a"
		p.runPods(node, inMember)
		direct := way{"directly", p.direct, inMember, true}
		p.usesPods(node, direct, direct, way{"through the member's proxy", p.proxied, inMember, true}, way{"through the cell's endpoint", cell, shop, false})
	})
}

// usesPods does on each way what kubectl does at nodes, and compares what it says with what it says directly.
func (p *place) usesPods(node *testbed.Node, direct way, ways ...way) {
	for _, w := range ways {
		for protocol, env := range protocols {
			p.Run(w.name+" with "+protocol, func(t *testing.T) {
				p := &place{T: t, member: p.member, server: p.server, direct: p.direct, proxied: w.kubeconfig}
				p.execs(w.ns, env)
				p.terminal(w.ns, protocol)
				p.attaches(w.ns, env)
				p.copies(w.ns, env)
				p.copiesTree(w.ns, env)
				p.forwardsTo(w.ns, env, "serves", servedPort, "served /%d")
				p.forwardsToNobody(w.ns, env)
			})
		}
		p.Run(w.name, func(t *testing.T) {
			p := &place{T: t, member: p.member, server: p.server, direct: p.direct, proxied: w.kubeconfig}
			p.followsLogs(w.ns)
			p.debugs(w.ns)
			if w.whole {
				p.asksNode(node, direct.ns)
			}
			p.answersAs(direct, w, node)
		})
	}
}

// terminal types into a shell whose window changes its size.
func (p *place) terminal(ns, protocol string) {
	p.Helper()
	config := p.config(p.proxied)
	request := p.client(p.proxied).CoreV1().RESTClient().Post().Resource("pods").Namespace(ns).Name("talks").SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Command: []string{"sh", "-c", "while read line; do stty size; done"}, Stdin: true, Stdout: true, TTY: true}, scheme.ParameterCodec)
	executor, err := remotecommand.NewWebSocketExecutor(config, http.MethodGet, request.URL().String())
	if protocol == "SPDY" {
		executor, err = remotecommand.NewSPDYExecutor(config, http.MethodPost, request.URL())
	}
	if err != nil {
		p.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(p.Context(), patience)
	defer cancel()
	in, keys := io.Pipe()
	out, sizes := newOutput(), make(window, 1)
	ended := make(chan error, 1)
	go func() { // ends with the command, or with ctx
		ended <- executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: in, Stdout: out, Tty: true, TerminalSizeQueue: sizes})
		_ = keys.Close()
	}()
	for _, size := range []remotecommand.TerminalSize{{Width: 100, Height: 30}, {Width: 120, Height: 40}} {
		sizes <- size
		want := fmt.Sprintf("%d %d\r\n", size.Height, size.Width)
		p.eventually("the terminal is "+want, func(context.Context) error {
			if _, err := io.WriteString(keys, "\n"); err != nil {
				return err
			}
			if !bytes.Contains(out.bytes(), []byte(want)) {
				return fmt.Errorf("want %q in %q", want, out.bytes())
			}
			return nil
		})
	}
	const interrupt, interrupted = "\x03", 130
	for over := false; !over; { // busybox's shell takes no notice of one that comes while it starts a program
		if _, err := io.WriteString(keys, interrupt); err != nil && !errors.Is(err, io.ErrClosedPipe) {
			p.Fatal(err)
		}
		select {
		case err := <-ended:
			var exit utilexec.CodeExitError
			if !errors.As(err, &exit) || exit.Code != interrupted {
				p.Errorf("after Ctrl-C the shell ends with %v, want exit code %d", err, interrupted)
			}
			over = true
		case <-time.After(time.Second):
		}
	}
	close(sizes)
}

// window is a terminal that changes its size.
type window chan remotecommand.TerminalSize

// Next implements remotecommand.TerminalSizeQueue.
func (w window) Next() *remotecommand.TerminalSize {
	size, ok := <-w
	if !ok {
		return nil
	}
	return &size
}

// copiesTree copies a directory there and back.
func (p *place) copiesTree(ns string, env []string) {
	p.Helper()
	dir := p.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	if err := os.MkdirAll(filepath.Join(from, "empty"), 0o755); err != nil {
		p.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{})
	for _, size := range []int{0, 1, 5 << 20} {
		content := make([]byte, size)
		_, _ = random.Read(content) // never fails
		if err := os.WriteFile(filepath.Join(from, fmt.Sprintf("%d bytes", size)), content, 0o644); err != nil {
			p.Fatal(err)
		}
	}
	there := fmt.Sprintf("%s/talks:tree-%x", ns, rand.Uint64())
	for _, args := range [][]string{{from, there}, {there, to}} {
		kubectl := p.begin(p.proxied, env, append([]string{"cp"}, args...)...)
		if err := kubectl.wait(); err != nil {
			p.Fatalf("cp %v: %v\n%s", args, err, kubectl.out.bytes())
		}
	}
	if diff := cmp.Diff(files(p.T, from), files(p.T, to)); diff != "" {
		p.Errorf("what came back (-sent +back):\n%s", diff)
	}
}

// files are the names below a directory with the digests of what is there.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			found[path] = "a directory"
			return err
		}
		content, err := os.ReadFile(filepath.Join(dir, path))
		found[path] = fmt.Sprintf("%d bytes, SHA-256 %x", len(content), sha256.Sum256(content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// forwardsToNobody asks a port that nothing listens on.
func (p *place) forwardsToNobody(ns string, env []string) {
	p.Helper()
	forward := p.begin(p.proxied, env, "port-forward", "-n", ns, "pod/serves", ":9")
	local := forward.match(regexp.MustCompile(`Forwarding from (127\.0\.0\.1:\d+) ->`))
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(p.Context(), "tcp", local)
	if err != nil {
		p.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		p.Fatal(err)
	}
	if answer, _ := io.ReadAll(conn); len(answer) != 0 {
		p.Errorf("nobody answers %q", answer)
	}
	forward.await("connection refused")
	forward.end()
}

// followsLogs sees what a container says after it began to look.
func (p *place) followsLogs(ns string) {
	p.Helper()
	logs := p.begin(p.proxied, nil, "logs", "-f", "-n", ns, "talks")
	logs.await("attached\n")
	word := fmt.Sprintf("said at %d", time.Now().UnixNano())
	testbed.Kubectl(p, p.proxied, "exec", "-n", ns, "talks", "--", "sh", "-c", "echo "+word+" >/proc/1/fd/1")
	logs.await(word + "\n")
	logs.end()
}

// debugs looks at the processes of a container from another one that is added to its pod.
func (p *place) debugs(ns string) {
	p.Helper()
	name := fmt.Sprintf("debugger-%x", rand.Uint64())
	testbed.Kubectl(p, p.proxied, "debug", "-n", ns, "debugged", "--image="+testbed.NodeImage, "--target=main", "--container="+name, "--profile=general",
		requestTimeout, "--", "ps")
	p.eventually("the debugger has looked", func(context.Context) error {
		logs := testbed.RunKubectl(p, p.proxied, "", "logs", "-n", ns, "debugged", "-c", name, requestTimeout)
		if logs.Err != nil || !strings.Contains(logs.Stdout, "sleep 123456789") {
			return fmt.Errorf("%w: %s%s", logs.Err, logs.Stdout, logs.Stderr)
		}
		return nil
	})
}

// asksNode reads from kubelet through the API server what kubectl top is made of.
func (p *place) asksNode(node *testbed.Node, ns string) {
	p.Helper()
	p.eventually("kubelet counts what the pods use", func(context.Context) error {
		got := testbed.RunKubectl(p, p.proxied, "", "get", "--raw", "/api/v1/nodes/"+node.Name()+"/proxy/stats/summary", requestTimeout)
		if got.Err != nil {
			return fmt.Errorf("%w: %s", got.Err, got.Stderr)
		}
		var summary struct {
			Node struct {
				NodeName string
				Memory   struct{ WorkingSetBytes uint64 }
			}
			Pods []struct {
				PodRef     struct{ Name, Namespace string }
				Containers []struct {
					Name   string
					Memory struct{ WorkingSetBytes uint64 }
				}
			}
		}
		if err := json.Unmarshal([]byte(got.Stdout), &summary); err != nil {
			return err
		}
		if summary.Node.NodeName != node.Name() || summary.Node.Memory.WorkingSetBytes == 0 {
			return fmt.Errorf("got of the node %+v", summary.Node)
		}
		for _, pod := range summary.Pods {
			if pod.PodRef.Namespace == ns && pod.PodRef.Name == "serves" {
				for _, c := range pod.Containers {
					if c.Name == "main" && c.Memory.WorkingSetBytes > 0 {
						return nil
					}
				}
			}
		}
		return fmt.Errorf("no memory of pod serves in %s", got.Stdout)
	})
}

// answersAs compares what kubectl says, and how it ends, on two ways.
func (p *place) answersAs(direct, w way, node *testbed.Node) {
	p.Helper()
	commands := [][]string{
		{"exec", "-n", "NS", "talks", "--", "sh", "-c", "echo out; echo problem >&2; exit 42"},
		{"exec", "-n", "NS", "talks", "--", "sh", "-c", "kill -9 $$"},
		{"exec", "-n", "NS", "talks", "--", "no-such-program"},
		{"exec", "-n", "NS", "talks", "-c", "nosuch", "--", "true"},
		{"exec", "-n", "NS", "nosuch", "--", "true"},
		{"attach", "-n", "NS", "talks", "-c", "nosuch"},
		{"logs", "-n", "NS", "serves"},
		{"logs", "-n", "NS", "serves", "--tail=1", "--timestamps"},
		{"logs", "-n", "NS", "serves", "--limit-bytes=5"},
		{"logs", "-n", "NS", "serves", "--since=1h"},
		{"logs", "-n", "NS", "serves", "--previous"},
		{"logs", "-n", "NS", "serves", "-c", "nosuch"},
		{"port-forward", "-n", "NS", "pod/nosuch", ":80"},
		{"top", "pod", "-n", "NS"},
	}
	if w.whole {
		for _, path := range []string{"healthz", "configz", "containerLogs/NS/serves/main", "nosuch"} {
			commands = append(commands, []string{"get", "--raw", "/api/v1/nodes/" + node.Name() + "/proxy/" + path})
		}
	}
	for _, args := range commands {
		if diff := cmp.Diff(direct.run(p, args), w.run(p, args)); diff != "" {
			p.Errorf("kubectl %s (-directly +%s):\n%s", strings.Join(args, " "), w.name, diff)
		}
	}
}

// ids are in messages, and others each time.
var ids = regexp.MustCompile(`[0-9a-f]{64}`)

// run returns what kubectl says on the way, with the namespace as NS.
func (w way) run(p *place, args []string) [3]string {
	p.Helper()
	args = slices.Clone(args)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "NS", w.ns)
	}
	got := testbed.RunKubectl(p, w.kubeconfig, "", append(args[:1:1], append([]string{requestTimeout}, args[1:]...)...)...)
	said := func(text string) string { return strings.ReplaceAll(ids.ReplaceAllString(text, "ID"), w.ns, "NS") }
	return [3]string{said(got.Stdout), said(got.Stderr), fmt.Sprint(got.Err)}
}

func TestRealNodeEndsWhatAServerThatRestartsCarried(t *testing.T) {
	testbed.RequireNodes(t)
	p, koinon := ownPlace(t)
	node := testbed.StartNode(t, p.member, "real", testbed.NodeOptions{})
	ns := p.namespace()
	p.runPods(node, ns)
	t.Run("alone", func(t *testing.T) {
		p := &place{T: t, member: p.member, server: p.server, direct: p.direct, proxied: p.proxied}
		p.restarts(koinon, ns)
	})
	t.Run("behind a host", func(t *testing.T) {
		host := testbed.StartCluster(t, testbed.ClusterOptions{Name: "host"})
		koinon := testbed.StartKoinon(t, testbed.KoinonOptions{HostKubeconfig: host.Kubeconfig(), Args: []string{"--connection-drain-timeout=0s"}})
		join(t, host.RESTConfig(t), p.member, "")
		p := &place{T: t, member: p.member, server: host.RESTConfig(t), direct: p.direct, hosted: true}
		p.proxied = p.through(host.Kubeconfig(), memberName)
		p.awaitPods(ns)
		p.restarts(koinon, ns)
	})
}

// restarts ends the server while it carries requests to the node, and starts it again.
func (p *place) restarts(koinon *testbed.Koinon, ns string) {
	p.Helper()
	for how, end := range map[string]func(testing.TB){"killed": koinon.Kill9, "told to end": koinon.Stop} {
		for protocol, env := range protocols {
			// The command ends with its input, as it does when a client goes away.
			file := fmt.Sprintf("/tmp/%x", rand.Uint64())
			carried := map[string]*running{
				"exec":         p.begin(p.proxied, env, "exec", "-i", "-n", ns, "talks", "--", "sh", "-c", "echo begun; cat; touch "+file),
				"attach":       p.begin(p.proxied, env, "attach", "-i", "-n", ns, "talks"),
				"port-forward": p.begin(p.proxied, env, "port-forward", "-n", ns, "pod/serves", fmt.Sprintf(":%d", servedPort)),
				"logs":         p.begin(p.proxied, env, "logs", "-f", "-n", ns, "serves"),
			}
			for name, text := range map[string]string{"exec": "begun\n", "attach": "attached\n", "port-forward": "Forwarding from", "logs": "two\n"} {
				carried[name].await(text)
			}
			end(p)
			for name, kubectl := range carried {
				err, ended := kubectl.ends()
				if !ended {
					p.Errorf("%s with %s through a server that is %s goes on", name, protocol, how)
				}
				// Of exec and attach kubectl says either, as it does of a member that is restarted.
				if ended && err == nil && (name == "logs" || name == "port-forward") {
					p.Errorf("%s with %s through a server that is %s ends as if all were well: %q", name, protocol, how, kubectl.out.bytes())
				}
			}
			testbed.Kubectl(p, p.direct, "exec", "-n", ns, "talks", "--", "sh", "-c", "until [ -e "+file+" ]; do sleep 1; done", requestTimeout)
			koinon.Start(p)
			p.awaitPods(ns)
			p.execs(ns, env)
		}
	}
}

// awaitPods waits until the pods are served through the proxy.
func (p *place) awaitPods(ns string) {
	p.Helper()
	p.eventually("the member is served", func(ctx context.Context) error {
		_, err := p.client(p.proxied).CoreV1().Pods(ns).Get(ctx, "talks", metav1.GetOptions{})
		return err
	})
}

func TestRealNodeThatWasAwayIsReachedAgain(t *testing.T) {
	testbed.RequireNodes(t)
	p, _ := ownPlace(t)
	node := testbed.StartNode(t, p.member, "real", testbed.NodeOptions{})
	ns := p.namespace()
	p.runPods(node, ns)
	direct, proxied := way{"directly", p.direct, ns, true}, way{"through the proxy", p.proxied, ns, true}
	refusedAlike := func() {
		t.Helper()
		// Not logs, which the API server asks for over a connection that it may have, and wait for.
		args := []string{"exec", "-n", "NS", "talks", "--", "true"}
		want, got := direct.run(p, args), proxied.run(p, args)
		if diff := cmp.Diff(want, got); diff != "" || want[2] == "<nil>" {
			t.Errorf("an exec on a node that is away: got %q directly, and (-directly +through the proxy):\n%s", want, diff)
		}
	}
	talk := p.begin(p.proxied, nil, "exec", "-i", "-n", ns, "talks", "--", "cat")
	talk.say("before\n")
	talk.await("before\n")
	node.Cut(t)
	refusedAlike()
	talk.say("meanwhile\n")
	node.Heal(t)
	talk.await("meanwhile\n")
	talk.end()

	node.Kill9(t)
	refusedAlike()
	node.Start(t)
	p.eventually("the pods run again", func(ctx context.Context) error {
		pods, err := p.client(p.proxied).CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, pod := range pods.Items {
			if statuses := pod.Status.ContainerStatuses; len(statuses) != 1 || statuses[0].RestartCount != 1 || !statuses[0].Ready {
				return fmt.Errorf("pod %s: %+v", pod.Name, statuses)
			}
		}
		return nil
	})
	for _, env := range protocols {
		p.execs(ns, env)
		p.forwardsTo(ns, env, "serves", servedPort, "served /%d")
	}
	if got := testbed.Kubectl(t, p.proxied, "logs", "-n", ns, "serves", "--previous", requestTimeout); got != "one\ntwo\n" {
		t.Errorf("before the node was killed, its pod had said %q", got)
	}
}
