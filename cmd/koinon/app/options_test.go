package app

import (
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	tunnels "github.com/koinon-io/koinon/pkg/tunnel"
)

func TestTheWebhookRunsOnlyWhereItIsNamed(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want []string
	}{
		"by default":           {nil, []string{componentAPIServer, componentControllers}},
		"all":                  {[]string{"--components=all"}, []string{componentAPIServer, componentControllers}},
		"all, and the webhook": {[]string{"--components=all,webhook"}, []string{componentAPIServer, componentControllers, componentWebhook}},
		"the webhook alone":    {[]string{"--components=webhook"}, []string{componentWebhook}},
	} {
		t.Run(name, func(t *testing.T) {
			options := NewServerOptions()
			if err := parse(options, test.args...); err != nil {
				t.Fatal(err)
			}
			for _, component := range components {
				if got, want := options.runs(component), slices.Contains(test.want, component); got != want {
					t.Errorf("%s: got %t, want %t", component, got, want)
				}
			}
			api := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
			served := withWebhook(options.newWebhook(), api)
			for _, path := range []string{"/convert", "/validate", "/mutate"} {
				answer := httptest.NewRecorder()
				served.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader("{}")))
				if got, want := answer.Code == http.StatusUnauthorized, !slices.Contains(test.want, componentWebhook); got != want {
					t.Errorf("POST %s: got %d; left to the API server: want %t", path, answer.Code, want)
				}
			}
		})
	}
}

// parse sets options as the command line does.
func parse(options *ServerOptions, args ...string) error {
	flags := options.Flags()
	return flags.FlagSet("server").Parse(args)
}

func TestTheNamespaceOfClusterProfilesIsChecked(t *testing.T) {
	for namespace, good := range map[string]bool{"": true, "kueue-system": true, "Kueue": false, "kueue.system": false} {
		o := NewServerOptions()
		if err := parse(o, "--cluster-profile-namespace="+namespace); err != nil {
			t.Fatal(err)
		}
		err := o.Validate()
		if said := err != nil && strings.Contains(err.Error(), `--cluster-profile-namespace is "`+namespace+`": `); said == good {
			t.Errorf("%q: got %v", namespace, err)
		}
	}
}

func TestHostControllersRunWithoutPropagation(t *testing.T) {
	for component, want := range map[string]struct{ host, propagation bool }{
		"all":             {true, true},
		"controllers":     {true, true},
		"hostcontrollers": {true, false},
		"apiserver":       {false, false},
	} {
		o := NewServerOptions()
		o.Components = []string{component}
		if got := o.runsHostControllers(); got != want.host {
			t.Errorf("--components=%s: host controllers run: %v, want %v", component, got, want.host)
		}
		if got := o.runs(componentControllers); got != want.propagation {
			t.Errorf("--components=%s: propagation runs: %v, want %v", component, got, want.propagation)
		}
	}
}

func TestAutonomyNeedsAClusterThatHasNodes(t *testing.T) {
	for host, want := range map[string]bool{"": true, "kubeconfig": false} {
		o := NewServerOptions()
		o.Components, o.HostKubeconfig = []string{componentAutonomy}, host
		if err := o.Validate(); (err != nil && strings.Contains(err.Error(), "which cluster has the nodes")) != want {
			t.Errorf("with --host-kubeconfig=%s: %v", host, err)
		}
	}
}

func TestTheHostAsksOnlyAsLongAsNobodySwitchesItOff(t *testing.T) {
	for arg, want := range map[string][]string{
		"":                          {v1alpha1.TenantLabel, v1alpha1.WorkspaceGroupLabel},
		"--namespace-webhook=false": nil,
	} {
		o := NewServerOptions()
		flags := o.Flags()
		if err := flags.FlagSet("aggregated mode").Parse(strings.Fields(arg)); err != nil {
			t.Fatal(err)
		}
		if got := o.askedLabels(); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", arg, got, want)
		}
	}
}

func TestTheTunnelsFlagsAreChecked(t *testing.T) {
	for args, want := range map[string]string{
		"--components=all,tunnel": "",
		"--components=all,tunnel --tunnel-advertise-address=koinon.example,10.0.0.1:443,[::1]:6445": "",
		"--components=tunnel": "--components has the tunnel without the apiserver",
		"--components=all,tunnel --tunnel-peer-address=10.0.0.1:6445":     "",
		"--components=all,tunnel --tunnel-agents=false":                   "",
		"--tunnel-agents=false --tunnel-advertise-address=koinon.example": "--tunnel-advertise-address is given with --tunnel-agents=false",
		"--tunnel-peer-address=10.0.0.1":                                  `--tunnel-peer-address is "10.0.0.1": it must be HOST:PORT`,
		"--tunnel-port=70000":                                             "--tunnel-port is 70000: it must be between 0 and 65535",
		"--tunnel-advertise-address=https://koinon.example":               `--tunnel-advertise-address is "https://koinon.example": it must be HOST or HOST:PORT`,
		"--tunnel-advertise-address=koinon.example:0":                     `--tunnel-advertise-address is "koinon.example:0": it must be HOST or HOST:PORT`,
		"--tunnel-advertise-address=a_b":                                  `--tunnel-advertise-address is "a_b": it must be HOST or HOST:PORT`,
	} {
		o := NewServerOptions()
		all := pflag.NewFlagSet("", pflag.ContinueOnError)
		for _, set := range o.Flags().FlagSets {
			all.AddFlagSet(set)
		}
		if err := all.Parse(strings.Fields(args)); err != nil {
			t.Fatal(err)
		}
		if err := o.checkTunnel(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", args, err, want)
		}
	}
}

func TestAgentsFindTheTunnelByNamesOfTheCertificate(t *testing.T) {
	o := NewServerOptions()
	o.Components, o.TunnelBindAddress, o.TunnelPort = []string{"all", componentTunnel}, net.IPv4(127, 0, 0, 1), 0
	o.TunnelAdvertiseAddresses = []string{"koinon.example", "2001:db8::1", "10.0.0.1:443"}
	tunnel, err := o.openTunnel()
	if err != nil {
		t.Fatal(err)
	}
	defer tunnel.close()
	_, port, _ := net.SplitHostPort(tunnel.listener.Addr().String())
	if got, want := strings.Join(tunnel.addresses(), " "), "koinon.example:"+port+" [2001:db8::1]:"+port+" 10.0.0.1:443"; got != want {
		t.Errorf("addresses: got %s, want %s", got, want)
	}
	if got, want := tunnel.peerAddress(), "127.0.0.1:"+port; got != want {
		t.Errorf("other servers find it at %s, and not %s", got, want)
	}
	if _, err := tunnels.ServerURI(tunnel.id); err != nil {
		t.Error(err)
	}
	if got, want := strings.Join(o.tunnelHosts(), " "), "koinon.example 2001:db8::1 10.0.0.1"; got != want {
		t.Errorf("hosts: got %s, want %s", got, want)
	}
}
