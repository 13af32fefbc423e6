package frontend

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel/guests"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
)

const (
	// unheard is how many connections of a listener may be there before it is known what they want: see package guests.
	unheard = 512
	// headTimeout is how long a connection may take, from its beginning, to say what it wants.
	headTimeout = 5 * time.Second
	// answerTimeout is how long a client may take to take an answer.
	answerTimeout = 5 * time.Second
	// partingBytes and partingTimeout bound what is read of a client that was refused: closing while something is unread
	// would take away the answer.
	partingBytes   = 64 << 10
	partingTimeout = time.Second
	// betweenAccepts is how long accepting waits after an error that passes, such as too many open files.
	betweenAccepts = 100 * time.Millisecond
)

// frontConnect is what logs call it.
const frontConnect = "connect"

// Door is how clients come to a listener.
type Door struct {
	// Client is who they are. With TLS, its tenant is not asked, and what it fixes of names holds beside what the certificate
	// does.
	Client Client
	// TLS returns the server's certificates and the authorities of clients, anew for each connection. It must have
	// ClientCAs; whether certificates are needed is not asked. It must be nil for a Unix socket, and for nothing else.
	TLS func() (*tls.Config, error)
}

// secured is the configuration of a connection.
func (d Door) secured() (*tls.Config, error) {
	config, err := d.TLS()
	if err != nil {
		return nil, err
	}
	if config.ClientCAs == nil {
		return nil, errors.New("there are no authorities of clients (ClientCAs): anybody could be one")
	}
	config = config.Clone()
	config.ClientAuth = tls.RequireAndVerifyClientCert
	config.GetConfigForClient = nil // it could say otherwise
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	config.NextProtos = []string{"http/1.1"}
	config.SessionTicketsDisabled = true // a certificate is looked at each time
	return config, nil
}

// check says what is wrong with a door for a listener.
func (d Door) check(listener net.Listener) error {
	unix := listener.Addr().Network() == "unix"
	switch {
	case d.TLS == nil && !unix:
		return fmt.Errorf("%s is no Unix socket: it needs TLS with certificates of clients", listener.Addr())
	case d.TLS != nil && unix:
		return errors.New("a Unix socket has no TLS: who may open its file is who may use it")
	case d.TLS == nil && d.Client.Tenant == "":
		return errors.New("the clients of a Unix socket need a tenant, for limits and logs")
	case d.TLS != nil:
		_, err := d.secured()
		return err
	}
	return nil
}

// Serve serves CONNECT until ctx ends or the listener is closed. What is carried goes on until Close.
func (f *Frontend) Serve(ctx context.Context, listener net.Listener, door Door) error {
	if err := door.check(listener); err != nil {
		_ = listener.Close()
		return fmt.Errorf("tunnel front end: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	waiting := guests.New(unheard, 0)
	for {
		conn, err := listener.Accept()
		switch {
		case err == nil:
			if !f.admit(ctx, waiting, conn, door) {
				return nil
			}
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed) || f.ctx.Err() != nil:
			return nil
		default:
			f.config.Logger.Warn("Failed to accept a connection", "err", err)
			if !pause(ctx, betweenAccepts) {
				return nil
			}
		}
	}
}

// admit has a connection heard. It reports whether there may be others.
func (f *Frontend) admit(ctx context.Context, waiting *guests.Guests, conn net.Conn, door Door) bool {
	guest := waiting.Seat(ctx, conn)
	if guest == nil {
		_ = conn.Close()
		return false
	}
	if !f.enter() {
		guest.Leave()
		_ = conn.Close()
		return false
	}
	go f.greet(conn, door, guest) // ends by its deadlines, and with Close
	return true
}

// pause waits, and reports whether to go on.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// greet hears what a connection wants, and has it carried by another goroutine: the stack of this one has grown. It is a guest until that is known.
func (f *Frontend) greet(raw net.Conn, door Door, guest *guests.Guest) {
	defer f.leave()
	stop := context.AfterFunc(f.ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	conn, request, err := f.hear(raw, door, guest)
	guest.Leave()
	if guest.Ended() {
		conn, err = nil, errSilent
	}
	if conn == nil {
		stop()
		f.config.Logger.Log(context.Background(), level(err), "Refused a client", "front", frontConnect, "from", raw.RemoteAddr().String(), "err", err)
		_ = raw.Close()
		return
	}
	var carried *Carried
	if err == nil {
		carried, err = f.connect(conn, request)
	} else {
		f.refusedUnheard(request, err)
	}
	if !stop() && carried != nil { // Close set deadlines: it resets the stream too, or has
		carried.End(errClosing)
		_ = raw.Close()
		return
	}
	if err != nil {
		refuse(conn, refusal(err))
		return
	}
	if !f.enter() {
		carried.End(errClosing)
		_ = raw.Close()
		return
	}
	go f.carry(carried, conn) // ends with the connection
}

// errSilent is why a connection was closed before it was known what it wants.
var errSilent = errors.New("it said nothing for longer than all others that say nothing, and there are as many as may be")

// level is Debug for those who only look whether somebody listens, and for those of whom there are many.
func level(err error) slog.Level {
	if errors.Is(err, io.EOF) || errors.Is(err, errSilent) {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// refusedUnheard logs and counts a request that was not understood.
func (f *Frontend) refusedUnheard(r Request, err error) {
	if errors.Is(err, ErrLeft) { // it looked whether somebody listens
		return
	}
	status := f.refused(frontConnect, r, r.Client.Within, err)
	if o := f.config.Observer; o != nil {
		o.Answered(frontConnect, r.Client.Within, r.Client.Tenant, status, 0)
	}
}

// hear returns the connection to be carried, and what it wants. The connection is nil if it cannot be answered: there is no TLS.
func (f *Frontend) hear(raw net.Conn, door Door, guest *guests.Guest) (conn, Request, error) {
	if err := raw.SetDeadline(time.Now().Add(f.headTimeout)); err != nil {
		return nil, Request{}, err
	}
	request := Request{Client: door.Client}
	var c conn
	switch over := raw.(type) {
	case *net.UnixConn:
		c = &unixConn{UnixConn: over}
	default:
		if door.TLS == nil {
			return nil, request, errors.New("it is no Unix socket, and has no TLS")
		}
		config, err := door.secured()
		if err != nil {
			return nil, request, err
		}
		config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			guest.Heard()
			return nil, nil // it is this one
		}
		secure := tls.Server(raw, config)
		if err := secure.Handshake(); err != nil {
			return nil, request, fmt.Errorf("its certificate or its TLS: %w", err)
		}
		guest.Heard()
		c = &tlsConn{Conn: secure}
		if request.Client, err = identify(secure, door, f.config.Policy); err != nil {
			return c, request, err
		}
	}
	h, err := readHead(c)
	if err != nil {
		return c, request, err
	}
	request.Target, request.Asked = h.target, h.asked
	return c, request, nil
}

// identify returns who has the certificate of a connection, within what its door fixes.
func identify(secure *tls.Conn, door Door, policy Policy) (Client, error) {
	client, err := policy.Client(secure.ConnectionState().PeerCertificates[0])
	if err == nil && client.Tenant == "" {
		err = errors.New("it has no tenant")
	}
	if err != nil {
		return Client{Within: door.Client.Within}, forbidden("the certificate of the client: %s", err)
	}
	within, ok := narrow(door.Client.Within, client.Within)
	if !ok {
		return client, forbidden("the certificate of the client is for %s, and this address for %s", described(client.Within), described(door.Client.Within))
	}
	client.Within = within
	return client, nil
}

// connect connects to what a client wants and says so. Meanwhile it watches the client: who closes cancels it.
func (f *Frontend) connect(c conn, r Request) (*Carried, error) {
	ctx, cancel := context.WithCancelCause(f.ctx)
	defer cancel(nil)
	if err := c.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	watched := make(chan error, 1)
	go func() { // ends by the deadline below
		err := watch(c)
		if err != nil {
			cancel(err)
		}
		watched <- err
	}()
	carried, err := f.Open(ctx, frontConnect, r)
	_ = c.SetReadDeadline(time.Unix(1, 0))
	seen := <-watched
	_ = c.SetReadDeadline(time.Time{})
	if err != nil {
		return nil, err
	}
	if seen == nil {
		seen = c.connected()
	}
	if seen != nil {
		carried.End(seen)
		return nil, seen
	}
	return carried, nil
}

// watch waits until a client says something, which it may not yet, or goes away. It returns nil when the deadline for
// reading comes.
func watch(c net.Conn) error {
	var one [1]byte
	n, err := c.Read(one[:])
	switch {
	case n > 0:
		return errEarly
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	}
	return ErrLeft
}

// established is the answer to who is connected.
const established = "HTTP/1.1 200 Connection established\r\n\r\n"

// carry carries a connection until it ends.
func (f *Frontend) carry(c *Carried, client conn) {
	defer f.leave()
	client.countIn(c)
	c.End(mux.Relay(c.Stream, client))
}

// refuse answers a client, and closes the connection.
func refuse(c conn, why *Error) {
	defer c.Close()
	if why.Status == statusLeft {
		return
	}
	var b bytes.Buffer
	text := oneLine(why.Text)
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n", why.Status, text, len(text)+1)
	if why.RetryAfter > 0 {
		fmt.Fprintf(&b, "Retry-After: %d\r\n", max(1, int(why.RetryAfter.Seconds())))
	}
	if why.Status == http.StatusMethodNotAllowed {
		b.WriteString("Allow: CONNECT\r\n")
	}
	b.WriteString("\r\n" + text + "\n")
	_ = c.SetDeadline(time.Now().Add(answerTimeout))
	if _, err := c.Write(b.Bytes()); err != nil {
		return
	}
	_ = c.CloseWrite()
	_ = c.SetReadDeadline(time.Now().Add(partingTimeout))
	_, _ = io.CopyN(io.Discard, c, partingBytes)
}

// maxReason bounds the sentence in a status line.
const maxReason = 512

// oneLine is a sentence as it may be in a status line.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, strings.NewReplacer("…", "...", "–", "-").Replace(text))
	return text[:min(len(text), maxReason)]
}
