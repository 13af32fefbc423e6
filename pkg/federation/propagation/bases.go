package propagation

import (
	"container/list"
	"context"
	"sync"

	"github.com/koinon-io/koinon/pkg/federation/reach"
	"github.com/koinon-io/koinon/pkg/federation/render"
)

// maxBasesBytes bounds what is kept of compiled specs: enough for what changes just now. A
// spec that is not kept is compiled again when its object is looked at.
const maxBasesBytes = 64 << 20

// bases keeps the specs that were compiled last, each once per generation of its object.
// Errors are kept too.
type bases struct {
	mu    sync.Mutex
	limit int64
	held  int64
	byKey map[objectKey]*list.Element // of *compiled
	used  *list.List                  // the last one used is first
}

// compiled is a spec of one generation of an object and one state of its type.
type compiled struct {
	key        objectKey
	kind       *kind
	uid        string
	generation int64

	once sync.Once
	base *render.Base
	err  error
	size int64
}

func newBases(limit int64) *bases {
	return &bases{limit: limit, byKey: map[objectKey]*list.Element{}, used: list.New()}
}

// of returns the compiled spec of an object. It returns ctx's error if that ends first.
func (b *bases) of(ctx context.Context, v *view, federation string) (*render.Base, error) {
	c := b.entry(v)
	c.once.Do(func() {
		c.base, c.err = render.Compile(ctx, reach.RenderSpec(v.federated, v.key.source(), federation, &v.kind.spec))
	})
	if ctx.Err() != nil {
		b.drop(v.key)
		return nil, ctx.Err()
	}
	b.weigh(c)
	return c.base, c.err
}

func (b *bases) entry(v *view) *compiled {
	b.mu.Lock()
	defer b.mu.Unlock()
	if element := b.byKey[v.key]; element != nil {
		c := element.Value.(*compiled)
		if c.kind == v.kind && c.uid == string(v.federated.UID) && c.generation == v.federated.Generation {
			b.used.MoveToFront(element)
			return c
		}
		b.remove(element)
	}
	c := &compiled{key: v.key, kind: v.kind, uid: string(v.federated.UID), generation: v.federated.Generation}
	b.byKey[v.key] = b.used.PushFront(c)
	return c
}

// weigh notes how large a spec is by now, and drops those that were not used for longest.
func (b *bases) weigh(c *compiled) {
	b.mu.Lock()
	defer b.mu.Unlock()
	element := b.byKey[c.key]
	if element == nil || element.Value != c {
		return
	}
	if c.base != nil {
		size := c.base.SizeBytes()
		b.held += size - c.size
		c.size = size
	}
	for b.held > b.limit && b.used.Len() > 1 {
		b.remove(b.used.Back())
	}
}

func (b *bases) drop(key objectKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if element := b.byKey[key]; element != nil {
		b.remove(element)
	}
}

func (b *bases) remove(element *list.Element) {
	c := b.used.Remove(element).(*compiled)
	delete(b.byKey, c.key)
	b.held -= c.size
}

// manifest makes the manifest of a target.
func (e *Engine) manifest(ctx context.Context, v *view, t viewTarget) (*render.Manifest, error) {
	base, err := e.bases.of(ctx, v, e.Federation)
	if err != nil {
		return nil, err
	}
	return base.For(ctx, v.kind.ofReach().RenderTarget(v.object(), t.Candidate, e.Federation))
}
