package engine

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
)

// compactorTxn is what the compactor of an API server sends.
func compactorTxn(version, revision int64) *etcdserverpb.TxnRequest {
	key := []byte(compactRevKey)
	return &etcdserverpb.TxnRequest{
		Compare: []*etcdserverpb.Compare{{
			Key: key, Target: etcdserverpb.Compare_VERSION, TargetUnion: &etcdserverpb.Compare_Version{Version: version},
		}},
		Success: []*etcdserverpb.RequestOp{{Request: &etcdserverpb.RequestOp_RequestPut{
			RequestPut: &etcdserverpb.PutRequest{Key: key, Value: []byte(strconv.FormatInt(revision, 10))},
		}}},
		Failure: []*etcdserverpb.RequestOp{{Request: &etcdserverpb.RequestOp_RequestRange{RequestRange: &etcdserverpb.RangeRequest{Key: key}}}},
	}
}

// TestOfRacingCompactorsOneWins: Kine's front has told all of them that they have.
func TestOfRacingCompactorsOneWins(t *testing.T) {
	run(t, func(t *testing.T, _ *memLog, open func() *Engine) {
		engines := []*Engine{open(), open()}
		for version := range int64(20) {
			var racing sync.WaitGroup
			var won atomic.Int64
			for racer := range int64(6) {
				racing.Go(func() {
					answer, err := engines[racer%2].Txn(t.Context(), compactorTxn(version, 10*version+racer))
					if err != nil {
						t.Error(err)
						return
					}
					if answer.Succeeded {
						won.Add(1)
						return
					}
					// As API servers read it.
					kv := answer.Responses[0].GetResponseRange().Kvs[0]
					if kv.Version != version+1 || len(kv.Value) == 0 {
						t.Errorf("a loser is told of version %d, %q, want %d", kv.Version, kv.Value, version+1)
					}
				})
			}
			racing.Wait()
			if won.Load() != 1 {
				t.Errorf("at version %d, %d compactors have won", version, won.Load())
			}
		}
	})
}

// TestACompactorWhoseKeyIsGoneBeginsAnew: it takes for granted that there is one.
func TestACompactorWhoseKeyIsGoneBeginsAnew(t *testing.T) {
	run(t, func(t *testing.T, _ *memLog, open func() *Engine) {
		answer, err := open().Txn(t.Context(), compactorTxn(7, 70))
		if err != nil || answer.Succeeded {
			t.Fatal(answer, err)
		}
		if kvs := answer.Responses[0].GetResponseRange().Kvs; len(kvs) != 1 || kvs[0].Version != 0 {
			t.Errorf("got %v, want one of version 0", kvs)
		}
	})
}
