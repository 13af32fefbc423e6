package app

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

func TestTheURLOfCellEndpointsIsChecked(t *testing.T) {
	for url, good := range map[string]bool{
		"": true, "https://koinon.example": true, "https://koinon.example:6443/": true, "https://lb/koinon": true,
		"koinon.example:6443": false, "http://koinon.example": false, "https://me:secret@koinon.example": false, "https://koinon.example?a=b": false, "https://": false, "https://a b": false,
	} {
		err := checkEndpointURL(url)
		if (err == nil) != good || err != nil && (strings.Contains(err.Error(), "secret") || !strings.HasPrefix(err.Error(), "--cell-endpoint-url ")) {
			t.Errorf("%q: got %v", url, err)
		}
	}
}

func TestWhereTheEndpointsOfCellsAre(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	port := listener.Addr().String()[len("127.0.0.1"):]
	authority := filepath.Join(t.TempDir(), "ca.crt")
	other := filepath.Join(t.TempDir(), "other.crt")
	for path, content := range map[string]string{authority: "own", other: "other"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		args     []string
		host     *rest.Config
		url, pem string
	}{
		"alone":                             {nil, nil, "https://127.0.0.1" + port, "own"},
		"alone, with a name":                {[]string{"--external-hostname=koinon.example"}, nil, "https://koinon.example" + port, "own"},
		"alone, behind a balancer":          {[]string{"--cell-endpoint-url=https://lb.example/", "--cell-endpoint-ca-file=" + other}, nil, "https://lb.example", "other"},
		"behind a host":                     {nil, &rest.Config{Host: "https://10.96.0.1:443", TLSClientConfig: rest.TLSClientConfig{CAFile: authority}}, "https://10.96.0.1:443", "own"},
		"behind a host with a path":         {nil, &rest.Config{Host: "https://rancher/k8s/clusters/c-1/", TLSClientConfig: rest.TLSClientConfig{CAData: []byte("host's")}}, "https://rancher/k8s/clusters/c-1", "host's"},
		"behind a host of known authority":  {nil, &rest.Config{Host: "https://host"}, "https://host", ""},
		"behind a host, from the outside":   {[]string{"--cell-endpoint-url=https://outside.example"}, &rest.Config{Host: "https://10.96.0.1:443", TLSClientConfig: rest.TLSClientConfig{CAData: []byte("host's")}}, "https://outside.example", "host's"},
		"behind a host, with its authority": {[]string{"--cell-endpoint-ca-file=" + other}, &rest.Config{Host: "https://host"}, "https://host", "other"},
	} {
		t.Run(name, func(t *testing.T) {
			o := NewServerOptions()
			sets := o.Flags()
			all := sets.FlagSet("server")
			for _, set := range sets.FlagSets {
				all.AddFlagSet(set)
			}
			if err := all.Parse(test.args); err != nil {
				t.Fatal(err)
			}
			if err := o.Complete(func(string) string { return "" }); err != nil {
				t.Fatal(err)
			}
			endpoint := o.ownEndpoint(listener, authority)
			if test.host != nil {
				if endpoint, err = o.hostEndpoint(test.host); err != nil {
					t.Fatal(err)
				}
			}
			pem, err := endpoint.Authority()
			if err != nil || endpoint.URL != test.url || string(pem) != test.pem {
				t.Errorf("got %s with %q, %v; want %s with %q", endpoint.URL, pem, err, test.url, test.pem)
			}
		})
	}
}
