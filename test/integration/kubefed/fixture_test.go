// Package kubefed_test replays what an unmodified KubeFed controller-manager v0.10 sends
// to its host: the same requests, with the same headers and bodies, over plain HTTP. No
// client of ours is in between that could put right what the server gets wrong.
//
// The server that most tests share runs without controllers: the tests are the controller.
package kubefed_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/test/testbed"
)

const (
	// stockTimeout is what the stock controller's client of clusters allows a request.
	stockTimeout = 3 * time.Second
	// patience is how long anything else may take before a test gives up. It is no
	// assertion about speed: the machine may be busy.
	patience = time.Minute

	systemNamespace = "kube-federation-system"

	jsonBody     = "Content-Type: application/json"
	mergePatch   = "Content-Type: application/merge-patch+json"
	acceptJSON   = "Accept: application/json, */*"
	acceptBinary = "Accept: application/vnd.kubernetes.protobuf, */*"
)

var shared = testbed.SharedKoinon(func() (testbed.KoinonOptions, error) {
	return testbed.KoinonOptions{Args: []string{"--components=apiserver"}}, nil
})

func TestMain(m *testing.M) { testbed.Main(m) }

// host is the server as the stock controller sees it: a URL and a certificate.
type host struct {
	url    string
	client *http.Client
}

func newHost(t *testing.T, timeout time.Duration) *host {
	t.Helper()
	return hostOf(t, shared.Get(t), timeout)
}

func hostOf(t *testing.T, server *testbed.Koinon, timeout time.Duration) *host {
	t.Helper()
	config := server.RESTConfig(t)
	tlsConfig, err := rest.TLSConfigFor(config)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: tlsConfig, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &host{url: strings.TrimSuffix(config.Host, "/"), client: &http.Client{Transport: transport, Timeout: timeout}}
}

// response of the server, read to its end.
type response struct {
	code   int
	header http.Header
	body   []byte
}

// do sends a request with exactly the given headers, each of the form "Name: value".
func (h *host) do(t *testing.T, method, path, body string, headers ...string) response {
	t.Helper()
	resp, err := h.open(t.Context(), method, path, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: read the answer: %v", method, path, err)
	}
	return response{resp.StatusCode, resp.Header, data}
}

func (h *host) open(ctx context.Context, method, path, body string, headers ...string) (*http.Response, error) {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, h.url+path, reader)
	if err != nil {
		return nil, err
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		req.Header.Set(name, value)
	}
	return h.client.Do(req)
}

// must sends a request, wants the code, and returns the decoded answer.
func (h *host) must(t *testing.T, code int, method, path, body string, headers ...string) object {
	t.Helper()
	resp := h.do(t, method, path, body, headers...)
	if resp.code != code {
		t.Fatalf("%s %s: got %d, want %d: %s", method, path, resp.code, code, resp.body)
	}
	return resp.object(t)
}

func (h *host) get(t *testing.T, path string) object {
	t.Helper()
	return h.must(t, http.StatusOK, http.MethodGet, path, "", acceptJSON)
}

// refused wants a Status with the code and reason.
func (h *host) refused(t *testing.T, code int, reason metav1.StatusReason, method, path, body string, headers ...string) metav1.Status {
	t.Helper()
	resp := h.do(t, method, path, body, headers...)
	var status metav1.Status
	if err := json.Unmarshal(resp.body, &status); err != nil {
		t.Fatalf("%s %s: the answer is no Status: %v: %s", method, path, err, resp.body)
	}
	if resp.code != code || status.Kind != "Status" || status.Code != int32(code) || status.Reason != reason || status.Status != metav1.StatusFailure {
		t.Fatalf("%s %s: got %d: %s, want a Status with code %d and reason %s", method, path, resp.code, resp.body, code, reason)
	}
	return status
}

func (r response) object(t *testing.T) object {
	t.Helper()
	o := object{}
	if err := json.Unmarshal(r.body, &o); err != nil {
		t.Fatalf("decode %s: %v", r.body, err)
	}
	return o
}

// object is decoded JSON, as the stock controller's dynamic client has it.
type object map[string]any

// at follows the path; it is nil if there is nothing.
func (o object) at(path ...string) any {
	var value any = map[string]any(o)
	for _, key := range path {
		m, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = m[key]
	}
	return value
}

func (o object) text(path ...string) string {
	s, _ := o.at(path...).(string)
	return s
}

func (o object) items() []any {
	items, _ := o["items"].([]any)
	return items
}

func (o object) version() string { return o.text("metadata", "resourceVersion") }

func (o object) encode(t *testing.T) string {
	t.Helper()
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// names of the items of a list, as namespace/name.
func (o object) names() []string {
	names := []string{}
	for _, item := range o.items() {
		i := object(item.(map[string]any))
		names = append(names, strings.TrimPrefix(i.text("metadata", "namespace")+"/"+i.text("metadata", "name"), "/"))
	}
	return names
}

// event of a watch.
type event struct {
	Type   string
	Object object
}

// watch opens a watch as the stock controller's reflectors do, calls trigger once it is
// open, and returns the first event that want accepts.
func (h *host) watch(t *testing.T, path, resourceVersion string, trigger func(), want func(event) bool) event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	resp, err := h.open(ctx, http.MethodGet, watchPath(path, resourceVersion), "", acceptJSON)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("watch %s: got %d: %s", path, resp.StatusCode, body)
	}
	if trigger != nil {
		trigger()
	}
	e, err := firstEvent(resp.Body, want)
	if err != nil {
		t.Fatalf("watch %s: %v", path, err)
	}
	return e
}

func watchPath(path, resourceVersion string) string {
	return fmt.Sprintf("%s?allowWatchBookmarks=true&resourceVersion=%s&timeoutSeconds=%d&watch=true", path, resourceVersion, 317)
}

func firstEvent(body io.Reader, want func(event) bool) (event, error) {
	lines := bufio.NewReader(body)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return event{}, fmt.Errorf("the stream ended: %w", err)
		}
		var e event
		if err := json.NewDecoder(bytes.NewReader(line)).Decode(&e); err != nil {
			return event{}, fmt.Errorf("decode %s: %w", line, err)
		}
		if want(e) {
			return e, nil
		}
	}
}

// list as reflectors do.
func (h *host) list(t *testing.T, path string) object {
	t.Helper()
	return h.get(t, path+"?limit=500&resourceVersion=0")
}

// eventually polls until check returns no error.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	last := errors.New("not checked")
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		last = check()
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("%v: %v", err, last)
	}
}

// namespaceCount makes names of namespaces unique: no controller runs that would remove
// those of an earlier run.
var namespaceCount atomic.Int64

// namespace makes a namespace for one test, and returns its name.
func (h *host) namespace(t *testing.T, prefix string) string {
	t.Helper()
	name := fmt.Sprintf("%s-%d", prefix, namespaceCount.Add(1))
	h.must(t, http.StatusCreated, http.MethodPost, "/api/v1/namespaces",
		fmt.Sprintf(`{"kind":"Namespace","apiVersion":"v1","metadata":{"name":%q}}`, name), jsonBody)
	return name
}

// remove deletes an object after the test, for the next run.
func (h *host) remove(t *testing.T, path string) {
	t.Cleanup(func() {
		resp, err := h.open(context.WithoutCancel(t.Context()), http.MethodDelete, path, "")
		if err != nil {
			t.Error(err)
			return
		}
		resp.Body.Close()
	})
}

// enable creates a FederatedTypeConfig, unless it is there, and waits for the kind.
func (h *host) enable(t *testing.T, name, body string) {
	t.Helper()
	resp := h.do(t, http.MethodPost, typeConfigs, body, jsonBody)
	if resp.code != http.StatusCreated && resp.code != http.StatusConflict {
		t.Fatalf("create FederatedTypeConfig %s: got %d: %s", name, resp.code, resp.body)
	}
	eventually(t, func() error { return served(h.get(t, typeConfigs+"/"+name)) })
}

func served(config object) error {
	conditions, _ := config.at("status", "conditions").([]any)
	for _, c := range conditions {
		if condition := object(c.(map[string]any)); condition["type"] == "Served" && condition["status"] == "True" {
			return nil
		}
	}
	return fmt.Errorf("not served: %v", conditions)
}

// typeConfig is a FederatedTypeConfig as KubeFed's chart writes it.
func typeConfig(name, target, federated string) string {
	return fmt.Sprintf(`{"apiVersion":"core.kubefed.io/v1beta1","kind":"FederatedTypeConfig","metadata":{"name":%q,"namespace":%q},
"spec":{"federatedType":%s,"propagation":"Enabled","targetType":%s}}`, name, systemNamespace, federated, target)
}

func (h *host) enableDeployments(t *testing.T) {
	t.Helper()
	h.enable(t, "deployments.apps", typeConfig("deployments.apps",
		`{"group":"apps","kind":"Deployment","pluralName":"deployments","scope":"Namespaced","version":"v1"}`,
		`{"group":"types.kubefed.io","kind":"FederatedDeployment","pluralName":"federateddeployments","scope":"Namespaced","version":"v1beta1"}`))
}

const typeConfigs = "/apis/core.kubefed.io/v1beta1/namespaces/" + systemNamespace + "/federatedtypeconfigs"
