package engine

import (
	"bytes"
	"context"
	"slices"

	"github.com/k3s-io/kine/pkg/server"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// txn is a transaction of the one kind that there is: if some conditions are true of a key,
// read it as often as is wanted and then change it; otherwise read it as often as is wanted.
type txn struct {
	write write
	// reads are how many reads come before the change, otherwise how many there are if
	// there is none.
	reads, otherwise int
	// previous says that the answer to the change has what was there before.
	previous bool
}

// Txn answers a transaction as etcd does, or refuses it: of the many that etcd knows, this
// store has those in which one key is compared, read and changed. API servers send no others.
func (e *Engine) Txn(ctx context.Context, request *etcdserverpb.TxnRequest) (*etcdserverpb.TxnResponse, error) {
	if isCompaction(request) {
		return e.compactionTxn(ctx, request)
	}
	t, err := parseTxn(request)
	if err != nil {
		return nil, err
	}
	done := e.write(ctx, t.write)
	if done.err != nil {
		return nil, done.err
	}
	if !done.ok {
		return e.otherwise(ctx, t, done)
	}
	return e.changed(ctx, t, done)
}

// changed is the answer to a transaction whose conditions were true.
func (e *Engine) changed(ctx context.Context, t txn, done outcome) (*etcdserverpb.TxnResponse, error) {
	var before []*mvccpb.KeyValue
	if t.reads > 0 || t.previous {
		_, kv, err := e.found(ctx, done)
		if err != nil {
			return nil, err
		}
		before = listOf(kv)
	}
	answer := &etcdserverpb.TxnResponse{Header: header(done.revision), Succeeded: true}
	deleted := int64(0)
	if done.version != nil {
		deleted = 1
	}
	unchanged := done.revision
	if t.write.kind == put || deleted > 0 {
		unchanged--
	}
	for range t.reads {
		answer.Responses = append(answer.Responses, rangeResponse(unchanged, before))
	}
	if !t.previous {
		before = nil
	}
	if t.write.kind == remove {
		answer.Responses = append(answer.Responses, deleteResponse(done.revision, deleted, before))
	} else {
		answer.Responses = append(answer.Responses, putResponse(done.revision, before))
	}
	return answer, nil
}

// otherwise is the answer to a transaction whose conditions were not true.
func (e *Engine) otherwise(ctx context.Context, t txn, done outcome) (*etcdserverpb.TxnResponse, error) {
	answer := &etcdserverpb.TxnResponse{Header: header(done.revision)}
	if t.otherwise == 0 {
		return answer, nil
	}
	revision, kv, err := e.found(ctx, done)
	if err != nil {
		return nil, err
	}
	answer.Header.Revision = revision
	for range t.otherwise {
		answer.Responses = append(answer.Responses, rangeResponse(revision, listOf(kv)))
	}
	return answer, nil
}

// unsupported refuses a transaction in the words of Kine's server, and says what of it.
func unsupported(what string) error {
	return status.Errorf(codes.InvalidArgument, "%s: %s", status.Convert(server.ErrNotSupported).Message(), what)
}

// parseTxn reads a transaction, or says what of it this store does not have.
func parseTxn(request *etcdserverpb.TxnRequest) (txn, error) {
	if len(request.Success) == 0 {
		return txn{}, unsupported("it changes nothing")
	}
	reads, change := request.Success[:len(request.Success)-1], request.Success[len(request.Success)-1]
	t, err := parseChange(change)
	if err != nil {
		return txn{}, err
	}
	key := []byte(t.write.key)
	switch {
	case len(key) == 0:
		return txn{}, rpctypes.ErrGRPCEmptyKey
	case t.write.key == compactRevKey:
		return txn{}, unsupported("of " + compactRevKey + ", only the version is compared, and a value is put")
	}
	for _, op := range slices.Concat(reads, request.Failure) {
		if err := checkRead(op, key); err != nil {
			return txn{}, err
		}
	}
	for _, compare := range request.Compare {
		c, err := parseCompare(compare, key)
		if err != nil {
			return txn{}, err
		}
		t.write.conditions = append(t.write.conditions, c)
	}
	t.reads, t.otherwise = len(reads), len(request.Failure)
	return t, nil
}

func parseChange(op *etcdserverpb.RequestOp) (txn, error) {
	if p := op.GetRequestPut(); p != nil {
		if p.IgnoreValue || p.IgnoreLease {
			return txn{}, unsupported("a put that keeps the value or the lease")
		}
		return txn{write: write{kind: put, key: string(p.Key), value: p.Value, lease: p.Lease}, previous: p.PrevKv}, nil
	}
	if d := op.GetRequestDeleteRange(); d != nil {
		if len(d.RangeEnd) > 0 {
			return txn{}, unsupported("a deletion of a range of keys")
		}
		return txn{write: write{kind: remove, key: string(d.Key)}, previous: d.PrevKv}, nil
	}
	return txn{}, unsupported("the last of its operations changes nothing")
}

// checkRead wants a plain read of the key that is changed.
func checkRead(op *etcdserverpb.RequestOp, key []byte) error {
	r := op.GetRequestRange()
	switch {
	case r == nil:
		return unsupported("more than one change")
	case !bytes.Equal(r.Key, key) || len(r.RangeEnd) > 0:
		return unsupported("a read of other keys than the one that it changes")
	case r.Revision != 0 || r.CountOnly || r.KeysOnly ||
		r.MinModRevision != 0 || r.MaxModRevision != 0 || r.MinCreateRevision != 0 || r.MaxCreateRevision != 0:
		return unsupported("a read of a revision, or of a part of what is there")
	}
	return nil
}

func parseCompare(compare *etcdserverpb.Compare, key []byte) (condition, error) {
	if !bytes.Equal(compare.Key, key) || len(compare.RangeEnd) > 0 {
		return condition{}, unsupported("a comparison of other keys than the one that it changes")
	}
	c := condition{target: compare.Target, result: compare.Result}
	switch compare.Target {
	case etcdserverpb.Compare_VERSION:
		c.number = compare.GetVersion()
	case etcdserverpb.Compare_CREATE:
		c.number = compare.GetCreateRevision()
	case etcdserverpb.Compare_MOD:
		c.number = compare.GetModRevision()
	default:
		return condition{}, unsupported("a comparison of a value or lease")
	}
	if _, known := etcdserverpb.Compare_CompareResult_name[int32(compare.Result)]; !known {
		return condition{}, unsupported("a comparison of an unknown kind")
	}
	return c, nil
}

// API servers agree on who compacts with a key whose version they compare. Kine's server keeps
// it under another name, with the version in its value, and answers reads and watches from
// there.
const (
	compactRevKey = "compact_rev_key"
	compactRevAt  = "compact_rev_key_apiserver"
)

// isCompaction recognizes the transaction of a compactor.
func isCompaction(request *etcdserverpb.TxnRequest) bool {
	if len(request.Compare) != 1 || len(request.Success) != 1 || len(request.Failure) != 1 {
		return false
	}
	compare, change := request.Compare[0], request.Success[0].GetRequestPut()
	return string(compare.Key) == compactRevKey && len(compare.RangeEnd) == 0 &&
		compare.Target == etcdserverpb.Compare_VERSION && compare.Result == etcdserverpb.Compare_EQUAL &&
		string(change.GetKey()) == compactRevKey && !change.IgnoreValue && !change.IgnoreLease && !change.PrevKv && change.Lease == 0 &&
		checkRead(request.Failure[0], []byte(compactRevKey)) == nil
}

// compactionTxn lets one of several compactors win.
func (e *Engine) compactionTxn(ctx context.Context, request *etcdserverpb.TxnRequest) (*etcdserverpb.TxnResponse, error) {
	revision, kv, err := e.compactRev(ctx)
	if err != nil {
		return nil, err
	}
	if kv.Version == request.Compare[0].GetVersion() {
		value := server.EncodeVersion(kv.Version+1, request.Success[0].GetRequestPut().Value)
		done := e.write(ctx, write{kind: put, key: compactRevAt, value: value, conditions: modifiedAt(kv.ModRevision)})
		if done.err != nil {
			return nil, done.err
		}
		if done.ok {
			return &etcdserverpb.TxnResponse{
				Header: header(done.revision), Succeeded: true,
				Responses: []*etcdserverpb.ResponseOp{putResponse(done.revision, nil)},
			}, nil
		}
		if revision, kv, err = e.compactRev(ctx); err != nil {
			return nil, err
		}
	}
	return &etcdserverpb.TxnResponse{
		Header: header(revision), Responses: []*etcdserverpb.ResponseOp{rangeResponse(revision, []*mvccpb.KeyValue{kv})},
	}, nil
}

// compactRev is what is under the key of compactors. If nothing is, it has the version 0:
// where etcd would say that the key is not there, after a restore for example, a compactor
// panics.
func (e *Engine) compactRev(ctx context.Context) (int64, *mvccpb.KeyValue, error) {
	revision, kv, err := e.Get(ctx, compactRevAt, 0, false)
	if err != nil {
		return 0, nil, err
	}
	found := &mvccpb.KeyValue{Key: []byte(compactRevKey)}
	if kv != nil {
		found.CreateRevision, found.ModRevision = kv.CreateRevision, kv.ModRevision
		found.Version, found.Value = server.DecodeVersion(kv.Value)
	}
	return revision, found, nil
}

func header(revision int64) *etcdserverpb.ResponseHeader {
	return &etcdserverpb.ResponseHeader{Revision: revision}
}

// listOf is a list of one, or of none if there is none.
func listOf(kv *server.KeyValue) []*mvccpb.KeyValue {
	if kv == nil {
		return nil
	}
	return []*mvccpb.KeyValue{{
		Key: []byte(kv.Key), Value: kv.Value, Version: kv.Version, Lease: kv.Lease,
		CreateRevision: kv.CreateRevision, ModRevision: kv.ModRevision,
	}}
}

func rangeResponse(revision int64, kvs []*mvccpb.KeyValue) *etcdserverpb.ResponseOp {
	return &etcdserverpb.ResponseOp{Response: &etcdserverpb.ResponseOp_ResponseRange{
		ResponseRange: &etcdserverpb.RangeResponse{Header: header(revision), Kvs: kvs, Count: int64(len(kvs))},
	}}
}

func putResponse(revision int64, before []*mvccpb.KeyValue) *etcdserverpb.ResponseOp {
	response := &etcdserverpb.PutResponse{Header: header(revision)}
	if len(before) > 0 {
		response.PrevKv = before[0]
	}
	return &etcdserverpb.ResponseOp{Response: &etcdserverpb.ResponseOp_ResponsePut{ResponsePut: response}}
}

func deleteResponse(revision, deleted int64, before []*mvccpb.KeyValue) *etcdserverpb.ResponseOp {
	return &etcdserverpb.ResponseOp{Response: &etcdserverpb.ResponseOp_ResponseDeleteRange{
		ResponseDeleteRange: &etcdserverpb.DeleteRangeResponse{Header: header(revision), Deleted: deleted, PrevKvs: before},
	}}
}
