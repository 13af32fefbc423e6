package storefaults

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koinon-io/koinon/pkg/storage/engine"
	"github.com/koinon-io/koinon/pkg/storage/storagetest"
	"github.com/koinon-io/koinon/test/storefaults/history"
)

// impatient stores take a database that has lost writes for what it is after two seconds.
func impatient() (config engine.Options) {
	config.Patience = time.Second
	return config
}

// loser is a database that loses the writes after a revision, as a replica that takes over
// without them does.
type loser struct{ *storagetest.MariaDB }

func (l loser) open(t *testing.T, name string) *member {
	t.Helper()
	config := storeConfig
	config.Engine = impatient()
	return openMemberWith(t, name, "mysql://"+l.DSN(databaseName), config)
}

func (l loser) lose(t *testing.T, after int64) {
	t.Helper()
	l.Exec(t, "USE "+databaseName, "BEGIN",
		fmt.Sprintf("DELETE FROM koinon_log WHERE rev > %d", after),
		fmt.Sprintf("UPDATE koinon_meta SET tail = %d, op = (SELECT op FROM koinon_log WHERE rev = %d) WHERE id = 1", after, after), "COMMIT")
}

// state is all keys as a store has them, once it answers.
func state(t *testing.T, m *member) map[string]history.Version {
	t.Helper()
	var last error
	for begun := time.Now(); time.Since(begun) < recovery; time.Sleep(100 * time.Millisecond) {
		var answer *clientv3.GetResponse
		if answer, last = m.client.Get(t.Context(), root, clientv3.WithPrefix()); last == nil {
			return versions(answer.Kvs)
		}
	}
	t.Fatalf("%s does not answer: %v", m.name, last)
	return nil
}

func TestADatabaseThatLostWritesGoesOnAboveThem(t *testing.T) {
	database := loser{storagetest.StartMariaDB(t)}
	one, two := database.open(t, "one"), database.open(t, "two")
	kept := createKey(t, one, root+"kept", "1").Header.Revision
	lost := int64(0)
	for i := range 5 {
		lost = createKey(t, one, fmt.Sprintf("%slost-%d", root, i), "2").Header.Revision
	}
	state(t, two) // it knows them too
	watchers := []*watcher{newWatcher(one, "one", kept), newWatcher(two, "two", kept)}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	for _, w := range watchers {
		go w.run(ctx) // ends with the test
	}
	waitAt(t, watchers, lost)
	database.lose(t, kept)
	if answer, err := one.client.Get(t.Context(), root+"lost-0"); err == nil && len(answer.Kvs) > 0 {
		t.Error("a store answered with what is lost")
	}
	for _, m := range []*member{one, two} {
		if got := state(t, m); len(got) != 1 || got[root+"kept"].Mod != kept {
			t.Errorf("state at %s: got %v, want the key that was kept", m.name, got)
		}
	}
	if again := createKey(t, two, root+"lost-0", "3").Header.Revision; again <= lost {
		t.Errorf("revision %d was given out again", again)
	} else {
		waitAt(t, watchers, again)
	}
	for _, w := range watchers {
		if w.relists == 0 {
			t.Errorf("watcher %s was not told to read anew", w.name)
		}
	}
}

func waitAt(t *testing.T, watchers []*watcher, revision int64) {
	t.Helper()
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		behind := 0
		for _, w := range watchers {
			if w.at() <= revision {
				behind++
			}
		}
		if behind == 0 {
			return
		}
		if time.Since(begun) > recovery {
			t.Fatalf("%d watchers stay before revision %d", behind, revision)
		}
	}
}

// A server that starts after the loss knows nothing of it and writes at once, beyond what the
// others know.
func TestALossThatOthersHaveWrittenOverIsNoticed(t *testing.T) {
	database := loser{storagetest.StartMariaDB(t)}
	one := database.open(t, "one")
	kept := createKey(t, one, root+"kept", "1").Header.Revision
	lost := int64(0)
	for i := range 5 {
		lost = createKey(t, one, fmt.Sprintf("%slost-%d", root, i), "2").Header.Revision
	}
	// The same instant for those who ask: it is lost, and written over.
	w := newWatcher(one, "one", kept)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go w.run(ctx) // ends with the test
	waitAt(t, []*watcher{w}, lost)
	database.lose(t, kept)
	two := database.open(t, "two")
	for i := range 20 {
		createKey(t, two, fmt.Sprintf("%snew-%d", root, i), "3")
	}
	if first, second := state(t, one), state(t, two); !maps.Equal(first, second) {
		t.Errorf("VIOLATION: the stores have different keys:\none: %v\ntwo: %v", first, second)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := map[int64]bool{}
	for _, segment := range w.segments {
		for _, step := range segment.Steps {
			if seen[step.Event.Revision] && step.Progress == 0 {
				t.Errorf("VIOLATION: the watcher saw revision %d twice", step.Event.Revision)
			}
			seen[step.Event.Revision] = true
		}
	}
}
