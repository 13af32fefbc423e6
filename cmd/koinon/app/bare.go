package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/koinon-io/koinon/pkg/pki"
)

// drainTimeout is how long requests may take to end when the webhook stops.
const drainTimeout = 10 * time.Second

// bare is a process without an API server: the controllers of another server's API, the
// webhook of a cluster that has our kinds as custom resources, or both.
type bare struct {
	options  *ServerOptions
	dir      *dataDir
	listener net.Listener
}

// run runs the parts until ctx is done or one of them fails.
func (b *bare) run(ctx context.Context, ready func(url, note string)) error {
	var beside alongside
	ctx = beside.begin(ctx)
	defer beside.end()
	if b.options.runsHostControllers() {
		host, err := b.options.connectHost(ctx)
		if err != nil {
			return err
		}
		federation, err := b.options.newFederation(host, true)
		if err != nil {
			return err
		}
		beside.running.Go(func() { runFederation(ctx, federation) })
	}
	keys, err := pki.Ensure(pki.Config{Dir: b.dir.file(pkiName), Hosts: b.options.certificateHosts()})
	if err != nil {
		return err
	}
	beside.running.Go(func() { keys.Run(ctx) })
	ready(b.options.url(b.listener), "authority: "+keys.CAFile())
	return b.serve(ctx, keys)
}

// serve answers health checks and, if it is wanted, the webhook.
func (b *bare) serve(ctx context.Context, keys *pki.PKI) error {
	mux := http.NewServeMux()
	for _, path := range []string{"/healthz", "/livez", "/readyz"} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
	}
	server := &http.Server{
		Handler:           withWebhook(b.options.newWebhook(), mux),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       90 * time.Second,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			// Read for each connection, so that a renewal needs no restart.
			certificate, err := tls.LoadX509KeyPair(keys.ServingFile(), keys.ServingFile())
			return &certificate, err
		}},
	}
	stopped := context.AfterFunc(ctx, func() {
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		_ = server.Shutdown(drain)
	})
	defer stopped()
	if err := server.ServeTLS(b.listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the webhook: %w", err)
	}
	return nil
}
