package agent

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/koinon-io/koinon/pkg/tunnel"
)

// FuzzNews has a server tell an agent random things: it keeps links to no more places than there may be, and forgets what is not told
// any more.
func FuzzNews(f *testing.F) {
	f.Add([]byte(`{"replicas":[{"id":"a","address":"192.0.2.1:443"},{"id":"b"}]}`))
	f.Add([]byte(`{"replicas":[{"id":"","address":":"},{"id":"a","address":"x"},{"id":"a","address":"[::1]:1"}]}`))
	f.Add([]byte(`{"replicas":null}`))
	f.Add([]byte(`{"replicas":[` + strings.Repeat(`{},`, 100) + `{}]}`))
	policy, err := NewPolicy(nil, "127.0.0.1:1")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := New(Config{Servers: []string{"127.0.0.1:1"}, Policy: policy, TLS: func() (*tls.Config, error) { return nil, errors.New("nothing is dialed here") }})
		if err != nil {
			t.Fatal(err)
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		var all sync.WaitGroup
		defer all.Wait()
		c := &connected{id: "a", leaves: make(chan struct{})}
		a.links[c.id] = c
		a.hear(c, text)
		a.keep(over, &all, a.replicas())
		kept := 0
		for address, keepers := range a.keepers {
			if _, _, err := net.SplitHostPort(address); err != nil && len(keepers) > 0 {
				t.Errorf("%q is dialed", address)
			}
			kept += len(keepers)
		}
		if kept > maxReplicas+len(a.config.Servers) {
			t.Errorf("%d links are kept: %d may be", kept, maxReplicas+len(a.config.Servers))
		}
		a.hear(c, []byte(`{"replicas":[]}`))
		a.keep(over, &all, a.replicas())
		for address, keepers := range a.keepers {
			if address != a.config.Servers[0] && len(keepers) > 0 {
				t.Errorf("%q is dialed, and not told of any more", address)
			}
		}
	})
}

// FuzzRequest asks an agent for random targets: it dials what its policy names, and nothing else.
func FuzzRequest(f *testing.F) {
	for _, text := range []string{
		`{"network":"tcp","address":"kubelet"}`, `{"network":"tcp","address":"10.1.2.3:443"}`, `{"network":"tcp","address":"API.example.org:6443","timeoutMillis":-1}`,
		`{"network":"tcp","address":"[::ffff:10.1.2.3]:443"}`, `{"network":"udp","address":"10.1.2.3:443"}`, `{"network":"tcp","address":"api.example.org.:6443"}`, `{"address":5}`, `[`,
	} {
		f.Add([]byte(text))
	}
	policy, err := NewPolicy(map[string]string{tunnel.Kubelet: "127.0.0.1:10250"}, "10.0.0.0/8:443", "api.example.org:6443")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var request tunnel.Request
		if json.Unmarshal(text, &request) != nil {
			return
		}
		dial, may, err := policy.decide(request.Network, request.Address)
		if err != nil {
			return
		}
		host, port, err := net.SplitHostPort(dial)
		switch {
		case request.Network != "tcp" || err != nil || may == nil:
			t.Errorf("%+v is dialed as %q", request, dial)
		case request.Address == tunnel.Kubelet && dial == "127.0.0.1:10250":
		case strings.EqualFold(host, "api.example.org") && strings.Trim(port, "0") == "6443":
		case strings.HasSuffix(strings.TrimLeft(port, "0+"), "443") && net.ParseIP(host) != nil && net.ParseIP(host).To4() != nil && net.ParseIP(host).To4()[0] == 10:
		case strings.HasSuffix(strings.TrimLeft(port, "0+"), "443") && net.ParseIP(host) == nil: // a name, of which the address is judged
		default:
			t.Errorf("%+v is dialed as %q", request, dial)
		}
	})
}
