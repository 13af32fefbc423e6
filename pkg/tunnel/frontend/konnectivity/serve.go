package konnectivity

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"sigs.k8s.io/apiserver-network-proxy/konnectivity-client/proto/client"

	"github.com/koinon-io/koinon/pkg/tunnel/frontend"
)

const (
	// greetTimeout is how long a connection may take to become one of HTTP/2.
	greetTimeout = 5 * time.Second
	// maxStreams is how many streams a connection may have: stock clients have one.
	maxStreams = 256
	// pingAfter and pingTimeout end connections whose other end hangs.
	pingAfter, pingTimeout = 30 * time.Second, 15 * time.Second
	// bufferBytes is what a connection has for reading and for writing; the latter is shared.
	bufferBytes = 16 << 10
)

// Serve serves the clients of a Unix socket, who are one tenant. When the listener is closed it goes on with what is carried, until that or ctx
// ends. All connections have ended when it returns.
func Serve(ctx context.Context, listener net.Listener, through *frontend.Frontend, as frontend.Client) error {
	if listener.Addr().Network() != "unix" || as.Tenant == "" {
		_ = listener.Close()
		return fmt.Errorf("tunnel front end: konnectivity's gRPC needs a Unix socket, and a tenant who its clients are; %s is at %s",
			as.Tenant, listener.Addr())
	}
	server := grpc.NewServer(
		grpc.ConnectionTimeout(greetTimeout), grpc.MaxConcurrentStreams(maxStreams),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingAfter, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true), grpc.ReadBufferSize(bufferBytes), grpc.WriteBufferSize(bufferBytes), grpc.SharedWriteBuffer(true),
	)
	client.RegisterProxyServiceServer(server, &service{through: through, as: as})
	stop := context.AfterFunc(ctx, server.Stop)
	defer stop()
	err := server.Serve(listener)
	if errors.Is(err, net.ErrClosed) {
		server.GracefulStop() // ends with the streams, or ctx
	}
	server.Stop() // waits for the streams, which it ends
	if ctx.Err() != nil || errors.Is(err, grpc.ErrServerStopped) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// service is ProxyService.
type service struct {
	client.UnimplementedProxyServiceServer
	through *frontend.Frontend
	as      frontend.Client
}

// Proxy serves one stream.
func (s *service) Proxy(stream client.ProxyService_ProxyServer) error {
	t := &tunnel{service: s, stream: stream, dials: map[int64]context.CancelCauseFunc{}, conns: map[int64]*conn{}}
	err := t.receive()
	t.leave()
	return err
}
