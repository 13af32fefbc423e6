package app

import (
	"bytes"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/carrier"
)

var update = flag.Bool("update", false, "write the golden file")

func TestHelp(t *testing.T) {
	for file, args := range map[string][]string{"help.txt": {"--help"}, "help-proxy.txt": {"proxy", "--help"}} {
		t.Run(file, func(t *testing.T) { helps(t, file, args) })
	}
}

func helps(t *testing.T, file string, args []string) {
	var got bytes.Buffer
	cmd := NewCommand()
	cmd.SetOut(&got)
	cmd.SetArgs(args)
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("help text (-want +got), write with -update:\n%s", diff)
	}
}

func TestAFlagThatIsWrongIsASentence(t *testing.T) {
	const pin = "sha256:7c0d38b6f1b3fd2c5a1f4bb0f0d3f95f6c1a1b9e7a4d60b1b2a9a0d8f3e2c1b0"
	for line, want := range map[string]string{
		"proxy":              "--server HOST:PORT is required: where Koinon's --tunnel-proxy-port is",
		"proxy --server k:1": "--certificate-dir DIRECTORY is required: a directory with tls.crt and tls.key",
		"proxy --server k:1 --certificate-dir d --listen :1":         `--listen ":1": an address of loopback and a port are needed, such as 127.0.0.1:8118: whoever connects has the certificate lent`,
		"proxy --server k:1 --certificate-dir d --listen 10.0.0.1:1": `--listen "10.0.0.1:1": an address of loopback and a port are needed, such as 127.0.0.1:8118: whoever connects has the certificate lent`,
		"proxy --server k:1 --certificate-dir /nowhere":              "--certificate-dir /nowhere: open /nowhere/tls.crt: no such file or directory",
		"proxy --server k:1 --certificate-dir d --connections 0":     "--connections 0: 1 or more is allowed",
		"proxy x":                                          `"x" is too much: koinon-agent proxy takes flags only`,
		"":                                                 "--server HOST:PORT is required: where Koinon's tunnel is",
		"--server koinon.example.org":                      `--server "koinon.example.org": HOST:PORT is needed, without a scheme or a path`,
		"--server https://koinon.example.org":              `--server "https://koinon.example.org": HOST:PORT is needed, without a scheme or a path`,
		"--server k:1/tunnel":                              `--server "k:1/tunnel": HOST:PORT is needed, without a scheme or a path`,
		"--server k:0":                                     `--server "k:0": HOST:PORT is needed, without a scheme or a path`,
		"--server k:1 --transport quic":                    `--transport: "quic" is no way to a server: auto, direct and websocket are allowed`,
		"--server k:1 --ca-pin md5:00":                     `--ca-pin: "md5:00" is no pin of an authority: sha256: and 64 hexadecimal digits are needed`,
		"--server k:1 --ca-file f --ca-pin x":              "--ca-file and --ca-pin say the same in two ways: one of them is allowed",
		"--server k:1 --node n1":                           "--node needs --cluster: nodes of several clusters may have the same name",
		"--server k:1 --cluster M1":                        `--cluster, --node: "M1" is no name of a cluster: lower case letters, digits, - and . are allowed, at most 253`,
		"--server k:1 --apiserver 10.0.0.1":                `--apiserver "10.0.0.1": HOST:PORT is needed, without a scheme or a path`,
		"--server k:1 --kubelet :10250":                    `--kubelet ":10250": HOST:PORT is needed, without a scheme or a path`,
		"--server k:1 --allow 10.0.0.0/8":                  `--allow: target "10.0.0.0/8": HOST:PORT is needed; PORT may be FROM-TO or *`,
		"--server k:1 --allow h:x":                         `--allow: target "h:x": "x" is no port: 1 to 65535, FROM-TO or * are allowed`,
		"--server k:1 --drain-timeout -1s":                 "--drain-timeout -1s: 0s or more is allowed",
		"--server k:1 --state-dir=":                        "--state-dir: a directory is needed",
		"--server k:1 --state-dir d --state-secret s":      "--state-dir and --state-secret say the same in two ways: one of them is allowed",
		"--server k:1 --state-secret ../s --ca-pin " + pin: `--state-secret: "../s" is no name of a Secret: lower case letters, digits, - and . are allowed, at most 253`,
		"--server k:1 --health-address 8080":               `--health-address "8080": a port is needed, and an address may be before it, such as :8133`,
		"--server k:1 --status-address :8080":              `--status-address ":8080": an address of loopback and a port are needed, such as 127.0.0.1:10260`,
		"--server k:1 --status-address 10.0.0.1:80":        `--status-address "10.0.0.1:80": an address of loopback and a port are needed, such as 127.0.0.1:10260`,
		"--server k:1 --ca-pin " + pin + " x":              `"x" is too much: koinon-agent takes flags only`,
		"--sever k:1":                                      "unknown flag: --sever",
	} {
		cmd := NewCommand()
		cmd.SetArgs(strings.Fields(line))
		if err := cmd.ExecuteContext(t.Context()); err == nil || err.Error() != want {
			t.Errorf("koinon-agent %s: got %v, want %q", line, err, want)
		}
	}
}

func TestWhatMayBeConnectedToByDefaultIsTheAPIServerOfAClusterAndTheKubeletOfANode(t *testing.T) {
	m1, n1 := tunnel.Name{Cluster: "m1"}, tunnel.Name{Cluster: "m1", Node: "n1"}
	pod := map[string]string{"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
	for what, test := range map[string]struct {
		options Options
		name    tunnel.Name
		env     map[string]string
		want    string
	}{
		"a cluster's agent in a pod":    {Options{}, m1, pod, "apiserver=[fd00::1]:443"},
		"another API server":            {Options{APIServer: "10.0.0.1:6443"}, m1, pod, "apiserver=10.0.0.1:6443"},
		"a node's agent":                {Options{}, n1, nil, "kubelet=127.0.0.1:10250"},
		"a node's agent in a pod":       {Options{}, n1, pod, "kubelet=127.0.0.1:10250"},
		"another kubelet":               {Options{Kubelet: "10.0.0.7:10250"}, n1, nil, "kubelet=10.0.0.7:10250"},
		"a node's agent for both":       {Options{APIServer: "10.0.0.1:6443"}, n1, nil, "apiserver=10.0.0.1:6443 kubelet=127.0.0.1:10250"},
		"a cluster's agent with a list": {Options{Allow: []string{"10.0.0.0/8:443"}}, m1, nil, ""},
	} {
		t.Run(what, func(t *testing.T) {
			getenv := func(key string) string { return test.env[key] }
			policy, err := test.options.policy(test.name, getenv)
			if err != nil {
				t.Fatal(err)
			}
			if got := policy.Words(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	_, err := (&Options{}).policy(m1, func(string) string { return "" })
	if want := "there is nothing to connect to: this is no pod of a cluster, and neither --apiserver, --kubelet nor --allow says what may be"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
}

type fixedStatus agent.Status

func (s fixedStatus) Status() agent.Status { return agent.Status(s) }

func (fixedStatus) Certificate() (tunnel.Name, time.Time) {
	return tunnel.Name{Cluster: "m1", Node: "n1"}, time.Unix(1800000000, 0)
}

func TestTheStatusSaysWhatPrometheusReads(t *testing.T) {
	linked := fixedStatus{Received: 7, Sent: 9, Links: []agent.LinkStatus{{Replica: "a", Way: carrier.WebSocket, Streams: 3}}}
	for what, test := range map[string]struct {
		now    fixedStatus
		path   string
		status int
		want   []string
	}{
		"healthy":     {linked, "/healthz", http.StatusOK, []string{"ok"}},
		"not linked":  {fixedStatus{}, "/healthz", http.StatusServiceUnavailable, []string{"not linked to any server"}},
		"other paths": {linked, "/", http.StatusNotFound, nil},
		"metrics": {linked, "/metrics", http.StatusOK, []string{
			"# TYPE koinon_agent_links gauge\nkoinon_agent_links{way=\"direct\"} 0\nkoinon_agent_links{way=\"websocket\"} 1\n",
			"koinon_agent_streams 3\n", "koinon_agent_received_bytes_total 7\n", "koinon_agent_sent_bytes_total 9\n",
			"koinon_agent_certificate_expiry_timestamp_seconds 1800000000\n", `cluster="m1",node="n1"} 1`,
		}},
	} {
		answer := httptest.NewRecorder()
		(&status{certificate: test.now, links: test.now}).handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, test.path, nil))
		if answer.Code != test.status {
			t.Errorf("%s: got %d", what, answer.Code)
		}
		for _, want := range test.want {
			if !strings.Contains(answer.Body.String(), want) {
				t.Errorf("%s: got %q, want %q in it", what, answer.Body, want)
			}
		}
	}
}
