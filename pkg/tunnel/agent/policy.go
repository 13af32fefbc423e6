package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
)

// Policy says what an agent dials. What it does not name is denied. It is not changed after it was made.
type Policy struct {
	// words are addresses, HOST:PORT, of words.
	words map[string]string
	rules []rule
}

// rule allows a host or addresses, and ports.
type rule struct {
	host     string // as it is asked for; empty if there is a prefix
	prefix   netip.Prefix
	from, to uint16
}

// NewPolicy returns a policy. words are what "apiserver" and "kubelet" stand for; allowed are targets
// HOST:PORT, ADDRESS:PORT, PREFIX:PORT such as 10.0.0.0/8:443, where PORT may be FROM-TO or *.
func NewPolicy(words map[string]string, allowed ...string) (*Policy, error) {
	p := &Policy{words: map[string]string{}}
	for word, address := range words {
		if word != tunnel.APIServer && word != tunnel.Kubelet {
			return nil, fmt.Errorf("%q is no word for a target: %s and %s are", word, tunnel.APIServer, tunnel.Kubelet)
		}
		if _, _, err := splitHostPort(address); err != nil {
			return nil, fmt.Errorf("the address of %s: %w", word, err)
		}
		p.words[word] = address
	}
	for _, text := range allowed {
		r, err := parseRule(text)
		if err != nil {
			return nil, err
		}
		p.rules = append(p.rules, r)
	}
	return p, nil
}

// Words are what words stand for, WORD=HOST:PORT, for the log.
func (p *Policy) Words() string {
	var all []string
	for _, word := range slices.Sorted(maps.Keys(p.words)) {
		all = append(all, word+"="+p.words[word])
	}
	return strings.Join(all, " ")
}

func parseRule(text string) (rule, error) {
	at := strings.LastIndexByte(text, ':')
	if at <= 0 {
		return rule{}, fmt.Errorf("target %q: HOST:PORT is needed; PORT may be FROM-TO or *", text)
	}
	r, host := rule{to: 65535}, strings.Trim(text[:at], "[]")
	if ports := text[at+1:]; ports != "*" {
		from, to, isRange := strings.Cut(ports, "-")
		if !isRange {
			to = from
		}
		var errs [2]error
		var port uint64
		port, errs[0] = strconv.ParseUint(from, 10, 16)
		r.from = uint16(port)
		port, errs[1] = strconv.ParseUint(to, 10, 16)
		if r.to = uint16(port); errors.Join(errs[:]...) != nil || r.from == 0 || r.from > r.to {
			return rule{}, fmt.Errorf("target %q: %q is no port: 1 to 65535, FROM-TO or * are allowed", text, ports)
		}
	}
	switch prefix, err := netip.ParsePrefix(host); {
	case err == nil:
		r.prefix = prefix.Masked()
	case strings.Contains(host, "/"):
		return rule{}, fmt.Errorf("target %q: %q is no prefix of addresses", text, host)
	default:
		r.host = strings.ToLower(host)
	}
	return r, nil
}

func splitHostPort(address string) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not HOST:PORT", address)
	}
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil || number == 0 || host == "" {
		return "", 0, fmt.Errorf("%q is not HOST:PORT", address)
	}
	return strings.ToLower(host), uint16(number), nil
}

// errDenied is why something is not dialed.
type errDenied struct{ reason string }

func (e *errDenied) Error() string { return "the agent's policy does not allow it: " + e.reason }

// decide returns what to dial for an address that is asked for, and whether a resolved address may be
// connected to.
func (p *Policy) decide(network, address string) (dial string, may func(netip.AddrPort) error, err error) {
	if network != "tcp" {
		return "", nil, &errDenied{fmt.Sprintf("%q is not tcp", network)}
	}
	if !strings.Contains(address, ":") {
		known, ok := p.words[address]
		if !ok {
			return "", nil, &errDenied{fmt.Sprintf("it has no address for %q", address)}
		}
		return known, func(netip.AddrPort) error { return nil }, nil
	}
	host, port, err := splitHostPort(address)
	if err != nil {
		return "", nil, &errDenied{err.Error()}
	}
	literal, notLiteral := netip.ParseAddr(host)
	var prefixes []netip.Prefix
	for _, r := range p.rules {
		if port < r.from || port > r.to {
			continue
		}
		switch {
		case r.host == host:
			return address, func(to netip.AddrPort) error { return special(to.Addr(), notLiteral == nil) }, nil
		case r.prefix.IsValid() && notLiteral == nil && r.prefix.Contains(literal.Unmap()):
			return address, func(netip.AddrPort) error { return nil }, nil
		case r.prefix.IsValid() && notLiteral != nil:
			prefixes = append(prefixes, r.prefix)
		}
	}
	if len(prefixes) == 0 {
		return "", nil, &errDenied{fmt.Sprintf("%s is not among its targets", address)}
	}
	return address, func(to netip.AddrPort) error {
		for _, prefix := range prefixes {
			if prefix.Contains(to.Addr().Unmap()) {
				return nil
			}
		}
		return &errDenied{fmt.Sprintf("%s is %s, which is not among its targets", host, to.Addr())}
	}, nil
}

// special refuses addresses that a name must not lead to: whoever answers for the name would choose.
func special(to netip.Addr, named bool) error {
	to = to.Unmap()
	if !named && (to.IsLoopback() || to.IsLinkLocalUnicast() || to.IsUnspecified() || to.IsMulticast()) {
		return &errDenied{fmt.Sprintf("the name leads to %s, which has to be named as a target itself", to)}
	}
	return nil
}

// connect dials what is asked for.
func (p *Policy) connect(ctx context.Context, network, address string) (net.Conn, error) {
	dial, may, err := p.decide(network, address)
	if err != nil {
		return nil, err
	}
	var denied error
	dialer := net.Dialer{ControlContext: func(_ context.Context, _, resolved string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(resolved)
		if err == nil {
			err = may(to)
		}
		if err != nil {
			denied = err
		}
		return err
	}}
	conn, err := dialer.DialContext(ctx, network, dial)
	if err != nil && denied != nil {
		return nil, denied
	}
	return conn, err
}

// serve connects what a server asks for, and carries it until it ends.
func (p *Policy) serve(ctx context.Context, in *mux.Incoming) {
	var request tunnel.Request
	if err := json.Unmarshal(in.Request, &request); err != nil {
		in.Refuse(mux.Violated, "the request is not JSON as it should be")
		return
	}
	timeout := tunnel.TargetTimeout
	if asked := time.Duration(request.TimeoutMillis) * time.Millisecond; asked > 0 {
		timeout = min(timeout, asked)
	}
	dialing, cancel := context.WithTimeout(ctx, timeout)
	conn, err := p.connect(dialing, request.Network, request.Address)
	cancel()
	if err != nil {
		in.Refuse(p.said(err, request.Address))
		return
	}
	_ = mux.Relay(in.AcceptFor(request.Share), conn) // why it ended is told at the other end
}

// said is what an error is at the other end, which may know but a word for the address.
func (p *Policy) said(err error, asked string) (mux.Code, string) {
	at := ""
	if address, ok := p.words[asked]; ok {
		at = " at " + address
	}
	var denied *errDenied
	var lookup *net.DNSError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &denied):
		return mux.Denied, denied.Error()
	case errors.Is(err, syscall.ECONNREFUSED):
		return mux.Refused, "connection refused" + at
	case errors.As(err, &lookup):
		return mux.Unreachable, fmt.Sprintf("the agent does not find %s: %s", lookup.Name, lookup.Err)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return mux.Timeout, "no answer in time" + at
	}
	return mux.Unreachable, mux.Reason(err) + at
}
