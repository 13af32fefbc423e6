package engine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/koinon-io/koinon/pkg/storage/sqllog"
)

// BenchmarkValues is what a value that is in memory saves, in front of SQLite: objects of
// 9 KiB are read, updated while somebody watches, and listed by a process that has just started.
func BenchmarkValues(b *testing.B) {
	const objects = 2000
	key := func(i int) string { return fmt.Sprintf("/registry/web-%06d", i) }
	value := bytes.Repeat([]byte("v"), 9<<10)
	for name, cacheBytes := range map[string]int{"in memory": 128 << 20, "in the database": 1} {
		log, err := sqllog.OpenSQLite(b.Context(), sqllog.SQLiteConfig{Path: filepath.Join(b.TempDir(), "db"), Name: "store"})
		if err != nil {
			b.Fatal(err)
		}
		open := func() *Engine {
			e, err := Open(b.Context(), log, Options{CacheBytes: cacheBytes, EventBytes: 1})
			if err != nil {
				b.Fatal(err)
			}
			return e
		}
		e := open()
		revisions := make([]int64, objects)
		for i := range revisions {
			if revisions[i], err = e.Create(b.Context(), key(i), value, 0); err != nil {
				b.Fatal(err)
			}
		}
		b.Run("get/"+name, func(b *testing.B) {
			for b.Loop() {
				if _, kv, err := e.Get(b.Context(), key(rand.IntN(objects)), 0, false); err != nil || kv == nil {
					b.Fatal(kv, err)
				}
			}
		})
		b.Run("update and watch/"+name, func(b *testing.B) {
			watch := e.Watch(b.Context(), 0)
			<-watch.Eventc // how far it is
			for b.Loop() {
				i := rand.IntN(objects)
				var done bool
				if revisions[i], _, done, err = e.Update(b.Context(), key(i), value, revisions[i], 0); err != nil || !done {
					b.Fatal(done, err)
				}
				if batch := <-watch.Eventc; len(batch.Events[0].PrevKV.Value) != len(value) {
					b.Fatal("no value before")
				}
			}
		})
		e.Close()
		b.Run("first list/"+name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				e := open()
				b.StartTimer()
				if _, kvs, err := e.List(b.Context(), "/registry/", "/registry0", 0, 0, false); err != nil || len(kvs) != objects {
					b.Fatal(len(kvs), err)
				}
				b.StopTimer()
				e.Close()
				b.StartTimer()
			}
		})
	}
}
