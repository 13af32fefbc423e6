package storage

import (
	"net"
	"testing"
	"time"
)

func TestAStoreKnowsWhetherItIsUsable(t *testing.T) {
	store, _ := open(t, Config{DataDir: t.TempDir()})
	ready := store.Readiness()
	if err := ready.Check(nil); err != nil || ready.Reason() != "" {
		t.Errorf("got %v and %q, want none", err, ready.Reason())
	}
}

func TestAnEtcdThatIsAwayIsNotReady(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	// It does not begin without its etcd, so the store is opened in part.
	store, err := Open(t.Context(), Config{Datastore: "etcd://" + address, ConnectTimeout: time.Millisecond})
	if err == nil {
		t.Fatal("a store that is away was opened")
	}
	ready := store.Readiness()
	want := "the etcd datastore at " + address + " is not available: connection refused"
	if err := ready.Check(nil); err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
	if got, want := ready.Reason(), "the etcd datastore is not available: connection refused"; got != want {
		t.Errorf("the reason for everybody: got %q, want %q", got, want)
	}
}
