package membership

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	corev1listers "k8s.io/client-go/listers/core/v1"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	listersv1beta1 "github.com/koinon-io/koinon/pkg/generated/listers/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/memberaccess"
)

// Connections reach members now and then, where somebody else checks their health, writes their
// status and propagates: nothing is asked of a member before it is used, and nothing runs.
type Connections struct {
	// Clusters and Secrets are those of the system namespace.
	Clusters listersv1beta1.KubeFedClusterNamespaceLister
	Secrets  corev1listers.SecretNamespaceLister
	// Dial opens connections to members; nil: the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Tunnel reaches members through their agents; nil: there is none.
	Tunnel memberaccess.Tunnel

	mu   sync.Mutex
	made map[string]connection // guarded by mu
}

// connection is a member, and what it was made of.
type connection struct {
	Member
	epoch string
}

// Get returns a member by the name of its KubeFedCluster, as that and its Secret are now. Its Health
// is Unknown, or Malformed.
func (c *Connections) Get(name string) (Member, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cluster, err := c.Clusters.Get(name)
	if err != nil || cluster.Labels[federationv1alpha1.TopologyLabel] != "" {
		c.put(name, nil)
		return Member{}, false
	}
	secret, err := c.Secrets.Get(cluster.Spec.SecretRef.Name)
	if err != nil {
		if !apierrors.IsNotFound(err) {
			return Member{}, false
		}
		secret = nil
	}
	config, malformed := memberclient.Config(cluster, secret, time.Now())
	epoch, err := epochOf(cluster, secret, malformed)
	if err != nil {
		return Member{}, false
	}
	if known, ok := c.made[name]; ok && known.epoch == epoch {
		return known.Member, true
	}
	created := connection{epoch: epoch, Member: Member{Name: name, UID: cluster.UID, Labels: cluster.Labels, System: ownership.SystemNamespacesOf(cluster)}}
	if malformed == nil {
		if dial := memberaccess.Dialer(cluster, config, c.Tunnel, c.Dial); dial != nil {
			memberaccess.DialWith(config, dial)
		}
		created.Conn, malformed = memberclient.NewConn(context.Background(), config, func(schema.GroupVersionResource, memberclient.Event) {})
	}
	if malformed != nil {
		created.Health, created.Problem = Malformed, malformed.Error()
	}
	c.put(name, &created)
	return created.Member, true
}

// Using returns the members whose KubeFedCluster names a Secret.
func (c *Connections) Using(secret string) (members []string) {
	clusters, err := c.Clusters.List(labels.Everything())
	if err != nil {
		return nil // fails only for want of an index
	}
	for _, cluster := range clusters {
		if cluster.Spec.SecretRef.Name == secret && cluster.Labels[federationv1alpha1.TopologyLabel] == "" {
			members = append(members, cluster.Name)
		}
	}
	return members
}

// put replaces what there is of a member. The caller holds the lock.
func (c *Connections) put(name string, created *connection) {
	if old, ok := c.made[name]; ok && old.Conn != nil {
		old.Conn.Close()
	}
	delete(c.made, name)
	if created != nil {
		if c.made == nil {
			c.made = map[string]connection{}
		}
		c.made[name] = *created
	}
}

// Run waits for ctx to end, and closes all connections.
func (c *Connections) Run(ctx context.Context) error {
	if c.Clusters == nil || c.Secrets == nil {
		return errors.New("membership: clusters and Secrets of Connections must be set")
	}
	<-ctx.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range c.made {
		c.put(name, nil)
	}
	return nil
}
