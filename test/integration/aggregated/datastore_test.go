package aggregated_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/koinon-io/koinon/pkg/storage/storagetest"
	"github.com/koinon-io/koinon/test/testbed"
)

// TestTheHostIsToldWhenTheDatastoreFails makes a database refuse writes, and then end.
func TestTheHostIsToldWhenTheDatastoreFails(t *testing.T) {
	t.Parallel() // it waits more than it works, with a host of its own
	if testing.Short() {
		t.Skip("runs real servers: left out with -short")
	}
	database := storagetest.StartMariaDB(t)
	host := testbed.StartCluster(t, testbed.ClusterOptions{Name: "datastore"})
	server := testbed.StartKoinon(t, testbed.KoinonOptions{HostKubeconfig: host.Kubeconfig(), Datastore: "mysql://" + database.NewDatabase(t)})
	f := newFixture(t, host)
	f.awaitServed("federateddeployments")
	f.apply(deployment("before"))

	database.Exec(t, "SET GLOBAL read_only = 1")
	refuses := "the mysql datastore refuses writes: it is read-only"
	f.isToldUnavailable("create when the database has become read-only", f.create, refuses, mayBeDone)
	f.isToldUnavailable("create while the database is read-only", f.create, refuses, comeBack)
	f.kubectl("get", "-n", f.namespace, "fdeploy", "before")
	f.probe(server.URL()+"/readyz", http.StatusInternalServerError, "[-]datastore failed: the mysql datastore refuses writes: it is read-only")
	f.probe(server.URL()+"/livez", http.StatusOK, "ok")

	database.Exec(t, "SET GLOBAL read_only = 0")
	f.eventually("the database to take writes", f.create)
	f.probe(server.URL()+"/readyz", http.StatusOK, "ok")

	database.Stop(t)
	away := "the mysql datastore is not available: "
	f.isToldUnavailable("create when the database has gone away", f.create, away, mayBeDone)
	f.isToldUnavailable("create while the database is away", f.create, away, comeBack)
	f.isToldUnavailable("list while the database is away", f.list, away, comeBack)
	f.probe(server.URL()+"/readyz", http.StatusInternalServerError, "[-]datastore failed: the mysql datastore is not available: ")
	f.probe(server.URL()+"/livez", http.StatusOK, "ok")
	f.kubectl("get", "namespaces")
}

// create and list ask once: client-go comes back by itself when it is told when to.
func (f *fixture) create(ctx context.Context) error {
	body := `{"apiVersion": "types.kubefed.io/v1beta2", "kind": "FederatedConfigMap", "metadata": {"generateName": "asked-"}, "spec": {"template": {}, "placement": {"topologies": []}}}`
	return f.kube.Discovery().RESTClient().Post().AbsPath("/apis/types.kubefed.io/v1beta2/namespaces", f.namespace, "federatedconfigmaps").
		SetHeader("Content-Type", "application/json").Body([]byte(body)).MaxRetries(0).Do(ctx).Error()
}

func (f *fixture) list(ctx context.Context) error {
	return f.kube.Discovery().RESTClient().Get().AbsPath("/apis/types.kubefed.io/v1beta2/namespaces", f.namespace, "federatedconfigmaps").
		MaxRetries(0).Do(ctx).Error()
}

// mayBeDone and comeBack are in how many seconds a client is told to come back. Of a write that
// was begun before the failure was known, nothing is said; another client may have been first.
var (
	mayBeDone = []int{0, 1}
	comeBack  = []int{1}
)

// isToldUnavailable checks what the host's clients are told.
func (f *fixture) isToldUnavailable(what string, ask func(context.Context) error, message string, after []int) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), 45*time.Second)
	defer cancel()
	err := ask(ctx)
	seconds, _ := apierrors.SuggestsClientDelay(err)
	if !apierrors.IsServiceUnavailable(err) || !strings.HasPrefix(err.Error(), message) || !slices.Contains(after, seconds) {
		f.Errorf("%s: got %v, come back after %d s; want 503, %q and %v s", what, err, seconds, message, after)
	}
}

// probe asks as a kubelet does, without credentials.
func (f *fixture) probe(url string, code int, part string) {
	f.Helper()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	f.eventually(fmt.Sprintf("%s to say %d", url, code), func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		answer, err := client.Do(request)
		if err != nil {
			return err
		}
		defer func() { _ = answer.Body.Close() }()
		body, err := io.ReadAll(answer.Body)
		if err == nil && (answer.StatusCode != code || !strings.Contains(string(body), part)) {
			err = fmt.Errorf("got %d %s, want %d and %q", answer.StatusCode, body, code, part)
		}
		return err
	})
}
