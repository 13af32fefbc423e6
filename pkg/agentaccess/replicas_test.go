package agentaccess

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/koinon-io/koinon/pkg/tunnel"
)

// versioned is a client whose Leases get versions, as those of an API server do.
func versioned() kubernetes.Interface {
	client := fake.NewClientset()
	version := 0
	client.PrependReactor("*", "leases", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if change, ok := action.(clienttesting.UpdateAction); ok { // creations, too
			version++
			change.GetObject().(*coordinationv1.Lease).ResourceVersion = strconv.Itoa(version)
		}
		return false, nil, nil
	})
	return client
}

func TestReplicasKnowWhoIsThere(t *testing.T) {
	leases := versioned().CoordinationV1().Leases(system)
	at := now
	clock := func() time.Time { return at }
	a := NewReplicas(leases, tunnel.Replica{ID: "host-a_1"}, clock)
	b := NewReplicas(leases, tunnel.Replica{ID: "HOST.b_2", Peer: "10.0.0.2:6445"}, func() time.Time { return at.Add(-time.Hour) })
	renew := func(replicas ...*Replicas) {
		t.Helper()
		for _, r := range replicas {
			if err := r.Renew(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	sees := func(what string, r *Replicas, want ...string) {
		t.Helper()
		found, err := r.List(t.Context())
		var got []string
		for _, replica := range found {
			got = append(got, replica.ID)
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: got %v, (-want +got):\n%s", what, err, diff)
		}
	}
	sees("alone, before it has said so", a, "host-a_1")
	renew(a, b)
	sees("whatever the other's clock says", a, "HOST.b_2", "host-a_1")
	sees("the other one", b, "HOST.b_2", "host-a_1")
	if found, err := a.List(t.Context()); err != nil || found[0].Peer != "10.0.0.2:6445" || found[1].Peer != "" {
		t.Errorf("got %+v, %v: want where the other is", found, err)
	}
	for range 10 {
		at = at.Add(RenewEvery)
		renew(a, b)
		sees("as long as both renew", a, "HOST.b_2", "host-a_1")
	}
	at = at.Add(goneAfter - time.Second)
	renew(a)
	sees("not yet gone", a, "HOST.b_2", "host-a_1")
	at = at.Add(time.Second)
	sees("gone", a, "host-a_1")
	if list, err := leases.List(t.Context(), metav1.ListOptions{}); err != nil || len(list.Items) != 1 {
		t.Errorf("got %v, %v: want the Lease of the one that is there", list, err)
	}
	renew(b)
	sees("back", a, "HOST.b_2", "host-a_1")
	if err := b.Leave(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	sees("left", a, "host-a_1")
}
