package agentaccess

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"

	"github.com/koinon-io/koinon/pkg/tunnel"
)

const (
	// RenewEvery is how often a replica says that it is there.
	RenewEvery = 10 * time.Second
	// goneAfter is after how long of silence it is not: agents then do not look for it any more.
	goneAfter = 30 * time.Second

	replicaLabel = "federation.koinon.io/tunnel"
	// peerAnnotation is where other servers reach one, HOST:PORT.
	peerAnnotation = "federation.koinon.io/tunnel-peer"
	// hiddenAnnotation says that agents are not told of it.
	hiddenAnnotation = "federation.koinon.io/tunnel-hidden"
	replicaPrefix    = "koinon-tunnel-"
)

// Replicas are the servers with a tunnel over one API, which say by Leases that they are there, and where other servers reach them. Agents have
// a link to each. It is used by one goroutine at a time.
type Replicas struct {
	leases coordinationclient.LeaseInterface
	self   tunnel.Replica
	now    func() time.Time
	// seen is when the version of a Lease was first seen here, by name: clocks of servers differ.
	seen map[string]sighting
}

type sighting struct {
	version string
	at      time.Time
}

// NewReplicas takes the Leases of the system namespace, and this replica. Its Peer may be empty.
func NewReplicas(leases coordinationclient.LeaseInterface, self tunnel.Replica, now func() time.Time) *Replicas {
	return &Replicas{leases: leases, self: self, now: now, seen: map[string]sighting{}}
}

// leaseName is that of a replica's Lease: ids have what names may not.
func leaseName(id string) string {
	sum := sha256.Sum256([]byte(id))
	return replicaPrefix + hex.EncodeToString(sum[:8])
}

// Renew says that this replica is there.
func (r *Replicas) Renew(ctx context.Context) error {
	at, seconds := metav1.NewMicroTime(r.now()), int32(goneAfter.Seconds())
	spec := coordinationv1.LeaseSpec{HolderIdentity: &r.self.ID, LeaseDurationSeconds: &seconds, RenewTime: &at}
	name := leaseName(r.self.ID)
	lease, err := r.leases.Get(ctx, name, metav1.GetOptions{})
	switch {
	case err == nil:
		lease.Spec = spec
		r.annotate(lease)
		_, err = r.leases.Update(ctx, lease, metav1.UpdateOptions{})
	case apierrors.IsNotFound(err):
		lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{replicaLabel: ""}}, Spec: spec}
		r.annotate(lease)
		_, err = r.leases.Create(ctx, lease, metav1.CreateOptions{})
	}
	if err != nil {
		return fmt.Errorf("renew the Lease %s: %w", name, err)
	}
	return nil
}

// annotate says where this replica is.
func (r *Replicas) annotate(lease *coordinationv1.Lease) {
	delete(lease.Annotations, hiddenAnnotation)
	if r.self.Hidden {
		metav1.SetMetaDataAnnotation(&lease.ObjectMeta, hiddenAnnotation, "true")
	}
	if r.self.Peer == "" {
		delete(lease.Annotations, peerAnnotation)
		return
	}
	metav1.SetMetaDataAnnotation(&lease.ObjectMeta, peerAnnotation, r.self.Peer)
}

// Leave says that this replica goes.
func (r *Replicas) Leave(ctx context.Context) error {
	err := r.leases.Delete(ctx, leaseName(r.self.ID), metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete the Lease %s: %w", leaseName(r.self.ID), err)
	}
	return nil
}

// List returns all that are there, this one included, by id, and deletes the Leases of those that are not any more.
func (r *Replicas) List(ctx context.Context) ([]tunnel.Replica, error) {
	list, err := r.leases.List(ctx, metav1.ListOptions{LabelSelector: replicaLabel})
	if err != nil {
		return nil, fmt.Errorf("list the Leases of servers with a tunnel: %w", err)
	}
	found := []tunnel.Replica{r.self}
	seen := make(map[string]sighting, len(list.Items))
	for i := range list.Items {
		lease := &list.Items[i]
		holder := lease.Spec.HolderIdentity
		if holder == nil || lease.Name != leaseName(*holder) || *holder == r.self.ID {
			continue // what somebody else has labeled stays
		}
		last := r.seen[lease.Name]
		if last.version != lease.ResourceVersion {
			last = sighting{lease.ResourceVersion, r.now()}
		}
		if r.now().Sub(last.at) < goneAfter {
			seen[lease.Name] = last
			found = append(found, tunnel.Replica{ID: *holder, Peer: lease.Annotations[peerAnnotation], Hidden: lease.Annotations[hiddenAnnotation] != ""})
			continue
		}
		err := r.leases.Delete(ctx, lease.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &lease.UID, ResourceVersion: &lease.ResourceVersion}})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return nil, fmt.Errorf("delete the Lease %s of a server that is gone: %w", lease.Name, err)
		}
	}
	r.seen = seen
	slices.SortFunc(found, func(a, b tunnel.Replica) int { return strings.Compare(a.ID, b.ID) })
	return found, nil
}
