package storage

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

var errEnough = errors.New("enough")

func TestWhatChangesIsFollowedInOrderFromARevision(t *testing.T) {
	store, client := open(t, Config{DataDir: t.TempDir()})
	create(t, client, "/registry/b.io/x", "1")
	revision, err := store.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	create(t, client, "/registry/a.io/x", "before the range")
	create(t, client, "/registry/c.io/y", "2")
	changed := ifUnchanged(t, client, "/registry/b.io/x", clientv3.OpPut("/registry/b.io/x", "3"))
	deleted := ifUnchanged(t, client, "/registry/b.io/x", clientv3.OpDelete("/registry/b.io/x"))
	var got []string
	err = store.Follow(t.Context(), "/registry/b.io/", "/registry/c.io0", revision, func(key string, value, before []byte, revision int64) error {
		if key == "" {
			return nil
		}
		if got = append(got, fmt.Sprintf("%s %q %q", key, value, before)); len(got) == 3 {
			return errEnough
		}
		return nil
	})
	want := []string{`/registry/c.io/y "2" ""`, `/registry/b.io/x "3" "1"`, `/registry/b.io/x "" "3"`}
	if diff := cmp.Diff(want, got); diff != "" || !errors.Is(err, errEnough) {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if value, err := store.Value(t.Context(), "/registry/b.io/x", changed-1); string(value) != "1" || err != nil {
		t.Errorf("before the change: got %q, %v", value, err)
	}
	if value, err := store.Value(t.Context(), "/registry/b.io/x", deleted); value != nil || err != nil {
		t.Errorf("once deleted: got %q, %v", value, err)
	}
	if keys, err := store.Keys(t.Context(), "/registry/b.io/", changed); !cmp.Equal(keys, []string{"/registry/b.io/x"}) || err != nil {
		t.Errorf("got the keys %q, %v", keys, err)
	}
	if keys, err := store.Keys(t.Context(), "/registry/b.io/", deleted); len(keys) != 0 || err != nil {
		t.Errorf("once deleted: got the keys %q, %v", keys, err)
	}
}

func TestAQuietStoreSaysHowFarItIs(t *testing.T) {
	store, client := open(t, Config{DataDir: t.TempDir()})
	create(t, client, "/registry/z.io/x", "1")
	now, err := store.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = store.Follow(t.Context(), "/registry/a.io/", "/registry/b.io0", 1, func(key string, _, _ []byte, revision int64) error {
		if key == "" && revision >= now {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsCompactedIsExpired(t *testing.T) {
	store, client := open(t, Config{DataDir: t.TempDir()})
	create(t, client, "/registry/a.io/x", "1")
	changed := ifUnchanged(t, client, "/registry/a.io/x", clientv3.OpPut("/registry/a.io/x", "2"))
	last := ifUnchanged(t, client, "/registry/a.io/x", clientv3.OpPut("/registry/a.io/x", "3"))
	if _, err := client.Compact(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	err := store.Follow(t.Context(), "/registry/a.io/", "/registry/a.io0", changed-2, func(string, []byte, []byte, int64) error { return errEnough })
	if !apierrors.IsResourceExpired(err) {
		t.Errorf("to follow: got %v", err)
	}
	if _, err := store.Value(t.Context(), "/registry/a.io/x", changed); !apierrors.IsResourceExpired(err) {
		t.Errorf("the value: got %v", err)
	}
	if _, err := store.Keys(t.Context(), "/registry/a.io/", changed); !apierrors.IsResourceExpired(err) {
		t.Errorf("the keys: got %v", err)
	}
}

// A list of what is computed asks how far the store is, and each change asks for others where two kinds have the same names.
func TestReadsTakeOneConnectionUntilTheStoreIsClosed(t *testing.T) {
	store, err := Open(t.Context(), Config{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Revision(t.Context()); err != nil {
		t.Error(err)
	}
	first := store.reads.client
	if _, err := store.Keys(t.Context(), "/registry/", 1); err != nil || store.reads.client != first {
		t.Errorf("it makes another: %v", err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	if _, err := store.Revision(t.Context()); !errors.Is(err, errClosed) {
		t.Errorf("once it is closed: got %v", err)
	}
}

// ifUnchanged does what an API server does to change a key, and returns the revision.
func ifUnchanged(t *testing.T, client *clientv3.Client, key string, op clientv3.Op) int64 {
	t.Helper()
	found, err := client.Get(t.Context(), key)
	if err != nil || len(found.Kvs) != 1 {
		t.Fatalf("get %s: %v, %v", key, found, err)
	}
	answer, err := client.Txn(t.Context()).If(clientv3.Compare(clientv3.ModRevision(key), "=", found.Kvs[0].ModRevision)).
		Then(op).Else(clientv3.OpGet(key)).Commit()
	if err != nil || !answer.Succeeded {
		t.Fatalf("change %s: %v, %v", key, answer, err)
	}
	return answer.Header.Revision
}
