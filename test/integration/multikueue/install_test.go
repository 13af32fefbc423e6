package multikueue_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/cmd/koinon-playground/process"
	"github.com/koinon-io/koinon/test/testbed"
)

// kueue is the stock Kueue of a cluster. Its manager runs outside of it, with the rights that it has inside.
type kueue struct {
	cluster *testbed.Cluster
	// release has the manager and its manifests.
	release, dir             string
	webhookPort, healthzPort int
}

// overlay is config/default of the release, but for what runs in pods. The Service of the webhooks leads to this machine.
const overlay = `
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: kueue-system
namePrefix: kueue-
resources: [../components/crd, ../components/rbac, ../components/internalcert, ../components/webhook]
patches:
- target: {kind: Service}
  patch: '[{"op": "replace", "path": "/spec", "value": {"type": "ExternalName", "externalName": "localhost"}}]'
`

// ofWebhooks finds where that Service is referred to, without a port.
var ofWebhooks = regexp.MustCompile(`(?m)^( {4,})name: kueue-webhook-service$`)

// install brings Kueue into a cluster. Its manager does not run yet.
func install(t *testing.T, release string, cluster *testbed.Cluster) *kueue {
	t.Helper()
	k := &kueue{cluster: cluster, release: release, dir: t.TempDir(), webhookPort: testbed.FreePort(t), healthzPort: testbed.FreePort(t)}
	k.apply(t)
	return k
}

// run runs the manager until the test ends, with what more there is in its configuration, and waits until it is ready.
func (k *kueue) run(t *testing.T, more configuration) {
	t.Helper()
	k.start(t, more)
	k.mountCertificates(t)
	testbed.Eventually(t, "Kueue of "+k.cluster.Name()+" is ready", k.ready)
}

func (k *kueue) apply(t *testing.T) {
	t.Helper()
	config := filepath.Join(k.dir, "config")
	if err := os.CopyFS(config, os.DirFS(filepath.Join(k.release, "config"))); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(config, "outside")
	if err := os.Mkdir(outside, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(outside, "kustomization.yaml"), []byte(overlay))
	manifests := testbed.Kubectl(t, k.cluster.Kubeconfig(), "kustomize", outside)
	manifests = ofWebhooks.ReplaceAllString(manifests, fmt.Sprintf("${0}\n${1}port: %d", k.webhookPort))
	testbed.KubectlStdin(t, k.cluster.Kubeconfig(), manifests, "apply", "--server-side", "-f", "-", requestTimeout)
}

// configuration is that of Kueue's manager.
type configuration map[string]any

func (k *kueue) start(t *testing.T, more configuration) {
	t.Helper()
	config := configuration{
		"apiVersion": "config.kueue.x-k8s.io/v1beta2", "kind": "Configuration", "namespace": namespace,
		"health":         map[string]any{"healthProbeBindAddress": fmt.Sprintf("127.0.0.1:%d", k.healthzPort)},
		"metrics":        map[string]any{"bindAddress": "0"},
		"webhook":        map[string]any{"host": "127.0.0.1", "port": k.webhookPort, "certDir": k.certificates()},
		"leaderElection": map[string]any{"leaderElect": false},
		"integrations":   map[string]any{"frameworks": []string{"batch/job"}},
	}
	maps.Copy(config, more)
	gates, _ := config["featureGates"].(map[string]any)
	config["featureGates"] = map[string]any{"VisibilityOnDemand": false}
	maps.Copy(config["featureGates"].(map[string]any), gates)
	text, err := yaml.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(k.dir, "configuration.yaml")
	write(t, file, text)
	manager := process.Spec{
		Path: filepath.Join(k.release, "manager"), Args: []string{"--config=" + file, "--zap-log-level=3"},
		Env:     []string{"KUBECONFIG=" + k.cluster.AccountKubeconfig(t, namespace, account)},
		LogFile: filepath.Join(k.dir, "manager.log"), PIDFile: filepath.Join(k.dir, "manager.pid"), Tied: true,
	}
	if err := process.Start(manager); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := process.Stop(context.WithoutCancel(t.Context()), manager.PIDFile, 0); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			said, _ := os.ReadFile(manager.LogFile)
			t.Logf("Kueue of %s says\n%s", k.cluster.Name(), said[max(0, len(said)-20_000):])
		}
	})
}

func (k *kueue) certificates() string { return filepath.Join(k.dir, "certificates") }

// mountCertificates is what a kubelet does with the Secret that the manager fills, and then waits for.
func (k *kueue) mountCertificates(t *testing.T) {
	t.Helper()
	if err := os.Mkdir(k.certificates(), 0o700); err != nil {
		t.Fatal(err)
	}
	secrets := k.cluster.Client(t).CoreV1().Secrets(namespace)
	testbed.Eventually(t, "the certificates of Kueue's webhooks", func(ctx context.Context) error {
		secret, err := secrets.Get(ctx, "kueue-webhook-server-cert", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if len(secret.Data["tls.crt"]) == 0 {
			return errors.New("there is none")
		}
		for _, name := range []string{"tls.key", "tls.crt"} { // the manager waits for the latter
			write(t, filepath.Join(k.certificates(), name), secret.Data[name])
		}
		return nil
	})
}

func (k *kueue) ready(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/readyz", k.healthzPort), nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
