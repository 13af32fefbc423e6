package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/storage"
)

// Run runs the server until ctx is done. What it opens it closes in the reverse order, so
// that the store ends after everything that writes to it.
func (o *ServerOptions) Run(ctx context.Context, out io.Writer) error {
	started := time.Now()
	// Feature gates take effect here, before anything asks for one.
	if err := o.Generic.ComponentGlobalsRegistry.Set(); err != nil {
		return err
	}
	if err := o.Complete(os.Getenv); err != nil {
		return err
	}
	if err := o.Validate(); err != nil {
		return err
	}
	ctx, err := applyLogging(ctx, o.Logs)
	if err != nil {
		return err
	}
	utilfeature.DefaultMutableFeatureGate.AddMetrics()
	limitGarbage()

	dir, err := openDataDir(o.DataDir)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()

	listener, err := listen(o.BindAddress, o.SecurePort, "--bind-address", "--secure-port")
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }()

	tunnel, err := o.openTunnel()
	if err != nil {
		return err
	}
	defer tunnel.close()

	ready := func(url, note string) {
		go settle(ctx) // ends with ctx
		_, _ = fmt.Fprintf(out, "koinon is ready: %s  %s  (%.1f s)\n", url, note, time.Since(started).Seconds())
	}
	if !o.runs(componentAPIServer) {
		return (&bare{options: o, dir: dir, listener: listener}).run(ctx, ready)
	}
	return o.runAPIServer(ctx, dir, listener, tunnel, ready)
}

// runAPIServer runs the API server over its store, with or without a host of its own.
func (o *ServerOptions) runAPIServer(ctx context.Context, dir *dataDir, listener net.Listener, tunnel *tunnelPart, ready func(url, note string)) error {
	var hostConfig *rest.Config
	if o.aggregated() {
		var err error
		if hostConfig, err = o.connectHost(ctx); err != nil {
			return err
		}
	}
	if err := dir.refuseEmptied(o.Datastore); err != nil {
		return err
	}
	store, err := storage.Open(ctx, storage.Config{
		Datastore: o.Datastore, DataDir: dir.path, TLS: o.DatastoreTLS, PasswordFile: o.DatastorePasswordFile,
		MaxOpenConnections: o.DatastoreMaxOpenConnections, MaxIdleConnections: min(o.DatastoreMaxIdleConnections, o.DatastoreMaxOpenConnections),
	})
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	if hostConfig != nil {
		return (&aggregated{options: o, dir: dir, listener: listener, store: store, tunnel: tunnel, host: hostConfig}).run(ctx, ready)
	}
	return (&standalone{options: o, dir: dir, listener: listener, store: store, tunnel: tunnel}).run(ctx, ready)
}

// listen binds the port before anything else is done, so that a port in use is reported at
// once.
func listen(address net.IP, port int, addressFlag, portFlag string) (net.Listener, error) {
	target := net.JoinHostPort(address.String(), strconv.Itoa(port))
	listener, err := net.Listen("tcp", target)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("the port %d of %s is in use by another process: stop that one, or give another %s (0 takes a free one)", port, address, portFlag)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s %s is not an address of this machine", addressFlag, address)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("the port %d may not be used without privileges: give a %s of 1024 or more", port, portFlag)
	case err != nil:
		return nil, fmt.Errorf("listen on %s: %w", target, err)
	}
	return listener, nil
}
