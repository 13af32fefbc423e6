package proxy_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// differentialRequests is how many random requests each server gets, and ten times as many if
// KOINON_LONG is set.
const differentialRequests = 150

// TestAnswersThroughTheProxyAreTheMembers sends the same random requests to a member directly, in one
// namespace, and through the proxy, in another. KOINON_SEED repeats a run.
func TestAnswersThroughTheProxyAreTheMembers(t *testing.T) {
	places(t, func(p *place) {
		seed := uint64(time.Now().UnixNano())
		if given, err := strconv.ParseUint(os.Getenv("KOINON_SEED"), 10, 64); err == nil {
			seed = given
		}
		p.Logf("KOINON_SEED=%d", seed)
		direct, proxied := newSender(p, p.direct), newSender(p, p.proxied)
		random := &requests{rand.New(rand.NewPCG(seed, 0))}
		count := differentialRequests
		if os.Getenv("KOINON_LONG") != "" {
			count *= 10
		}
		for i := range count {
			request := random.next()
			want, got := direct.send(request), proxied.send(request)
			if diff := cmp.Diff(want, got); diff != "" {
				p.Fatalf("request %d, %s (-directly +through the proxy):\n%s", i, request, diff)
			}
		}
	})
}

// request is one that is sent twice; NS in it stands for the namespace.
type request struct{ method, uri, contentType, accept, body string }

func (r request) String() string {
	return fmt.Sprintf("%s %s (%s, accept %s)\n%s", r.method, r.uri, r.contentType, r.accept, r.body)
}

// answer is what may be compared of an answer.
type answer struct {
	Code   int
	Header http.Header
	Body   string
}

// sender sends requests to one place, in a namespace of its own.
type sender struct {
	*place
	client *http.Client
	base   string
	ns     string
}

func newSender(p *place, kubeconfig string) *sender {
	p.Helper()
	config := p.config(kubeconfig)
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		p.Fatal(err)
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s := &sender{place: p, client: client, base: config.Host, ns: p.namespace()}
	p.eventually("the ConfigMap that each namespace is given", func(ctx context.Context) error {
		_, err := p.client(p.direct).CoreV1().ConfigMaps(s.ns).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		return err
	})
	return s
}

// different are headers that are another each time, or of the priority of who asks.
var different = []string{"Date", "Audit-Id", "Content-Length", "X-Kubernetes-Pf-Flowschema-Uid", "X-Kubernetes-Pf-Prioritylevel-Uid", "Last-Modified"}

// ours are headers that the proxy sets.
var ours = []string{"Content-Security-Policy", "X-Content-Type-Options"}

func (s *sender) send(r request) answer {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	in := func(text string) string { return strings.ReplaceAll(text, "NS", s.ns) }
	sent, err := http.NewRequestWithContext(ctx, r.method, s.base+in(r.uri), strings.NewReader(in(r.body)))
	if err != nil {
		s.Fatal(err)
	}
	for header, value := range map[string]string{"Content-Type": r.contentType, "Accept": r.accept} {
		if value != "" {
			sent.Header.Set(header, value)
		}
	}
	got, err := s.client.Do(sent)
	if err != nil {
		s.Fatalf("%s: %v", r, err)
	}
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	if err != nil {
		s.Fatalf("%s: %v", r, err)
	}
	for _, header := range append(different, ours...) {
		got.Header.Del(header)
	}
	if got.StatusCode >= http.StatusBadRequest && (strings.HasSuffix(got.Request.URL.Path, "/api") || strings.HasSuffix(got.Request.URL.Path, "/apis")) {
		got.Header.Del("Warning") // errors of discovery are explained
	}
	for header, values := range got.Header {
		got.Header[header] = slices.Compact(values) // an aggregator says some of its own again
	}
	return answer{got.StatusCode, got.Header, s.comparable(got.Header.Get("Content-Type"), string(body))}
}

// volatile is what differs in two namespaces although it is the same. Objects stand in messages of errors, too, quoted once or twice.
var volatile = []struct{ pattern, instead string }{
	{`"?uid"?: ?"?[0-9a-f-]{36}"?`, "uid"},
	{`[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}`, "UID"},
	{`\\*"?resourceVersion\\*"?: ?\\*"?\d+\\*"?`, "version"},
	{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`, "TIME"},
	{`"?continue"?: ?"?[\w=-]+"?`, "continue"},
	{`"\d+(?:s|m|m\d+s)"`, "AGE"},
	{`(?:too old resource version|resource version): \d+ \(\d+\)`, "too old"},
}

var bookmark = regexp.MustCompile(`(?m)^\{"type":"BOOKMARK".*\n`)

var patterns = func() (compiled []*regexp.Regexp) {
	for _, v := range volatile {
		compiled = append(compiled, regexp.MustCompile(v.pattern))
	}
	return compiled
}()

func (s *sender) comparable(contentType, body string) string {
	if strings.Contains(contentType, "protobuf") || strings.Contains(contentType, "cbor") {
		return "" // names of namespaces of different lengths make it another
	}
	body = bookmark.ReplaceAllStringFunc(strings.ReplaceAll(body, s.ns, "NS"), func(event string) string {
		if strings.Contains(event, "initial-events-end") {
			return event
		}
		return "" // API servers send it a moment before a watch ends, or not
	})
	for i, pattern := range patterns {
		body = pattern.ReplaceAllString(body, volatile[i].instead)
	}
	return body
}

// requests makes random requests.
type requests struct{ *rand.Rand }

func pick[T any](r *requests, of ...T) T { return of[r.IntN(len(of))] }

var accepts = []string{
	"", "application/json", "application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "application/cbor", "*/*", "text/html", "nonsense",
	"application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
	"application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
}

func (r *requests) next() request {
	made := request{accept: pick(r, accepts...)}
	switch r.IntN(10) {
	case 0:
		made.method, made.uri = pick(r, "GET", "GET", "HEAD", "OPTIONS"), pick(r, "/version", "/api", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1", "/apis/nonsense/v1", "/healthz", "/livez?verbose=false", "/nonsense", "/", "/openapi/v3", "/api/v1/nonsense", "/apis/apps/v1/namespaces/NS/deployments/a/nonsense")
	case 1:
		made.method, made.uri = "GET", r.collection()+r.query("limit", pick(r, "1", "2", "x", "-1"), "labelSelector", pick(r, "a=b", "a in (b,c)", "!!"), "fieldSelector", pick(r, "metadata.name=a", "metadata.namespace=NS", "spec.nonsense=1"), "resourceVersion", pick(r, "0", "1", "x"), "resourceVersionMatch", pick(r, "Exact", "NotOlderThan", "x"))
	case 2:
		made.method, made.uri = "GET", r.collection()+"?watch=1&timeoutSeconds=1"+strings.Replace(r.query("resourceVersion", pick(r, "0", "1", "x"), "allowWatchBookmarks", "true", "labelSelector", "a=b"), "?", "&", 1)
	case 3, 4:
		made.method, made.uri, made.contentType, made.body = "POST", r.collection()+r.write(), r.media("application/json"), r.object()
	case 5:
		made.method, made.uri, made.contentType, made.body = "PUT", r.object1()+r.write(), r.media("application/json"), r.object()
	case 6:
		made.method, made.uri = "PATCH", r.object1()+r.write()
		made.contentType, made.body = r.patch()
	case 7:
		made.method, made.uri, made.contentType = "DELETE", pick(r, r.object1(), r.object1(), r.collection())+r.query("dryRun", "All", "gracePeriodSeconds", pick(r, "0", "x"), "propagationPolicy", pick(r, "Background", "x"), "labelSelector", "a=b"), r.media("application/json")
		made.body = pick(r, "", `{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Background"}`, `{"kind":"DeleteOptions","apiVersion":"v1","preconditions":{"uid":"x"}}`, `nonsense`)
	default:
		made.method, made.uri = pick(r, "GET", "GET", "GET", "HEAD"), r.object1()+r.query("resourceVersion", pick(r, "0", "x"), "pretty", pick(r, "true", "1"))
	}
	return made
}

// kinds are what is asked for. No controller of the members of tests writes to them: what it has written by the time of an answer
// would be another thing in each of the two namespaces.
var kinds = []struct{ path, apiVersion, kind, spec string }{
	{"/api/v1/namespaces/NS/configmaps", "v1", "ConfigMap", `"data":{"k":"%d"}`},
	{"/api/v1/namespaces/NS/services", "v1", "Service", `"spec":{"clusterIP":"None","ports":[{"port":8%d}]}`},
	{"/api/v1/namespaces/NS/replicationcontrollers", "v1", "ReplicationController", `"spec":{"replicas":%d,"selector":{"a":"b"},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}`},
	{"/apis/autoscaling/v2/namespaces/NS/horizontalpodautoscalers", "autoscaling/v2", "HorizontalPodAutoscaler", `"spec":{"maxReplicas":1%d,"scaleTargetRef":{"apiVersion":"v1","kind":"ReplicationController","name":"a"}}`},
}

func (r *requests) collection() string { return pick(r, kinds...).path }

func (r *requests) object1() string {
	path := r.collection() + "/" + pick(r, "a", "b", "c", "nosuch", "x%20y", "%C3%A9", "UPPER")
	return path + pick(r, "", "", "", "", "/status", "/scale", "/nonsense")
}

func (r *requests) object() string {
	kind := pick(r, kinds...)
	body := fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":%q,"namespace":%q,"labels":{"a":%q}},%s}`,
		kind.apiVersion, kind.kind, pick(r, "a", "b", "c", "", "Bad_Name"), pick(r, "NS", "NS", "NS", "", "other"), pick(r, "b", "c"), fmt.Sprintf(kind.spec, r.IntN(3)))
	switch r.IntN(12) {
	case 0:
		return body[:len(body)/2]
	case 1:
		return strings.Replace(body, `"metadata":{`, `"nonsense":1,"metadata":{"nonsense":2,`, 1)
	case 2:
		return strings.Replace(body, `"metadata":{`, `"metadata":{"name":"twice",`, 1)
	}
	return body
}

func (r *requests) patch() (contentType, body string) {
	return r.media(pick(r, "application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml", "application/json-patch+json")),
		pick(r, `{"metadata":{"labels":{"a":"c"}}}`, `{"data":{"k":"patched"}}`, `{"spec":{"replicas":2}}`, `[{"op":"add","path":"/metadata/labels/x","value":"y"}]`, `[{"op":"remove","path":"/nonsense"}]`, `nonsense`, r.object(), `{"nonsense":1}`)
}

func (r *requests) media(usual string) string {
	if r.IntN(10) > 0 {
		return usual
	}
	return pick(r, "", "application/yaml", "text/plain", "application/vnd.kubernetes.protobuf", "nonsense")
}

func (r *requests) write() string {
	return r.query("dryRun", pick(r, "All", "x"), "fieldManager", pick(r, "m", strings.Repeat("m", 200)), "fieldValidation", pick(r, "Strict", "Warn", "Ignore", "x"), "force", "true")
}

// query has each of the parameters one time in three.
func (r *requests) query(keyValue ...string) string {
	query := url.Values{}
	for i := 0; i < len(keyValue); i += 2 {
		if r.IntN(3) == 0 {
			query.Add(keyValue[i], keyValue[i+1])
		}
	}
	if len(query) == 0 {
		return ""
	}
	return "?" + query.Encode()
}
