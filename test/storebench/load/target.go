package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const (
	// requestTimeout is when an operation without answer counts as failed.
	requestTimeout = 10 * time.Second
	// noiseBytes is how much random data there is to take values from.
	noiseBytes = 8 << 20
)

// Target is one server and the connections to it. It may be used concurrently.
type Target struct {
	endpoint string
	clients  []*clientv3.Client
	// noise is random; values are windows of it, so that none can be compressed.
	noise      []byte
	valueBytes int
}

// Connect makes the clients, which share a number of connections. It does not wait until
// the server answers: see Ready.
func Connect(socket string, connections, valueBytes int) (*Target, error) {
	t := &Target{endpoint: "unix://" + socket, noise: make([]byte, noiseBytes), valueBytes: valueBytes}
	_, _ = rand.NewChaCha8([32]byte{}).Read(t.noise)
	for range connections {
		client, err := t.connect()
		if err != nil {
			return nil, errors.Join(err, t.Close())
		}
		t.clients = append(t.clients, client)
	}
	return t, nil
}

func (t *Target) connect() (*clientv3.Client, error) {
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{t.endpoint}, Logger: zap.NewNop(), DialKeepAliveTime: 30 * time.Second,
	})
	if err != nil {
		return nil, fmt.Errorf("connect to the server: %w", err)
	}
	return client, nil
}

// Ready returns nil if the server answers a read.
func (t *Target) Ready(ctx context.Context) error {
	_, err := t.clients[0].Get(ctx, "/registry/ready")
	return err
}

// Close closes all connections.
func (t *Target) Close() error {
	var errs []error
	for _, client := range t.clients {
		errs = append(errs, client.Close())
	}
	return errors.Join(errs...)
}

// kv is the connection that a client uses.
func (t *Target) kv(client int) clientv3.KV { return t.clients[client%len(t.clients)] }

func (t *Target) value() string {
	from := rand.IntN(len(t.noise) - t.valueBytes)
	return string(t.noise[from : from+t.valueBytes])
}

// revision is the current one.
func (t *Target) revision(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	response, err := t.clients[0].Get(ctx, "/registry/none")
	if err != nil {
		return 0, fmt.Errorf("read the current revision: %w", err)
	}
	return response.Header.Revision, nil
}

// conflict is the error of a write whose compare failed.
type conflict struct {
	// current is what is there instead; nil if nothing is, or if the write does not tell.
	current *mvccpb.KeyValue
}

func (c *conflict) Error() string { return "the key is not at the revision that was compared" }

// create writes a key that must not be there, and returns the revision of the write.
func (t *Target) create(ctx context.Context, client int, key string) (int64, error) {
	return t.write(ctx, client, key, 0, clientv3.OpPut(key, t.value()))
}

// update writes a key that must be at a revision.
func (t *Target) update(ctx context.Context, client int, key string, revision int64) (int64, error) {
	return t.write(ctx, client, key, revision, clientv3.OpPut(key, t.value()), clientv3.OpGet(key))
}

// remove deletes a key that must be at a revision.
func (t *Target) remove(ctx context.Context, client int, key string, revision int64) (int64, error) {
	return t.write(ctx, client, key, revision, clientv3.OpDelete(key), clientv3.OpGet(key))
}

// write is the transaction of an API server: compare, then write, otherwise read.
func (t *Target) write(ctx context.Context, client int, key string, revision int64, then clientv3.Op, otherwise ...clientv3.Op) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	compare := clientv3.Compare(clientv3.ModRevision(key), "=", revision)
	response, err := t.kv(client).Txn(ctx).If(compare).Then(then).Else(otherwise...).Commit()
	if err != nil {
		return 0, err
	}
	if response.Succeeded {
		return response.Header.Revision, nil
	}
	failed := &conflict{}
	if len(response.Responses) > 0 {
		if kvs := response.Responses[0].GetResponseRange().GetKvs(); len(kvs) > 0 {
			failed.current = kvs[0]
		}
	}
	return 0, failed
}

// get reads one key, linearizably; nil if it is not there.
func (t *Target) get(ctx context.Context, client int, key string) (*mvccpb.KeyValue, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	response, err := t.kv(client).Get(ctx, key)
	if err != nil || len(response.Kvs) == 0 {
		return nil, err
	}
	return response.Kvs[0], nil
}
