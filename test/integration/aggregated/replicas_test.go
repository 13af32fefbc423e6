package aggregated_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/koinon-io/koinon/pkg/storage/storagetest"
	"github.com/koinon-io/koinon/test/testbed"
)

// TestOneReplicaTakesOverFromTheOther runs two replicas over one MariaDB, behind one
// address, as a Service would put them.
func TestOneReplicaTakesOverFromTheOther(t *testing.T) {
	t.Parallel() // it waits more than it works, with a host of its own
	if testing.Short() {
		t.Skip("runs real servers: left out with -short")
	}
	datastore := "mysql://" + storagetest.StartMariaDB(t).NewDatabase(t)
	host := testbed.StartCluster(t, testbed.ClusterOptions{Name: "replicas"})
	balancer := testbed.StartBalancer(t)
	var replicas [2]*testbed.Koinon
	for i := range replicas {
		replicas[i] = testbed.StartKoinon(t, testbed.KoinonOptions{
			HostKubeconfig: host.Kubeconfig(), Datastore: datastore,
			// Reads may be sent twice, so that nothing is lost with an idle connection.
			Args: []string{"--service-port=" + strconv.Itoa(balancer.Port()), "--connection-drain-timeout=5s"},
		})
		balancer.Add(replicas[i].Port())
	}
	f := newFixture(t, host)
	f.awaitServed("federateddeployments")
	f.apply(deployment("before"))
	f.awaitStatus("before")
	trust := f.apiService("v1beta2.types.kubefed.io").Spec.CABundle
	for i, replica := range replicas {
		if err := trusted(t.Context(), replica.Port(), trust); err != nil {
			t.Errorf("replica %d has a certificate that the host does not trust: %v", i, err)
		}
	}

	// Asked to end, the first drains: no request is lost.
	requests := f.keepReading("before")
	replicas[0].Stop(t)
	if read, failures := requests(); read == 0 || len(failures) > 0 {
		t.Errorf("%d of %d requests failed while a replica drained, first with: %v", len(failures), read, append(failures, nil)[0])
	}
	f.apply(deployment("drained"))
	f.awaitStatus("drained")

	// Killed, the second leaves what it led to the first.
	replicas[0].Start(t)
	replicas[1].Kill9(t)
	f.eventually("the other replica to serve", func(context.Context) error {
		return testbed.RunKubectl(t, f.kubeconfig, "", "get", "-n", f.namespace, "fdeploy", "before", requestTimeout).Err
	})
	f.apply(deployment("after"))
	f.awaitStatus("after")
}

// awaitStatus waits until the controllers have said that there is no such member.
func (f *fixture) awaitStatus(name string) {
	f.Helper()
	took := f.eventually("the status of "+name, func(ctx context.Context) error {
		object, err := f.dynamic.Resource(deployments).Namespace(f.namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if targets, _, _ := unstructured.NestedSlice(object.Object, "status", "targets"); len(targets) != 1 {
			return fmt.Errorf("status is %v", object.Object["status"])
		}
		return nil
	})
	f.Logf("the status of %s was there after %s", name, took)
}

// keepReading reads an object through the host, again and again, until the function that it
// returns is called. That one returns how many reads there were, and the errors.
func (f *fixture) keepReading(name string) func() (int, []error) {
	ctx, cancel := context.WithCancel(f.Context())
	var reading sync.WaitGroup
	var read int
	var failures []error
	reading.Go(func() { // ends with ctx
		for ctx.Err() == nil {
			_, err := f.dynamic.Resource(deployments).Namespace(f.namespace).Get(f.Context(), name, metav1.GetOptions{})
			if read++; err != nil {
				failures = append(failures, err)
			}
		}
	})
	return func() (int, []error) {
		cancel()
		reading.Wait()
		return read, failures
	}
}

// trusted connects as the host does.
func trusted(ctx context.Context, port int, trust []byte) error {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(trust)
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: pool, ServerName: "koinon." + system + ".svc", MinVersion: tls.VersionTLS12}}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return conn.Close()
}
