package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// slot is a key that one client alone writes, and what that client knows of it.
type slot struct {
	key string
	// revision of the last write; 0 if the key is not there.
	revision int64
	// unsure says that the outcome of the last write is unknown.
	unsure bool
}

// errOvertaken is when a key was changed by somebody else than its owner.
var errOvertaken = errors.New("a key that one client alone writes has changed by itself")

// settle notes the outcome of a write, and passes its error on.
func (s *slot) settle(revision int64, err error) error {
	s.unsure = err != nil
	if err == nil {
		s.revision = revision
	}
	if failed := (*conflict)(nil); errors.As(err, &failed) {
		return errOvertaken
	}
	return err
}

// refresh finds out what is there if that is not known.
func (t *Target) refresh(ctx context.Context, client int, s *slot) error {
	if !s.unsure {
		return nil
	}
	kv, err := t.get(ctx, client, s.key)
	if err != nil {
		return err
	}
	s.revision, s.unsure = kv.GetModRevision(), false
	return nil
}

func (t *Target) createSlot(ctx context.Context, client int, s *slot) error {
	return s.settle(t.create(ctx, client, s.key))
}

func (t *Target) updateSlot(ctx context.Context, client int, s *slot) error {
	if err := t.refresh(ctx, client, s); err != nil {
		return err
	}
	return s.settle(t.update(ctx, client, s.key, s.revision))
}

// removeSlot deletes the key of a slot and returns the revision of that.
func (t *Target) removeSlot(ctx context.Context, client int, s *slot) (int64, error) {
	revision, err := t.remove(ctx, client, s.key, s.revision)
	return revision, s.settle(0, err)
}

// Keys are keys with their values in the store, each the property of one client.
type Keys struct {
	slots []slot
	// prefix of all, and of each namespace, with the slash.
	prefix     string
	namespaces []string
}

// fillers is how many clients make keys that are not measured.
const fillers = 32

// Fill makes keys, PREFIX/ns-NN/key-NNNNNN, with as many in each namespace.
func (t *Target) Fill(ctx context.Context, prefix string, namespaces, each int) (*Keys, error) {
	k := &Keys{prefix: prefix + "/"}
	for n := range namespaces {
		namespace := fmt.Sprintf("%s/ns-%02d/", prefix, n)
		k.namespaces = append(k.namespaces, namespace)
		for i := range each {
			k.slots = append(k.slots, slot{key: fmt.Sprintf("%skey-%06d", namespace, i)})
		}
	}
	errs := make([]error, fillers)
	var running sync.WaitGroup
	for client := range fillers {
		running.Go(func() {
			for i := client; i < len(k.slots) && errs[client] == nil; i += fillers {
				errs[client] = t.createSlot(ctx, client, &k.slots[i])
			}
		})
	}
	running.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("make %d keys: %w", len(k.slots), err)
	}
	return k, nil
}

// Len is how many keys there are.
func (k *Keys) Len() int { return len(k.slots) }

// owned is key number n of a client, where clients own equal shares.
func (k *Keys) owned(client, clients, n int) *slot {
	return &k.slots[client+n%(len(k.slots)/clients)*clients]
}
