package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
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
	api          *genericapiserver.GenericAPIServer
	server       *drain.Server
	certificates *dynamiccertificates.DynamicServingCertificateController
	// drainTimeout is how long clients may keep connections when the load balancer knows that
	// the server ends.
	drainTimeout time.Duration
}

// newFront makes the front of an API server that has a parkedListener.
func newFront(listener net.Listener, api *genericapiserver.GenericAPIServer, longRunning func(*http.Request) bool, options *ServerOptions) (*front, error) {
	serving := api.SecureServingInfo
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
		Listener:    listener,
		TLS:         config,
		Handler:     api.Handler,
		LongRunning: longRunning,
		MaxAge:      options.MaxConnectionAge,
		ErrorLog:    connectionLog(),
	})
	if err != nil {
		return nil, fmt.Errorf("make the HTTPS server: %w", err)
	}
	return &front{api: api, server: server, certificates: certificates, drainTimeout: options.ConnectionDrainTimeout}, nil
}

// connectionLog is where the HTTPS server tells of connections that fail, such as those of
// port scans.
func connectionLog() *log.Logger {
	return slog.NewLogLogger(logr.ToSlogHandler(klog.Background().V(4)), slog.LevelInfo)
}

// run serves until ctx is done and no client can send another request, or keeps one from
// ending for longer than it may.
func (f *front) run(ctx context.Context) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	// The API server refuses requests, and ends watches, when its hooks have returned.
	leave := func() error {
		f.sendAway(context.WithoutCancel(ctx))
		return nil
	}
	if err := f.api.AddPreShutdownHook("koinon-connections", leave); err != nil {
		return err
	}
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
	apiErr := f.api.PrepareRun().RunWithContext(ctx)
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

// sendAway returns when all clients have gone to other replicas.
func (f *front) sendAway(ctx context.Context) {
	logger := klog.FromContext(ctx)
	logger.Info("Sending clients away", "delay", f.api.ShutdownDelayDuration, "timeout", f.drainTimeout)
	f.server.Drain()
	select {
	case <-time.After(f.api.ShutdownDelayDuration): // until then, new ones come
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(ctx, f.drainTimeout)
	defer cancel()
	if err := f.server.Wait(ctx); err != nil {
		logger.Info("Closing connections while requests may be on their way", "err", err)
	}
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
