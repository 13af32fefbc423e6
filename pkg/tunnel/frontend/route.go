package frontend

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/koinon-io/koinon/pkg/tunnel"
)

// Client is who asks.
type Client struct {
	// Tenant is whom limits and logs count it for. It is not empty.
	Tenant string
	// Within is what is fixed of the names that it may ask for: nothing, a cluster, or a node of one. Policy.Allow
	// decides about what is left.
	Within tunnel.Name
	// User is what the policy knows of who has the certificate; nil for the clients of a Unix socket. It is for the policy alone.
	User any
}

// Policy says who may reach what. It is asked often, and should know most answers.
type Policy interface {
	// Client returns who has a certificate, which was verified. The error says why nobody with it is served.
	Client(certificate *x509.Certificate) (Client, error)
	// Allow returns why a client may not connect to an address of a name, nil if it may. ctx is that of the dial. An *Error is the answer as it is: who
	// cannot be asked has not refused.
	Allow(ctx context.Context, client Client, name tunnel.Name, address string) error
	// Known reports whether there is such a cluster, with an agent or without, or such a node: one that has no agent is known if there was one of late, or not at all.
	Known(name tunnel.Name) bool
}

// Headers of a request, for clients that can send some.
const (
	HeaderCluster = "Koinon-Cluster"
	HeaderNode    = "Koinon-Node"
)

// Request is what a client wants.
type Request struct {
	Client Client
	// Target is HOST:PORT.
	Target string
	// Asked is the name that its headers say.
	Asked tunnel.Name
}

func badRequest(format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Text: fmt.Sprintf(format, args...)}
}

func forbidden(format string, args ...any) *Error {
	return &Error{Status: http.StatusForbidden, Text: fmt.Sprintf(format, args...)}
}

// narrow returns what is fixed together with what is asked for; ok is false if they contradict each other.
func narrow(fixed, asked tunnel.Name) (both tunnel.Name, ok bool) {
	if asked.Cluster == "" {
		asked.Cluster = fixed.Cluster
	}
	if asked.Node == "" {
		asked.Node = fixed.Node
	}
	ok = (fixed.Cluster == "" || fixed.Cluster == asked.Cluster) && (fixed.Node == "" || fixed.Node == asked.Node)
	return asked, ok
}

// described is a part of a name as a person reads it.
func described(name tunnel.Name) string {
	if name.Cluster == "" {
		return "no cluster"
	}
	return name.String()
}

// aim is whose agent is asked, and for what.
type aim struct {
	name    tunnel.Name
	address string
}

// route returns where a request leads: see the package comment. node is not zero if the host may be the name of a node, and is where it leads if that
// has an agent. Whether it has must not be known by then: what a client needs is decided by what it asks for.
func (f *Frontend) route(r Request) (to, node aim, err error) {
	host, port, err := splitTarget(r.Target)
	if err != nil {
		return to, node, err
	}
	name, ok := narrow(r.Client.Within, r.Asked)
	to.name = name
	if !ok {
		return to, node, forbidden("%s is asked for, and %s is all that may be reached in this way", described(r.Asked), described(r.Client.Within))
	}
	if f.suffix != "" && strings.HasSuffix(host, f.suffix) {
		to, err = bySuffix(name, host, strings.TrimSuffix(host, f.suffix), port)
		return to, node, err
	}
	if name.Cluster == "" {
		return to, node, badRequest("nothing says which cluster %s is in: a header %s or a host of that cluster would", r.Target, HeaderCluster)
	}
	if err := name.Validate(); err != nil {
		return to, node, badRequest("%s", err)
	}
	to, node = byHost(name, host, port)
	return to, node, nil
}

// bySuffix is the route to a host that names cluster and node; rest is what it is without the suffix.
func bySuffix(fixed tunnel.Name, host, rest string, port uint16) (to aim, err error) {
	name := tunnel.Name{Cluster: rest[strings.LastIndexByte(rest, '.')+1:]}
	if fixed.Cluster != "" {
		if rest != fixed.Cluster && !strings.HasSuffix(rest, "."+fixed.Cluster) {
			return aim{name: name}, forbidden("%s is not in %s, and that is all that may be reached in this way", host, tunnel.Name{Cluster: fixed.Cluster})
		}
		name.Cluster = fixed.Cluster
	}
	name.Node = strings.TrimSuffix(strings.TrimSuffix(rest, name.Cluster), ".")
	if fixed.Node != "" && fixed.Node != name.Node {
		return aim{name: name}, forbidden("%s is not %s, and that is all that may be reached in this way", host, fixed)
	}
	if err := name.Validate(); err != nil {
		return aim{name: name}, badRequest("the host %s: %s", host, err)
	}
	if name.Node != "" {
		return atNode(name, port), nil
	}
	if port != 443 && port != 6443 {
		return aim{name: name}, badRequest("%s is the API server of %s, which has the ports 443 and 6443, and not %d", host, name, port)
	}
	return aim{name, tunnel.APIServer}, nil
}

// byHost is the route to a host of a cluster or node.
func byHost(name tunnel.Name, host string, port uint16) (to, node aim) {
	to = aim{name, net.JoinHostPort(host, strconv.Itoa(int(port)))}
	if _, err := netip.ParseAddr(host); err == nil {
		return to, node
	}
	switch {
	case host == name.Node:
		return atNode(name, port), node
	case host == tunnel.Kubelet && port == kubeletPort:
		return aim{name, tunnel.Kubelet}, node
	case port == 443 && (host == tunnel.APIServer || host == "kubernetes.default.svc" || host == "kubernetes.default.svc.cluster.local"):
		return aim{name, tunnel.APIServer}, node
	case name.Node == "":
		return to, atNode(tunnel.Name{Cluster: name.Cluster, Node: host}, port)
	}
	return to, node
}

const kubeletPort = 10250

// atNode is what is dialed at a node's own agent.
func atNode(name tunnel.Name, port uint16) aim {
	if port == kubeletPort {
		return aim{name, tunnel.Kubelet}
	}
	return aim{name, net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port)))}
}

// splitTarget takes HOST:PORT apart, and nothing else.
func splitTarget(target string) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(target)
	if err != nil || host == "" {
		return "", 0, badRequest("the target %q is not HOST:PORT", target)
	}
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil || number == 0 || text[0] == '0' {
		return "", 0, badRequest("the target %q has no port from 1 to 65535", target)
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Zone() != "" || strings.Contains(host, ":") != strings.HasPrefix(target, "[") {
			return "", 0, badRequest("the target %q has no address as it should be: 192.0.2.1 or [2001:db8::1], without a zone", target)
		}
		return addr.Unmap().String(), uint16(number), nil
	}
	host = strings.ToLower(host)
	if strings.HasPrefix(target, "[") || !isHost(host) {
		return "", 0, badRequest("the target %q has no host as it should be: letters, digits, - and . are allowed, at most 253", target)
	}
	return host, uint16(number), nil
}

// isHost reports whether it is a name of DNS that cannot be taken for an address.
func isHost(host string) bool {
	return tunnel.Name{Cluster: host}.Validate() == nil && !likeAddress(host)
}

// likeAddress reports whether some resolvers take a name for an IPv4 address, such as 127.1 or 0x7f000001.
func likeAddress(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	return strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x")
}
