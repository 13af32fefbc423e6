package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/koinon-io/koinon/pkg/storage/storagetest"
)

const (
	federatedConfigMaps = "/apis/types.kubefed.io/v1beta2/namespaces/default/federatedconfigmaps"
	things              = "/apis/example.com/v1/namespaces/default/things"
	// canary is in objects, and must not be in the log.
	canary = "canary-of-an-object"
	// password is that of the database.
	password = "test-password"
)

// request is a request without the retries of a client library.
type request struct {
	method, path string
	body         string
	mediaType    string
}

// response is what came of it.
type response struct {
	code       int
	retryAfter string
	body       string
	took       time.Duration
}

// status is the body, if it is one.
func (r response) status() metav1.Status {
	var status metav1.Status
	_ = json.Unmarshal([]byte(r.body), &status)
	return status
}

// raw makes requests to a server as its administrator.
type raw struct {
	*testing.T
	url    string
	client *http.Client
}

func (s *server) raw(t *testing.T) raw {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", s.dir+"/admin.kubeconfig")
	if err != nil {
		t.Fatal(err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	client.Timeout = patience
	return raw{t, config.Host, client}
}

func (r raw) do(q request) response {
	r.Helper()
	req, err := http.NewRequestWithContext(r.Context(), q.method, r.url+q.path, strings.NewReader(q.body))
	if err != nil {
		r.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	if req.Header.Set("Content-Type", "application/json"); q.mediaType != "" {
		req.Header.Set("Content-Type", q.mediaType)
	}
	begun := time.Now()
	answer, err := r.client.Do(req)
	if err != nil {
		r.Errorf("%s %s: %v", q.method, q.path, err)
		return response{}
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		r.Errorf("%s %s: %v", q.method, q.path, err)
	}
	return response{answer.StatusCode, answer.Header.Get("Retry-After"), string(body), time.Since(begun)}
}

// all makes requests at the same time.
func (r raw) all(requests []request) []response {
	r.Helper()
	responses := make([]response, len(requests))
	var asking sync.WaitGroup
	for i, q := range requests {
		asking.Go(func() { responses[i] = r.do(q) })
	}
	asking.Wait()
	return responses
}

func get(path string) request        { return request{method: http.MethodGet, path: path} }
func post(path, body string) request { return request{method: http.MethodPost, path: path, body: body} }
func remove(path string) request     { return request{method: http.MethodDelete, path: path} }
func mergePatch(path, body string) request {
	return request{method: http.MethodPatch, path: path, body: body, mediaType: "application/merge-patch+json"}
}

// named is an object of which only name and data matter.
func named(name string) string {
	return fmt.Sprintf(`{"metadata": {"name": %q, "annotations": {"a": %q}}}`, name, canary)
}

func federatedConfigMap(name, value string) string {
	return fmt.Sprintf(`{"apiVersion": "types.kubefed.io/v1beta2", "kind": "FederatedConfigMap", "metadata": {"name": %q},
		"spec": {"template": {"data": {"a": %q}}, "placement": {"topologies": []}}}`, name, value)
}

func thing(name string) string {
	return fmt.Sprintf(`{"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": %q}, "data": %q}`, name, canary)
}

const thingDefinition = `{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "things.example.com"},
	"spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
	"versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}}`

// reads and writes are requests for every kind of resource: native, with a watch cache and
// without, custom, aggregation's, and ours.
func reads() []request {
	return []request{
		get("/api/v1/namespaces"), get("/api/v1/namespaces/default"), get("/api/v1/namespaces/default/secrets"),
		get("/api/v1/namespaces/default/events"), get("/apis/rbac.authorization.k8s.io/v1/clusterroles/admin"),
		get("/apis/apiregistration.k8s.io/v1/apiservices"), get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions"),
		get(things), get(things + "/old"),
		get(federatedConfigMaps), get(federatedConfigMaps + "/old"), get("/apis/types.kubefed.io/v1beta1/federatedconfigmaps"),
		get("/apis/core.kubefed.io/v1beta1/kubefedclusters"), get("/apis/federation.koinon.io/v1alpha1/cells"),
	}
}

func writes(name string) []request {
	event := fmt.Sprintf(`{"metadata": {"name": %q, "namespace": "default"}, "involvedObject": {"namespace": "default"}}`, name)
	return []request{
		post("/api/v1/namespaces", named(name)), post("/api/v1/namespaces/default/secrets", named(name)),
		post("/api/v1/namespaces/default/events", event), post("/apis/rbac.authorization.k8s.io/v1/clusterroles", named(name)),
		post(things, thing(name)), mergePatch(things+"/old", fmt.Sprintf(`{"changed": %q}`, name)),
		post(federatedConfigMaps, federatedConfigMap(name, canary)),
		mergePatch(federatedConfigMaps+"/old", fmt.Sprintf(`{"metadata": {"labels": {"changed": %q}}}`, name)),
	}
}

// prepare makes what reads and writes need.
func (r raw) prepare() {
	r.Helper()
	for _, q := range []request{
		post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", thingDefinition),
		post(federatedConfigMaps, federatedConfigMap("old", canary)),
	} {
		if got := r.do(q); got.code != http.StatusCreated {
			r.Fatalf("%s %s: %d %s", q.method, q.path, got.code, got.body)
		}
	}
	eventually(r.T, "the custom resource is served", func(context.Context) (bool, error) {
		return r.do(post(things, thing("old"))).code == http.StatusCreated, nil
	})
	r.succeed(append(reads(), writes("before")...))
}

// succeed waits until all requests have succeeded. Those that failed because the answer to
// an earlier attempt was lost may say that the object is there.
func (r raw) succeed(requests []request) {
	r.Helper()
	for deadline := time.Now().Add(patience); len(requests) > 0; time.Sleep(100 * time.Millisecond) {
		var left []request
		var last response
		for i, got := range r.all(requests) {
			if got.code >= 300 && got.code != http.StatusConflict {
				left, last = append(left, requests[i]), got
			}
		}
		if requests = left; len(left) > 0 && time.Now().After(deadline) {
			r.Fatalf("%d requests still fail, the last one (%s %s) with %d %s", len(left), left[len(left)-1].method, left[len(left)-1].path, last.code, last.body)
		}
	}
}

// refused checks that every request is answered with 503, a message and when to come back. A
// write that was begun before it was known that it fails gets no such time: it may have been
// done.
func (r raw) refused(requests []request, message *regexp.Regexp, known bool, within time.Duration) {
	r.Helper()
	for i, got := range r.all(requests) {
		status := got.status()
		if got.code != http.StatusServiceUnavailable || status.Reason != metav1.StatusReasonServiceUnavailable || !message.MatchString(status.Message) {
			r.Errorf("%s %s: got %d %s, want 503 and %s", requests[i].method, requests[i].path, got.code, got.body, message)
		}
		inDetails := ""
		if status.Details != nil {
			inDetails = strconv.Itoa(int(status.Details.RetryAfterSeconds))
		}
		mayBeDone := requests[i].method != http.MethodGet && !known
		if inDetails != got.retryAfter || got.retryAfter != "1" && !(mayBeDone && got.retryAfter == "") {
			r.Errorf("%s %s: got Retry-After %q, details %v, want 1 in both", requests[i].method, requests[i].path, got.retryAfter, status.Details)
		}
		if got.took > within {
			r.Errorf("%s %s: took %s, want at most %s", requests[i].method, requests[i].path, got.took, within)
		}
		if strings.Contains(got.body, password) {
			r.Errorf("%s %s: the password is in the answer: %s", requests[i].method, requests[i].path, got.body)
		}
	}
}

// unready checks what the probes say while the datastore is not usable.
func (r raw) unready(reason string) {
	r.Helper()
	ready := r.do(get("/readyz"))
	if ready.code != http.StatusInternalServerError || !strings.Contains(ready.body, "\n[-]datastore failed: "+reason+"\n") {
		r.Errorf("/readyz: got %d %s, want 500 and %q", ready.code, ready.body, reason)
	}
	for _, path := range []string{"/livez", "/healthz"} {
		if live := r.do(get(path)); live.code != http.StatusOK {
			r.Errorf("%s: got %d %s, want 200: a server without its database is not to be killed", path, live.code, live.body)
		}
	}
}

// discreet checks that the log holds neither the password nor what is in objects.
func (s *server) discreet(t *testing.T) {
	t.Helper()
	for _, secret := range []string{password, canary} {
		if log := s.output(); strings.Contains(log, secret) {
			t.Errorf("%q is in the log:\n%s", secret, log)
		}
	}
}

func TestAServerSaysThatItsDatabaseIsAwayAndRecovers(t *testing.T) {
	database := storagetest.StartMariaDB(t)
	s := start(t, t.TempDir(), "--datastore", "mysql://"+database.DSN("away"))
	r := s.raw(t)
	r.prepare()
	watched, err := s.client(t).CoreV1().Namespaces().Watch(t.Context(), metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		t.Fatal(err)
	}
	defer watched.Stop()

	database.Kill(t)
	away := regexp.MustCompile(`^the mysql datastore is not available: (connection refused|the connection was lost)$`)
	r.refused(append(reads(), writes("first")...), away, false, 30*time.Second)
	away = regexp.MustCompile(`^the mysql datastore is not available: connection refused$`)
	r.refused(append(reads(), writes("second")...), away, true, 5*time.Second)
	r.refused([]request{
		post("/api/v1/namespaces/of-nobody/configmaps", named("x")), // admission looks for the namespace
		remove("/api/v1/namespaces/before"),
		remove(federatedConfigMaps + "/old"),
		post("/api/v1/namespaces?dryRun=All", named("trial")),
	}, away, true, 5*time.Second)
	r.unready("the mysql datastore is not available: connection refused")
	if got := r.do(get("/readyz/datastore")); got.code != http.StatusInternalServerError || !strings.Contains(got.body, database.Address) {
		t.Errorf("/readyz/datastore: got %d %s, want 500 and where the database is", got.code, got.body)
	}
	if got := r.do(get("/api/v1/namespaces?resourceVersion=0")); got.code != http.StatusOK {
		t.Errorf("a list from the cache: got %d %s, want 200", got.code, got.body)
	}
	if got := r.do(post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", `{"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}`)); got.code != http.StatusCreated {
		t.Errorf("a review: got %d %s, want 201", got.code, got.body)
	}
	for _, query := range []string{"", "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"} {
		for _, resource := range []string{"configmaps", "events"} {
			got := r.do(get("/api/v1/" + resource + "?watch=1&timeoutSeconds=5" + query))
			if strings.Contains(got.body, "rpc error") || !strings.Contains(got.body, "the mysql datastore is not available") && got.code == http.StatusOK && query != "" {
				t.Errorf("a watch of %s from now (%s): got %d %s", resource, query, got.code, got.body)
			}
		}
	}

	database.Start(t)
	r.succeed(append(reads(), writes("after")...))
	eventually(t, "the server is ready again", func(context.Context) (bool, error) { return r.do(get("/readyz")).code == http.StatusOK, nil })
	awaitEvent(t, watched, "after")
	s.discreet(t)
	select {
	case <-s.exited:
		t.Errorf("the server has ended\n%s", s.output())
	default:
	}
}

// awaitEvent waits until a watch tells of a namespace.
func awaitEvent(t *testing.T, watched watch.Interface, name string) {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case event, ok := <-watched.ResultChan():
			if !ok {
				t.Fatal("a watch from before the outage has ended")
			}
			if object, ok := event.Object.(metav1.ObjectMetaAccessor); ok && object.GetObjectMeta().GetName() == name {
				return
			}
		case <-deadline:
			t.Fatalf("a watch from before the outage did not tell of %s", name)
		}
	}
}

func TestRequestsEndWhileTheDatabaseHangs(t *testing.T) {
	database := storagetest.StartMariaDB(t)
	s := start(t, t.TempDir(), "--datastore", "mysql://"+database.DSN("hangs"))
	r := s.raw(t)
	r.prepare()
	before := r.goroutines()

	database.Pause(t)
	hurried := r.all([]request{
		get("/api/v1/namespaces/default?timeout=2s"), get(federatedConfigMaps + "?timeout=2s"),
		post("/api/v1/namespaces?timeout=2s", named("hurried")), post(federatedConfigMaps+"?timeout=2s", federatedConfigMap("hurried", "x")),
	})
	for i, got := range hurried {
		if status := got.status(); got.code != http.StatusGatewayTimeout || status.Reason != metav1.StatusReasonTimeout {
			t.Errorf("request %d, with a time limit: got %d %s, want 504", i, got.code, got.body)
		}
	}
	hangs := regexp.MustCompile(`^the mysql datastore is not available: `)
	r.refused(append(reads(), writes("hanging")...), hangs, false, 45*time.Second)
	for range 10 {
		r.refused(append(reads(), writes("hanging")...), hangs, true, 5*time.Second)
	}
	if during := r.goroutines(); during > before+before/4 {
		t.Errorf("goroutines while the database hangs: %d, before: %d", during, before)
	}

	database.Resume(t)
	r.succeed(append(reads(), writes("resumed")...))
	eventually(t, "the goroutines of the outage end", func(context.Context) (bool, error) {
		return r.goroutines() < before+before/10, nil
	})
	s.discreet(t)
}

var goroutines = regexp.MustCompile(`(?m)^go_goroutines (\d+)$`)

func (r raw) goroutines() int {
	r.Helper()
	got := r.do(get("/metrics"))
	found := goroutines.FindStringSubmatch(got.body)
	if found == nil {
		r.Fatalf("/metrics has no number of goroutines: %d", got.code)
	}
	count, _ := strconv.Atoi(found[1])
	return count
}

func TestADatabaseThatRefusesWritesIsRead(t *testing.T) {
	database := storagetest.StartMariaDB(t)
	s := start(t, t.TempDir(), "--datastore", "mysql://"+database.DSN("refuses"))
	r := s.raw(t)
	r.prepare()

	database.Exec(t, "SET GLOBAL read_only = 1")
	readOnly := regexp.MustCompile(`^the mysql datastore refuses writes: it is read-only \(\d+\)$`)
	r.refused(writes("refused"), readOnly, false, 30*time.Second)
	r.refused(writes("refused"), readOnly, true, 5*time.Second)
	r.succeed(reads())
	eventually(t, "/readyz says so", func(context.Context) (bool, error) {
		return strings.Contains(r.do(get("/readyz")).body, "the mysql datastore refuses writes: it is read-only"), nil
	})
	if live := r.do(get("/livez")); live.code != http.StatusOK {
		t.Errorf("/livez: got %d %s, want 200", live.code, live.body)
	}

	database.Exec(t, "SET GLOBAL read_only = 0")
	r.succeed(append(reads(), writes("accepted")...))
	s.discreet(t)
}

func TestObjectsThatTheStoreCannotHoldAreTooLarge(t *testing.T) {
	s := start(t, t.TempDir())
	r := s.raw(t)
	r.prepare()
	large := func(bytes int) string {
		return fmt.Sprintf(`{"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "large"}, "data": %q}`, strings.Repeat("x", bytes))
	}
	cases := map[string]request{
		"an object that etcd would refuse":   post(things, large(1800<<10)),
		"one that its client would not send": post(things, large(2500<<10)),
		"an object that grew":                mergePatch(things+"/old", large(1800<<10)),
		"a role with a name of 3000 letters": post("/apis/rbac.authorization.k8s.io/v1/clusterroles", named(strings.Repeat("n", 3000))),
	}
	for name, q := range cases {
		t.Run(name, func(t *testing.T) {
			if q.method == http.MethodPatch {
				q.body = strings.Replace(q.body, `"name": "large"`, `"name": "old"`, 1)
			}
			got := r.do(q)
			if status := got.status(); got.code != http.StatusRequestEntityTooLarge || status.Reason != metav1.StatusReasonRequestEntityTooLarge || !strings.Contains(status.Message, "takes objects of up to 1.5 MiB") {
				t.Errorf("got %d %s, want 413 and the limit", got.code, got.body)
			}
		})
	}
	r.succeed([]request{post(things, large(1400<<10))})
	r.succeed(append(reads(), writes("after")...))
}
