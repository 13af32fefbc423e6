package kubefedcluster

import (
	"context"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// connected are agents of clusters.
type connected map[string]int

func (c connected) Count(cluster string) int { return c[cluster] }

func (c connected) List(_ context.Context, cluster string, options *v1beta1.KubeFedClusterAgentsOptions) (*v1beta1.KubeFedClusterAgents, error) {
	return &v1beta1.KubeFedClusterAgents{Items: []v1beta1.ConnectedAgent{{Cluster: cluster, Node: options.Node}}}, nil
}

// oneCluster is the storage of the KubeFedCluster m1.
type oneCluster struct{}

func (oneCluster) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	namespace := genericapirequest.NamespaceValue(ctx)
	if name != "m1" || namespace != "system" {
		return nil, apierrors.NewNotFound(v1beta1.Resource("kubefedclusters"), name)
	}
	return &v1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}, nil
}

func TestAgentsAreThoseOfAClusterThatIsThere(t *testing.T) {
	agents := NewAgentsREST(oneCluster{}, "system", connected{})
	got, err := agents.Get(t.Context(), "m1", &v1beta1.KubeFedClusterAgentsOptions{Node: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	if list := got.(*v1beta1.KubeFedClusterAgents); list.Name != "m1" || list.Namespace != "system" || len(list.Items) != 1 || list.Items[0].Node != "n1" {
		t.Errorf("got %+v", list)
	}
	if _, err := agents.Get(t.Context(), "m2", &v1beta1.KubeFedClusterAgentsOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("of a cluster that is not there: %v", err)
	}
	_, err = NewAgentsREST(oneCluster{}, "system", nil).Get(t.Context(), "m1", &v1beta1.KubeFedClusterAgentsOptions{})
	if !apierrors.IsServiceUnavailable(err) || !strings.Contains(err.Error(), "without the component tunnel") {
		t.Errorf("without a tunnel: %v", err)
	}
}

func TestTheTableCountsAgents(t *testing.T) {
	cluster := func(name string, tunnel v1beta1.TunnelUse, labels map[string]string) *v1beta1.KubeFedCluster {
		return &v1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: v1beta1.KubeFedClusterSpec{Tunnel: tunnel}}
	}
	for what, test := range map[string]struct {
		agents  Agents
		cluster *v1beta1.KubeFedCluster
		want    string
	}{
		"connected":                    {connected{"m1": 2}, cluster("m1", v1beta1.TunnelAlways, nil), "2"},
		"none":                         {connected{}, cluster("m1", v1beta1.TunnelAlways, nil), "0"},
		"reached without":              {connected{}, cluster("m1", "", nil), ""},
		"reached without, but has one": {connected{"m1": 1}, cluster("m1", "", nil), "1"},
		"a cell":                       {connected{"m1": 1}, cluster("m1", v1beta1.TunnelAlways, map[string]string{v1alpha1.TopologyLabel: "cell"}), ""},
		"no tunnel here":               {nil, cluster("m1", v1beta1.TunnelAlways, nil), "<unknown>"},
		"no tunnel at all":             {nil, cluster("m1", "", nil), ""},
	} {
		if got := agentsColumn(test.agents).Value(test.cluster); got != test.want {
			t.Errorf("%s: got %q, want %q", what, got, test.want)
		}
	}
}
