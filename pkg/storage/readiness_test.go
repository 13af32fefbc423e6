package storage

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiserver/pkg/registry/generic"

	"github.com/koinon-io/koinon/pkg/storage/storagetest"
)

func TestAStoreKnowsWhetherItIsUsable(t *testing.T) {
	store, _ := open(t, Config{DataDir: t.TempDir()})
	ready := store.Readiness()
	if err := ready.Check(nil); err != nil || ready.Reason() != "" {
		t.Errorf("got %v and %q, want none", err, ready.Reason())
	}
}

func TestAnEtcdThatIsAwayIsNotWaitedFor(t *testing.T) {
	backend := newBackend(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	stop := serveEtcd(t, backend, listener)
	store, _ := open(t, Config{Datastore: "etcd://" + address})
	storage := newStorage(t, store.answers(), address, generic.UndecoratedStorage)
	if err := requests["create"](t.Context(), storage); err != nil {
		t.Fatal(err)
	}

	stop()
	ready := store.Readiness()
	away := "the etcd datastore is not available: connection refused"
	waiting, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if diff := cmp.Diff(unavailableWith(away), toldOf(requests["list"](waiting, storage))); diff != "" {
		t.Errorf("a list that was waiting (-want +got):\n%s", diff)
	}
	storagetest.Eventually(t, "the check fails", func() bool { return ready.Check(nil) != nil })
	where := "the etcd datastore at " + address + " is not available: connection refused"
	if err := ready.Check(nil); err == nil || err.Error() != where {
		t.Errorf("got %v, want %q", err, where)
	}
	if got := ready.Reason(); got != away {
		t.Errorf("the reason for everybody: got %q, want %q", got, away)
	}
	for name, request := range requests {
		if diff := cmp.Diff(unavailableWith(away), toldOf(request(t.Context(), storage))); diff != "" {
			t.Errorf("%s while etcd is away (-want +got):\n%s", name, diff)
		}
	}

	if listener, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	serveEtcd(t, backend, listener)
	storagetest.Eventually(t, "the check succeeds", func() bool { return ready.Check(nil) == nil })
	if err := list(t.Context(), storage, ""); err != nil {
		t.Errorf("list when etcd is back: %v", err)
	}
}
