package embedded

import (
	"context"
	"time"

	kineserver "github.com/k3s-io/kine/pkg/server"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"

	"github.com/koinon-io/koinon/pkg/storage/engine"
)

const (
	// emulatedEtcdVersion tells API servers that progress notifications work, which they
	// need for consistent reads from the watch cache.
	emulatedEtcdVersion = "3.6.11"
	// defaultNotifyInterval is how often a quiet watch is told the current revision.
	defaultNotifyInterval = 5 * time.Second

	// maxRequestBytes is etcd's limit for a request that writes (--max-request-bytes), 1.5
	// MiB, not counting what is around a value; receiveBytes is what is read of a request,
	// to be able to say so.
	maxRequestBytes = 3<<19 + 16<<10
	receiveBytes    = 8 << 20
	// maxKeyBytes is the longest key that the tables take. Most names are up to 253 bytes
	// long, but those of roles have no limit of their own.
	maxKeyBytes = 2048
	// maxResponseBytes is the most that gRPC can carry.
	maxResponseBytes = 1<<31 - 1
)

// newServer puts Kine's etcd front before an engine.
func newServer(e *engine.Engine, notifyInterval time.Duration) *grpc.Server {
	server := grpc.NewServer(
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second}),
		grpc.MaxRecvMsgSize(receiveBytes),
		grpc.MaxSendMsgSize(maxResponseBytes),
		// An API server opens a connection for each resource: keep the idle ones small.
		grpc.ReadBufferSize(8<<10),
		grpc.ChainUnaryInterceptor(limitRequests, putAtOnce(e), answerTxn(e)),
		grpc.StreamInterceptor(orderWatches(e)),
	)
	kineserver.New(e, "http", notifyInterval, emulatedEtcdVersion).Register(server)
	return server
}

// limitRequests refuses what etcd would refuse, in the same words, and keys that the tables
// cannot hold: one write that cannot be done fails all that share its transaction.
func limitRequests(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	switch write := request.(type) {
	case *etcdserverpb.TxnRequest:
		for _, operation := range write.Success {
			if len(operation.GetRequestPut().GetKey()) > maxKeyBytes {
				return nil, rpctypes.ErrGRPCRequestTooLarge
			}
		}
		if proto.Size(write) > maxRequestBytes {
			return nil, rpctypes.ErrGRPCRequestTooLarge
		}
	case *etcdserverpb.PutRequest:
		if len(write.Key) > maxKeyBytes || proto.Size(write) > maxRequestBytes {
			return nil, rpctypes.ErrGRPCRequestTooLarge
		}
	}
	return handle(ctx, request)
}

// putAtOnce answers puts. Kine's front makes a read and a conditional write of them, and
// says that it succeeded when the condition was not met.
func putAtOnce(e *engine.Engine) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		put, ok := request.(*etcdserverpb.PutRequest)
		if !ok || put.IgnoreLease || put.IgnoreValue || string(put.Key) == compactionKey {
			return handle(ctx, request)
		}
		revision, before, err := e.Put(ctx, string(put.Key), put.Value, put.Lease)
		if err != nil {
			return nil, err
		}
		response := &etcdserverpb.PutResponse{Header: &etcdserverpb.ResponseHeader{Revision: revision}}
		if put.PrevKv && before != nil {
			response.PrevKv = &mvccpb.KeyValue{
				Key: []byte(before.Key), Value: before.Value, Version: before.Version, Lease: before.Lease,
				CreateRevision: before.CreateRevision, ModRevision: before.ModRevision,
			}
		}
		return response, nil
	}
}

// compactionKey is where API servers agree on who compacts; Kine's front keeps it elsewhere.
const compactionKey = "compact_rev_key"

// orderWatches keeps the revisions on a watch from going back. Kine's front reads the
// current revision for a progress notification before it sends it, and may have sent a
// later event in between; and it closes a watch with a notification of revision 0.
func orderWatches(e *engine.Engine) grpc.StreamServerInterceptor {
	return func(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
		if info.FullMethod == etcdserverpb.Watch_Watch_FullMethodName {
			stream = &watchStream{ServerStream: stream, compacted: e.CompactRevision, sent: map[int64]int64{}}
		}
		return handle(server, stream)
	}
}

// everyWatch is the id of a notification that is for all watches of a stream.
const everyWatch = -1

// watchStream knows the latest revision of each watch. Kine's front sends one message at a
// time.
type watchStream struct {
	grpc.ServerStream
	compacted func() int64
	sent      map[int64]int64
}

// SendMsg leaves out progress notifications that are out of date, and says of watches that
// end because what they need next was compacted where they could begin again.
func (s *watchStream) SendMsg(message any) error {
	response, ok := message.(*etcdserverpb.WatchResponse)
	if !ok {
		return s.ServerStream.SendMsg(message)
	}
	id, revision := response.WatchId, response.Header.GetRevision()
	switch {
	case response.Canceled:
		if response.CompactRevision == 0 && response.CancelReason == kineserver.ErrCompacted.Error() {
			response.CompactRevision = s.compacted()
		}
		delete(s.sent, id)
	case response.Created:
		s.sent[id] = 0
	case len(response.Events) > 0:
		s.sent[id] = revision
	case s.outdated(id, revision):
		return nil
	default:
		s.note(id, revision)
	}
	return s.ServerStream.SendMsg(message)
}

func (s *watchStream) outdated(id, revision int64) bool {
	if revision == 0 {
		return true
	}
	if id != everyWatch {
		return revision < s.sent[id]
	}
	for _, sent := range s.sent {
		if revision < sent {
			return true
		}
	}
	return false
}

func (s *watchStream) note(id, revision int64) {
	if id != everyWatch {
		s.sent[id] = revision
		return
	}
	for each := range s.sent {
		s.sent[each] = revision
	}
}
