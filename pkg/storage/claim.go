package storage

import (
	"context"
	"fmt"
	"net"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// claimTimeout bounds one claim.
const claimTimeout = 10 * time.Second

// Claim writes value under key if nothing is there, and returns what is there then. It lets
// servers that share a store find out whether they agree about something.
func (s *Store) Claim(ctx context.Context, key, value string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	client, err := s.client(ctx)
	if err != nil {
		return "", fmt.Errorf("claim %s in the %s: %w", key, s, err)
	}
	defer func() { _ = client.Close() }()
	answer, err := client.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", 0)).
		Then(clientv3.OpPut(key, value)).
		Else(clientv3.OpGet(key)).Commit()
	if err != nil {
		return "", fmt.Errorf("claim %s in the %s: %w", key, s, err)
	}
	if answer.Succeeded {
		return value, nil
	}
	if kvs := answer.Responses[0].GetResponseRange().GetKvs(); len(kvs) == 1 {
		return string(kvs[0].Value), nil
	}
	return "", fmt.Errorf("claim %s in the %s: it was removed at the same time", key, s)
}

// client dials the store as an API server does.
func (s *Store) client(ctx context.Context) (*clientv3.Client, error) {
	transport := s.Transport()
	config := clientv3.Config{Endpoints: transport.ServerList, Context: ctx, Logger: zap.NewNop()}
	if s.embedded == nil {
		var err error
		if config.TLS, err = s.tls.Client(); err != nil {
			return nil, err
		}
		return clientv3.New(config)
	}
	config.DialOptions = []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return s.embedded.Dial(ctx)
	})}
	return clientv3.New(config)
}
