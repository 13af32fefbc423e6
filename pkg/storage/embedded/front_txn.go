package embedded

import (
	"context"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"github.com/koinon-io/koinon/pkg/storage/engine"
)

// answerTxn has the engine answer transactions. Kine's front recognizes some by what they look
// like, and hands on a part of what they say: a deletion if the revision is 0, which means that
// there is nothing, arrives as one of any revision.
func answerTxn(e *engine.Engine) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		if txn, ok := request.(*etcdserverpb.TxnRequest); ok {
			return e.Txn(ctx, txn)
		}
		return handle(ctx, request)
	}
}
