package membership

import (
	"errors"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	corev1listers "k8s.io/client-go/listers/core/v1"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/generated/clientset/versioned/fake"
	listersv1beta1 "github.com/koinon-io/koinon/pkg/generated/listers/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/memberaccess"
)

// Who changed a connection sees that it was looked at, although what is found is the same: also if the process that knew the former
// one has ended meanwhile.
func TestWhatIsFoundOfAChangedConnectionIsWrittenAlthoughItIsTheSame(t *testing.T) {
	for name, seen := range map[string][]string{
		"by the process that knew the former one": {"", "https://elsewhere"},
		"by another process":                      {"https://elsewhere"},
	} {
		t.Run(name, func(t *testing.T) { changedConnectionIsWritten(t, seen) })
	}
}

func changedConnectionIsWritten(t *testing.T, endpoints []string) {
	t.Helper()
	cluster := &v1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: "m1"}}
	cluster.Spec.SecretRef.Name = "m1"
	_, problem := memberclient.Config(cluster, nil, time.Now())
	if problem == nil {
		t.Fatal("a member without a Secret makes a connection")
	}
	before := metav1.NewTime(time.Now().Add(-time.Minute).Truncate(time.Second))
	cluster.Status.Conditions = finding{health: Malformed, problem: problem.Error()}.conditions(ending{}, before)

	client := fake.NewClientset(cluster)
	written := make(chan *v1beta1.KubeFedCluster, 10)
	client.PrependReactor("update", "kubefedclusters", func(action clienttesting.Action) (bool, runtime.Object, error) {
		written <- action.(clienttesting.UpdateAction).GetObject().(*v1beta1.KubeFedCluster)
		return false, nil, nil
	})
	clusters := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	secrets := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	r, err := New(Config{
		Clusters:   listersv1beta1.NewKubeFedClusterLister(clusters).KubeFedClusters(system),
		Secrets:    corev1listers.NewSecretLister(secrets).Secrets(system),
		Client:     client.KubeFedCoreV1beta1().KubeFedClusters(system),
		Thresholds: func() Thresholds { return Thresholds{Period: time.Hour, Timeout: time.Second, Failure: 1, Success: 1} },
		OnChange:   func(string) {},
		OnEvent:    func(string, schema.GroupVersionResource, memberclient.Event) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, endpoint := range endpoints {
		changed := cluster.DeepCopy()
		changed.Spec.APIEndpoint = endpoint
		if err := clusters.Add(changed); err != nil {
			t.Fatal(err)
		}
		if err := r.reconcile(t.Context(), "m1"); err != nil {
			t.Fatal(err)
		}
	}
	got := <-written
	for got.Spec.APIEndpoint == "" {
		got = <-written
	}
	if got.Spec.APIEndpoint != "https://elsewhere" || !got.Status.Conditions[0].LastProbeTime.After(before.Time) {
		t.Errorf("of %q a check at %s was written", got.Spec.APIEndpoint, got.Status.Conditions[0].LastProbeTime)
	}
	if !got.Status.Conditions[0].LastTransitionTime.Equal(&before) {
		t.Errorf("the condition changed at %s", got.Status.Conditions[0].LastTransitionTime)
	}
	r.remove("m1")
	r.wg.Wait()
}

func TestACheckWithinTheSameSecondIsNotSeen(t *testing.T) {
	at := func(f finding, seconds int) *v1beta1.KubeFedClusterStatus {
		return &v1beta1.KubeFedClusterStatus{Conditions: f.conditions(ending{}, metav1.Unix(int64(seconds), 0))}
	}
	ready, offline := finding{health: Ready}, finding{health: Offline, problem: "nobody answers"}
	for name, test := range map[string]struct {
		old, written *v1beta1.KubeFedClusterStatus
		want         bool
	}{
		"the same at the same time":       {at(ready, 1), at(ready, 1), false},
		"the same later":                  {at(ready, 1), at(ready, 2), true},
		"something else at the same time": {at(ready, 1), at(offline, 1), true},
		"where nothing was":               {&v1beta1.KubeFedClusterStatus{}, at(ready, 1), true},
	} {
		if got := probedLater(test.old, test.written); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

// A server that does not take the condition of the credential, such as an earlier release or KubeFed's webhook, is written
// the health all the same.
func TestAStatusIsWrittenWithoutTheConditionThatIsRefused(t *testing.T) {
	cluster := &v1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: "m1"}}
	client := fake.NewClientset()
	var got *v1beta1.KubeFedCluster
	client.PrependReactor("update", "kubefedclusters", func(action clienttesting.Action) (bool, runtime.Object, error) {
		updated := action.(clienttesting.UpdateAction).GetObject().(*v1beta1.KubeFedCluster)
		if len(updated.Status.Conditions) > 1 {
			return true, nil, apierrors.NewForbidden(v1beta1.Resource("kubefedclusters"), "m1", errors.New("admission webhook denied the request: unsupported type"))
		}
		got = updated
		return true, updated, nil
	})
	clusters := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	if err := clusters.Add(cluster); err != nil {
		t.Fatal(err)
	}
	r := &Registry{Config: Config{
		Clusters: listersv1beta1.NewKubeFedClusterLister(clusters).KubeFedClusters(system),
		Client:   client.KubeFedCoreV1beta1().KubeFedClusters(system),
	}}
	m := &member{Member: Member{Name: "m1"}, secret: "s", ctx: t.Context(), endings: []memberaccess.Ending{{Kind: memberaccess.EndingToken, What: "its token", At: time.Unix(1, 0)}}}
	if err := r.writeStatus(m, finding{health: Ready}); err != nil {
		t.Fatal(err)
	}
	if got == nil || len(got.Status.Conditions) != 1 || got.Status.Conditions[0].Type != v1beta1.ClusterReady {
		t.Errorf("got %+v, want that it is Ready", got)
	}
	if !r.plainStatus.Load() {
		t.Error("the next status has the condition again")
	}

	// A server that refuses any status for a while, such as one whose rules of RBAC are not read yet, says nothing of the condition.
	r.plainStatus.Store(false)
	client.PrependReactor("update", "kubefedclusters", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(v1beta1.Resource("kubefedclusters"), "m1", errors.New("RBAC: not yet"))
	})
	if err := r.writeStatus(m, finding{health: Ready}); !apierrors.IsForbidden(err) {
		t.Errorf("got %v, want what the server says", err)
	}
	if r.plainStatus.Load() {
		t.Error("no status has the condition any more, since one was refused without it, too")
	}
}
