package aggregated_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
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

// stopGrace is longer than the host keeps idle connections.
const stopGrace = 3 * time.Minute

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

// rollPause is how long writers pause while replicas roll, of which a minute is spent on connections
// that the host does not use: the machine is for other tests meanwhile. In a soak they do not.
func rollPause() time.Duration {
	if os.Getenv("KOINON_SOAK_SECONDS") != "" {
		return 0
	}
	return 100 * time.Millisecond
}

// TestNoWriteFailsWhileConnectionsAreMoved has the server close every connection once a second.
func TestNoWriteFailsWhileConnectionsAreMoved(t *testing.T) {
	t.Parallel() // it waits more than it works, with a host of its own
	if testing.Short() {
		t.Skip("runs real servers: left out with -short")
	}
	host := testbed.StartCluster(t, testbed.ClusterOptions{Name: "moved"})
	server := testbed.StartKoinon(t, testbed.KoinonOptions{HostKubeconfig: host.Kubeconfig(), Args: []string{"--max-connection-age=1s", "--connection-drain-timeout=30s"}, StopGrace: stopGrace})
	f := newFixture(t, host)
	f.awaitServed("federateddeployments")
	stop := f.keepWriting(0)
	pauseFor(t.Context(), soakSeconds(t)) // the load goes on
	f.report(stop())
	f.endsAfterTheLastRequest(server)
}

// endsAfterTheLastRequest stops a server to which there is a connection that nothing was sent
// over yet, and sends a request when the server has begun to end.
func (f *fixture) endsAfterTheLastRequest(server *testbed.Koinon) {
	f.Helper()
	reserved, err := f.dialServer(server)
	if err != nil {
		f.Fatal(err)
	}
	var asking sync.WaitGroup
	asking.Go(func() { // ends when the server does
		for {
			response, err := f.ask(f.dialServer(server))
			if err != nil || response.Close { // it is not ready a moment before it closes connections
				break
			}
		}
		response, err := f.ask(reserved, nil)
		if err != nil || !response.Close {
			f.Errorf("a request over a connection that the server knew: got %+v, %v", response, err)
		}
	})
	server.Stop(f.T)
	asking.Wait()
}

// dialServer makes a connection to a server, as the host does.
func (f *fixture) dialServer(server *testbed.Koinon) (net.Conn, error) {
	config := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // it is on this machine, and nothing secret is sent
	return (&tls.Dialer{Config: config}).DialContext(f.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(server.Port())))
}

// ask asks over a connection whether the server is ready.
func (f *fixture) ask(conn net.Conn, err error) (*http.Response, error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET /readyz HTTP/1.1\r\nHost: koinon\r\n\r\n"); err != nil {
		return nil, err
	}
	return http.ReadResponse(bufio.NewReader(conn), nil)
}

// TestNoWriteFailsWhileReplicasRoll is a rolling update: one replica after the other is told to
// end, and no new connection leads to it from then on. Each ends when the host has used its
// connections once more, or closed them.
func TestNoWriteFailsWhileReplicasRoll(t *testing.T) {
	t.Parallel() // it waits more than it works, with a host of its own
	if testing.Short() {
		t.Skip("runs real servers: left out with -short")
	}
	datastore := "mysql://" + storagetest.StartMariaDB(t).NewDatabase(t)
	host := testbed.StartCluster(t, testbed.ClusterOptions{Name: "rolled"})
	balancer := testbed.StartBalancer(t)
	var replicas [2]*testbed.Koinon
	for i := range replicas {
		replicas[i] = testbed.StartKoinon(t, testbed.KoinonOptions{
			HostKubeconfig: host.Kubeconfig(), Datastore: datastore,
			Args:      []string{"--service-port=" + strconv.Itoa(balancer.Port()), "--shutdown-delay-duration=1s"},
			StopGrace: stopGrace,
		})
		balancer.Add(replicas[i].Port())
	}
	f := newFixture(t, host)
	f.awaitServed("federateddeployments")
	stop := f.keepWriting(rollPause())
	for range max(1, int(soakSeconds(t)/(20*time.Second))) {
		for _, replica := range replicas {
			balancer.Remove(replica.Port())
			began := time.Now()
			replica.Stop(t)
			t.Logf("the host had left a replica after %s", time.Since(began).Round(time.Second))
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
// function that it returns is called. They pause after each write.
func (f *fixture) keepWriting(pause time.Duration) func() writes {
	f.Helper()
	names := f.objectsToWriteTo() // all of them before anybody writes, who would keep the machine busy
	ctx, cancel := context.WithCancel(f.Context())
	var writing sync.WaitGroup
	var mu sync.Mutex // guards all
	var all writes
	for _, name := range names {
		writing.Go(func() { // ends with ctx
			for count := 0; ctx.Err() == nil; count++ {
				patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"count":"%d"}}}`, count)
				_, err := f.dynamic.Resource(deployments).Namespace(f.namespace).Patch(f.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{})
				mu.Lock()
				if all.done++; err != nil {
					all.failures = append(all.failures, err)
				}
				mu.Unlock()
				pauseFor(ctx, pause)
			}
		})
	}
	return func() writes {
		cancel()
		writing.Wait()
		return all
	}
}

// objectsToWriteTo makes one for each writer.
func (f *fixture) objectsToWriteTo() (names []string) {
	f.Helper()
	var manifests []string
	for i := range writers {
		names = append(names, fmt.Sprintf("written-%d", i))
		manifests = append(manifests, deployment(names[i]))
	}
	f.eventually("the objects to write to", func(context.Context) error {
		return testbed.RunKubectl(f, f.kubeconfig, strings.Join(manifests, "---"), "apply", "-n", f.namespace, "-f", "-", requestTimeout).Err
	})
	return names
}

func pauseFor(ctx context.Context, duration time.Duration) {
	select {
	case <-time.After(duration):
	case <-ctx.Done():
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
