package cli

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"
)

// fakeHub is the API of a federation with its members: it has objects at paths, and answers writes as an
// API server does that takes what it is sent.
type fakeHub struct {
	*testing.T
	server *httptest.Server

	mu      sync.Mutex                // guards what follows
	objects map[string]map[string]any // by path
	// down are members that do not answer, and closed those that the caller may not ask.
	down, closed []string
	// conflicts is how many patches are refused, since somebody else wrote first.
	conflicts int
	asked     []asked
	// created is told what is created for good; nil if nobody wants to know.
	created func(path string, object map[string]any)
	// absent are namespaces in which nothing can be made.
	absent []string
	// unserved are the beginnings of paths of types that are not served, and broken are paths that nobody may look at.
	unserved, broken []string
}

type asked struct{ verb, path, dryRun string }

const (
	testSystem = "/apis/core.kubefed.io/v1beta1/namespaces/kube-federation-system/"
	testTypes  = "/apis/types.kubefed.io/v1beta2/namespaces/shop/"
)

// newFakeHub has the members m1 to m3, ConfigMaps and Secrets as types, the namespace shop, and a kubeconfig for it.
func newFakeHub(t *testing.T) *fakeHub {
	t.Helper()
	h := &fakeHub{T: t, objects: map[string]map[string]any{}}
	h.server = httptest.NewTLSServer(h)
	t.Cleanup(h.server.Close)
	h.put(testSystem+"kubefedconfigs/kubefed", `{metadata: {name: kubefed, annotations: {federation.koinon.io/federation: here}}}`)
	h.put(testSystem+"kubefedclusters", `{items: [
		{metadata: {name: m1, labels: {zone: a}}, status: {kubernetesVersion: v1.36.3, conditions: [{type: Ready, status: "True"}]}},
		{metadata: {name: m2, labels: {zone: a}}, status: {conditions: [{type: Ready, status: "True"}]}},
		{metadata: {name: m3, labels: {zone: b}}, status: {conditions: [{type: Offline, status: "True", message: nobody answers}]}},
		{metadata: {name: bank, labels: {federation.koinon.io/tenant: bank}}}]}`)
	h.put(testSystem+"federatedtypeconfigs", `{items: [
		{metadata: {name: configmaps}, spec: {
			federatedType: {group: types.kubefed.io, version: v1beta1, kind: FederatedConfigMap, pluralName: federatedconfigmaps, scope: Namespaced},
			targetType: {version: v1, kind: ConfigMap, pluralName: configmaps, scope: Namespaced}}},
		{metadata: {name: secrets}, spec: {
			federatedType: {group: types.kubefed.io, version: v1beta1, kind: FederatedSecret, pluralName: federatedsecrets, scope: Namespaced},
			targetType: {version: v1, kind: Secret, pluralName: secrets, scope: Namespaced}}},
		{metadata: {name: namespaces}, spec: {
			federatedType: {group: types.kubefed.io, version: v1beta1, kind: FederatedNamespace, pluralName: federatednamespaces, scope: Namespaced},
			targetType: {version: v1, kind: Namespace, pluralName: namespaces, scope: Cluster}}}]}`)
	h.put(testTypes+"federatednamespaces/shop", `{metadata: {name: shop, namespace: shop}, spec: {placement: {topologySelector: {}}}}`)
	h.put("/apis/types.kubefed.io/v1beta2", `{resources: [{name: federatedconfigmaps, shortNames: [fcm]}]}`)
	h.put("/api/v1/namespaces/shop", `{metadata: {name: shop}}`)
	config := clientcmdapi.NewConfig()
	config.Clusters["koinon"] = &clientcmdapi.Cluster{Server: h.server.URL, CertificateAuthorityData: pemOf(h.server.Certificate().Raw)}
	config.AuthInfos["jane"] = &clientcmdapi.AuthInfo{Token: "t0ken"}
	config.Contexts["koinon"] = &clientcmdapi.Context{Cluster: "koinon", AuthInfo: "jane", Namespace: "shop"}
	config.CurrentContext = "koinon"
	file := t.TempDir() + "/config"
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", file)
	return h
}

// put has an object at a path.
func (h *fakeHub) put(path, manifest string) {
	h.Helper()
	var object map[string]any
	if err := yaml.Unmarshal([]byte(manifest), &object); err != nil {
		h.Fatalf("%v in %s", err, manifest)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.objects[path] = object
}

// inMember is where a member has an object.
func inMember(member, rest string) string {
	return groupPath + "/clusters/" + member + "/proxy/api/v1/namespaces/shop/" + rest
}

var memberPath = regexp.MustCompile("^" + regexp.QuoteMeta(groupPath) + "/clusters/([^/]+)/proxy/")

func (h *fakeHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = append(h.asked, asked{r.Method, r.URL.Path, r.URL.Query().Get("dryRun")})
	w.Header().Set("Content-Type", "application/json")
	if through := memberPath.FindStringSubmatch(r.URL.Path); through != nil {
		switch {
		case slices.Contains(h.down, through[1]):
			fail(w, answer{http.StatusServiceUnavailable, "cluster \"" + through[1] + "\" does not answer"})
			return
		case slices.Contains(h.closed, through[1]):
			fail(w, answer{http.StatusForbidden, "configmaps is forbidden: User \"jane\" cannot do that"})
			return
		}
	}
	there := h.objects[r.URL.Path]
	body, err := io.ReadAll(r.Body)
	if err != nil {
		h.Error(err)
	}
	switch {
	case slices.ContainsFunc(h.unserved, func(begin string) bool { return strings.HasPrefix(r.URL.Path, begin) }):
		fail(w, answer{http.StatusNotFound, "the server could not find the requested resource"})
	case slices.Contains(h.broken, r.URL.Path):
		fail(w, answer{http.StatusForbidden, "you may not look"})
	case r.Method == http.MethodPost && slices.ContainsFunc(h.absent, func(name string) bool { return strings.Contains(r.URL.Path, "/namespaces/"+name+"/") }):
		w.WriteHeader(http.StatusNotFound)
		h.answer(w, metav1.Status{
			TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: http.StatusNotFound,
			Reason: metav1.StatusReasonNotFound, Message: "the namespace is not found", Details: &metav1.StatusDetails{Kind: "namespaces"},
		})
	case r.Method == http.MethodPost:
		h.accept(w, body, nil)
		if h.created != nil && r.URL.Query().Get("dryRun") == "" {
			var object map[string]any
			if err := json.Unmarshal(body, &object); err != nil {
				h.Error(err)
			}
			h.created(r.URL.Path+"/"+object["metadata"].(map[string]any)["name"].(string), object)
		}
	case there == nil:
		h.notFound(w, path.Base(r.URL.Path))
	case r.Method == http.MethodGet:
		h.answer(w, there)
	case r.Method == http.MethodPut:
		h.accept(w, body, there)
	case r.Method == http.MethodDelete:
		h.answer(w, there)
		if metadata, _ := there["metadata"].(map[string]any); r.URL.Query().Get("dryRun") == "" && metadata["finalizers"] == nil {
			delete(h.objects, r.URL.Path)
		}
	case h.conflicts > 0:
		h.conflicts--
		w.WriteHeader(http.StatusConflict)
		h.answer(w, metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: http.StatusConflict, Reason: metav1.StatusReasonConflict})
	default:
		h.patch(w, r, body, there)
	}
}

func (h *fakeHub) answer(w io.Writer, value any) {
	if err := json.NewEncoder(w).Encode(value); err != nil {
		h.Error(err)
	}
}

func (h *fakeHub) notFound(w http.ResponseWriter, name string) {
	w.WriteHeader(http.StatusNotFound)
	h.answer(w, metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: http.StatusNotFound,
		Reason: metav1.StatusReasonNotFound, Message: name + " not found", Details: &metav1.StatusDetails{Name: name},
	})
}

// accept answers with what was sent, and what a server adds.
func (h *fakeHub) accept(w io.Writer, body []byte, before map[string]any) {
	var object map[string]any
	if err := json.Unmarshal(body, &object); err != nil {
		h.Error(err)
	}
	metadata := object["metadata"].(map[string]any)
	if before == nil {
		metadata["uid"], metadata["creationTimestamp"] = "new", "2026-01-01T00:00:00Z"
	} else {
		metadata["resourceVersion"], metadata["managedFields"] = "next", []any{map[string]any{"manager": "koinon"}}
	}
	h.answer(w, object)
}

// patch merges, or does what JSON patches of a field of the spec say. What is no dry run is stored.
func (h *fakeHub) patch(w io.Writer, r *http.Request, body []byte, there map[string]any) {
	after := merged(there, nil)
	if r.Header.Get("Content-Type") == "application/json-patch+json" {
		var operations []struct {
			Op, Path string
			Value    any
		}
		if err := json.Unmarshal(body, &operations); err != nil {
			h.Error(err)
		}
		for _, o := range operations {
			if key, ok := strings.CutPrefix(o.Path, "/metadata/annotations/"); ok {
				after = merged(after, map[string]any{"metadata": map[string]any{"annotations": map[string]any{strings.ReplaceAll(key, "~1", "/"): o.Value}}})
			}
			key, ok := strings.CutPrefix(o.Path, "/spec/")
			if !ok {
				continue
			}
			spec := merged(after["spec"].(map[string]any), nil)
			if delete(spec, key); o.Op == "add" {
				spec[key] = o.Value
			}
			after["spec"] = spec
		}
	} else {
		var patch map[string]any
		if err := json.Unmarshal(body, &patch); err != nil {
			h.Error(err)
		}
		after = merged(there, patch)
	}
	metadata := merged(after["metadata"].(map[string]any), nil)
	generation, _ := metadata["generation"].(float64)
	metadata["generation"] = generation + 1
	after["metadata"] = metadata
	if r.URL.Query().Get("dryRun") == "" {
		h.objects[r.URL.Path] = after
	}
	h.answer(w, after)
}

// merged is a JSON merge patch.
func merged(into, patch map[string]any) map[string]any {
	out := maps.Clone(into)
	for key, value := range patch {
		inner, isMap := value.(map[string]any)
		old, wasMap := out[key].(map[string]any)
		switch {
		case value == nil:
			delete(out, key)
		case isMap && wasMap:
			out[key] = merged(old, inner)
		default:
			out[key] = value
		}
	}
	return out
}

// writes are the requests that were no dry runs, and would have changed something.
func (h *fakeHub) writes() (out []asked) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(h.asked), func(a asked) bool { return a.verb == http.MethodGet || a.dryRun == metav1.DryRunAll })
}

// sentTo counts the requests that went to a member.
func (h *fakeHub) sentTo(member string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.asked {
		if strings.HasPrefix(a.path, groupPath+"/clusters/"+member+"/proxy/") {
			n++
		}
	}
	return n
}
