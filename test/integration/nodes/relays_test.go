package nodes_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/test/testbed"
)

// clients is the directory with stock programs, which "make test-relays" builds and downloads.
func (f *federation) clients(name string) string {
	f.Helper()
	dir := os.Getenv("KOINON_RELAYS")
	if dir == "" {
		f.Skip("it takes minutes: make test-relays")
	}
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		f.Fatal(err)
	}
	return path
}

// together has the authorities of Koinon and of a member in one file.
func (f *federation) together(user string, member *testbed.Cluster) (file string) {
	f.Helper()
	var both []byte
	for _, part := range []string{filepath.Join(user, "ca.crt"), member.CAFile()} {
		text, err := os.ReadFile(part)
		if err != nil {
			f.Fatal(err)
		}
		both = append(both, text...)
	}
	return f.write("ca.crt", string(both))
}

func (f *federation) write(name, text string) (file string) {
	f.Helper()
	file = filepath.Join(f.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		f.Fatal(err)
	}
	return file
}

// prometheus runs Prometheus with the example, which finds a node of m2 and reads its kubelet.
func (f *federation) prometheus(user string, n *node) {
	binary := f.clients("prometheus")
	testbed.KubectlStdin(f, f.m2.Kubeconfig(), f.text("prometheus-member.yaml"), "apply", "-f", "-", requestTimeout)
	token := strings.TrimSpace(testbed.Kubectl(f, f.m2.Kubeconfig(), "-n", "monitoring", "create", "token", "prometheus", requestTimeout))
	config := f.example("prometheus.yaml",
		"koinon.example:8133", f.proxy, "/etc/prometheus/m2/token", f.write("token", token), "/etc/prometheus/m2/ca.crt", f.together(user, f.m2),
		"/etc/prometheus/m2/nodes.yaml", f.write("nodes.yaml", "[{targets: ["+n.Node+"]}]"), "/etc/prometheus/tunnel", user, "scrape_interval: 30s", "scrape_interval: 1s")
	at := fmt.Sprintf("127.0.0.1:%d", testbed.FreePort(f))
	f.start("Prometheus", exec.Command(binary, "--config.file="+config, "--storage.tsdb.path="+f.TempDir(), "--web.listen-address="+at),
		"HTTPS_PROXY=", "https_proxy=")
	f.eventually("Prometheus has read the kubelet", func(ctx context.Context) error {
		query := url.Values{"query": {`kubelet_node_name{job="kubelets-of-m2"}`}}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+"/api/v1/query?"+query.Encode(), nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		var got struct {
			Data struct {
				Result []struct{ Metric map[string]string }
			}
		}
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(text, &got); err != nil || len(got.Data.Result) != 1 {
			return fmt.Errorf("got %s: %v", text, err)
		}
		if found := got.Data.Result[0].Metric; found["instance"] != n.Node+":10250" || found["node"] != n.Node || found["cluster"] != "m2" {
			return fmt.Errorf("got %v", found)
		}
		return nil
	})
}

// metricsServer runs metrics-server with the arguments and environment of the example, behind the API server of m2.
func (f *federation) metricsServer(n *node) {
	binary := f.clients("metrics-server")
	_, user := f.server.User(f, "metrics-server-of-m2", "--tunnel-cluster=m2")
	manifest := f.text("metrics-server.yaml", "koinon.example:8133", f.proxy)
	testbed.KubectlStdin(f, f.m2.Kubeconfig(), manifest, "apply", "-f", "-", requestTimeout)
	kubeconfig, port := f.m2.AccountKubeconfig(f, "kube-system", "metrics-server"), testbed.FreePort(f)
	there := strings.NewReplacer("--cert-dir=/tmp", "--cert-dir="+f.TempDir(), "--secure-port=10250", fmt.Sprintf("--secure-port=%d", port),
		"/etc/koinon-tunnel/ca.crt", f.together(user, f.m2), "/etc/koinon-tunnel", user, "$(KUBERNETES_SERVICE_HOST)", "127.0.0.1")
	var args, env []string
	for document := range strings.SplitSeq(manifest, "\n---\n") {
		var deployment appsv1.Deployment
		if err := yaml.Unmarshal([]byte(document), &deployment); err != nil || deployment.Kind != "Deployment" {
			continue
		}
		container := deployment.Spec.Template.Spec.Containers[0]
		for _, arg := range container.Args {
			args = append(args, there.Replace(arg))
		}
		for _, variable := range container.Env {
			env = append(env, variable.Name+"="+there.Replace(variable.Value))
		}
	}
	f.start("metrics-server", exec.Command(binary, slices.Concat(args, []string{
		"--kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig, "--bind-address=127.0.0.1",
	})...), env...)
	// The process is no pod: its Service leads to this machine.
	testbed.Kubectl(f, f.m2.Kubeconfig(), "-n", "kube-system", "delete", "service", "metrics-server", requestTimeout)
	testbed.Kubectl(f, f.m2.Kubeconfig(), "-n", "kube-system", "create", "service", "externalname", "metrics-server", "--external-name=localhost", requestTimeout)
	testbed.Kubectl(f, f.m2.Kubeconfig(), "patch", "apiservice", "v1beta1.metrics.k8s.io", "--type=merge", "-p", fmt.Sprintf(`{"spec":{"service":{"port":%d}}}`, port), requestTimeout)
	f.eventually("kubectl top node", func(context.Context) error {
		said := testbed.RunKubectl(f, f.m2.Kubeconfig(), "", "top", "node", "--no-headers", requestTimeout)
		if fields := strings.Fields(said.Stdout); said.Err != nil || len(fields) < 3 || fields[0] != n.Node || fields[1] != "250m" || !strings.Contains(said.Stdout, "512Mi") {
			return errors.New(said.Stdout + said.Stderr)
		}
		return nil
	})
}
