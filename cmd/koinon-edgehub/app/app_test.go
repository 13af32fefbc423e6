package app

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

var update = flag.Bool("update", false, "write the golden files")

func TestHelp(t *testing.T) {
	for file, args := range map[string][]string{
		"help.txt": {"--help"}, "help-run.txt": {"run", "--help"}, "help-status.txt": {"status", "--help"}, "help-kubeconfig.txt": {"kubeconfig", "--help"},
		"help-install.txt": {"install", "--help"}, "help-uninstall.txt": {"uninstall", "--help"},
	} {
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
	// Nothing of this comes so far that it serves, or asks somebody.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	t.Setenv("PATH", "/nowhere")
	for line, want := range map[string]string{
		"run":                                                                     "--server URL is required: where the API server is",
		"run --server k,x":                                                        `--server "k,x": the priority "x" is no number from 0 on`,
		"run --server k,-1":                                                       `--server "k,-1": the priority "-1" is no number from 0 on`,
		"run --server k --node=":                                                  "--node NAME is required: this machine has no name",
		"run --server k --state-dir=":                                             "--state-dir: a directory is needed",
		"run --server k --local-address x":                                        `--local-address "x": an address of loopback and a port are needed, such as 127.0.0.1:10261`,
		"run --server k --local-address 10.0.0.1:1":                               `--local-address "10.0.0.1:1": an address of loopback and a port are needed, such as 127.0.0.1:10261`,
		"run --server k --local-address localhost:1":                              `--local-address "localhost:1": an address of loopback and a port are needed, such as 127.0.0.1:10261`,
		"run --server k --status-address :1":                                      `--status-address ":1": an address of loopback and a port are needed, such as 127.0.0.1:10267`,
		"run --server k --pod-address 169.254.1.1":                                `--pod-address "169.254.1.1": an address and a port are needed, such as 169.254.77.1:6443`,
		"run --server k --pod-address 169.254.1.1:0":                              `--pod-address "169.254.1.1:0": an address and a port are needed, such as 169.254.77.1:6443`,
		"run --server k --pod-address 0.0.0.0:6443":                               `--pod-address "0.0.0.0:6443": one address is needed, which pods can be told`,
		"run --server k --tunnel-ca-file f":                                       "--tunnel-server HOST:PORT is required with other flags of the tunnel",
		"run --server k --tunnel-server https://t":                                `--tunnel-server "https://t": HOST:PORT is needed, without a scheme or a path`,
		"run --server k --tunnel-server t:1 --tunnel-kubelet":                     "flag needs an argument: --tunnel-kubelet",
		"run --server k --tunnel-server t:1 --tunnel-ca-pin md5:00":               `--tunnel-ca-pin: "md5:00" is no pin of an authority: sha256: and 64 hexadecimal digits are needed`,
		"run --server k --tunnel-server t:1 --tunnel-ca-file f --tunnel-ca-pin x": "--tunnel-ca-file and --tunnel-ca-pin say the same in two ways: one of them is allowed",
		"run --server k --tunnel-server t:1 --tunnel-transport quic":              `--tunnel-transport: "quic" is no way to a server: auto, direct and websocket are allowed`,
		"run --server k --tunnel-server t:1 --tunnel-allow 10.0.0.0/8":            `--tunnel-allow: target "10.0.0.0/8": HOST:PORT is needed; PORT may be FROM-TO or *`,
		"run x":                                      `"x" is too much: koinon-edgehub run takes flags only`,
		"run --sever k":                              "unknown flag: --sever",
		"status x":                                   `"x" is too much: koinon-edgehub status takes flags only`,
		"status -o yaml":                             `--output "yaml": json is allowed`,
		"status --status-address 10267":              `--status-address "10267": an address of loopback and a port are needed, such as 127.0.0.1:10267`,
		"kubeconfig x":                               `"x" is too much: koinon-edgehub kubeconfig takes flags only`,
		"kubeconfig --node=":                         "--node NAME is required: this machine has no name",
		"kubeconfig --state-dir=":                    "--state-dir: a directory is needed",
		"kubeconfig --local-address x":               `--local-address "x": an address of loopback and a port are needed, such as 127.0.0.1:10261`,
		"kubeconfig --local-address 127.0.0.1:0":     `--local-address "127.0.0.1:0": a port is needed by which others find it`,
		"install x":                                  `"x" is too much: koinon-edgehub install takes flags only`,
		"install --timeout 0s":                       "--timeout 0s: more than 0s is needed",
		"install --timeout soon":                     `invalid argument "soon" for "--timeout" flag: time: invalid duration "soon"`,
		"install --bin-dir bin":                      `--bin-dir "bin": an absolute path is needed`,
		"install --ca-file=":                         "--ca-file: a path is needed",
		"install --state-dir=":                       "--state-dir: a path is needed",
		"install --local-address 127.0.0.1:0":        `--local-address "127.0.0.1:0": a port is needed by which others find it`,
		"install --status-address 10.0.0.1:1":        `--status-address "10.0.0.1:1": an address of loopback and a port are needed, such as 127.0.0.1:10267`,
		"install --server k,x":                       `--server "k,x": the priority "x" is no number from 0 on`,
		"install --server k --tunnel-server https:/": `--tunnel-server "https:/": HOST:PORT is needed, without a scheme or a path`,
		"uninstall x":                                `"x" is too much: koinon-edgehub uninstall takes flags only`,
		"uninstall --unit-dir=":                      `--unit-dir "": an absolute path is needed`,
		"uninstall --state-dir=":                     "--state-dir: a path is needed",
		"uninstall --server k":                       "unknown flag: --server",
		"instal":                                     `"instal" is no command of koinon-edgehub: did you mean install? See koinon-edgehub --help`,
	} {
		cmd := NewCommand()
		cmd.SetArgs(strings.Fields(line))
		cmd.SetOut(&bytes.Buffer{})
		if err := cmd.ExecuteContext(ctx); err == nil || err.Error() != want {
			t.Errorf("koinon-edgehub %s: got %v, want %q", line, err, want)
		}
	}
}

func TestInstallingSaysInTheServiceWhatWasSaidAndNoMore(t *testing.T) {
	t.Chdir("/tmp")
	options := NewInstallOptions()
	options.addInstallFlags(pflag.NewFlagSet("", pflag.ContinueOnError))
	if err := options.hubFlags.Parse([]string{"--server=https://a:1", "--server", "https://b:1,1", "--ca-file=ca.pem", "--adopt", "a", "--adopt=/b", "--tunnel-allow=h:1,h:2", "-v4"}); err != nil {
		t.Fatal(err)
	}
	if err := options.absolute(); err != nil {
		t.Fatal(err)
	}
	want := []string{"--server=https://a:1", "--server=https://b:1,1", "--ca-file=/tmp/ca.pem", "--adopt=/tmp/a", "--adopt=/b", "--tunnel-allow=h:1", "--tunnel-allow=h:2", "--v=4"}
	got := said(options.hubFlags)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	again := NewInstallOptions()
	again.addInstallFlags(pflag.NewFlagSet("", pflag.ContinueOnError))
	if err := again.hubFlags.Parse(got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(options.Hub, again.Hub); diff != "" {
		t.Errorf("the service would be another one (-want +got):\n%s", diff)
	}
}

func TestWhatKubeletNeedsIsKnownOnceItsPodsAndAllThatIsAskedForAre(t *testing.T) {
	pods := ViewReport{Name: view.Key{Version: "v1", Resource: "pods", Fields: "spec.nodeName=n1"}.String(), Filled: true, Complete: true}
	for what, test := range map[string]struct {
		views []ViewReport
		want  string
	}{
		"nothing":                       {nil, pods.Name},
		"pods that are not there yet":   {[]ViewReport{{Name: pods.Name, Filled: true}}, pods.Name},
		"pods":                          {[]ViewReport{pods}, ""},
		"a Secret that is to come":      {[]ViewReport{pods, {Name: "secret", Filled: true}}, "secret"},
		"a Secret that nobody wants":    {[]ViewReport{{Name: "secret"}, pods}, ""},
		"something that may not be had": {[]ViewReport{pods, {Name: "units", Filled: true, Problem: "forbidden"}}, ""},
	} {
		if got := (&Report{Node: "n1", Views: test.views}).unknown(); got != test.want {
			t.Errorf("%s: got %q, want %q", what, got, test.want)
		}
	}
}
