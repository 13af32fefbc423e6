package customresource_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// Media types of requests.
const (
	jsonBody   = "application/json"
	mergePatch = "application/merge-patch+json"
	jsonPatch  = "application/json-patch+json"
	applyPatch = "application/apply-patch+yaml"
)

// request is one of a manager.
type request struct {
	method, name, subresource string
	manager, contentType      string
	force, dryRun             bool
	body                      any
}

// answered is what a server said to a request.
type answered struct {
	code int
	body object
}

// twin is one of two servers that serve FederatedDeployments.
type twin struct {
	http *http.Client
	host string
}

func newTwin(t *testing.T, config *rest.Config) *twin {
	t.Helper()
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	return &twin{httpClient, config.Host}
}

// do sends a request in a version.
func (w *twin) do(t *testing.T, version string, r request) answered {
	t.Helper()
	path := strings.Replace(federatedDeployments, "v1beta2", version, 1)
	if r.method != http.MethodPost {
		path += "/" + r.name
	}
	if r.subresource != "" {
		path += "/" + r.subresource
	}
	query := url.Values{}
	if r.manager != "" {
		query.Set("fieldManager", r.manager)
	}
	if r.force {
		query.Set("force", "true")
	}
	if r.dryRun {
		query.Set("dryRun", "All")
	}
	body, err := json.Marshal(r.body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), r.method, w.host+path+"?"+query.Encode(), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", jsonBody)
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	response, err := w.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	out := answered{code: response.StatusCode}
	if err := json.Unmarshal(data, &out.body); err != nil {
		t.Fatalf("%s %s: %v\n%s", r.method, path, err, data)
	}
	return out
}

// get returns an object, nil if there is none.
func (w *twin) get(t *testing.T, version, name string) object {
	t.Helper()
	a := w.do(t, version, request{method: http.MethodGet, name: name})
	switch a.code {
	case http.StatusOK:
		return a.body
	case http.StatusNotFound:
		return nil
	}
	t.Fatalf("get %s: %d %v", name, a.code, a.body["message"])
	return nil
}

// refusal is an error without what two servers may word each in its own way: its conflicts,
// which name a field and a manager, sorted.
func (a answered) refusal() string {
	lines := []string{fmt.Sprint(a.code, " ", a.body["reason"])}
	details, _ := a.body["details"].(object)
	causes, _ := details["causes"].([]any)
	for _, cause := range causes {
		c := cause.(object)
		if c["reason"] == string(metav1.CauseTypeFieldManagerConflict) {
			line := fmt.Sprint(c["field"], ": ", writtenAt.ReplaceAllString(fmt.Sprint(c["message"]), ""))
			lines = append(lines, conflictInTopologyWords.Replace(line))
		}
	}
	slices.Sort(lines[1:])
	return strings.Join(lines, "\n")
}

// conflictInTopologyWords is for what Koinon says to a client of v1beta1, and of one.
var conflictInTopologyWords = strings.NewReplacer(
	".spec.placement.clusters:", ".spec.placement.topologies:",
	".spec.placement.clusterSelector:", ".spec.placement.topologySelector:",
	"using types.kubefed.io/v1beta1", "using types.kubefed.io/v1beta2")

// writtenAt is when somebody wrote, in a conflict.
var writtenAt = regexp.MustCompile(` at \d{4}-\S+`)

// owners are the managedFields of an object: for each manager with its operation and
// subresource, the fields that it has. More than one entry of the same are taken together.
func owners(t *testing.T, obj object) map[string]*fieldpath.Set {
	t.Helper()
	var decoded struct {
		Metadata struct{ ManagedFields []metav1.ManagedFieldsEntry }
	}
	data, err := json.Marshal(obj)
	if err == nil {
		err = json.Unmarshal(data, &decoded)
	}
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*fieldpath.Set{}
	for _, e := range decoded.Metadata.ManagedFields {
		set := &fieldpath.Set{}
		if err := set.FromJSON(e.FieldsV1.GetRawReader()); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(e.APIVersion, "/v1beta1") {
			set = inTopologyWords(set)
		}
		who := strings.TrimSpace(e.Manager + " " + string(e.Operation) + " " + e.Subresource)
		if was := out[who]; was != nil {
			set = set.Union(was)
		}
		out[who] = set
	}
	return out
}

// namespaceAnnotation says which namespace an object belongs to. Koinon alone has it.
const namespaceAnnotation = "federation.koinon.io/namespace-uid"

// alwaysThere are fields that an object of Koinon's has from the beginning, so that no later
// update makes them: the spec as in Kubernetes' own kinds, and the annotations.
var alwaysThere = map[string]bool{".spec": true, ".metadata.annotations": true, ".metadata.annotations." + namespaceAnnotation: true}

// plain is an object without what differs between two servers that were told the same.
func plain(t *testing.T, obj object) object {
	t.Helper()
	if obj == nil {
		return nil
	}
	var out object
	data, err := json.Marshal(obj)
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	metadata := out["metadata"].(object)
	for _, key := range []string{"uid", "resourceVersion", "creationTimestamp"} {
		delete(metadata, key)
	}
	if annotations, ok := metadata["annotations"].(object); ok {
		if delete(annotations, namespaceAnnotation); len(annotations) == 0 {
			delete(metadata, "annotations")
		}
	}
	if metadata["deletionTimestamp"] != nil {
		metadata["deletionTimestamp"] = "is set"
	}
	if metadata["managedFields"] != nil {
		managed := object{}
		for who, set := range owners(t, obj) {
			var fields []any
			for path := range set.All() {
				if !alwaysThere[path.String()] {
					fields = append(fields, path.String())
				}
			}
			if sort(fields); len(fields) > 0 {
				managed[who] = fields
			}
		}
		metadata["managedFields"] = managed
	}
	return out
}

func sort(fields []any) {
	slices.SortFunc(fields, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
}

// compareAnswers compares what the servers answered, want being the kube-apiserver's.
func compareAnswers(t *testing.T, want, got answered) {
	t.Helper()
	if want.code >= 400 || got.code >= 400 {
		if diff := cmp.Diff(want.refusal(), got.refusal()); diff != "" {
			t.Errorf("answer (-kube-apiserver +Koinon):\n%s\nkube-apiserver: %v\nKoinon: %v", diff, want.body["message"], got.body["message"])
		}
		return
	}
	if want.code != got.code {
		t.Errorf("kube-apiserver answers %d, Koinon %d", want.code, got.code)
	}
}

// compareObjects compares what the servers have.
func compareObjects(t *testing.T, want, got object) {
	t.Helper()
	if want == nil || got == nil {
		if (want == nil) != (got == nil) {
			t.Errorf("kube-apiserver has the object: %v, Koinon: %v", want != nil, got != nil)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("object (-kube-apiserver +Koinon):\n%s", diff)
	}
}

// resourceVersion of an object; nothing if there is none.
func resourceVersion(obj object) string {
	metadata, _ := obj["metadata"].(object)
	version, _ := metadata["resourceVersion"].(string)
	return version
}
