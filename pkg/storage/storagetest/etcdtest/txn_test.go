package etcdtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/koinon-io/koinon/pkg/storage/datastore"
	"github.com/koinon-io/koinon/pkg/storage/embedded"
	"github.com/koinon-io/koinon/pkg/storage/storagetest"
)

// ours is a client of a store of this project, on SQLite.
func ours(t *testing.T) *clientv3.Client {
	t.Helper()
	datastore, err := datastore.Parse("sqlite://"+filepath.Join(t.TempDir(), "koinon.db"), "")
	if err != nil {
		t.Fatal(err)
	}
	store, err := embedded.Open(t.Context(), datastore, embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return connect(t, net.JoinHostPort(embedded.Address, "2379"), grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return store.Dial(ctx) }))
}

func connect(t *testing.T, address string, options ...grpc.DialOption) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"http://" + address}, Logger: zap.NewNop(), DialOptions: options})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// TestTransactionsAreDoneAsEtcdDoesThemOrRefused sends the same random transactions to both.
// Each is of the kind that this store has, or of another one by a single change. What it
// refuses, etcd does not get.
func TestTransactionsAreDoneAsEtcdDoesThemOrRefused(t *testing.T) {
	address, _ := Start(t)
	etcd, koinon := connect(t, address), ours(t)
	etcdKV, koinonKV := etcdserverpb.NewKVClient(etcd.ActiveConnection()), etcdserverpb.NewKVClient(koinon.ActiveConnection())
	random := generator{Rand: rand.New(rand.NewPCG(storagetest.Seed(t), 0)), versions: map[string]*numbers{}}
	done, refused := 0, map[string]int{}
	for range 3000 {
		request := random.transaction()
		spoiled := random.IntN(4) == 0
		how := ""
		if spoiled {
			how = random.spoil(request)
		}
		got, err := koinonKV.Txn(t.Context(), proto.Clone(request).(*etcdserverpb.TxnRequest))
		if spoiled && status.Code(err) == codes.InvalidArgument {
			refused[how]++
			continue
		}
		if err != nil {
			t.Fatalf("%v\nof %v", err, request)
		}
		want, err := etcdKV.Txn(t.Context(), request)
		if err != nil {
			t.Fatalf("this store has done what etcd refuses: %v\n%v", err, request)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform(), withoutServer); diff != "" {
			t.Fatalf("%s%v\n(-etcd +koinon):\n%s", how, request, diff)
		}
		done++
		random.learn(t, etcd)
	}
	t.Logf("%d transactions were done alike, and refused were %v", done, refused)
	for _, how := range spoilers {
		if refused[how.name] == 0 {
			t.Errorf("never refused: %s", how.name)
		}
	}
	if diff := cmp.Diff(history(t, etcd), history(t, koinon)); diff != "" {
		t.Errorf("events (-etcd +koinon):\n%s", diff)
	}
}

// withoutServer leaves out who has answered.
var withoutServer = protocmp.IgnoreFields(&etcdserverpb.ResponseHeader{}, "cluster_id", "member_id", "raft_term")

// history is every event there was.
func history(t *testing.T, client *clientv3.Client) []string {
	t.Helper()
	last, err := client.Get(t.Context(), "none")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var events []string
	for answer := range client.Watch(ctx, "k", clientv3.WithPrefix(), clientv3.WithRev(1), clientv3.WithPrevKV()) {
		if err := answer.Err(); err != nil {
			t.Fatal(err)
		}
		for _, event := range answer.Events {
			events = append(events, fmt.Sprintf("%s %v before: %v", event.Type, event.Kv, event.PrevKv))
			if event.Kv.ModRevision == last.Header.Revision {
				return events
			}
		}
	}
	t.Fatalf("the watch ended after %d events, before revision %d", len(events), last.Header.Revision)
	return nil
}

// numbers are those of a key that comparisons are made with.
type numbers struct{ version, created, modified int64 }

// generator makes transactions. It knows what is there, so that comparisons are often true.
type generator struct {
	*rand.Rand
	versions map[string]*numbers
}

func (g *generator) key() string { return fmt.Sprint("k", g.IntN(3)) }

func (g *generator) learn(t *testing.T, client *clientv3.Client) {
	t.Helper()
	all, err := client.Get(t.Context(), "k", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	clear(g.versions)
	for _, kv := range all.Kvs {
		g.versions[string(kv.Key)] = &numbers{kv.Version, kv.CreateRevision, kv.ModRevision}
	}
}

// transaction makes one of the kind that this store has.
func (g *generator) transaction() *etcdserverpb.TxnRequest {
	key := g.key()
	request := &etcdserverpb.TxnRequest{}
	for range g.IntN(3) {
		request.Compare = append(request.Compare, g.compare(key))
	}
	for range g.IntN(2) {
		request.Success = append(request.Success, readOf(key))
	}
	request.Success = append(request.Success, g.change(key))
	for range g.IntN(3) {
		request.Failure = append(request.Failure, readOf(key))
	}
	return request
}

func (g *generator) compare(key string) *etcdserverpb.Compare {
	there := g.versions[key]
	if there == nil {
		there = &numbers{}
	}
	compare := &etcdserverpb.Compare{Key: []byte(key), Result: etcdserverpb.Compare_CompareResult(g.IntN(4))}
	number := func(now int64) int64 { return [...]int64{now, now, now, now - 1, now + 1, 0, 1}[g.IntN(7)] }
	switch g.IntN(4) {
	case 0:
		compare.Target = etcdserverpb.Compare_VERSION
		compare.TargetUnion = &etcdserverpb.Compare_Version{Version: number(there.version)}
	case 1:
		compare.Target = etcdserverpb.Compare_CREATE
		compare.TargetUnion = &etcdserverpb.Compare_CreateRevision{CreateRevision: number(there.created)}
	case 2:
		compare.Target = etcdserverpb.Compare_MOD
		compare.TargetUnion = &etcdserverpb.Compare_ModRevision{ModRevision: number(there.modified)}
	case 3: // without a number, as a client sends it that leaves out zeros
		compare.Target = etcdserverpb.Compare_MOD
	}
	return compare
}

func (g *generator) change(key string) *etcdserverpb.RequestOp {
	if g.IntN(3) == 0 {
		return &etcdserverpb.RequestOp{Request: &etcdserverpb.RequestOp_RequestDeleteRange{
			RequestDeleteRange: &etcdserverpb.DeleteRangeRequest{Key: []byte(key), PrevKv: g.IntN(2) == 0},
		}}
	}
	values := []string{"", "a", "b"}
	return &etcdserverpb.RequestOp{Request: &etcdserverpb.RequestOp_RequestPut{
		RequestPut: &etcdserverpb.PutRequest{Key: []byte(key), Value: []byte(values[g.IntN(len(values))]), PrevKv: g.IntN(2) == 0},
	}}
}

func readOf(key string) *etcdserverpb.RequestOp {
	return &etcdserverpb.RequestOp{Request: &etcdserverpb.RequestOp_RequestRange{RequestRange: &etcdserverpb.RangeRequest{Key: []byte(key)}}}
}

// spoilers make a transaction one that this store does not have.
var spoilers = []struct {
	name  string
	spoil func(g *generator, request *etcdserverpb.TxnRequest, key string)
}{
	{"another key is compared", func(g *generator, r *etcdserverpb.TxnRequest, key string) {
		r.Compare = append(r.Compare, g.compare(key+"x"))
	}},
	{"a range is compared", func(g *generator, r *etcdserverpb.TxnRequest, key string) {
		compare := g.compare(key)
		compare.RangeEnd = []byte("l")
		r.Compare = append(r.Compare, compare)
	}},
	{"a value is compared", func(_ *generator, r *etcdserverpb.TxnRequest, key string) {
		r.Compare = append(r.Compare, &etcdserverpb.Compare{Key: []byte(key), Target: etcdserverpb.Compare_VALUE, TargetUnion: &etcdserverpb.Compare_Value{Value: []byte("a")}})
	}},
	{"a lease is compared", func(_ *generator, r *etcdserverpb.TxnRequest, key string) {
		r.Compare = append(r.Compare, &etcdserverpb.Compare{Key: []byte(key), Target: etcdserverpb.Compare_LEASE})
	}},
	{"nothing is changed", func(_ *generator, r *etcdserverpb.TxnRequest, _ string) {
		r.Success = r.Success[:len(r.Success)-1]
	}},
	{"a read comes after the change", func(_ *generator, r *etcdserverpb.TxnRequest, key string) {
		r.Success = append(r.Success, readOf(key))
	}},
	{"another key is changed too", func(g *generator, r *etcdserverpb.TxnRequest, key string) {
		r.Success = append(r.Success, g.change(key+"x"))
	}},
	{"something is changed otherwise", func(g *generator, r *etcdserverpb.TxnRequest, key string) {
		r.Failure = append(r.Failure, g.change(key))
	}},
	{"another key is read", func(_ *generator, r *etcdserverpb.TxnRequest, key string) {
		r.Failure = append(r.Failure, readOf(key+"x"))
	}},
	{"a range is read", func(_ *generator, r *etcdserverpb.TxnRequest, key string) {
		read := readOf(key)
		read.GetRequestRange().RangeEnd = []byte("l")
		r.Failure = append(r.Failure, read)
	}},
	{"a revision is read", func(_ *generator, r *etcdserverpb.TxnRequest, key string) {
		read := readOf(key)
		read.GetRequestRange().Revision = 1
		r.Failure = append(r.Failure, read)
	}},
	{"only the number is read", func(_ *generator, r *etcdserverpb.TxnRequest, key string) {
		read := readOf(key)
		read.GetRequestRange().CountOnly = true
		r.Failure = append(r.Failure, read)
	}},
	{"a range is deleted", func(_ *generator, r *etcdserverpb.TxnRequest, key string) {
		r.Success = []*etcdserverpb.RequestOp{{Request: &etcdserverpb.RequestOp_RequestDeleteRange{
			RequestDeleteRange: &etcdserverpb.DeleteRangeRequest{Key: []byte(key), RangeEnd: []byte("l")},
		}}}
	}},
	{"the value is kept", func(_ *generator, r *etcdserverpb.TxnRequest, key string) {
		r.Success = []*etcdserverpb.RequestOp{{Request: &etcdserverpb.RequestOp_RequestPut{
			RequestPut: &etcdserverpb.PutRequest{Key: []byte(key), IgnoreValue: true},
		}}}
	}},
	{"there is a transaction in it", func(g *generator, r *etcdserverpb.TxnRequest, _ string) {
		r.Success = []*etcdserverpb.RequestOp{{Request: &etcdserverpb.RequestOp_RequestTxn{RequestTxn: g.transaction()}}}
	}},
	{"the key is empty", func(g *generator, r *etcdserverpb.TxnRequest, _ string) {
		r.Success = []*etcdserverpb.RequestOp{g.change("")}
	}},
	{"the key of compactors is compared by its revision", func(g *generator, r *etcdserverpb.TxnRequest, _ string) {
		const key = "compact_rev_key"
		r.Compare = []*etcdserverpb.Compare{{Key: []byte(key), Target: etcdserverpb.Compare_MOD}}
		r.Success, r.Failure = []*etcdserverpb.RequestOp{g.change(key)}, nil
	}},
}

// spoil makes a transaction one that this store does not have, and says how.
func (g *generator) spoil(request *etcdserverpb.TxnRequest) string {
	change := request.Success[len(request.Success)-1]
	key := string(change.GetRequestPut().GetKey()) + string(change.GetRequestDeleteRange().GetKey())
	how := spoilers[g.IntN(len(spoilers))]
	how.spoil(g, request, key)
	return how.name
}
