package peers

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
)

// ServerTLS is the configuration for connections of other servers. Agents have certificates of the same authority: who it is is looked at by Receive.
func (m *Mesh) ServerTLS() (*tls.Config, error) {
	certificate, trusted, err := m.config.TLS()
	if err != nil {
		return nil, fmt.Errorf("the certificate for other servers: %w", err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{*certificate}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: trusted,
		MinVersion: tls.VersionTLS13, NextProtos: []string{tunnel.ServerALPN}, DynamicRecordSizingDisabled: true,
	}, nil
}

// Receive makes a link of a connection of another server, which it owns. ctx bounds greeting only. The link is served until it ends, or Close.
func (m *Mesh) Receive(ctx context.Context, secure *tls.Conn, batch *mux.Batch) error {
	id, err := tunnel.ServerOf(secure.ConnectionState().PeerCertificates[0])
	if err == nil && id == m.config.ID {
		err = errors.New("it has the id of this server")
	}
	if err != nil {
		_ = secure.Close()
		return err
	}
	said, err := json.Marshal(hello{m.config.ID})
	if err != nil {
		_ = secure.Close()
		return err
	}
	session, err := mux.New(ctx, secure, batch, mux.Config{
		Hello: mux.Hello{Info: said}, Accept: m.accept, MaxStreams: maxStreams, Budget: m.config.Budget,
		PingEvery: m.config.PingEvery, DeadAfter: 3 * m.config.PingEvery,
	})
	if err != nil {
		return fmt.Errorf("server %q: %w", id, err)
	}
	if err := m.admit(id, session); err != nil {
		_ = session.Close()
		return fmt.Errorf("server %q: %w", id, err)
	}
	return nil
}

// admit has a session served.
func (m *Mesh) admit(id string, session *mux.Session) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.incoming[id]
	switch {
	case m.ctx.Err() != nil:
		return errors.New("this server ends")
	case before == nil && len(m.incoming) >= maxPeers:
		return fmt.Errorf("%d servers have links to this one, as many as may be", len(m.incoming))
	case before != nil:
		go before.Close() // it came back before its end was noticed
	}
	m.incoming[id] = session
	if m.draining != nil {
		_ = session.Drain(m.draining)
	}
	m.running.Go(func() { // ends with the session, which ends with Close
		<-session.Ended()
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.incoming[id] == session {
			delete(m.incoming, id)
		}
	})
	return nil
}

// accept answers a request of another server.
func (m *Mesh) accept(ctx context.Context, in *mux.Incoming) {
	m.mu.Lock()
	if m.ctx.Err() != nil {
		m.mu.Unlock()
		in.Refuse(mux.Draining, "this server ends")
		return
	}
	m.running.Add(1) // not beside Close, which waits
	m.mu.Unlock()
	defer m.running.Done()
	var asked request
	err := json.Unmarshal(in.Request, &asked)
	switch {
	case err == nil && asked.Dial != nil:
		m.dialFor(ctx, in, asked.Dial)
	case err == nil && asked.Names != nil:
		m.tell(in.Accept())
	case err == nil && asked.Report != nil:
		m.reportFor(ctx, in, asked.Report)
	default:
		in.Refuse(mux.Violated, "the request is not one that this server knows")
	}
}

// dialFor dials over a link of this server, and in no other way.
func (m *Mesh) dialFor(ctx context.Context, in *mux.Incoming, asked *dialRequest) {
	if err := asked.Validate(); err != nil {
		in.Refuse(mux.Violated, err.Error())
		return
	}
	timeout := tunnel.DialTimeout
	if wanted := time.Duration(asked.TimeoutMillis) * time.Millisecond; wanted > 0 {
		timeout = min(timeout, wanted)
	}
	if asked.Shared {
		ctx = tunnel.Shared(ctx, asked.Share)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	stream, err := m.config.Local.OpenHere(ctx, asked.Name, asked.Network, asked.Address)
	cancel()
	if err != nil {
		in.Refuse(said(err))
		return
	}
	_ = mux.Join(in.AcceptFor(asked.Share), stream) // why it ended is told at both ends
}

// said is what an error is at the other server.
func said(err error) (mux.Code, string) {
	var dialed *tunnel.DialError
	if !errors.As(err, &dialed) {
		return mux.CodeOf(err), err.Error()
	}
	switch err = dialed.Err; {
	case errors.Is(err, tunnel.ErrNoAgent):
		return mux.Absent, err.Error()
	case dialed.Code == mux.Internal && isLink(err):
		return mux.Broken, err.Error()
	}
	return dialed.Code, err.Error()
}

// isLink reports whether an error is that of a link.
func isLink(err error) bool {
	for _, one := range []error{mux.ErrLost, mux.ErrSilent, mux.ErrClosed, mux.ErrProtocol} {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}

// reportFor says what this server itself sees.
func (m *Mesh) reportFor(ctx context.Context, in *mux.Incoming, asked *reportRequest) {
	if err := asked.Validate(); err != nil {
		in.Refuse(mux.Violated, err.Error())
		return
	}
	stream := in.Accept()
	timeout := maxReportTime
	if wanted := time.Duration(asked.TimeoutMillis) * time.Millisecond; wanted > 0 {
		timeout = min(timeout, wanted)
	}
	ctx, cancel := context.WithTimeout(m.ctx, timeout)
	defer cancel()
	report := m.config.Local.ReportHere(ctx, asked.Name, asked.Probe)
	report.Seen = report.Seen[:min(len(report.Seen), maxSeen)]
	_ = stream.SetWriteDeadline(time.Now().Add(maxReportTime))
	if err := send(stream, report, maxReport); err != nil {
		stream.Reset(mux.Internal, err.Error())
		return
	}
	_ = stream.Close()
}
