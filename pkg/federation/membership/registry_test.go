package membership

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/generated/clientset/versioned/fake"
	listersv1beta1 "github.com/koinon-io/koinon/pkg/generated/listers/core/v1beta1"
)

const system = "kube-federation-system"

// registryOf makes a Registry of members without a Secret, which are set up all the same.
func registryOf(t *testing.T, names []string, onChange func(string)) *Registry {
	t.Helper()
	clusters := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	secrets := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	for _, name := range names {
		cluster := &v1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: name}}
		cluster.Spec.SecretRef.Name = name
		if err := clusters.Add(cluster); err != nil {
			t.Fatal(err)
		}
	}
	r, err := New(Config{
		Clusters:   listersv1beta1.NewKubeFedClusterLister(clusters).KubeFedClusters(system),
		Secrets:    corev1listers.NewSecretLister(secrets).Secrets(system),
		Client:     fake.NewClientset().KubeFedCoreV1beta1().KubeFedClusters(system),
		Thresholds: func() Thresholds { return Thresholds{Period: time.Hour, Timeout: time.Second, Failure: 1, Success: 1} },
		OnChange:   onChange,
		OnEvent:    func(string, schema.GroupVersionResource, memberclient.Event) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestMembersAreSetUpSideBySide: one that is slow does not keep the others out, none is set
// up twice at once, and each is there when it is told of.
func TestMembersAreSetUpSideBySide(t *testing.T) {
	var names []string
	for i := range workers {
		names = append(names, fmt.Sprintf("m%d", i))
	}
	var mu sync.Mutex
	under := map[string]bool{}
	all := make(chan struct{})
	var r *Registry
	r = registryOf(t, names, func(name string) {
		if _, ok := r.Get(name); !ok {
			t.Errorf("%s was told of before it was there", name)
		}
		mu.Lock()
		if under[name] && len(under) < len(names) {
			t.Errorf("%s was set up twice at once", name)
		}
		under[name] = true
		if len(under) == len(names) {
			select {
			case <-all:
			default:
				close(all)
			}
		}
		mu.Unlock()
		select { // every member waits for all others
		case <-all:
		case <-t.Context().Done():
		}
	})
	ctx, stop := context.WithCancel(t.Context())
	for _, name := range names {
		r.Enqueue(name)
	}
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	<-all
	if got := len(r.List()); got != len(names) {
		t.Errorf("got %d members, want %d", got, len(names))
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAMemberIsReadAgainOnlyIfItMayHaveChanged(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	conn := &memberclient.Conn{}
	for name, test := range map[string]struct {
		member member
		want   bool
	}{
		"a token":                      {member{Member: Member{Conn: conn}}, false},
		"a certificate that is valid":  {member{Member: Member{Conn: conn}, until: now.Add(time.Hour)}, false},
		"a certificate that expired":   {member{Member: Member{Conn: conn}, until: now.Add(-time.Hour)}, true},
		"what makes no connection yet": {member{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.member.mayChangeByItself(now); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
