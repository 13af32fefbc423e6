package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Gets has clients read keys at random.
func (t *Target) Gets(ctx context.Context, keys *Keys, clients int, duration time.Duration) Result {
	return loop(ctx, clients, duration, func(ctx context.Context, client int) (string, error) {
		key := keys.slots[rand.IntN(len(keys.slots))].key
		kv, err := t.get(ctx, client, key)
		if err == nil && kv == nil {
			err = fmt.Errorf("the key %s is not there", key)
		}
		return Get, err
	})
}

// Lists has one client list the first namespaces, all of them if namespaces is 0. page is
// how many keys it asks for at a time, 0 for all.
func (t *Target) Lists(ctx context.Context, keys *Keys, namespaces, page int, duration time.Duration) Result {
	from, end, want := keys.prefix, clientv3.GetPrefixRangeEnd(keys.prefix), len(keys.slots)
	if namespaces > 0 {
		end = clientv3.GetPrefixRangeEnd(keys.namespaces[namespaces-1])
		want = want * namespaces / len(keys.namespaces)
	}
	return loop(ctx, 1, duration, func(ctx context.Context, client int) (string, error) {
		got, err := t.list(ctx, client, from, end, page)
		if err == nil && got != want {
			err = fmt.Errorf("a list has %d keys instead of %d", got, want)
		}
		return List, err
	})
}

// list reads a range at one revision, as an API server does with limit and continue, and
// returns how many keys it has.
func (t *Target) list(ctx context.Context, client int, from, end string, page int) (int, error) {
	total, last, revision := 0, "", int64(0)
	for {
		response, err := t.page(ctx, client, from, end, page, revision)
		if err != nil {
			return total, err
		}
		if last, err = inOrder(response.Kvs, last); err != nil {
			return total, err
		}
		total += len(response.Kvs)
		if !response.More {
			return total, nil
		}
		if revision == 0 {
			revision = response.Header.Revision
		}
		from = last + "\x00"
	}
}

// page reads a range, of at most limit keys if that is not 0, at a revision if that is not 0.
func (t *Target) page(ctx context.Context, client int, from, end string, limit int, revision int64) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return t.kv(client).Get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(int64(limit)), clientv3.WithRev(revision))
}

// inOrder returns the last key, or an error if one does not follow the one before.
func inOrder(kvs []*mvccpb.KeyValue, last string) (string, error) {
	for _, kv := range kvs {
		if string(kv.Key) <= last {
			return "", fmt.Errorf("a list has the key %s after %s", kv.Key, last)
		}
		last = string(kv.Key)
	}
	return last, nil
}
