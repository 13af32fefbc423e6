package serve

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/k3s-io/kine/pkg/drivers"
	"github.com/k3s-io/kine/pkg/drivers/generic"
	kinemysql "github.com/k3s-io/kine/pkg/drivers/mysql"
	kinesqlite "github.com/k3s-io/kine/pkg/drivers/sqlite"
	kineserver "github.com/k3s-io/kine/pkg/server"
	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// kine serves what the command `kine` serves with its default flags. Its SQLite does not
// sync on every commit by default; here it does.
func kine(ctx context.Context, o Options) error {
	open := kinesqlite.New
	source := filepath.Join(o.Dir, "state.db") + "?" + strings.Replace(kinesqlite.DefaultParams, "NORMAL", "FULL", 1)
	if NeedsDatabase(o.Name) {
		open, source = kinemysql.New, o.Database
	}
	wait := &sync.WaitGroup{}
	defer wait.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	_, backend, err := open(ctx, wait, kineDefaults(source))
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	if err := backend.Start(ctx); err != nil {
		return fmt.Errorf("start on the database: %w", err)
	}
	listener, err := listen(o)
	if err != nil {
		return err
	}
	server := kineFront(backend)
	defer context.AfterFunc(ctx, server.Stop)()
	return server.Serve(listener)
}

// kineDefaults are those of the flags in Kine's pkg/app.
func kineDefaults(source string) *drivers.Config {
	return &drivers.Config{
		MetricsRegisterer:    prometheus.NewRegistry(),
		DataSourceName:       source,
		ConnectionPoolConfig: generic.ConnectionPoolConfig{MaxIdle: 20, MaxIdleTime: 2 * time.Minute},
		CompactTimeout:       5 * time.Second,
		CompactMinRetain:     1000,
		CompactBatchSize:     1000,
		PollInterval:         time.Second,
		PollBatchSize:        500,
	}
}

// kineFront is the server that Kine's pkg/endpoint makes. That package would link every
// driver that there is.
func kineFront(backend kineserver.Backend) *grpc.Server {
	server := grpc.NewServer(
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: embed.DefaultGRPCKeepAliveMinTime}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: embed.DefaultGRPCKeepAliveInterval, Timeout: embed.DefaultGRPCKeepAliveTimeout,
		}),
		grpc.MaxConcurrentStreams(embed.DefaultMaxConcurrentStreams),
		grpc.MaxRecvMsgSize(embed.DefaultMaxRequestBytes+512<<10),
		grpc.MaxSendMsgSize(math.MaxInt32),
	)
	kineserver.New(backend, "unix", 5*time.Second, "3.6.11").Register(server)
	return server
}
