package carrier

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel/mux"
)

// Way is how a server is reached.
type Way string

// The ways that there are.
const (
	Auto      Way = "auto"
	Direct    Way = "direct"
	WebSocket Way = "websocket"
)

// Validate says what is wrong with a way.
func (w Way) Validate() error {
	switch w {
	case Auto, Direct, WebSocket:
		return nil
	}
	return fmt.Errorf("%q is no way to a server: %s, %s and %s are allowed", string(w), Auto, Direct, WebSocket)
}

const (
	// directTimeout is how long the direct way is tried if there is another: firewalls drop without a word.
	directTimeout = 5 * time.Second
	// rememberFor is how long what worked is tried first. Networks change, and direct costs half.
	rememberFor = time.Hour
)

// Dialer makes connections to servers. Its zero value goes any way.
type Dialer struct {
	// Way is how; empty is Auto.
	Way Way
	// Connect makes TCP connections to servers; nil is directly, or by the HTTP proxy that the environment names.
	Connect func(ctx context.Context, network, address string) (net.Conn, error)

	// giveUpAfter is directTimeout if it is 0; else it is for tests.
	giveUpAfter time.Duration

	mu sync.Mutex
	// worked is what did last, by address. It is guarded by mu.
	worked map[string]worked
}

type worked struct {
	way Way
	at  time.Time
}

// Conn is a connection on which both sides have been verified as its configuration says.
type Conn struct {
	*tls.Conn
	// Batch is what is below TLS.
	Batch *mux.Batch
	// Way is how it goes, Direct or WebSocket.
	Way Way
}

// Dial connects to a server at HOST:PORT. config says what is verified and which protocol is wanted; without a
// ServerName it is HOST that the certificate has to name.
func (d *Dialer) Dial(ctx context.Context, address string, config *tls.Config) (*Conn, error) {
	ways := d.ways(address)
	var errs []error
	unanswered := true
	for i, way := range ways {
		conn, err := d.dial(ctx, way, i+1 < len(ways), address, config)
		if err == nil {
			d.remember(address, way)
			return conn, nil
		}
		unanswered = unanswered && isUnanswered(err)
		if len(ways) > 1 {
			err = fmt.Errorf("%s: %w", way, err)
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	err := errs[0]
	if len(errs) == 2 {
		err = fmt.Errorf("%w; %w", errs[0], errs[1])
	}
	if unanswered {
		err = &UnansweredError{err}
	}
	return nil, err
}

// ways are what is tried for an address, in this order.
func (d *Dialer) ways(address string) []Way {
	if d.Way == Direct || d.Way == WebSocket {
		return []Way{d.Way}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if last, ok := d.worked[address]; ok && last.way == WebSocket && time.Since(last.at) < rememberFor {
		return []Way{WebSocket, Direct}
	}
	return []Way{Direct, WebSocket}
}

// remember notes since when a way works.
func (d *Dialer) remember(address string, way Way) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.worked == nil {
		d.worked = map[string]worked{}
	}
	if last := d.worked[address]; last.way != way || time.Since(last.at) >= rememberFor {
		d.worked[address] = worked{way, time.Now()}
	}
}

// dial goes one way. hasOther says that there is another.
func (d *Dialer) dial(ctx context.Context, way Way, hasOther bool, address string, config *tls.Config) (*Conn, error) {
	if way == Direct && hasOther {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, cmp.Or(d.giveUpAfter, directTimeout))
		defer cancel()
	}
	connect := d.Connect
	if connect == nil {
		connect = connectTCP
	}
	open := connect
	if way == WebSocket {
		open = func(ctx context.Context, _, address string) (net.Conn, error) {
			return dialWebSocket(ctx, connect, address)
		}
	}
	conn, err := open(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	mux.Tune(conn)
	batch := mux.NewBatch(conn)
	secure, err := secured(ctx, batch, address, config)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &Conn{Conn: secure, Batch: batch, Way: way}, nil
}

// secured makes TLS of a connection.
func secured(ctx context.Context, conn net.Conn, address string, config *tls.Config) (*tls.Conn, error) {
	if len(config.NextProtos) != 1 {
		return nil, errors.New("one protocol has to be wanted")
	}
	config = config.Clone()
	config.MinVersion = tls.VersionTLS13
	config.DynamicRecordSizingDisabled = true
	if own := config.Certificates; len(own) == 1 && config.GetClientCertificate == nil {
		// Package tls would keep a certificate back that is of another authority than the server asks for: the server
		// would say that there is none, and not what is wrong with it.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own[0], nil }
	}
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(address)
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS: %w", Explain(err))
	}
	if secure.ConnectionState().NegotiatedProtocol != config.NextProtos[0] {
		return nil, fmt.Errorf("what answers does not speak %s", config.NextProtos[0])
	}
	return secure, nil
}
