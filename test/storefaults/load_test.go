package storefaults

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koinon-io/koinon/test/storefaults/history"
)

// root is the prefix of all keys of a load.
const root = "/registry/faults/"

// load is a number of clients that read and write at random.
type load struct {
	recorder *history.Recorder
	// members are the stores: client i uses member i modulo their number.
	members []*member
	clients int
	// hot is how many keys all clients fight for, wide how many they seldom meet at.
	hot, wide int
	// generation is how long the hot keys stay the same: how long a key's history gets.
	generation time.Duration
	// timeout is how long a client waits for an answer.
	timeout time.Duration
	// maxValue is the size of the greatest values.
	maxValue int
	// pause is how long a client rests after each request.
	pause time.Duration
	seed  uint64
}

// run returns when the context has ended and every request has.
func (l *load) run(ctx context.Context) {
	var running sync.WaitGroup
	for i := range l.clients {
		running.Go(func() {
			c := &client{
				load: l, number: i, member: l.members[i%len(l.members)],
				random: rand.New(rand.NewPCG(l.seed, uint64(i)+1)), known: map[string]history.Version{},
			}
			for ctx.Err() == nil {
				c.step(ctx)
			}
		})
	}
	running.Wait()
}

// client is one of them.
type client struct {
	load   *load
	number int
	member *member
	random *rand.Rand
	values int
	// known is what the client last saw of each key.
	known map[string]history.Version
}

func (c *client) step(ctx context.Context) {
	key := c.key()
	known, seen := c.known[key]
	dice := c.random.Float64()
	var done *history.Operation
	switch {
	case dice < 0.05:
		done = c.list(ctx, key[:strings.LastIndex(key, "/")+1], 0)
	case dice < 0.30 || !seen && dice < 0.6:
		done = c.get(ctx, key)
	case !seen || known.Mod == 0 || dice < 0.33:
		done = c.create(ctx, key, c.value(), dice*1000-float64(int(dice*1000)) < 0.5)
	case dice < 0.45:
		done = c.delete(ctx, key, known.Mod)
	default:
		done = c.update(ctx, key, c.value(), known.Mod)
	}
	c.learn(done)
	pause := c.load.pause
	if done.Outcome == history.Unknown {
		pause += time.Duration(20+c.random.IntN(80)) * time.Millisecond
	}
	if pause > 0 {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// key picks one. Hot keys are named for the time, so that the history of each stays short.
func (c *client) key() string {
	if c.load.wide > 0 && c.random.Float64() < 0.3 {
		return fmt.Sprintf("%swide/%d/%d", root, c.random.IntN(c.load.wide), c.random.IntN(4))
	}
	return fmt.Sprintf("%shot/%d/%d", root, c.load.recorder.Now()/c.load.generation, c.random.IntN(c.load.hot))
}

// learn keeps what an answer says.
func (c *client) learn(o *history.Operation) {
	switch {
	case o.Outcome == history.Unknown:
		delete(c.known, o.Key)
	case o.Kind == history.List:
		maps.Copy(c.known, o.Found)
	case o.Found != nil:
		c.known[o.Key] = o.Found[o.Key]
	case o.Outcome == history.Refused:
		delete(c.known, o.Key)
	case o.Kind == history.Delete:
		c.known[o.Key] = history.Version{}
	default:
		c.known[o.Key] = history.Version{Mod: o.Revision}
	}
}

// value is a new value: its name and size, and so many bytes more.
func (c *client) value() string {
	c.values++
	size := 50 + c.random.IntN(1000)
	switch dice := c.random.Float64(); {
	case dice < 0.01:
		size = c.load.maxValue/2 + c.random.IntN(c.load.maxValue/2)
	case dice < 0.1:
		size = 1 + c.random.IntN(c.load.maxValue/4)
	}
	return fmt.Sprintf("%d-%d:%d", c.number, c.values, size)
}

// written is what is stored under the name of a value.
func written(name string) string {
	_, size, found := strings.Cut(name, ":")
	if n, err := strconv.Atoi(size); found && err == nil {
		return name + " " + filler(name, n)
	}
	return name
}

// filler is so many bytes, all of 256 and different for each name.
func filler(name string, size int) string {
	bytes := make([]byte, size)
	var sum byte
	for i := range name {
		sum = sum*31 + name[i]
	}
	for i := range bytes {
		bytes[i] = sum + byte(i) + byte(i>>8)
	}
	return string(bytes)
}

// nameOf is the name of a value that was read, or else says that it is damaged.
func nameOf(value []byte) string {
	name, _, _ := strings.Cut(string(value[:min(len(value), 100)]), " ")
	if written(name) != string(value) {
		return fmt.Sprintf("damaged value of %d bytes that begins with %q", len(value), name)
	}
	return name
}

func version(kv *mvccpb.KeyValue) history.Version {
	if kv == nil {
		return history.Version{}
	}
	return history.Version{Value: nameOf(kv.Value), Mod: kv.ModRevision, Created: kv.CreateRevision, Number: kv.Version}
}

func versions(kvs []*mvccpb.KeyValue) map[string]history.Version {
	found := make(map[string]history.Version, len(kvs))
	for _, kv := range kvs {
		found[string(kv.Key)] = version(kv)
	}
	return found
}

// do sends one request and records it. A request that has begun is not broken off when the
// load ends.
func (c *client) do(ctx context.Context, o history.Operation, send func(ctx context.Context, o *history.Operation) error) *history.Operation {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.load.timeout)
	defer cancel()
	o.Client, o.Store = c.number, c.member.name
	begun := c.load.recorder.Begin(o)
	if err := send(ctx, begun); err != nil {
		begun.Outcome, begun.Err, begun.Found = history.Unknown, err.Error(), nil
	}
	c.load.recorder.End(begun)
	return begun
}

// txn sends what API servers send: one comparison of a revision, one change, and a read of
// what is there if the comparison fails.
func (c *client) txn(ctx context.Context, o history.Operation, change clientv3.Op, tell bool) *history.Operation {
	return c.do(ctx, o, func(ctx context.Context, o *history.Operation) error {
		txn := c.member.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(o.Key), "=", o.Compare)).Then(change)
		if tell {
			txn = txn.Else(clientv3.OpGet(o.Key))
		}
		answer, err := txn.Commit()
		if err != nil {
			return err
		}
		o.Revision, o.Outcome = answer.Header.Revision, history.Done
		if !answer.Succeeded {
			o.Outcome = history.Refused
			if tell {
				o.Found = versions(responseRange(answer))
			}
		}
		return nil
	})
}

func responseRange(answer *clientv3.TxnResponse) []*mvccpb.KeyValue {
	for _, response := range answer.Responses {
		if found, ok := response.Response.(*etcdserverpb.ResponseOp_ResponseRange); ok {
			return found.ResponseRange.Kvs
		}
	}
	return nil
}

func (c *client) create(ctx context.Context, key, value string, tell bool) *history.Operation {
	return c.txn(ctx, history.Operation{Kind: history.Create, Key: key, Value: value}, clientv3.OpPut(key, written(value)), tell)
}

func (c *client) update(ctx context.Context, key, value string, revision int64) *history.Operation {
	return c.txn(ctx, history.Operation{Kind: history.Update, Key: key, Value: value, Compare: revision}, clientv3.OpPut(key, written(value)), true)
}

func (c *client) delete(ctx context.Context, key string, revision int64) *history.Operation {
	return c.txn(ctx, history.Operation{Kind: history.Delete, Key: key, Compare: revision}, clientv3.OpDelete(key), true)
}

func (c *client) get(ctx context.Context, key string) *history.Operation {
	return c.do(ctx, history.Operation{Kind: history.Get, Key: key}, func(ctx context.Context, o *history.Operation) error {
		answer, err := c.member.client.Get(ctx, key)
		if err != nil {
			return err
		}
		o.Outcome, o.Revision, o.Found = history.Done, answer.Header.Revision, versions(answer.Kvs)
		return nil
	})
}

// list reads all keys with a prefix, at a revision or, if that is 0, now.
func (c *client) list(ctx context.Context, prefix string, revision int64) *history.Operation {
	return c.do(ctx, history.Operation{Kind: history.List, Key: prefix, Compare: revision}, func(ctx context.Context, o *history.Operation) error {
		answer, err := c.member.client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(revision))
		if err != nil {
			return err
		}
		o.Outcome, o.Revision, o.Found = history.Done, answer.Header.Revision, versions(answer.Kvs)
		return nil
	})
}
