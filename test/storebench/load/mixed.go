package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Shares of operations in percent; what is left to 100 are lists of one namespace in pages.
const (
	shareGet    = 60
	shareUpdate = 25
	shareCreate = 5
	shareDelete = 5
	mixedPage   = 100
)

// mix is a measurement like the load of an API server.
type mix struct {
	*Target
	keys    *Keys
	clients int
	journal journal
	// tag makes the names of new keys unique.
	tag string
	// made are keys that a client made, and may delete; next counts their names.
	made [][]slot
	next []int
}

// Mixed has clients get, update, create, delete and list, with one watcher for each
// namespace. tag must be another each time.
func (t *Target) Mixed(ctx context.Context, keys *Keys, tag string, clients int, duration time.Duration) (Result, Delivery, error) {
	m := &mix{Target: t, keys: keys, clients: clients, tag: tag, made: make([][]slot, clients), next: make([]int, clients)}
	a, err := t.audience(ctx, keys.namespaces...)
	if err != nil {
		return Result{}, Delivery{}, err
	}
	result := loop(ctx, clients, duration, m.operate)
	a.await(ctx, &m.journal)
	delivery, err := a.judge(&m.journal)
	return result, delivery, err
}

func (m *mix) operate(ctx context.Context, client int) (string, error) {
	switch n := rand.IntN(100); {
	case n < shareGet:
		_, err := m.get(ctx, client, m.keys.slots[rand.IntN(len(m.keys.slots))].key)
		return Get, err
	case n < shareGet+shareUpdate:
		return Update, m.updateOwn(ctx, client)
	case n < shareGet+shareUpdate+shareCreate:
		return Create, m.createOwn(ctx, client)
	case n < shareGet+shareUpdate+shareCreate+shareDelete:
		if len(m.made[client]) == 0 {
			return Create, m.createOwn(ctx, client)
		}
		return Delete, m.deleteOwn(ctx, client)
	}
	namespace := m.namespace()
	_, err := m.list(ctx, client, namespace, namespace[:len(namespace)-1]+"0", mixedPage) // "0" follows "/"
	return List, err
}

func (m *mix) namespace() string { return m.keys.namespaces[rand.IntN(len(m.keys.namespaces))] }

func (m *mix) updateOwn(ctx context.Context, client int) error {
	s, began := m.keys.owned(client, m.clients, rand.IntN(len(m.keys.slots))), time.Now()
	err := m.updateSlot(ctx, client, s)
	if err == nil {
		m.journal.note(Event{Revision: s.revision, Key: s.key}, began)
	}
	return err
}

func (m *mix) createOwn(ctx context.Context, client int) error {
	m.next[client]++
	s, began := slot{key: fmt.Sprintf("%snew-%s-%02d-%06d", m.namespace(), m.tag, client, m.next[client])}, time.Now()
	err := m.createSlot(ctx, client, &s)
	if err == nil {
		m.made[client] = append(m.made[client], s)
		m.journal.note(Event{Revision: s.revision, Key: s.key}, began)
	}
	return err
}

func (m *mix) deleteOwn(ctx context.Context, client int) error {
	last := len(m.made[client]) - 1
	s, began := m.made[client][last], time.Now()
	m.made[client] = m.made[client][:last]
	revision, err := m.removeSlot(ctx, client, &s)
	if err == nil {
		m.journal.note(Event{revision, s.key, true}, began)
	}
	return err
}
