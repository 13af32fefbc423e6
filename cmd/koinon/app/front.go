package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/drain"
)

// lastAnswers is how long answers that are under way may take to be sent when the API server
// has ended.
const lastAnswers = 5 * time.Second

// front serves an API server to the host in the place of its own listener, so that no write
// fails when connections are moved to another replica. See pkg/drain.
type front struct {
	server       *drain.Server
	certificates *dynamiccertificates.DynamicServingCertificateController
}

// newFront makes the front of an API server that has a parkedListener.
func newFront(listener net.Listener, serving *genericapiserver.SecureServingInfo, api http.Handler, maxAge time.Duration) (*front, error) {
	base := &tls.Config{
		MinVersion:       max(tls.VersionTLS12, serving.MinTLSVersion),
		CipherSuites:     serving.CipherSuites,
		CurvePreferences: serving.CurvePreferences,
		NextProtos:       []string{"http/1.1"},
	}
	if serving.ClientCA != nil {
		base.ClientAuth = tls.RequestClientCert // which the API server looks at
	}
	certificates := dynamiccertificates.NewDynamicServingCertificateController(base, serving.ClientCA, serving.Cert, serving.SNICerts, nil)
	// The API server keeps these up to date.
	if serving.ClientCA != nil {
		serving.ClientCA.AddListener(certificates)
	}
	serving.Cert.AddListener(certificates)
	config := base.Clone()
	config.GetConfigForClient = certificates.GetConfigForClient
	server, err := drain.New(drain.Config{
		Listener: listener,
		TLS:      config,
		Handler:  api,
		MaxAge:   maxAge,
		ErrorLog: slog.NewLogLogger(logr.ToSlogHandler(klog.Background().V(4)), slog.LevelInfo),
	})
	if err != nil {
		return nil, fmt.Errorf("make the HTTPS server: %w", err)
	}
	return &front{server: server, certificates: certificates}, nil
}

// run serves while runAPI does, which ends when its context is done and requests are drained.
// From that moment on clients are sent away.
func (f *front) run(ctx context.Context, runAPI func(context.Context) error) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	defer context.AfterFunc(ctx, f.server.Drain)()
	if err := f.certificates.RunOnce(); err != nil {
		return fmt.Errorf("read the serving certificate: %w", err)
	}
	stop := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() { f.certificates.Run(1, stop) })
	running.Go(func() {
		if err := f.server.Serve(); err != nil {
			fail(fmt.Errorf("serve HTTPS: %w", err))
		}
	})
	apiErr := runAPI(ctx)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastAnswers)
	defer cancel()
	if err := f.server.Shutdown(last); err != nil {
		klog.FromContext(ctx).V(2).Info("Closed connections that clients had kept open", "err", err)
	}
	close(stop)
	running.Wait()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return errors.Join(cause, apiErr)
	}
	return apiErr
}

// parkedListener is what an API server listens on that has a front: nobody ever comes. It has
// the address of the real one, by which the server calls itself.
type parkedListener struct {
	addr   net.Addr
	closed chan struct{}
	once   sync.Once
}

func newParkedListener(addr net.Addr) *parkedListener {
	return &parkedListener{addr: addr, closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (l *parkedListener) Accept() (net.Conn, error) {
	<-l.closed
	return nil, net.ErrClosed
}

// Close implements net.Listener.
func (l *parkedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *parkedListener) Addr() net.Addr { return l.addr }
