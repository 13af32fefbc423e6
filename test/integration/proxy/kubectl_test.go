package proxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/test/testbed"
)

const configMap = `{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "%s"}, "data": {"a": "%s"}}`

func TestKubectlDoesInAMemberWhatItDoesThereDirectly(t *testing.T) {
	places(t, (*place).doesAsDirectly)
}

// doesAsDirectly uses what kubectl has for objects.
func (p *place) doesAsDirectly() {
	ns := p.namespace()
	run := func(stdin string, args ...string) string {
		p.Helper()
		return testbed.KubectlStdin(p, p.proxied, stdin, append(args, "-n", ns, requestTimeout)...)
	}
	wants := func(got string, wanted ...string) {
		p.Helper()
		for _, want := range wanted {
			if !strings.Contains(got, want) {
				p.Errorf("want %q in:\n%s", want, got)
			}
		}
	}
	wants(run(fmt.Sprintf(configMap, "client", "1"), "apply", "-f", "-"), "configmap/client created")
	wants(run(fmt.Sprintf(configMap, "server", "1"), "apply", "--server-side", "-f", "-"), "configmap/server serverside-applied")
	wants(run(fmt.Sprintf(configMap, "client", "2"), "apply", "--dry-run=server", "-f", "-"), "configmap/client configured (server dry run)")
	wants(run("", "get", "configmap", "client", "-o", "jsonpath={.data.a}"), "1")
	diff := testbed.RunKubectl(p, p.proxied, fmt.Sprintf(configMap, "client", "2"), "diff", "-n", ns, "-f", "-", requestTimeout)
	wants(diff.Stdout, "-  a: \"1\"", "+  a: \"2\"")
	for _, patch := range []struct{ kind, body string }{
		{"merge", `{"data": {"b": "merge"}}`}, {"strategic", `{"data": {"c": "strategic"}}`}, {"json", `[{"op": "add", "path": "/data/d", "value": "json"}]`},
	} {
		wants(run("", "patch", "configmap", "client", "--type", patch.kind, "-p", patch.body), "configmap/client patched")
	}
	wants(run("", "get", "configmaps", "-o", "yaml"), "b: merge", "c: strategic", "d: json")
	wants(run("", "get", "configmaps"), "NAME", "client", "server")
	wants(run("", "label", "configmap", "client", "x=y"), "labeled")
	wants(run("", "get", "configmaps", "-l", "x=y", "-o", "name"), "configmap/client")
	wants(run("", "describe", "configmap", "client"), "merge")
	wants(run("", "explain", "configmap.data"), "FIELD: data")
	wants(run("", "auth", "can-i", "delete", "pods"), "yes")
	wants(run("", "wait", "configmap", "client", "--for=jsonpath={.data.b}=merge"), "condition met")
	wants(run("", "delete", "configmap", "client"), "deleted")
	wants(run("", "api-resources"), "deployments")
	refused := testbed.RunKubectl(p, p.proxied, "", "get", "configmap", "client", "-n", ns, requestTimeout)
	wants(refused.Stderr, `Error from server (NotFound): configmaps "client" not found`)
}

func TestKubectlWatchesAMember(t *testing.T) {
	places(t, func(p *place) {
		ns := p.namespace()
		watch := p.begin(p.proxied, nil, "get", "configmaps", "-n", ns, "--watch", "-o", "name")
		watch.await("configmap/kube-root-ca.crt\n")
		client := p.client(p.direct).CoreV1().ConfigMaps(ns)
		if _, err := client.Create(p.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "seen"}}, metav1.CreateOptions{}); err != nil {
			p.Fatal(err)
		}
		watch.await("configmap/seen\n")
		watch.end()
	})
}

// protocols are how kubectl connects for exec, attach, cp and port-forward.
var protocols = map[string][]string{
	"WebSocket": {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS=true", "KUBECTL_PORT_FORWARD_WEBSOCKETS=true"},
	"SPDY":      {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false", "KUBECTL_PORT_FORWARD_WEBSOCKETS=false"},
}

func TestKubectlTalksToProcessesInAMember(t *testing.T) {
	places(t, (*place).talksToProcesses)
}

// talksToProcesses uses what kubectl has for processes, in each protocol.
func (p *place) talksToProcesses() {
	kubelet := testbed.StartKubelet(p, p.member, "node-of-"+strings.ReplaceAll(strings.ToLower(filepath.Base(p.Name())), "_", "-"))
	ns := p.namespace()
	kubelet.Run(p, p.client(p.direct), ns, "talks")
	for name, env := range protocols {
		p.Run(name, func(t *testing.T) {
			p := &place{T: t, member: p.member, server: p.server, direct: p.direct, proxied: p.proxied}
			p.execs(ns, env)
			p.attaches(ns, env)
			p.copies(ns, env)
			p.forwards(ns, env)
		})
	}
	logs := p.begin(p.proxied, nil, "logs", "-f", "-n", ns, "talks")
	logs.await("line 2 of " + ns + "/talks\n")
	logs.end()
}

func (p *place) execs(ns string, env []string) {
	p.Helper()
	echo := p.begin(p.proxied, env, "exec", "-i", "-n", ns, "talks", "--", "sh", "-c", `read line; echo "out $line"; echo "problem" >&2; exit 3`)
	echo.say("hello\n")
	echo.await("out hello\n")
	echo.await("problem\n")
	if err := echo.wait(); err == nil || err.(*exec.ExitError).ExitCode() != 3 {
		p.Errorf("exec ends with %v, want exit code 3", err)
	}
	// A megabyte each way, as it is.
	body := bytes.Repeat([]byte("0123456789abcde\n"), 1<<16)
	cat := p.begin(p.proxied, env, "exec", "-i", "-n", ns, "talks", "--", "sh", "-c", "cat > big; cat big; rm big")
	cat.say(string(body))
	_ = cat.in.Close()
	if err := cat.wait(); err != nil || !bytes.Equal(cat.out.bytes(), body) {
		p.Errorf("%d bytes came back of %d: %v", len(cat.out.bytes()), len(body), err)
	}
}

func (p *place) attaches(ns string, env []string) {
	p.Helper()
	attached := p.begin(p.proxied, env, "attach", "-i", "-n", ns, "talks")
	attached.await("attached\n")
	attached.say("you\n")
	attached.await("heard you\n")
	attached.end()
}

func (p *place) copies(ns string, env []string) {
	p.Helper()
	dir := p.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	if err := os.WriteFile(from, []byte("copied"), 0o600); err != nil {
		p.Fatal(err)
	}
	for _, args := range [][]string{{from, ns + "/talks:there"}, {ns + "/talks:there", to}} {
		if err := p.begin(p.proxied, env, append([]string{"cp"}, args...)...).wait(); err != nil {
			p.Fatalf("cp %v: %v", args, err)
		}
	}
	if got, err := os.ReadFile(to); err != nil || string(got) != "copied" {
		p.Errorf("%q came back: %v", got, err)
	}
}

func (p *place) forwards(ns string, env []string) {
	p.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "forwarded "+r.URL.Path) }))
	defer server.Close()
	p.forwardsTo(ns, env, "talks", server.Listener.Addr().(*net.TCPAddr).Port, "forwarded /%d")
}

// forwardsTo asks a port of a pod for /0 to /4, each with a connection of its own. want is what it
// answers, with the number.
func (p *place) forwardsTo(ns string, env []string, pod string, port int, want string) {
	p.Helper()
	forward := p.begin(p.proxied, env, "port-forward", "-n", ns, "pod/"+pod, fmt.Sprintf(":%d", port))
	local := forward.match(regexp.MustCompile(`Forwarding from (127\.0\.0\.1:\d+) ->`))
	for i := range 5 {
		ctx, cancel := context.WithTimeout(p.Context(), patience)
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/%d", local, i), nil)
		if err != nil {
			p.Fatal(err)
		}
		request.Close = true
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			p.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		cancel()
		if err != nil || string(body) != fmt.Sprintf(want, i) {
			p.Errorf("got %q, %v", body, err)
		}
	}
	forward.end()
}

func TestAMembersAuditLogNamesThePerson(t *testing.T) {
	places(t, func(p *place) {
		got := testbed.Kubectl(p, p.proxied, "auth", "whoami", "-o", "jsonpath={.status.userInfo}", requestTimeout)
		if strings.Contains(got, "serviceaccount") {
			p.Errorf("the member sees the account of the federation: %s", got)
		}
		// Who acts as somebody else here is that one there.
		as := testbed.Kubectl(p, p.proxied, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}", "--as", "alice", "--as-group", "system:masters", "--as-group", "koinon:administrators", requestTimeout)
		if as != "alice" {
			p.Errorf("impersonated here, the member sees %q", as)
		}
	})
}

func TestWhoMayNotIsToldByWhom(t *testing.T) {
	places(t, func(p *place) {
		p.allow("guests", rbacv1.PolicyRule{APIGroups: []string{"federation.koinon.io"}, Resources: []string{"clusters/proxy"}, ResourceNames: []string{memberName}, Verbs: []string{"get"}})
		for name, test := range map[string]struct {
			args []string
			want string
		}{
			"no right to the proxy":  {[]string{"get", "pods", "--as", "nobody"}, `User "nobody" cannot get resource "clusters/proxy" in API group "federation.koinon.io"`},
			"no right in the member": {[]string{"get", "pods", "--as", "guest", "--as-group", "guests"}, `User "guest" cannot list resource "pods" in API group "" in the namespace "default"`},
		} {
			p.Run(name, func(t *testing.T) {
				result := testbed.RunKubectl(t, p.proxied, "", append(test.args, requestTimeout)...)
				// A host refuses by itself, and kubectl does not show its words.
				said := strings.Contains(result.Stderr, test.want) || p.hosted && strings.Contains(result.Stderr, "Error from server (Forbidden)")
				if result.Err == nil || !said {
					t.Errorf("got %v:\n%s\nwant %q", result.Err, result.Stderr, test.want)
				}
			})
		}
	})
}

func TestKubectlIsToldWhyAClusterIsNotReached(t *testing.T) {
	places(t, func(p *place) {
		result := testbed.RunKubectl(p, p.through(p.kubeconfig, "nosuch"), "", "get", "pods", requestTimeout)
		if want := `Warning: clusters.federation.koinon.io "nosuch" not found`; result.Err == nil || !strings.Contains(result.Stderr, want) {
			p.Errorf("got %v:\n%s\nwant %q", result.Err, result.Stderr, want)
		}
	})
}

// rawReaches reports whether kubectl's --raw goes where the kubeconfig says. Before 1.34 it leaves out the path of the
// server (kubernetes/kubernetes#131165), and asks our server or its host instead.
func rawReaches(t testing.TB) bool {
	t.Helper()
	var version struct{ ClientVersion struct{ Minor string } }
	if err := json.Unmarshal([]byte(testbed.Kubectl(t, os.DevNull, "version", "--client", "-o", "json")), &version); err != nil {
		t.Fatal(err)
	}
	minor, err := strconv.Atoi(version.ClientVersion.Minor)
	if err != nil {
		t.Fatal(err)
	}
	return minor >= 34
}

// running is a kubectl that goes on while a test looks.
type running struct {
	*place
	cmd *exec.Cmd
	in  io.WriteCloser
	out *output
}

// begin starts kubectl, with its errors in its output.
func (p *place) begin(kubeconfig string, env []string, args ...string) *running {
	p.Helper()
	cmd := testbed.KubectlCommand(p, kubeconfig, args...)
	cmd.Env = append(cmd.Env, env...)
	r := &running{place: p, cmd: cmd, out: newOutput()}
	cmd.Stdout, cmd.Stderr = r.out, r.out
	var err error
	if r.in, err = cmd.StdinPipe(); err != nil {
		p.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.Fatal(err)
	}
	return r
}

func (r *running) say(text string) {
	r.Helper()
	if _, err := io.WriteString(r.in, text); err != nil {
		r.Fatal(err)
	}
}

// await waits until a text is in the output.
func (r *running) await(text string) {
	r.Helper()
	r.match(regexp.MustCompile(regexp.QuoteMeta(text)))
}

// match waits until a pattern is in the output, and returns its first group.
func (r *running) match(pattern *regexp.Regexp) string {
	r.Helper()
	deadline := time.After(patience)
	for {
		changed := r.out.changed()
		if found := pattern.FindSubmatch(r.out.bytes()); found != nil {
			return string(found[len(found)-1])
		}
		select {
		case <-changed:
		case <-deadline:
			r.Fatalf("kubectl %v did not say %s:\n%s", r.cmd.Args[1:], pattern, r.out.bytes())
		}
	}
}

func (r *running) wait() error {
	return r.cmd.Wait()
}

// ends waits until kubectl has ended, and returns how; ended is false if it goes on.
func (r *running) ends() (err error, ended bool) {
	done := make(chan error, 1)
	go func() { done <- r.wait() }() // ends with kubectl
	select {
	case err := <-done:
		return err, true
	case <-time.After(patience):
		return nil, false
	}
}

// end stops kubectl.
func (r *running) end() {
	r.Helper()
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
}
