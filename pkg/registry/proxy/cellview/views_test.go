package cellview_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/registry/proxy/cellview"
)

// The views of one member whose names are chosen to be mistaken for one another: the third
// is called as the first one's namespace in the member, and is the namespace that is called as
// the first two are.
var views = []cellview.View{
	{Namespace: "shop", MemberNamespace: "shop-a", Cell: "a"},
	{Namespace: "shop", MemberNamespace: "shop-b", Cell: "b"},
	{Namespace: "shop-a", MemberNamespace: "shop", Cell: "c"},
	{Namespace: "same", MemberNamespace: "same", Cell: "d"},
}

// TestViewsAreClustersOfTheirOwn sends random requests through views of one member, and the same
// to a server for each view that has nothing but the view's namespace. All that a view does not
// refuse has the same answer there, and nothing outside of its namespace is read or written.
// KOINON_SEED repeats a run, KOINON_STEPS says how many requests it has.
func TestViewsAreClustersOfTheirOwn(t *testing.T) {
	seed, steps := number(t, "KOINON_SEED", rand.Uint64()), number(t, "KOINON_STEPS", defaultSteps)
	t.Logf("KOINON_SEED=%d", seed)
	g := generator{Rand: rand.New(rand.NewPCG(seed, 1))}
	member := newServer("shop", "shop-a", "shop-b", "same", "kube-system")
	alone := map[string]*server{}
	for _, v := range views {
		alone[v.Cell] = newServer(v.Namespace)
	}
	seedObjects(member, alone)
	accepted := map[int]int{}
	for step := range int(steps) {
		v := views[g.IntN(len(views))]
		g.own = v.Namespace
		r := g.request()
		code, problem := both(member, alone[v.Cell], v, r)
		if problem != "" {
			t.Fatalf("KOINON_SEED=%d, request %d of cell %s: %s %s %v %q: %s", seed, step, v.Cell, r.method, r.target, r.header, r.body, problem)
		}
		accepted[code]++
		if step%500 == 0 {
			sameState(t, member, alone)
		}
	}
	sameState(t, member, alone)
	t.Logf("answers by code, 0 for those that views refused: %v", accepted)
	for _, code := range []int{0, 200, 201, 404, 409} {
		if steps >= defaultSteps && accepted[code] < 30 {
			t.Errorf("only %d requests had the code %d: they try nothing", accepted[code], code)
		}
	}
}

const defaultSteps = 4000

func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// seedObjects are those of whoever manages the member as a whole, and of its administrators.
func seedObjects(member *server, alone map[string]*server) {
	for _, namespace := range []string{"shop", "shop-a", "shop-b", "same", "kube-system"} {
		managed := func(key string) map[string]any {
			return map[string]any{"data": map[string]any{"a": "1"}, "metadata": map[string]any{"name": "plain", "labels": map[string]any{key: "true"}}}
		}
		member.store(place{"configmaps", namespace, "plain"}, managed("kubefed.io/managed"), 0)
		for _, v := range views {
			if v.MemberNamespace == namespace {
				alone[v.Cell].store(place{"configmaps", v.Namespace, "plain"}, managed(cellview.KeptLabel), 0)
			}
		}
	}
}

// both sends a request through a view and to a server of its own. It returns the code of the
// answer, 0 if the view refused, and what is wrong.
func both(member, alone *server, v cellview.View, r incoming) (int, string) {
	u, err := url.ParseRequestURI(r.target)
	if err != nil {
		return 0, ""
	}
	m, err := v.Request(cellview.Request{Method: r.method, URL: u, Header: r.header, Body: strings.NewReader(string(r.body))}, scopes{})
	if err != nil {
		return 0, ""
	}
	clear(member.touched)
	target := m.Path
	if m.RawQuery != "" {
		target += "?" + m.RawQuery
	}
	mapped := member.serve(incoming{r.method, target, m.Header, m.Body})
	for namespace := range member.touched {
		if namespace != v.MemberNamespace {
			return 0, fmt.Sprintf("touched the namespace %s: %s %s", namespace, target, m.Body)
		}
	}
	wire, err := json.Marshal(mapped.body)
	if err != nil {
		return 0, err.Error()
	}
	var out strings.Builder
	w, err := m.Answer.Writer(&out, mapped.code, "application/json")
	if err == nil {
		_, err = w.Write(wire)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return 0, fmt.Sprintf("the answer %s: %v", wire, err)
	}
	want := alone.serve(r)
	wantWire, err := json.Marshal(want.body)
	if err != nil {
		return 0, err.Error()
	}
	if is, should := message(out.String()), message(string(wantWire)); want.code != mapped.code || !reflect.DeepEqual(is, should) {
		return 0, fmt.Sprintf("got code %d, want %d (-want +got):\n%s", mapped.code, want.code, cmp.Diff(should, is))
	}
	return mapped.code, ""
}

// message decodes an answer.
func message(text string) any {
	var tree any
	if err := json.Unmarshal([]byte(text), &tree); err != nil {
		return err.Error()
	}
	if status, ok := tree.(map[string]any); ok && status["kind"] == "Status" {
		return map[string]any{"message": status["message"]}
	}
	return tree
}

// sameState compares what each view shows with the server that has nothing else.
func sameState(t *testing.T, member *server, alone map[string]*server) {
	t.Helper()
	for _, v := range views {
		for resource := range groups {
			r := incoming{method: http.MethodGet, target: groups[resource] + "/" + resource, header: http.Header{}}
			if _, problem := both(member, alone[v.Cell], v, r); problem != "" {
				t.Fatalf("the %s of cell %s: %s", resource, v.Cell, problem)
			}
		}
	}
	if plain := member.objects[place{"configmaps", "kube-system", "plain"}]; child(plain, "data")["a"] != "1" {
		t.Fatalf("what no view shows has changed: %v", plain)
	}
}

// generator makes requests, most of them nearly right.
type generator struct {
	*rand.Rand
	// own is the namespace of the view that is asked.
	own string
}

func pick[T any](g generator, of ...T) T { return of[g.IntN(len(of))] }

func (g generator) namespace() string {
	if g.IntN(12) > 0 {
		return g.own
	}
	return pick(g, "shop", "shop", "shop", "shop-a", "shop-a", "shop-b", "same", "kube-system", "sho", "shop-a-b")
}

func (g generator) request() incoming {
	resource := pick(g, "configmaps", "configmaps", "rolebindings", "networkpolicies", "widgets", "namespaces")
	r := incoming{method: pick(g, "GET", "GET", "POST", "POST", "PUT", "PATCH", "PATCH", "DELETE"), header: http.Header{}}
	name := pick(g, "", "", "a", "b", "c", "plain", "shop-a")
	if r.method == "POST" {
		name = ""
	} else if r.method != "GET" && g.IntN(8) > 0 {
		name = pick(g, "a", "b", "c", "plain")
	}
	r.target = g.path(resource, name) + g.query()
	if g.IntN(4) == 0 {
		r.header.Set("Accept", pick(g, "application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "application/vnd.kubernetes.protobuf,*/*"))
	}
	switch r.method {
	case "POST", "PUT":
		r.body = g.body(resource, name)
		if g.IntN(6) == 0 {
			r.header.Set("Content-Type", pick(g, "application/yaml", "application/json", "application/vnd.kubernetes.protobuf"))
		}
	case "PATCH":
		kind := pick(g, "merge", "strategic", "json", "apply")
		r.header.Set("Content-Type", media[kind])
		if r.body = g.body(resource, name); kind == "json" {
			r.body = g.jsonPatch()
		}
	}
	return r
}

func (g generator) path(resource, name string) string {
	namespace := g.namespace()
	path := groups[resource] + "/namespaces/" + namespace + "/" + resource
	switch {
	case resource == "namespaces":
		if path = groups[resource] + "/namespaces"; name != "" {
			name = namespace
		}
	case g.IntN(5) == 0:
		path = groups[resource] + "/" + resource
	}
	if name != "" {
		path += "/" + name
	}
	if g.IntN(12) > 0 {
		return path
	}
	segments := strings.Split(path, "/")
	at := 1 + g.IntN(len(segments)-1)
	switch g.IntN(6) {
	case 0:
		segments[at] = pick(g, "..", ".", "", "%2e%2e", "%2f", "..%2fkube-system", `%5c`, "%00", "namespaces", "watch")
	case 1:
		segments[at] += pick(g, "/", "/..", "%2f..", "%20", "?", ";x", "%")
	case 2:
		segments[at] = strings.ToUpper(segments[at])
	case 3:
		if s := segments[at]; s != "" {
			segments[at] = fmt.Sprintf("%%%02x", s[0]) + s[1:]
		}
	case 4:
		segments = append(segments[:at], append([]string{"namespaces", "kube-system"}, segments[at:]...)...)
	default:
		return path + "/../../" + pick(g, "kube-system", "shop-b") + "/configmaps/plain"
	}
	return strings.Join(segments, "/")
}

func (g generator) query() string {
	query := url.Values{}
	if g.IntN(4) == 0 {
		query.Add("labelSelector", pick(g, "kubefed.io/managed=true", "kubefed.io/managed", "!kubefed.io/managed", cellview.KeptLabel, cellview.KeptLabel+"!=true,x", "x in (1,2),kubefed.io/managed notin (false)", "kubernetes.io/metadata.name=shop", "bad=="))
	}
	if g.IntN(4) == 0 {
		query.Add("fieldSelector", pick(g, "metadata.namespace=", "metadata.namespace!=", "metadata.name=", "metadata.name!=")+g.namespace()+pick(g, "", ",metadata.name=a"))
	}
	if g.IntN(20) == 0 {
		query.Add("fieldSelector", "metadata.namespace=kube-system")
		query.Add("labelSelector", "kubefed.io/managed")
	}
	if len(query) == 0 {
		return ""
	}
	return "?" + query.Encode()
}

// body is an object, or a patch of one.
func (g generator) body(resource, name string) []byte {
	if name == "" || g.IntN(20) == 0 {
		name = pick(g, "a", "b", "c", "shop", "shop-a")
	}
	metadata := fieldsOf{{"name", name}}
	if g.IntN(2) == 0 {
		metadata = append(metadata, field{pick(g, "namespace", "namespace", "namespace", "namespace", "Namespace", "NAMESPACE", "nameſpace"), pick[any](g, g.namespace(), g.namespace(), g.namespace(), "", nil, 5, fieldsOf{})})
	}
	if g.IntN(2) == 0 {
		metadata = append(metadata, field{"labels", g.labels()})
	}
	object := fieldsOf{{"metadata", metadata}, {"data", fieldsOf{{"namespace", g.namespace()}, {"x", pick(g, "1", "é", "\u2028", "\\\"}]")}}}}
	switch resource {
	case "rolebindings":
		object = append(object, field{"subjects", []any{g.subject(), g.subject()}})
	case "networkpolicies":
		object = append(object, field{"spec", fieldsOf{{"ingress", []any{fieldsOf{{"from", []any{fieldsOf{{"namespaceSelector", g.selector()}}}}}}}}})
	case "widgets":
		object = append(object, field{"spec", fieldsOf{{"metadata", fieldsOf{{"namespace", g.namespace()}}}, {"n", pick[any](g, 1, 1.5, 1e300, json.Number("123456789012345678"))}}})
	}
	var b strings.Builder
	g.write(&b, object)
	switch g.IntN(60) {
	case 0:
		b.WriteString(pick(g, "{}", "\n---\nmetadata: {namespace: kube-system}\n", " x", "\x00"))
	case 1:
		return []byte("\ufeff" + b.String())
	case 2:
		return []byte("a: &n " + g.namespace() + "\nmetadata: {name: a, namespace: *n}\n")
	}
	return []byte(b.String())
}

func (g generator) labels() any {
	all := fieldsOf{}
	for _, key := range []string{"kubefed.io/managed", cellview.KeptLabel, "x", "kubernetes.io/metadata.name", "$patch"} {
		if g.IntN(3) == 0 && (key != "$patch" || g.IntN(10) == 0) {
			all = append(all, field{key, pick[any](g, "true", "1", "shop", nil)})
		}
	}
	g.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

func (g generator) subject() any {
	switch g.IntN(3) {
	case 0:
		return fieldsOf{{"kind", "ServiceAccount"}, {"name", "a"}, {"namespace", g.namespace()}}
	case 1:
		return fieldsOf{{"kind", "User"}, {"name", "system:serviceaccount:" + g.namespace() + ":a"}}
	default:
		return fieldsOf{{"kind", "Group"}, {"name", pick(g, "system:serviceaccounts:"+g.own, "system:authenticated", "system:serviceaccounts", "shop")}}
	}
}

func (g generator) selector() any {
	expression := fieldsOf{{"key", pick(g, "kubernetes.io/metadata.name", "team")}, {"operator", "In"}, {"values", []any{g.namespace(), g.namespace()}}}
	if g.IntN(10) == 0 {
		g.Shuffle(len(expression), func(i, j int) { expression[i], expression[j] = expression[j], expression[i] })
	}
	return fieldsOf{{"matchLabels", fieldsOf{{pick(g, "kubernetes.io/metadata.name", "team"), g.namespace()}}}, {"matchExpressions", []any{expression}}}
}

func (g generator) jsonPatch() []byte {
	var operations []any
	for range 1 + g.IntN(2) {
		path := pick(g, "/metadata/labels", "/metadata/labels/kubefed.io~1managed", "/metadata/labels/federation.koinon.io~1kubefed-managed", "/metadata/labels/x", "/metadata/namespace",
			"/data/x", "/subjects/0/namespace", "/subjects/-", "/spec/ingress/0/from/0/namespaceSelector/matchLabels/kubernetes.io~1metadata.name",
			"/spec/ingress/0/from/0/namespaceSelector/matchExpressions/0/values/0", "/spec/ingress/0/from/0/namespaceSelector/matchExpressions/0/key", "", "/metadata", "x/metadata/namespace", "/Metadata/namespace", "/data", "/metadata/name")
		operation := fieldsOf{{"op", pick(g, "add", "add", "replace", "remove", "test", "copy", "move")}, {"path", path}}
		switch operation[0].value {
		case "copy", "move":
			operation = append(operation, field{"from", pick(g, "/data/x", "/data/namespace", "/metadata/labels/x", "/metadata/labels/kubefed.io~1managed", "/metadata", "/metadata/namespace")})
		case "add", "replace", "test":
			operation = append(operation, field{"value", pick[any](g, g.namespace(), "true", g.labels(), g.subject(), fieldsOf{{"namespace", g.namespace()}}, nil)})
		}
		g.Shuffle(len(operation), func(i, j int) { operation[i], operation[j] = operation[j], operation[i] })
		operations = append(operations, operation)
	}
	var b strings.Builder
	g.write(&b, operations)
	return []byte(b.String())
}

type field struct {
	key   string
	value any
}

type fieldsOf []field

// write writes JSON in some of the ways that it can be written.
func (g generator) write(b *strings.Builder, value any) {
	switch value := value.(type) {
	case fieldsOf:
		b.WriteString("{" + g.space())
		all := value
		if len(all) > 0 && g.IntN(40) == 0 {
			// A key that comes twice, with another value.
			again := all[g.IntN(len(all))]
			again.value = pick[any](g, g.namespace(), nil, fieldsOf{{"namespace", g.namespace()}}, again.value)
			all = append(append(fieldsOf{}, all...), again)
			g.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		}
		for i, f := range all {
			if i > 0 {
				b.WriteString("," + g.space())
			}
			g.quote(b, f.key)
			b.WriteString(g.space() + ":" + g.space())
			g.write(b, f.value)
		}
		b.WriteString(g.space() + "}")
	case []any:
		b.WriteString("[")
		for i, element := range value {
			if i > 0 {
				b.WriteString(",")
			}
			g.write(b, element)
		}
		b.WriteString("]")
	case string:
		g.quote(b, value)
	default:
		text, err := json.Marshal(value)
		if err != nil {
			panic(err)
		}
		b.Write(text)
	}
}

func (g generator) space() string {
	if g.IntN(10) > 0 {
		return ""
	}
	return pick(g, " ", "\n", "\t", "\r\n")
}

func (g generator) quote(b *strings.Builder, text string) {
	if g.IntN(15) > 0 {
		quoted, err := json.Marshal(text)
		if err != nil {
			panic(err)
		}
		b.Write(quoted)
		return
	}
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r < 0x80 && g.IntN(3) == 0, r < ' ', r == '"', r == '\\':
			fmt.Fprintf(b, `\u%04X`, r)
		case r == '/':
			b.WriteString(`\/`)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}
