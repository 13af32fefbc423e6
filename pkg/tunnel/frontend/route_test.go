package frontend

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/koinon-io/koinon/pkg/tunnel"
)

// knows is a policy that knows names, and allows all of them.
type knows []tunnel.Name

func (knows) Client(*x509.Certificate) (Client, error)                 { return Client{}, nil }
func (knows) Allow(context.Context, Client, tunnel.Name, string) error { return nil }
func (k knows) Known(name tunnel.Name) bool                            { return slices.Contains(k, name) }
func cluster(name string) tunnel.Name                                  { return tunnel.Name{Cluster: name} }
func node(cluster, name string) tunnel.Name                            { return tunnel.Name{Cluster: cluster, Node: name} }
func within(name tunnel.Name, target string) Request {
	return Request{Client: Client{Within: name}, Target: target}
}
func asking(name tunnel.Name, target string) Request { return Request{Asked: name, Target: target} }
func both(fixed, asked tunnel.Name, target string) (r Request) {
	r = within(fixed, target)
	r.Asked = asked
	return r
}

// aimed is where a request leads whose client may reach everything.
func (f *Frontend) aimed(r Request) (aim, error) {
	to, node, err := f.route(r)
	if node != (aim{}) && f.config.Policy.Known(node.name) {
		to = node
	}
	return to, err
}

func TestWhoseAgentIsAskedForWhat(t *testing.T) {
	f := &Frontend{suffix: ".tunnel.test", config: Config{Policy: knows{cluster("m1"), node("m1", "n1"), node("m1", "n1.example.com"), node("m2", "kubelet")}}}
	all := tunnel.Name{}
	for what, test := range map[string]struct {
		request Request
		name    tunnel.Name
		address string
		status  int // of the refusal, 0 if there is none
	}{
		"an address goes to the agent of the door's cluster": {within(cluster("m1"), "10.0.0.1:443"), cluster("m1"), "10.0.0.1:443", 0},
		"so does one of IPv6":                                {within(cluster("m1"), "[2001:DB8::1]:443"), cluster("m1"), "[2001:db8::1]:443", 0},
		"an IPv4 address in one of IPv6 is that":             {within(cluster("m1"), "[::ffff:10.0.0.1]:443"), cluster("m1"), "10.0.0.1:443", 0},
		"so does a host":                                     {within(cluster("m1"), "Web.Shop.svc:80"), cluster("m1"), "web.shop.svc:80", 0},
		"a header narrows a door for all":                    {asking(cluster("m1"), "10.0.0.1:443"), cluster("m1"), "10.0.0.1:443", 0},
		"a header narrows a door for a cluster":              {both(cluster("m1"), node("", "n7"), "127.0.0.1:9100"), node("m1", "n7"), "127.0.0.1:9100", 0},
		"a header does not lead elsewhere":                   {both(cluster("m1"), cluster("m2"), "10.0.0.1:443"), all, "", 403},
		"nor to another node":                                {both(node("m1", "n1"), node("m1", "n2"), "10.0.0.1:443"), all, "", 403},
		"a door for a node is not for its cluster's header":  {both(node("m1", "n1"), cluster("m1"), "10.0.0.1:443"), node("m1", "n1"), "10.0.0.1:443", 0},
		"nothing says which cluster":                         {asking(all, "10.0.0.1:443"), all, "", 400},
		"a node without a cluster":                           {asking(node("", "n1"), "10.0.0.1:443"), all, "", 400},
		"a header is no name":                                {asking(cluster("../m1"), "10.0.0.1:443"), all, "", 400},

		"a node that is known goes to its own agent":  {within(cluster("m1"), "n1:10250"), node("m1", "n1"), "kubelet", 0},
		"whatever case it is in":                      {within(cluster("m1"), "N1:10250"), node("m1", "n1"), "kubelet", 0},
		"and with another port":                       {within(cluster("m1"), "n1:9100"), node("m1", "n1"), "127.0.0.1:9100", 0},
		"and with dots":                               {within(cluster("m1"), "n1.example.com:10250"), node("m1", "n1.example.com"), "kubelet", 0},
		"a node of another cluster does not":          {within(cluster("m2"), "n1:10250"), cluster("m2"), "n1:10250", 0},
		"the node of the door":                        {within(node("m9", "n9"), "n9:10250"), node("m9", "n9"), "kubelet", 0},
		"a word, although a node has that name":       {within(cluster("m2"), "kubelet:10250"), cluster("m2"), "kubelet", 0},
		"a node whose name is a word, if it is fixed": {within(node("m2", "kubelet"), "kubelet:10250"), node("m2", "kubelet"), "kubelet", 0},
		"a word":                                        {within(node("m1", "n1"), "kubelet:10250"), node("m1", "n1"), "kubelet", 0},
		"a word with another port is a host":            {within(cluster("m1"), "kubelet:80"), cluster("m1"), "kubelet:80", 0},
		"the API server by its word":                    {within(cluster("m1"), "apiserver:443"), cluster("m1"), "apiserver", 0},
		"the API server by the name in its certificate": {within(cluster("m1"), "kubernetes.default.svc:443"), cluster("m1"), "apiserver", 0},
		"and the long one":                              {within(cluster("m1"), "kubernetes.default.svc.cluster.local:443"), cluster("m1"), "apiserver", 0},
		"the same with another port is a host":          {within(cluster("m1"), "kubernetes.default.svc:8443"), cluster("m1"), "kubernetes.default.svc:8443", 0},

		"a host names its cluster":                          {asking(all, "m1.tunnel.test:443"), cluster("m1"), "apiserver", 0},
		"and its node":                                      {asking(all, "n1.m1.tunnel.test:10250"), node("m1", "n1"), "kubelet", 0},
		"which may have dots":                               {asking(all, "n1.example.com.m1.tunnel.test:10250"), node("m1", "n1.example.com"), "kubelet", 0},
		"it need not be known here":                         {asking(all, "n8.m8.tunnel.test:9100"), node("m8", "n8"), "127.0.0.1:9100", 0},
		"a cluster with dots, if the door fixes it":         {within(cluster("m1.eu"), "m1.eu.tunnel.test:6443"), cluster("m1.eu"), "apiserver", 0},
		"and a node of that":                                {within(cluster("m1.eu"), "n1.m1.eu.tunnel.test:10250"), node("m1.eu", "n1"), "kubelet", 0},
		"it does not lead elsewhere":                        {within(cluster("m1"), "m2.tunnel.test:443"), all, "", 403},
		"nor where a name ends like another":                {within(cluster("m1"), "xm1.tunnel.test:443"), all, "", 403},
		"nor to a node that is not the door's":              {within(node("m1", "n1"), "n2.m1.tunnel.test:10250"), all, "", 403},
		"nor from a node to its cluster":                    {within(node("m1", "n1"), "m1.tunnel.test:443"), all, "", 403},
		"nor against a header":                              {asking(cluster("m1"), "m2.tunnel.test:443"), all, "", 403},
		"the suffix alone is no cluster":                    {within(cluster("m1"), "tunnel.test:443"), cluster("m1"), "tunnel.test:443", 0},
		"an API server has no other ports":                  {asking(all, "m1.tunnel.test:22"), all, "", 400},
		"what ends like the suffix without a dot is a host": {within(cluster("m1"), "m1xtunnel.test:443"), cluster("m1"), "m1xtunnel.test:443", 0},
	} {
		t.Run(what, func(t *testing.T) {
			to, err := f.aimed(test.request)
			if test.status != 0 {
				var refused *Error
				if !errors.As(err, &refused) || refused.Status != test.status {
					t.Fatalf("%+v: got %v", test.request, err)
				}
				return
			}
			if want := (aim{test.name, test.address}); err != nil || to != want {
				t.Errorf("%+v: got %+v: %v", test.request, to, err)
			}
		})
	}
}

func TestTargetsAreHostAndPortAndNothingElse(t *testing.T) {
	for _, target := range []string{
		"", ":443", "host", "host:", "host:0", "host:65536", "host:-1", "host:+1", "host:080", "host:http", "host:443/", "host:443?x", "http://host:443", "/host:443",
		"user@host:443", "host..:443", ".host:443", "host.:443", "a..b:443", "ho st:443", "hö:443", "host%2e:443", "ho\x00st:443", "*:443", "-a:443", "a_b:443",
		"::1:443", "[::1]", "[::1]443", "[fe80::1%eth0]:443", "[10.0.0.1]:443", "[host]:443", "127.1:443", "0x7f000001:443", "2130706433:443", "1.2.3.4.5:443", "host:443:443",
		strings.Repeat("a", 300) + ":443", "m1.tunnel.test.:443", "..:443", "../m1:443",
	} {
		_, _, err := splitTarget(target)
		var refused *Error
		if !errors.As(err, &refused) || refused.Status != http.StatusBadRequest {
			t.Errorf("%q: %v", target, err)
		}
	}
}
