package aggregated_test

import (
	"context"
	"crypto/tls"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/koinon-io/koinon/pkg/storage/storagetest"
	"github.com/koinon-io/koinon/test/testbed"
)

// TestTheHostIsToldWhenTheDatastoreFails makes a database refuse writes, and then end.
func TestTheHostIsToldWhenTheDatastoreFails(t *testing.T) {
	if testing.Short() {
		t.Skip("runs real servers: left out with -short")
	}
	database := storagetest.StartMariaDB(t)
	dsn := database.NewDatabase(t)
	host := testbed.StartCluster(t, testbed.ClusterOptions{Name: "datastore"})
	server := testbed.StartKoinon(t, testbed.KoinonOptions{HostKubeconfig: host.Kubeconfig(), Datastore: "mysql://" + dsn})
	f := newFixture(t, host)
	f.awaitServed("federateddeployments")
	f.apply(deployment("before"))
	root := f.root(dsn)

	// The rights to write all the same go with the connections that have them.
	f.exec(root, "REVOKE READ ONLY ADMIN ON *.* FROM koinon@'127.0.0.1'", "SET GLOBAL read_only = 1", "KILL USER koinon@'127.0.0.1'")
	refuses := "the mysql datastore at " + database.Address + " refuses writes: it is read-only"
	f.isToldUnavailable("create while the database is read-only", f.create, refuses)
	f.kubectl("get", "-n", f.namespace, "fdeploy", "before")
	f.probe(server.URL()+"/readyz", http.StatusInternalServerError, "[-]datastore failed: the mysql datastore refuses writes: it is read-only")
	f.probe(server.URL()+"/livez", http.StatusOK, "ok")

	f.exec(root, "SET GLOBAL read_only = 0")
	f.eventually("the database to take writes", f.create)
	f.probe(server.URL()+"/readyz", http.StatusOK, "ok")

	f.exec(root, "SHUTDOWN")
	away := "the mysql datastore at " + database.Address + " is not available: "
	f.isToldUnavailable("create while the database is away", f.create, away)
	f.isToldUnavailable("list while the database is away", f.list, away)
	f.probe(server.URL()+"/readyz", http.StatusInternalServerError, "[-]datastore failed: the mysql datastore is not available: ")
	f.probe(server.URL()+"/livez", http.StatusOK, "ok")
	f.kubectl("get", "namespaces")
}

// root connects to a database as who may do everything.
func (f *fixture) root(dsn string) *sql.DB {
	f.Helper()
	user, err := sql.Open("mysql", dsn[:strings.LastIndex(dsn, "/")+1])
	if err != nil {
		f.Fatal(err)
	}
	defer func() { _ = user.Close() }()
	var socket string
	if err := user.QueryRow("SELECT @@socket").Scan(&socket); err != nil {
		f.Fatal(err)
	}
	root, err := sql.Open("mysql", "root@unix("+socket+")/")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = root.Close() })
	return root
}

func (f *fixture) exec(db *sql.DB, statements ...string) {
	f.Helper()
	for _, statement := range statements {
		if _, err := db.ExecContext(f.Context(), statement); err != nil {
			f.Fatalf("%s: %v", statement, err)
		}
	}
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

// isToldUnavailable checks what the host's clients are told.
func (f *fixture) isToldUnavailable(what string, ask func(context.Context) error, message string) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), 45*time.Second)
	defer cancel()
	err := ask(ctx)
	seconds, retry := apierrors.SuggestsClientDelay(err)
	if !apierrors.IsServiceUnavailable(err) || !strings.HasPrefix(err.Error(), message) || !retry || seconds != 1 {
		f.Errorf("%s: got %v, come back after %d s; want 503, %q and 1 s", what, err, seconds, message)
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
