package edgehub_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
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
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/test/testbed"
)

// differentialRequests is how many random requests are made, and ten times as many if KOINON_LONG is set. atOnce is how many at a time.
const differentialRequests, atOnce = 200, 12

// seedOf is KOINON_SEED, or another each time.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if given, err := strconv.ParseUint(os.Getenv("KOINON_SEED"), 10, 64); err == nil {
		seed = given
	}
	t.Logf("KOINON_SEED=%d", seed)
	return seed
}

func long() bool { return os.Getenv("KOINON_LONG") != "" }

// reader reads from one place.
type reader struct {
	client *http.Client
	base   string
}

func directly(t *testing.T, cluster *testbed.Cluster) *reader {
	t.Helper()
	config := cluster.RESTConfig(t)
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	return &reader{client, config.Host}
}

func through(h *hub) *reader { return &reader{http.DefaultClient, h.url} }

// read is a request.
type read struct{ uri, accept string }

func (r read) String() string { return r.uri + " (accept " + r.accept + ")" }

// answer is what may be compared of an answer.
type answer struct {
	Code        int
	ContentType string
	RetryAfter  string
	// Bodies are one, or the events of a watch.
	Bodies []any
	// version and next are of a list: what is another each time.
	version uint64
	next    string
	// upstream: no view has answered.
	upstream bool
}

func (r *reader) read(ctx context.Context, what read) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, testbed.Patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base+what.uri, nil)
	if err != nil {
		return nil, err
	}
	if what.accept != "" {
		request.Header.Set("Accept", what.accept)
	}
	response, err := r.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	got := &answer{Code: response.StatusCode, ContentType: response.Header.Get("Content-Type"), RetryAfter: response.Header.Get("Retry-After")}
	got.upstream = response.Header.Get(fromUpstream) != ""
	return got, got.take(body)
}

// take reads a body, and leaves out what is another each time.
func (a *answer) take(body []byte) error {
	switch {
	case strings.HasPrefix(a.ContentType, "application/yaml"):
		var err error
		if body, err = yaml.YAMLToJSON(body); err != nil {
			return err
		}
	case strings.HasPrefix(a.ContentType, runtime.ContentTypeProtobuf):
		var err error
		if body, err = fromProtobuf(body); err != nil {
			return err
		}
	case !strings.HasPrefix(a.ContentType, "application/json"):
		a.Bodies = []any{string(body)}
		return nil
	}
	for decoder := json.NewDecoder(bytes.NewReader(body)); ; {
		var one map[string]any
		if err := decoder.Decode(&one); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("%w: %s", err, body)
		}
		if event, ok := one["object"].(map[string]any); ok && one["type"] == "BOOKMARK" {
			metadata := event["metadata"].(map[string]any)
			annotations, _ := metadata["annotations"].(map[string]any)
			if len(annotations) == 0 {
				continue // API servers send it a moment before a watch ends, or not
			}
			one["object"] = map[string]any{"kind": event["kind"], "apiVersion": event["apiVersion"], "annotations": annotations}
		}
		if err := a.ofList(one); err != nil {
			return err
		}
		a.Bodies = append(a.Bodies, neutral(one))
	}
}

// fromProtobuf is an object, a list or the events of a watch as JSON.
func fromProtobuf(body []byte) ([]byte, error) {
	if bytes.HasPrefix(body, []byte("k8s\x00")) {
		return asJSON(body)
	}
	var all []byte
	for len(body) > 0 {
		const length = 4
		if len(body) < length {
			return nil, fmt.Errorf("a watch ends with %q", body)
		}
		until := length + int(binary.BigEndian.Uint32(body))
		if until > len(body) {
			return nil, fmt.Errorf("an event of %d bytes has %d", until, len(body))
		}
		var event metav1.WatchEvent
		if err := event.Unmarshal(body[length:until]); err != nil {
			return nil, err
		}
		body = body[until:]
		object, err := asJSON(event.Object.Raw)
		if err != nil {
			return nil, err
		}
		all = fmt.Appendf(all, "{\"type\":%q,\"object\":%s}\n", event.Type, object)
	}
	return all, nil
}

// asJSON is an object that says what it is, as JSON.
func asJSON(body []byte) ([]byte, error) {
	object, kind, err := protobuf.NewSerializer(readable, readable).Decode(body, nil, nil)
	if err != nil {
		return nil, err
	}
	object.GetObjectKind().SetGroupVersionKind(*kind)
	return json.Marshal(object)
}

// readable are the types of client-go, and what has metadata only.
var readable = func() *runtime.Scheme {
	types := runtime.NewScheme()
	utilruntime.Must(scheme.AddToScheme(types))
	utilruntime.Must(metav1.AddMetaToScheme(types))
	return types
}()

// ofList takes out of a list what is another each time.
func (a *answer) ofList(body map[string]any) error {
	kind, _ := body["kind"].(string)
	metadata, _ := body["metadata"].(map[string]any)
	if !strings.HasSuffix(kind, "List") && kind != "Table" || metadata == nil {
		return nil
	}
	text, _ := metadata["resourceVersion"].(string)
	delete(metadata, "resourceVersion")
	var err error
	if a.version, err = strconv.ParseUint(text, 10, 64); err != nil {
		return fmt.Errorf("the resourceVersion of a list: %w", err)
	}
	if a.next, _ = metadata["continue"].(string); a.next != "" {
		metadata["continue"] = "there is more"
	} else {
		delete(metadata, "continue") // API servers write an empty one of custom resources
	}
	if items, said := body["items"]; said && items == nil {
		body["items"] = []any{} // as API servers write nothing that is metadata
	}
	return nil
}

// lastChunk leaves out whether there may be more: of what is selected, API servers say so before they have looked.
func (a *answer) lastChunk() {
	for _, body := range a.Bodies {
		if body, ok := body.(map[string]any); ok {
			if metadata, ok := body["metadata"].(map[string]any); ok {
				delete(metadata, "continue")
			}
		}
	}
}

// volatile is what tells of when something was, or of the way to a server.
var volatile = regexp.MustCompile(`^(\d+[smhd])+$|current: \d+$|too old resource version: \d+ \(\d+\)`)

// neutral leaves out what tells of when an answer was given.
func neutral(value any) any {
	switch value := value.(type) {
	case string:
		return volatile.ReplaceAllString(value, "THEN")
	case []any:
		for i := range value {
			value[i] = neutral(value[i])
		}
	case map[string]any:
		for key := range value {
			value[key] = neutral(value[key])
		}
	}
	return value
}

// requests makes random requests.
type requests struct {
	*rand.Rand
	// versions are those of lists through the hub, by kind.
	versions map[string]uint64
}

func pick[T any](r *requests, of ...T) T { return of[r.IntN(len(of))] }

var accepts = []string{
	"", "", "", "application/json", "application/json", "application/json", "*/*",
	"application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
	"application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json",
	"application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1beta1", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
	"application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf,text/html",
	"application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
	"application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,text/html", "application/yaml", "application/cbor", "text/html", "nonsense", "application/json;as=Nonsense;v=v1;g=meta.k8s.io,application/json",
}

var labelSelectors = []string{
	"unit=a", "unit==b", "unit!=a", "unit in (a,b)", "unit notin (a)", "unit", "!unit", "n>3", "n<2", "unit=a,tier!=x", "unit in (a),unit in (b)", "unit=", "unit!=", " unit = a , tier ", "nosuch=x",
	"!!", "unit in ()", "unit=ä", "unit>x", "unit=a=b", "=", "example.org/x", ",",
}

var fieldSelectors = []string{
	"metadata.name=NAME", "metadata.name!=NAME", "metadata.name==NAME,metadata.namespace=ns0", "metadata.namespace=ns0", "metadata.namespace!=ns0", "metadata.namespace=nosuch",
	"spec.nodeName=n1", "spec.nodeName=", "spec.nodeName!=n1", "status.phase=Pending", "status.phase!=Pending", "status.phase=Active", "spec.clusterIP=None", "spec.clusterIP!=None",
	"spec.host=n1", "spec.type=ClusterIP", "spec.unschedulable=true", "spec.nonsense=1", "metadata.name", "=", `metadata.name=a\,b`, "metadata.name=a\\", "metadata.uid=x", ",", "metadata.name=NAME,metadata.name=x",
}

func (r *requests) next() read {
	k := pick(r, kinds...)
	namespace := pick(r, "", "ns0", "ns0", "ns1", "ns1", "nosuch")
	if k.global && r.IntN(8) > 0 {
		namespace = ""
	}
	path := k.path(namespace)
	query := url.Values{}
	name := pick(r, k.prefix+"0", k.prefix+"1", k.prefix+"2", "nosuch")
	named := r.IntN(4) == 0 && (namespace != "" || k.global)
	if named {
		path += "/" + pick(r, name, name, name, name, "UPPER", "x%20y", "a%2Cb", "a%3Db", "%C3%A9", "a%5Cb")
	}
	some := func(often int, key string, values ...string) {
		if r.IntN(10) < often {
			query.Set(key, strings.ReplaceAll(pick(r, values...), "NAME", name))
		}
	}
	version := fmt.Sprint(r.versions[k.Resource])
	watch := false
	if named {
		some(2, "watch", "true", "0")
		some(2, "resourceVersion", "0", "1", "x", "-1", version)
		some(1, "labelSelector", labelSelectors...)
		some(1, "fieldSelector", fieldSelectors...)
		some(1, "export", "true", "0")
	} else {
		some(4, "watch", "true", "1", "True", "yes", "", "0", "false", "FALSE")
		value := strings.ToLower(query.Get("watch"))
		watch = query.Has("watch") && value != "0" && value != "false"
		some(4, "labelSelector", labelSelectors...)
		some(4, "fieldSelector", fieldSelectors...)
		some(3, "resourceVersion", "0", "0", "1", "x", "-1", "", version, version)
		some(2, "resourceVersionMatch", "Exact", "NotOlderThan", "NotOlderThan", "x", "")
		some(3, "limit", "1", "2", "3", "100", "-1", "x", "0", "", "99999999999999999999")
		some(1, "continue", "x", "", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJ4In0")
		some(1, "timeoutSeconds", "1", "x", "1.5", "")
		if watch {
			some(4, "resourceVersionMatch", "NotOlderThan")
			some(4, "sendInitialEvents", "true", "true", "false", "x", "")
			some(5, "allowWatchBookmarks", "true", "1", "false", "x", "")
			if !query.Has("timeoutSeconds") || query.Get("timeoutSeconds") == "" {
				query.Set("timeoutSeconds", "1")
			}
		} else {
			some(1, "sendInitialEvents", "true", "x")
		}
	}
	if query.Get("resourceVersion") == "1" && watch {
		query.Set("resourceVersion", version) // how far a server remembers is its own affair
	}
	if r.IntN(30) == 0 {
		query.Set("pretty", "true")
	}
	if r.IntN(30) == 0 {
		query.Set("nonsense", "true")
	}
	uri := path
	if len(query) > 0 {
		uri += "?" + query.Encode()
	}
	return read{uri, pick(r, accepts...)}
}

// different are requests that the hub has answered otherwise once.
var different = []read{
	{uri: "/api/v1/namespaces/ns0/configmaps?fieldSelector=spec.nodeName%3Dn1"}, // a field that this kind has not
	{uri: "/api/v1/nodes?fieldSelector=metadata.namespace%3Dns0"},
	{uri: "/api/v1/namespaces/ns0/nodes"}, // a namespace of what has none
	{uri: "/api/v1/namespaces/ns0/nodes/n1"},
	{uri: "/api/v1/namespaces/ns0/configmaps/c1?watch=true"}, // which is no watch
	{uri: "/api/v1/namespaces/ns0/configmaps/a%2Cb"},
	{uri: "/api/v1/namespaces/ns0/configmaps/a%3Db"},
	{uri: "/api/v1/namespaces/ns0/configmaps?limit=x"},
	{uri: "/api/v1/namespaces/ns0/configmaps?resourceVersionMatch=Exact"},
	{uri: "/api/v1/namespaces/ns0/configmaps?sendInitialEvents=true"},
	{uri: "/api/v1/namespaces/ns0/configmaps?resourceVersion=1&resourceVersionMatch=Exact"},
	{uri: "/api/v1/namespaces/ns0/configmaps?resourceVersion=1&limit=100"}, // which is as exact
	{uri: "/api/v1/namespaces/ns0/configmaps?limit=2&labelSelector=n"},     // nobody counts the rest
	{uri: "/api/v1/namespaces/ns0/configmaps?continue=x"},
	{uri: "/api/v1/namespaces/ns0/configmaps?watch=yes&timeoutSeconds=1"},
	{uri: "/api/v1/namespaces/ns0/configmaps?watch=true&timeoutSeconds=1&resourceVersionMatch=NotOlderThan"},
	{uri: "/api/v1/namespaces/ns0/configmaps?watch=true&timeoutSeconds=1&allowWatchBookmarks=true"}, // with the end of what there was
	{uri: "/api/v1/namespaces/ns0/configmaps?watch=true&timeoutSeconds=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"},
	{uri: "/api/v1/namespaces/ns0/configmaps/c1", accept: "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"},
}

// slow are such that are waited for.
var slow = []read{
	{uri: "/api/v1/namespaces/ns0/configmaps?resourceVersion=99999999999"},
	{uri: "/api/v1/namespaces/ns0/configmaps?watch=true&timeoutSeconds=9&resourceVersion=99999999999&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"},
}

// Random reads mean the same whether they are of the API server or through the hub: when it is asked for the first time, out of wider views, and when it has
// views of their own.
func TestReadsThroughTheHubAreThoseOfTheAPIServer(t *testing.T) {
	seed := seedOf(t)
	cluster := testbed.StartCluster(t, testbed.ClusterOptions{Name: "cloud"})
	populate(t, cluster)
	h := newHub(t, newLink(t, cluster))
	direct, hubbed := directly(t, cluster), through(h)
	random := &requests{rand.New(rand.NewPCG(seed, 0)), map[string]uint64{}}
	for _, k := range kinds {
		got, err := hubbed.read(t.Context(), read{uri: k.path("")})
		if err != nil {
			t.Fatal(err)
		}
		random.versions[k.Resource] = got.version
	}
	count := differentialRequests
	if long() {
		count *= 10
	}
	asked := slices.Clone(different)
	if long() {
		asked = append(asked, slow...)
	}
	for range count {
		asked = append(asked, random.next())
	}
	for _, when := range []string{"for the first time", "again"} {
		t.Run(when, func(t *testing.T) {
			each(asked, func(what read) { same(t, direct, hubbed, what) })
		})
	}
	t.Run("in chunks", func(t *testing.T) {
		for _, k := range kinds {
			for _, narrow := range []string{"", "&labelSelector=unit", "&fieldSelector=metadata.name!%3D" + k.prefix + "1"} {
				for limit := range 4 {
					inChunks(t, direct, hubbed, k.path(""), fmt.Sprintf("?limit=%d%s", limit+1, narrow))
				}
			}
		}
	})
}

// inChunks lists to the end in both ways. How many there are in a chunk of what is selected may differ.
func inChunks(t *testing.T, direct, hubbed *reader, path, query string) {
	t.Helper()
	var items [2][]any
	for i, from := range []*reader{direct, hubbed} {
		for next := ""; ; {
			got, err := from.read(t.Context(), read{uri: path + query + next})
			if err != nil {
				t.Fatal(err)
			}
			if got.Code != http.StatusOK || got.upstream {
				t.Fatalf("%s%s%s: %d, not by a view: %v", path, query, next, got.Code, got.upstream)
			}
			items[i] = append(items[i], got.Bodies[0].(map[string]any)["items"].([]any)...)
			if next = "&continue=" + url.QueryEscape(got.next); got.next == "" {
				break
			}
		}
	}
	if diff := cmp.Diff(items[0], items[1]); diff != "" {
		t.Errorf("%s%s (-directly +through the hub):\n%s", path, query, diff)
	}
}

// each calls do for each of reads, some at once.
func each(reads []read, do func(read)) {
	var running sync.WaitGroup
	next := make(chan read)
	for range atOnce {
		running.Go(func() {
			for what := range next {
				do(what)
			}
		})
	}
	for _, what := range reads {
		next <- what
	}
	close(next)
	running.Wait()
}

// same makes a request in both ways.
func same(t *testing.T, direct, hubbed *reader, what read) {
	t.Helper()
	want, err := direct.read(t.Context(), what)
	if err != nil {
		t.Errorf("%s: directly: %v", what, err)
		return
	}
	got, err := hubbed.read(t.Context(), what)
	if err != nil {
		t.Errorf("%s: through the hub: %v", what, err)
		return
	}
	if query := what.query(); query.Get("labelSelector") != "" || query.Get("fieldSelector") != "" {
		want.lastChunk()
		got.lastChunk()
	}
	if want.Code >= http.StatusBadRequest && strings.Contains(what.accept, "protobuf") {
		got.ContentType = want.ContentType // the hub's errors are JSON
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(answer{})); diff != "" {
		t.Errorf("%s (-directly +through the hub):\n%s", what, diff)
	}
	if got.upstream && want.Code == http.StatusOK && what.plain() {
		t.Errorf("%s: no view has answered", what)
	}
	if wanted, _ := strconv.ParseUint(what.query().Get("resourceVersion"), 10, 64); !got.upstream && got.version > 0 && got.version < wanted {
		t.Errorf("%s: a list of %d", what, got.version)
	}
}

func (r read) query() url.Values {
	at, err := url.Parse(r.uri)
	if err != nil {
		panic(err) // of a test's own
	}
	return at.Query()
}

// plain reports whether a view can answer, if one is asked for that.
func (r read) plain() bool {
	query := r.query()
	return (r.accept == "" || r.accept == "application/json") && !query.Has("pretty") && !query.Has("export") && query.Get("resourceVersionMatch") != "Exact" && query.Get("continue") == "" && !(query.Has("limit") && query.Has("resourceVersion"))
}
