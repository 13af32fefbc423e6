package agent

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/koinon-io/koinon/pkg/tunnel"
)

func TestAPolicyAllowsWhatItNamesAndNothingElse(t *testing.T) {
	policy, err := NewPolicy(map[string]string{tunnel.Kubelet: "127.0.0.1:10250"},
		"10.0.0.0/8:443", "api.example.org:6443", "192.0.2.1:8000-8100", "[2001:db8::1]:443", "db.example.org:*", "127.0.0.1:9100")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		network, address, resolved string
		allowed                    bool
	}{
		{"tcp", "kubelet", "127.0.0.1:10250", true},
		{"tcp", "apiserver", "", false},
		{"udp", "10.1.2.3:443", "10.1.2.3:443", false},
		{"tcp", "10.1.2.3:443", "10.1.2.3:443", true},
		{"tcp", "10.1.2.3:444", "10.1.2.3:444", false},
		{"tcp", "11.1.2.3:443", "11.1.2.3:443", false},
		{"tcp", "[::ffff:10.1.2.3]:443", "[::ffff:10.1.2.3]:443", true},
		{"tcp", "service.example.org:443", "10.1.2.3:443", true},
		{"tcp", "service.example.org:443", "127.0.0.1:443", false},
		{"tcp", "service.example.org:443", "169.254.169.254:443", false},
		{"tcp", "api.example.org:6443", "198.51.100.1:6443", true},
		{"tcp", "API.example.org:6443", "198.51.100.1:6443", true},
		{"tcp", "api.example.org:6443", "127.0.0.1:6443", false},
		{"tcp", "api.example.org:6443", "169.254.169.254:6443", false},
		{"tcp", "api.example.org:6443", "[::1]:6443", false},
		{"tcp", "api.example.org:6443", "[::ffff:127.0.0.1]:6443", false},
		{"tcp", "api.example.org.evil.org:6443", "198.51.100.1:6443", false},
		{"tcp", "192.0.2.1:8050", "192.0.2.1:8050", true},
		{"tcp", "192.0.2.1:8101", "192.0.2.1:8101", false},
		{"tcp", "[2001:db8::1]:443", "[2001:db8::1]:443", true},
		{"tcp", "db.example.org:1", "198.51.100.1:1", true},
		{"tcp", "127.0.0.1:9100", "127.0.0.1:9100", true},
		{"tcp", "localhost:9100", "127.0.0.1:9100", false},
		{"tcp", "127.0.0.1:10250", "127.0.0.1:10250", false},
		{"tcp", "10.1.2.3", "", false},
		{"tcp", "10.1.2.3:0", "", false},
		{"tcp", ":443", "", false},
		{"tcp", "", "", false},
	} {
		_, may, err := policy.decide(test.network, test.address)
		if err == nil {
			err = may(netip.MustParseAddrPort(test.resolved))
		}
		if (err == nil) != test.allowed {
			t.Errorf("%s %s, which is %s: %v", test.network, test.address, test.resolved, err)
		}
	}
}

func TestAPolicyThatIsWrongIsRefusedBeforeAnythingIsDialed(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.1":          "HOST:PORT is needed",
		":443":              "HOST:PORT is needed",
		"10.0.0.1:0":        "is no port",
		"10.0.0.1:70000":    "is no port",
		"10.0.0.1:9-3":      "is no port",
		"10.0.0.1:":         "is no port",
		"10.0.0.0/33:443":   "is no prefix of addresses",
		"example.org/8:443": "is no prefix of addresses",
	} {
		if _, err := NewPolicy(nil, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := NewPolicy(map[string]string{"anything": "127.0.0.1:1"}); err == nil {
		t.Error("any word is taken")
	}
	if _, err := NewPolicy(map[string]string{tunnel.Kubelet: "127.0.0.1"}); err == nil {
		t.Error("an address without a port is taken")
	}
}

func TestANameIsLookedUpByTheAgentAndItsAddressJudged(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	policy, err := NewPolicy(nil, "localhost:"+port)
	if err != nil {
		t.Fatal(err)
	}
	if conn, err := policy.connect(t.Context(), "tcp", "localhost:"+port); err == nil {
		_ = conn.Close()
		t.Error("a name led to loopback, which is not named itself")
	} else if !strings.Contains(err.Error(), "policy does not allow") {
		t.Errorf("got %v", err)
	}
}
