package members_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/koinon-io/koinon/test/kmsplugin"
	"github.com/koinon-io/koinon/test/testbed"
)

// pluginEnv has this binary be the key management service: its socket, and the directory of its keys.
const pluginEnv = "KOINON_TEST_KMS_PLUGIN"

func TestMain(m *testing.M) {
	if args, ok := os.LookupEnv(pluginEnv); ok {
		socket, dir, _ := strings.Cut(args, ",")
		fmt.Fprintln(os.Stderr, kmsplugin.Serve(socket, dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// vault is a key management service, which may be off.
type vault struct {
	*testing.T
	socket, keys string
	process      *exec.Cmd
}

func newVault(t *testing.T) *vault {
	t.Helper()
	dir, err := os.MkdirTemp("", "kms") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	v := &vault{T: t, socket: filepath.Join(dir, "s"), keys: filepath.Join(dir, "keys")}
	if err := os.Mkdir(v.keys, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.stop)
	return v
}

func (v *vault) rotate(id string) {
	v.Helper()
	if err := kmsplugin.Rotate(v.keys, id); err != nil {
		v.Fatal(err)
	}
}

func (v *vault) start() {
	v.Helper()
	self, err := os.Executable()
	if err != nil {
		v.Fatal(err)
	}
	v.process = exec.Command(self)
	v.process.Env = append(os.Environ(), pluginEnv+"="+v.socket+","+v.keys)
	v.process.Stderr = os.Stderr
	if err := v.process.Start(); err != nil {
		v.Fatal(err)
	}
}

// stop kills it.
func (v *vault) stop() {
	if v.process != nil {
		_ = v.process.Process.Kill()
		_ = v.process.Wait()
		v.process = nil
	}
}

// configuration is the EncryptionConfiguration.
func (v *vault) configuration() string {
	v.Helper()
	path := filepath.Join(v.TempDir(), "encryption.yaml")
	text := `{"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": [{
		"resources": ["secrets", "federatedsecrets.types.kubefed.io"],
		"providers": [{"kms": {"apiVersion": "v2", "name": "vault", "endpoint": "unix://` + v.socket + `"}}]}]}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		v.Fatal(err)
	}
	return path
}

// TestCredentialsAreKeptByAKeyManagementService, which is killed, rotated and started again while objects propagate. The token of the
// member is renewed meanwhile. Nothing that is secret is read anywhere.
func TestCredentialsAreKeptByAKeyManagementService(t *testing.T) {
	skipUnlessLong(t)
	vault := newVault(t)
	vault.rotate("first-key-of-the-vault")
	vault.start()
	member := testbed.StartCluster(t, testbed.ClusterOptions{Name: "m1"})
	koinon := testbed.StartKoinon(t, testbed.KoinonOptions{Args: []string{"--encryption-provider-config", vault.configuration()}})
	p := &person{T: t, kubeconfig: testbed.WithMember(t, koinon.Kubeconfig(), member)}
	hidden := []string{"correct-horse-battery-staple-0", "correct-horse-battery-staple-1", "correct-horse-battery-staple-2", "correct-horse-battery-staple-3"}

	p.plugin(0, "join", "m1", "--token-lifetime", "10m") // the least: what failed is tried again soon
	p.propagates("vaulted")
	p.sends(hidden[0])
	hidden = append(hidden, p.token())
	p.renews()
	hidden = append(hidden, p.token())
	p.sends(hidden[1])

	// Killed, it leaves the server with the keys that it has; another one is rotated in when it is back.
	vault.stop()
	p.sends(hidden[2])
	vault.rotate("second-key-of-the-vault")
	vault.start()
	p.eventually("what is written is encrypted with the second key", func() bool {
		testbed.RunKubectl(p, p.kubeconfig, "", "get", "--raw", "/readyz/kms-providers") // has the service asked for its key
		p.kubectl("-n", "vaulted", "create", "secret", "generic", fmt.Sprintf("another-%d", time.Now().UnixNano()))
		return strings.Contains(onDisk(t, koinon), "second-key-of-the-vault")
	})

	// Both start again, the service later. Until then the server says what it waits for, and both keys open what they closed.
	koinon.Kill9(t)
	vault.stop()
	said := make(chan string, 1)
	go func() { // ends with the test's context
		text := p.waitsFor(koinon)
		vault.start()
		said <- text
	}()
	koinon.Start(t)
	if got, want := <-said, "[-]kms-providers failed: the key management service that --encryption-provider-config names does not answer as it should: "; !strings.Contains(got, want) {
		t.Errorf("without the service /readyz says %q, want %q", got, want)
	}
	p.kubectl("-n", system, "wait", "kubefedcluster", "m1", "--for=condition=Ready", "--timeout=60s")
	p.sends(hidden[3])

	p.searches(koinon, hidden)
}

// eventually looks until something has come about.
func (p *person) eventually(what string, done func() bool) {
	p.Helper()
	testbed.Eventually(p, what, func(context.Context) error {
		if !done() {
			return errors.New("it has not come about")
		}
		return nil
	})
}

// token is that of the member in Koinon.
func (p *person) token() string {
	p.Helper()
	token, err := base64.StdEncoding.DecodeString(p.kubectl("-n", system, "get", "secret", "m1", "-o", "jsonpath={.data.token}"))
	if err != nil || len(token) == 0 {
		p.Fatalf("the token: %v", err)
	}
	return string(token)
}

// sends sends a Secret to the member, which is a federated one here, and has what it holds arrive.
func (p *person) sends(password string) {
	p.Helper()
	p.apply(`{"apiVersion": "types.kubefed.io/v1beta2", "kind": "FederatedSecret", "metadata": {"name": "hidden", "namespace": "vaulted"},
		"spec": {"template": {"data": {"password": "` + base64.StdEncoding.EncodeToString([]byte(password)) + `"}}, "placement": {"topologies": [{"name": "m1"}]}}}`)
	p.eventually("the Secret arrives", func() bool {
		got := p.kubectl("--context", "m1", "-n", "vaulted", "get", "secret", "hidden", "--ignore-not-found", "-o", "jsonpath={.data.password}")
		return got == base64.StdEncoding.EncodeToString([]byte(password))
	})
}

// renews has the token of the member renewed in vain, since the account may not, and then for good.
func (p *person) renews() {
	p.Helper()
	const role = "koinon:join:koinon-system:koinon:token"
	before := p.token()
	p.kubectl("--context", "m1", "-n", "koinon-system", "delete", "role", role)
	p.kubectl("-n", system, "annotate", "secret", "m1", "federation.koinon.io/rotate=now")
	p.kubectl("-n", system, "wait", "kubefedcluster", "m1", "--for=condition=CredentialsExpiring", "--timeout=90s")
	said := p.kubectl("-n", system, "get", "kubefedcluster", "m1", "-o", `jsonpath={.status.conditions[?(@.type=="CredentialsExpiring")].message}`)
	if want := "and was not renewed: the account koinon-system/koinon may not make tokens of itself there (create serviceaccounts/token, 403 Forbidden)"; !strings.Contains(said, want) {
		p.Errorf("of a right that is missing the KubeFedCluster says %q, want %q", said, want)
	}
	if said := p.plugin(1, "doctor", "m1"); !strings.Contains(said.stdout, "may not make tokens of itself") {
		p.Errorf("of a right that is missing the doctor says %q", said.stdout)
	}
	p.plugin(0, "join", "m1") // which gives the right, and keeps the token
	p.eventually("the token is renewed", func() bool { return p.token() != before })
	p.eventually("the condition goes", func() bool {
		return p.kubectl("-n", system, "get", "kubefedcluster", "m1", "-o", "jsonpath={.status.conditions[*].type}") == "Ready"
	})
	metrics := p.kubectl("get", "--raw", "/metrics")
	for _, want := range []string{`koinon_member_credential_seconds_until_end{cluster="m1",kind="token"} `, `koinon_member_credential_seconds_until_end{cluster="m1",kind="authority"} `, `koinon_member_token_renewals_total{result="success"} 1`} {
		if !strings.Contains(metrics, want) {
			p.Errorf("the metrics do not say %s", want)
		}
	}
}

// waitsFor is what /readyz says of keys once it is served.
func (p *person) waitsFor(koinon *testbed.Koinon) (text string) {
	client, err := kubernetes.NewForConfig(koinon.RESTConfig(p))
	if err != nil {
		return err.Error()
	}
	for p.Context().Err() == nil {
		answer, _ := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(p.Context())
		if text = string(answer); strings.Contains(text, "kms-providers failed: ") {
			return text
		}
	}
	return text
}

// onDisk is all of the database's files.
func onDisk(t *testing.T, koinon *testbed.Koinon) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(koinon.DataDir(), "koinon.db*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("the database: %v, %v", files, err)
	}
	var all strings.Builder
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		all.Write(data)
	}
	return all.String()
}

// searches looks for what is hidden wherever it may have come to be.
func (p *person) searches(koinon *testbed.Koinon, hidden []string) {
	p.Helper()
	log, err := os.ReadFile(koinon.LogFile())
	if err != nil {
		p.Fatal(err)
	}
	places := map[string]string{
		"the database": onDisk(p.T, koinon), "the log": string(log),
		"events":            p.kubectl("get", "events", "-A", "-o", "json"),
		"statuses":          p.kubectl("get", "kubefedclusters,federatedconfigmaps,membernamespaces,configmaps", "-A", "-o", "json") + p.kubectl("get", "federatedsecrets", "-A", "-o", "jsonpath={.items[*].status}"),
		"metrics":           p.kubectl("get", "--raw", "/metrics"),
		"what doctor says":  fmt.Sprint(p.plugin(3, "doctor")), // of a member that was joined without --proxy not all can be looked at
		"goroutines":        p.kubectl("get", "--raw", "/debug/pprof/goroutine?debug=1"),
		"the heap profile":  unzipped(p.T, p.kubectl("get", "--raw", "/debug/pprof/heap")),
		"the allocations":   unzipped(p.T, p.kubectl("get", "--raw", "/debug/pprof/allocs")),
		"labels of threads": unzipped(p.T, p.kubectl("get", "--raw", "/debug/pprof/threadcreate")),
	}
	for what, want := range map[string]string{"the database": "greeting", "the log": "Started controllers", "statuses": "ClusterReady", "events": "ClusterReady", "the heap profile": "inuse_space"} {
		if !strings.Contains(places[what], want) {
			p.Errorf("there is no %q in %s: this looks in the wrong place", want, what)
		}
	}
	for place, text := range places {
		for i, secret := range hidden {
			for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret))} {
				if strings.Contains(text, form) {
					p.Errorf("secret %d can be read in %s", i, place)
				}
			}
		}
	}
}

func unzipped(t *testing.T, data string) string {
	t.Helper()
	reader, err := gzip.NewReader(bytes.NewReader([]byte(data)))
	if err != nil {
		t.Fatalf("a profile: %v", err)
	}
	text, err := io.ReadAll(reader)
	if err != nil {
		t.Fatalf("a profile: %v", err)
	}
	return string(text)
}
