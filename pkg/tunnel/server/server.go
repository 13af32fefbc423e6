// Package server is the end of the tunnel that is dialed through: it takes the links of agents, and connects to
// what is at their ends by the name that is in their certificates.
//
// A Server may be used concurrently. It keeps links, and decides nothing about certificates: whom it trusts
// is in the TLS configuration, and who may not any more is asked of Config.Allowed.
package server

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/carrier"
	"github.com/koinon-io/koinon/pkg/tunnel/guests"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
	"github.com/koinon-io/koinon/pkg/tunnel/peers"
)

const (
	// greetTimeout is how long a connection may take to become a link.
	greetTimeout = 10 * time.Second
	// maxStreams is how many streams of a link may be open.
	maxStreams = 1000
	// maxLinks is how many links a name may have.
	maxLinks = 64
	// maxRefusal bounds what an agent is told of why it is refused, in bytes.
	maxRefusal = 1 << 10
	// maxSaid bounds what an agent says of its version and host, in bytes.
	maxSaid = 256
	// betweenAccepts is how long accepting waits after an error that passes, such as too many open files.
	betweenAccepts = 100 * time.Millisecond
)

// Config says how a Server works. ID and TLS are required.
type Config struct {
	// ID is the replica's.
	ID string
	// TLS returns the server's certificates and the authorities of agents, anew for each connection. The chain of a certificate
	// ends with its authority, for agents that know a pin of that only. It must have ClientCAs; what it says about versions, protocols and whether certificates are needed is not asked.
	TLS func() (*tls.Config, error)
	// Allowed returns why a certificate that is valid may not be used, such as that it was revoked. Nil allows all.
	Allowed func(name tunnel.Name, certificate *x509.Certificate) error
	// HTTP answers what is no link: agents that want a certificate, see package authority. Nil knows no path. A request's
	// certificate, if it has one, is of an authority of agents; whether it is allowed is for HTTP to ask.
	HTTP http.Handler
	// PeerTLS returns the certificate with which other servers know this one, and the authority of theirs, anew for each connection: see package
	// peers. Nil has no links to other servers, and takes none.
	PeerTLS func() (*tls.Certificate, *x509.CertPool, error)
	// Refusals are added to; nil has some of its own.
	Refusals *Refusals
	// ProbeEvery is how often agents are asked to dial their targets if there is a choice of agents. The default is 15 seconds.
	ProbeEvery time.Duration
	// MaxStreams is how many streams of a link may be open. The default is 1,000.
	MaxStreams int
	// MaxLinks is how many links a name may have with this server, those that others have replaced included. The default is 64.
	MaxLinks int
	// Budget bounds what all links hold unread beyond the first credit of their streams; nil has no bound.
	Budget *mux.Budget
	// Changed, if not nil, is called when a link begins and when it has ended, which it is told with
	// the reason. It must not block.
	Changed func(link Link, ended error)
	// Logger is slog's default if it is nil.
	Logger *slog.Logger
}

// Server takes links and dials.
type Server struct {
	config Config
	guests *guests.Guests
	mesh   *peers.Mesh // nil if there are no links to other servers
	counts counts
	// probing are the places of probes that were asked for, of all who ask together.
	probing chan struct{}

	mu sync.Mutex
	// What follows is guarded by mu.

	links    map[tunnel.Name][]*link
	all      map[*link]bool
	replicas []tunnel.Replica
	closed   bool
	draining *tunnel.Drain
	serving  sync.WaitGroup
}

// New returns a server without links.
func New(config Config) (*Server, error) {
	if config.ID == "" || config.TLS == nil {
		return nil, errors.New("tunnel server: an ID and TLS are required")
	}
	if config.MaxStreams == 0 {
		config.MaxStreams = maxStreams
	}
	if config.MaxLinks == 0 {
		config.MaxLinks = maxLinks
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	if config.Refusals == nil {
		config.Refusals = &Refusals{}
	}
	if config.ProbeEvery == 0 {
		config.ProbeEvery = 15 * time.Second
	}
	s := &Server{
		config: config, guests: guests.New(maxGuests, guestPatience), probing: make(chan struct{}, probesAtOnce),
		links: map[tunnel.Name][]*link{}, all: map[*link]bool{}, replicas: []tunnel.Replica{{ID: config.ID}},
	}
	if _, err := s.secured(); err != nil {
		return nil, err
	}
	if config.PeerTLS != nil {
		var err error
		s.mesh, err = peers.New(peers.Config{ID: config.ID, TLS: config.PeerTLS, Local: local{s}, Heard: s.judge, Budget: config.Budget, Logger: config.Logger})
		if err != nil {
			return nil, fmt.Errorf("tunnel server: %w", err)
		}
	}
	return s, nil
}

// secured is the configuration of a connection: links without certificates are not made, whatever is configured. Others may be
// without, and ask for one.
func (s *Server) secured() (*tls.Config, error) {
	config, err := s.config.TLS()
	if err != nil {
		return nil, fmt.Errorf("tunnel server: %w", err)
	}
	if config.ClientCAs == nil {
		return nil, errors.New("tunnel server: there are no authorities of agents (ClientCAs): anybody could say that he is one")
	}
	config = config.Clone()
	config.ClientAuth = tls.RequireAndVerifyClientCert
	config.MinVersion = tls.VersionTLS13
	config.NextProtos = []string{tunnel.ALPN}
	config.DynamicRecordSizingDisabled = true
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if slices.Contains(hello.SupportedProtos, tunnel.ALPN) {
			return nil, nil // it is this one
		}
		if s.mesh != nil && slices.Contains(hello.SupportedProtos, tunnel.ServerALPN) {
			return s.mesh.ServerTLS()
		}
		other := config.Clone()
		other.ClientAuth = tls.VerifyClientCertIfGiven
		other.MinVersion = tls.VersionTLS12 // proxies in front of it
		other.NextProtos = []string{"http/1.1"}
		return other, nil
	}
	return config, nil
}

// Serve takes links, and answers HTTP, until ctx ends or the listener is closed; links go on until Close.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	web := newWeb(ctx, s)
	var answering sync.WaitGroup
	watching, cancel := context.WithCancel(ctx)
	answering.Go(func() { s.watch(watching) }) // ends with watching
	answering.Go(web.serve)                    // ends with close
	defer answering.Wait()
	defer cancel()
	defer web.close()
	for s.guests.Room(ctx) { // who waits is in the system's queue
		conn, err := listener.Accept()
		if err != nil {
			s.guests.Vacate()
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			s.config.Logger.Warn("Failed to accept a connection", "err", err)
			time.Sleep(betweenAccepts)
			continue
		}
		go s.receive(ctx, web, conn, s.seat(conn)) // ends with the connection
	}
	return nil
}

// receive makes of a connection what it wants to be, a link or a request, and keeps a link.
func (s *Server) receive(ctx context.Context, web *web, conn net.Conn, of *guest) {
	greeting, cancel := context.WithTimeout(ctx, greetTimeout)
	defer cancel()
	batch := mux.NewBatch(conn)
	secure, err := s.secure(greeting, batch, of)
	if err == nil {
		of.Heard() // HELLO or a request is next
		switch secure.ConnectionState().NegotiatedProtocol {
		case tunnel.ALPN:
		case tunnel.ServerALPN:
			s.meet(greeting, secure, batch, of)
			return
		default:
			web.take(secure, of)
			return
		}
	}
	var link *link
	if err == nil {
		link, err = s.greet(greeting, secure, batch)
	}
	of.Leave()
	if err != nil {
		_ = conn.Close()
		s.refused(conn.RemoteAddr().String(), err)
		return
	}
	if of.inside {
		link.way = carrier.WebSocket
	}
	s.keep(ctx, link)
}

// meet makes a link of the connection of another server.
func (s *Server) meet(ctx context.Context, secure *tls.Conn, batch *mux.Batch, of *guest) {
	err := s.mesh.Receive(ctx, secure, batch)
	of.Leave()
	if err != nil {
		s.config.Refusals.Count(ClassServer)
		s.config.Logger.Info("Refused another server", "from", secure.RemoteAddr().String(), "err", err)
	}
}

// refusedError is why an agent is refused whose name is known.
type refusedError struct {
	class Class
	name  tunnel.Name
	err   error
}

func (e *refusedError) Error() string { return e.err.Error() }

func (e *refusedError) Unwrap() error { return e.err }

// refused tells of an agent that was not taken.
func (s *Server) refused(from string, err error) {
	var known *refusedError
	var unverified *tls.CertificateVerificationError
	switch {
	case errors.As(err, &known):
		s.config.Refusals.Note(known.class, known.name, from, known.err)
	case errors.As(err, &unverified):
		if name, ok := s.expired(unverified); ok {
			s.config.Refusals.Note(ClassCertificate, name, from, unverified.Err)
			break
		}
		s.config.Refusals.Count(ClassCertificate)
	default:
		s.config.Refusals.Count(ClassProtocol)
	}
	s.config.Logger.Info("Refused an agent", "from", from, "err", err)
}

// expired returns whose a certificate was that is not good any more, or not yet. Of others nobody knows whether what they say was ever so.
func (s *Server) expired(err *tls.CertificateVerificationError) (tunnel.Name, bool) {
	config, failed := s.config.TLS()
	if failed != nil || len(err.UnverifiedCertificates) == 0 {
		return tunnel.Name{}, false
	}
	certificate := err.UnverifiedCertificates[0]
	if _, failed := certificate.Verify(x509.VerifyOptions{
		Roots: config.ClientCAs, CurrentTime: certificate.NotAfter, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}); failed != nil {
		return tunnel.Name{}, false
	}
	name, failed := tunnel.NameOf(certificate)
	return name, failed == nil
}

// secure makes TLS of a guest's connection.
func (s *Server) secure(ctx context.Context, batch *mux.Batch, of *guest) (*tls.Conn, error) {
	mux.Tune(batch.Conn)
	config, err := s.secured()
	if err != nil {
		return nil, err
	}
	choose := config.GetConfigForClient
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		of.Heard() // it has begun
		return choose(hello)
	}
	secure := tls.Server(batch, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("its certificate or its protocol: %w", err)
	}
	return secure, nil
}

// greet makes a link of a connection. Whose certificate is not allowed is told so, in words.
func (s *Server) greet(ctx context.Context, secure *tls.Conn, batch *mux.Batch) (*link, error) {
	certificate := secure.ConnectionState().PeerCertificates[0]
	name, err := tunnel.NameOf(certificate)
	if err != nil {
		s.config.Refusals.Count(ClassCertificate)
		return nil, err
	}
	info := tunnel.ServerInfo{ID: s.config.ID}
	refused, class := s.allowed(name, certificate), ClassNotAllowed
	if refused == nil {
		refused, class = s.crowded(name), ClassLimit
	}
	if refused != nil {
		info.Refused = refused.Error()[:min(len(refused.Error()), maxRefusal)]
	}
	hello, err := json.Marshal(info)
	if err != nil {
		return nil, err
	}
	l := &link{name: name, certificate: certificate, since: time.Now(), way: carrier.Direct}
	l.session, err = mux.New(ctx, secure, batch, mux.Config{
		Hello: mux.Hello{Info: hello}, Budget: s.config.Budget,
		OnDrain: func(json.RawMessage) { l.draining.Store(true) },
	})
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
		if refused != nil { // it did not stay to hear
			return nil, &refusedError{class, name, refused}
		}
		return nil, &refusedError{ClassProtocol, name, err}
	}
	if refused != nil {
		_ = l.session.Close()
		return nil, &refusedError{class, name, refused}
	}
	_ = json.Unmarshal(l.session.Peer.Info, &l.info) // what cannot be read is not shown
	tidy(&l.info)
	return l, nil
}

// instancePattern is what an agent may say of which process it is.
var instancePattern = regexp.MustCompile(`^[0-9a-zA-Z-]{1,32}$`)

// tidy bounds what an agent says of itself. One that does not say which process it is counts as another for each link.
func tidy(info *tunnel.AgentInfo) {
	for _, text := range []*string{&info.Version, &info.Host} {
		*text = strings.Map(printable, strings.ToValidUTF8((*text)[:min(len(*text), maxSaid)], ""))
	}
	if !instancePattern.MatchString(info.Instance) {
		var random [8]byte
		_, _ = rand.Read(random[:]) // never fails
		info.Instance = "link-" + hex.EncodeToString(random[:])
	}
}

// printable drops what moves a terminal's cursor or begins another line of a log.
func printable(r rune) rune {
	if !unicode.IsPrint(r) {
		return -1
	}
	return r
}

func (s *Server) allowed(name tunnel.Name, certificate *x509.Certificate) error {
	if s.config.Allowed == nil {
		return nil
	}
	if err := s.config.Allowed(name, certificate); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// crowded says why a name gets no further link: whoever has its certificate could make any number of them, and each takes memory.
func (s *Server) crowded(name tunnel.Name) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.full(name)
}

// full is crowded. s.mu is held.
func (s *Server) full(name tunnel.Name) error {
	if n := len(s.links[name]); n >= s.config.MaxLinks {
		return fmt.Errorf("%s: it has %d links with this server, as many as may be", name, n)
	}
	return nil
}

// keep has a link used until it ends.
func (s *Server) keep(ctx context.Context, l *link) {
	if refused := s.add(l); refused != nil {
		s.config.Logger.Info("Refused an agent", "from", l.session.RemoteAddr().String(), "err", refused)
		refuse(ctx, l, refused)
		return
	}
	s.changed(l, nil)
	<-l.session.Ended()
	s.remove(l)
	s.changed(l, l.session.Err())
	s.serving.Done()
}

func (s *Server) changed(l *link, ended error) {
	if s.config.Changed != nil {
		s.config.Changed(l.shown(), ended)
	}
}

// add returns why a link is not taken; nil if it is.
func (s *Server) add(l *link) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	if err := s.full(l.name); err != nil { // others have come since it was greeted
		return err
	}
	if err := s.contest(l); err != nil {
		return err
	}
	s.serving.Add(1)
	s.links[l.name] = append(slices.Clip(s.links[l.name]), l)
	s.all[l] = true
	s.tellPeers(l.name)
	_ = l.session.Tell(tunnel.News{Replicas: s.replicas}) // fails only if it has ended
	if s.draining != nil {
		_ = l.session.Drain(s.draining)
	}
	return nil
}

func (s *Server) remove(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, l)
	if rest := without(s.links[l.name], l); len(rest) > 0 {
		s.links[l.name] = rest
	} else {
		delete(s.links, l.name)
	}
	s.revive(l.name)
	s.tellPeers(l.name)
}

// tellPeers tells other servers of a name's agents. mu must be held, so that they are told in order.
func (s *Server) tellPeers(name tunnel.Name) {
	if s.mesh != nil {
		s.mesh.Changed(name, s.instances(name), s.standing(name))
	}
}

// without returns links but for one, in another slice: who dials may have the old one.
func without(links []*link, l *link) []*link {
	rest := make([]*link, 0, len(links))
	for _, other := range links {
		if other != l {
			rest = append(rest, other)
		}
	}
	return rest
}

// SetReplicas tells agents of all replicas that are not hidden, this one included, and has links to the others.
func (s *Server) SetReplicas(replicas []tunnel.Replica) {
	if s.mesh != nil {
		s.mesh.Set(replicas)
	}
	replicas = slices.DeleteFunc(slices.Clone(replicas), func(r tunnel.Replica) bool { return r.Hidden })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replicas = replicas
	for l := range s.all {
		if l.session.Tell(tunnel.News{Replicas: replicas}) != nil {
			go l.session.Close() // it reads nothing: it comes back and is told then
		}
	}
}

// Recheck ends links whose certificates are not allowed any more, or have expired.
func (s *Server) Recheck() {
	s.mu.Lock()
	links := make([]*link, 0, len(s.all))
	for l := range s.all {
		links = append(links, l)
	}
	s.mu.Unlock()
	for _, l := range links {
		if time.Now().After(l.certificate.NotAfter) || s.allowed(l.name, l.certificate) != nil {
			_ = l.session.Close()
		}
	}
}

// Drain tells agents that this replica will go: they get links to others for what is new. Other replicas ask others first.
func (s *Server) Drain(within time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = &tunnel.Drain{UntilMillis: within.Milliseconds()}
	if s.mesh != nil {
		s.mesh.Drain(*s.draining)
	}
	for l := range s.all {
		_ = l.session.Drain(s.draining)
	}
}

// Close ends all links, and waits until they have.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for l := range s.all {
		go l.session.Close()
	}
	s.mu.Unlock()
	if s.mesh != nil {
		s.mesh.Close()
	}
	s.serving.Wait()
}
