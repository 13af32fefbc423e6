package playground

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/koinon-io/koinon/test/testbed"
)

var shared = testbed.SharedCluster(testbed.ClusterOptions{
	Name:          "shared",
	APIServerArgs: []string{"--event-ttl=5m"},
})

func TestMain(m *testing.M) { testbed.Main(m) }

func TestTestbedClusterKeepsItsDataThroughKills(t *testing.T) {
	cluster := shared.Get(t)
	kubeconfig := cluster.Kubeconfig()
	testbed.Kubectl(t, kubeconfig, "create", "namespace", "kept")
	cluster.Restart(t)
	testbed.Kubectl(t, kubeconfig, "get", "namespace", "kept")
	cluster.Kill(t, testbed.APIServer)
	if result := testbed.RunKubectl(t, kubeconfig, "", "get", "namespace", "kept"); result.Err == nil {
		t.Error("the API server was killed and still answers")
	}
	cluster.Start(t)
	testbed.Kubectl(t, kubeconfig, "get", "namespace", "kept")
}

func TestTestbedFrozenClusterIsSilent(t *testing.T) {
	cluster := shared.Get(t)
	client, err := kubernetes.NewForConfig(cluster.RESTConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	get := func(limit time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		_, err := client.CoreV1().Namespaces().Get(ctx, "default", metav1.GetOptions{})
		return err
	}
	if err := get(time.Minute); err != nil {
		t.Fatal(err)
	}
	cluster.Freeze(t)
	if err := get(time.Second); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a frozen API server: got %v, want no answer within a second", err)
	}
	cluster.Thaw(t)
	if err := get(time.Minute); err != nil {
		t.Errorf("after the thaw: %v", err)
	}
}

func TestTestbedSaysWhatToDoWithoutBinaries(t *testing.T) {
	t.Setenv("KOINON_BIN", t.TempDir())
	_, err := testbed.Binary("koinon-playground")
	if err == nil {
		t.Fatal("got no error for a binary that is not there")
	}
	want := os.Getenv("KOINON_BIN") + `/koinon-playground is not built, and this test runs it: run "make build"` +
		" (or set KOINON_BIN to the directory that has it)"
	if got := err.Error(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
