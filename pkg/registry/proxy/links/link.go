package links

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
)

// Dialer connects to a member. network and address are those that the member's configuration
// names; who carries connections in another way goes by the member's name.
type Dialer func(ctx context.Context, member, network, address string) (net.Conn, error)

// Why a way ended.
var (
	// ErrRotated: there is another credential or address. Watches end and may begin anew at once.
	ErrRotated = errors.New("the credential of the cluster has changed")
	// ErrMemberGone: the KubeFedCluster or its Secret was deleted.
	ErrMemberGone = errors.New("the cluster was removed from the federation, or its credential was")
	// ErrServerEnds: this server ends.
	ErrServerEnds = errors.New("the server is ending")
)

const (
	// grace is how long requests may go on with a credential that was replaced. Watches and
	// upgraded connections end at once: they would go on for ever.
	grace = time.Minute
	// headerBytes bounds the header of an answer.
	headerBytes = 256 << 10
	// streamBytes are held of an answer that its client does not read. The library's 4 MiB, of
	// thousands of watches, are more than there is; much less would be slow over long ways.
	streamBytes = 512 << 10
	// idleConnections are kept to a member that speaks HTTP/1.1 only.
	idleConnections = 100
	// dialTimeout bounds a connection's beginning.
	dialTimeout = 10 * time.Second
)

// connect is the Dialer of the network.
func connect(ctx context.Context, _, network, address string) (net.Conn, error) {
	return (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext(ctx, network, address)
}

// Link is the way to one member with one credential.
type Link struct {
	// Member is its name.
	Member string

	base           *url.URL
	plain, upgrade http.RoundTripper
	transports     []*http.Transport
	connections    *connections

	// replaced ends with the credential, and dead when nothing may use it any more.
	replaced, dead       context.Context
	endReplaced, endDead context.CancelCauseFunc
	startGrace           func(time.Duration, func()) *time.Timer
}

// NewLink makes a way to a member; it connects to nobody yet. A nil dial connects directly.
func NewLink(member string, config *rest.Config, dial Dialer) (*Link, error) {
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("its address: %w", err)
	}
	l := &Link{Member: member, base: base, connections: newConnections(), startGrace: time.AfterFunc}
	if dial == nil {
		dial = connect
	}
	for _, protocols := range [][]string{nil, {"http/1.1"}} {
		t, err := newTransport(config, protocols)
		if err != nil {
			return nil, err
		}
		t.DialContext = l.connections.dial(func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, member, network, address)
			if err == nil && config.Proxy != nil {
				conn = soonAnswered(conn)
			}
			return conn, err
		})
		if protocols == nil {
			t = utilnet.SetTransportDefaults(t)
		} else {
			t = utilnet.SetOldTransportDefaults(t)
		}
		withCredential, err := rest.HTTPWrappersForConfig(config, t)
		if err != nil {
			return nil, fmt.Errorf("its credential: %w", err)
		}
		l.transports = append(l.transports, t)
		if protocols == nil {
			l.plain = withCredential
		} else {
			l.upgrade = withCredential
		}
	}
	l.replaced, l.endReplaced = context.WithCancelCause(context.Background())
	l.dead, l.endDead = context.WithCancelCause(context.Background())
	return l, nil
}

// newTransport makes a transport that checks the member's certificate as the configuration says,
// and offers the protocols; all if there are none.
func newTransport(config *rest.Config, protocols []string) (*http.Transport, error) {
	t := &http.Transport{
		DisableCompression: true, MaxResponseHeaderBytes: headerBytes, MaxIdleConnsPerHost: idleConnections,
		Proxy: config.Proxy, HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: streamBytes},
	}
	var tlsConfig *tls.Config
	if relaxed, ok := config.Transport.(*http.Transport); ok { // some checks are off: see memberaccess
		tlsConfig, t.Proxy = relaxed.TLSClientConfig.Clone(), relaxed.Proxy
		tlsConfig.NextProtos = nil
	} else {
		var err error
		if tlsConfig, err = rest.TLSConfigFor(config); err != nil {
			return nil, fmt.Errorf("its certificates: %w", err)
		}
	}
	if tlsConfig == nil {
		tlsConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	t.TLSClientConfig = tlsConfig
	if protocols != nil {
		tlsConfig.NextProtos = protocols
		t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	return t, nil
}

// URL is where the member serves a path, which is escaped and begins with a slash.
func (l *Link) URL(escapedPath, rawQuery string) (*url.URL, error) {
	joined := strings.TrimSuffix(l.base.EscapedPath(), "/") + escapedPath
	path, err := url.PathUnescape(joined)
	if err != nil {
		return nil, err
	}
	return &url.URL{Scheme: l.base.Scheme, Host: l.base.Host, Path: path, RawPath: joined, RawQuery: rawQuery}, nil
}

// Path is the path here of one that the member speaks of; ok is false if that is not the member's
// own. It is without the path of the member's address.
func (l *Link) Path(location *url.URL) (path string, ok bool) {
	if location.Host != "" && (location.Host != l.base.Host || location.Scheme != l.base.Scheme) || location.User != nil {
		return "", false
	}
	prefix := strings.TrimSuffix(l.base.EscapedPath(), "/")
	path, ok = strings.CutPrefix(location.EscapedPath(), prefix)
	return path, ok && strings.HasPrefix(path, "/")
}

// As returns what carries requests as a caller. upgraded says that the protocol is to be changed.
// What there is of impersonation in a request is the caller's to send, and must have been removed.
// Requests of a caller whom CheckCaller refuses fail with its error.
func (l *Link) As(caller user.Info, upgraded bool) http.RoundTripper {
	if err := CheckCaller(caller); err != nil {
		return refusing{err}
	}
	next := l.plain
	if upgraded {
		next = l.upgrade
	}
	return transport.NewImpersonatingRoundTripper(impersonation(caller), next)
}

// Replaced ends with the credential, and Dead when nothing may use it any more; their causes say
// why.
func (l *Link) Replaced() context.Context { return l.replaced }

// Dead see Replaced.
func (l *Link) Dead() context.Context { return l.dead }

// End ends the way for a reason: at once, or with some time for what is under way if the reason is
// ErrRotated.
func (l *Link) End(reason error) {
	l.endReplaced(reason)
	kill := func() {
		l.endDead(reason)
		l.connections.close()
	}
	if errors.Is(reason, ErrRotated) {
		for _, t := range l.transports {
			t.CloseIdleConnections()
		}
		l.startGrace(grace, kill)
		return
	}
	kill()
}

// connections are those of one way that are open.
type connections struct {
	mu     sync.Mutex
	open   map[*connection]bool // guarded by mu
	closed bool                 // guarded by mu
}

func newConnections() *connections { return &connections{open: map[*connection]bool{}} }

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

func (c *connections) dial(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return c.add(conn)
	}
}

func (c *connections) add(conn net.Conn) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	added := &connection{Conn: conn, of: c}
	c.open[added] = true
	return added, nil
}

// close closes all, and those that come later.
func (c *connections) close() {
	c.mu.Lock()
	c.closed = true
	open := c.open
	c.open = map[*connection]bool{}
	c.mu.Unlock()
	for conn := range open {
		_ = conn.Conn.Close()
	}
}

type connection struct {
	net.Conn
	of *connections
}

// Close implements net.Conn.
func (c *connection) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}
