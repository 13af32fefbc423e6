package app

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHelpOfTheTunnel(t *testing.T) {
	got, err := koinon(t, "tunnel", "--help")
	if err != nil {
		t.Fatal(err)
	}
	got, _, _ = strings.Cut(got, "\nLogging flags:") // the library's
	golden := filepath.Join("testdata", "tunnel-help.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("go test ./cmd/koinon/app -update writes the golden file (-want +got):\n%s", diff)
	}
}

func TestATunnelAloneSaysWhatItNeeds(t *testing.T) {
	const some = "--kubeconfig=x --advertise-address=koinon.example "
	for args, want := range map[string]string{
		"":                                  "one of --kubeconfig and --in-cluster is needed",
		"--kubeconfig=x --in-cluster":       "one of --kubeconfig and --in-cluster is needed",
		"--kubeconfig=x":                    "--advertise-address is needed",
		some + "--port=70000":               "--port is 70000: it must be between 0 and 65535",
		some + "--advertise-address=a_b":    `--advertise-address is "a_b": it must be HOST or HOST:PORT`,
		some + "--peer-address=10.0.0.1":    `--peer-address is "10.0.0.1": it must be HOST:PORT`,
		some + "--tls-cert-file=x":          "--tls-cert-file, --tls-private-key-file and --tls-ca-file are given all three, or none",
		some + "--status-address=8080":      `--status-address is "8080": it must be HOST:PORT`,
		some + "--drain-timeout=-1s":        "--drain-timeout is -1s: it must not be negative",
		some + "--kubeconfig=" + "no/such/": "--kubeconfig no/such/ cannot be used",
	} {
		if _, err := koinon(t, append([]string{"tunnel"}, strings.Fields(args)...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", args, err, want)
		}
	}
}

func TestOtherServersFindATunnelByAnAddressOfTheMachine(t *testing.T) {
	listener, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Skip(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	if got, want := ownAddress(listener, net.IPv4(192, 0, 2, 7)), "192.0.2.7:"+port; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	host, got, err := net.SplitHostPort(ownAddress(listener, nil))
	if ip := net.ParseIP(host); err != nil || got != port || ip == nil || ip.IsUnspecified() {
		t.Errorf("got %s:%s", host, got)
	}
}
