package webhook_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion/conversiontest"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	"github.com/koinon-io/koinon/pkg/webhook"
)

func serve(t testing.TB, config webhook.Config) *httptest.Server {
	server := httptest.NewServer(webhook.New(config))
	t.Cleanup(server.Close)
	return server
}

// post sends a body and returns status and answer.
func post(t testing.TB, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(out)
}

func encode(t testing.TB, v any) string {
	t.Helper()
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(buf.String())
}

const (
	topologyShape = `{"kind":"FederatedDeployment","apiVersion":"types.kubefed.io/v1beta2","metadata":{"name":"web","namespace":"shop","uid":"u1"},"spec":{"topologyType":"cell","template":{"a":"<"},"placement":{"topologies":[{"name":"rz00a"}]}}}`
	clusterShape  = `{"kind":"FederatedDeployment","apiVersion":"types.kubefed.io/v1beta1","metadata":{"name":"web","namespace":"shop","uid":"u1","annotations":{"federation.koinon.io/topology":"{\"topologyType\":\"cell\"}"}},"spec":{"template":{"a":"<"},"placement":{"clusters":[{"name":"rz00a.shop"}]}}}`
)

func convertReview(desired string, objects ...string) string {
	return fmt.Sprintf(`{"apiVersion":"apiextensions.k8s.io/v1","kind":"ConversionReview","request":{"uid":"r1","desiredAPIVersion":%q,"objects":[%s]}}`,
		desired, strings.Join(objects, ","))
}

func TestConvert(t *testing.T) {
	server := serve(t, webhook.Config{})
	for sentence, tc := range map[string]struct {
		desired string
		objects []string
		want    []string
		message string
	}{
		"to the cluster shape":  {"types.kubefed.io/v1beta1", []string{topologyShape}, []string{clusterShape}, ""},
		"to the topology shape": {"types.kubefed.io/v1beta2", []string{clusterShape}, []string{topologyShape}, ""},
		"a list in its order, with one that is there already": {
			"types.kubefed.io/v1beta2", []string{clusterShape, topologyShape, clusterShape}, []string{topologyShape, topologyShape, topologyShape}, "",
		},
		"no objects": {"types.kubefed.io/v1beta2", nil, nil, ""},
		"a name that is no cell": {
			"types.kubefed.io/v1beta2", []string{strings.Replace(clusterShape, "rz00a.shop", "m3", 1)}, nil,
			`FederatedDeployment shop/web: spec.placement.clusters[0].name: Invalid value: "m3": topologyType is cell, so the name must be <cell>.shop`,
		},
		"a version that is not served": {
			"types.kubefed.io/v1", []string{topologyShape}, nil,
			`desiredAPIVersion: apiVersion "types.kubefed.io/v1" is not served here: types.kubefed.io/v1beta1 and types.kubefed.io/v1beta2 are`,
		},
		"an object of another group": {
			"types.kubefed.io/v1beta2", []string{`{"apiVersion":"apps/v1","kind":"Deployment"}`}, nil,
			`objects[0]: apiVersion "apps/v1" is not served here: types.kubefed.io/v1beta1 and types.kubefed.io/v1beta2 are`,
		},
		"a kind that is not federated": {
			"types.kubefed.io/v1beta2", []string{`{"apiVersion":"types.kubefed.io/v1beta1","kind":"Deployment"}`}, nil,
			`objects[0]: kind "Deployment" is not served here: Federated<Kind> is, such as FederatedDeployment`,
		},
		"an object whose fields are of the wrong type": {
			"types.kubefed.io/v1beta2", []string{`{"apiVersion":"types.kubefed.io/v1beta1","kind":"FederatedDeployment","spec":[]}`}, nil,
			`objects[0]: decode object: json: cannot unmarshal array into Go struct field FederatedObject.spec of type v1beta1.FederatedObjectSpec`,
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			code, body := post(t, server.URL+"/convert", convertReview(tc.desired, tc.objects...))
			var out apiextensionsv1.ConversionReview
			if err := json.Unmarshal([]byte(body), &out); err != nil || code != http.StatusOK {
				t.Fatalf("answer %d %s: %v", code, body, err)
			}
			if out.Response.UID != "r1" || out.Kind != "ConversionReview" {
				t.Errorf("answer to %q of kind %q", out.Response.UID, out.Kind)
			}
			if diff := cmp.Diff(tc.message, out.Response.Result.Message); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
			var got []string
			for _, o := range out.Response.ConvertedObjects {
				got = append(got, string(o.Raw))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
			want := metav1.StatusSuccess
			if tc.message != "" {
				want = metav1.StatusFailure
			}
			if out.Response.Result.Status != want {
				t.Errorf("result %q, want %q", out.Response.Result.Status, want)
			}
		})
	}
}

func TestConversionKeepsWhatAClusterChecks(t *testing.T) {
	server := serve(t, webhook.Config{})
	nameless := strings.Replace(clusterShape, `"namespace":"shop",`, "", 1)
	got := convertThrough(t, server.URL, "types.kubefed.io/v1beta2", []string{nameless})
	if len(got) != 1 || !strings.Contains(got[0], `"topologyType":"cell"`) || strings.Contains(got[0], `"namespace"`) {
		t.Errorf("got %s, want the cells, and no namespace", got)
	}
}

func TestRandomObjectsSurviveTheWebhook(t *testing.T) {
	server := serve(t, webhook.Config{})
	objects := conversiontest.NewObjects(21)
	var sent []string
	for range 200 {
		sent = append(sent, encode(t, objects.Next()))
	}
	there := convertThrough(t, server.URL, v1beta1.SchemeGroupVersion.String(), sent)
	back := convertThrough(t, server.URL, "types.kubefed.io/v1beta2", there)
	if diff := cmp.Diff(sent, back); diff != "" {
		t.Errorf("after both ways (-sent +back):\n%s", diff)
	}
}

func convertThrough(t *testing.T, url, desired string, objects []string) []string {
	t.Helper()
	_, body := post(t, url+"/convert", convertReview(desired, objects...))
	var out apiextensionsv1.ConversionReview
	if err := json.Unmarshal([]byte(body), &out); err != nil {
		t.Fatal(err)
	}
	if out.Response.Result.Status != metav1.StatusSuccess {
		t.Fatal(out.Response.Result.Message)
	}
	var got []string
	for _, o := range out.Response.ConvertedObjects {
		got = append(got, string(o.Raw))
	}
	return got
}

func TestBodiesThatAreNoReview(t *testing.T) {
	server := serve(t, webhook.Config{ConvertLimitBytes: 100, AdmissionLimitBytes: 200})
	for sentence, tc := range map[string]struct {
		path, body string
		code       int
		want       string
	}{
		"no JSON for convert":         {"/convert", "x", 400, "decode ConversionReview: invalid character 'x' looking for beginning of value\n"},
		"no JSON for validate":        {"/validate", "", 400, "decode AdmissionReview: unexpected end of JSON input\n"},
		"an old review":               {"/convert", `{"apiVersion":"apiextensions.k8s.io/v1beta1","kind":"ConversionReview"}`, 400, "got apiextensions.k8s.io/v1beta1 \"ConversionReview\", want a request in a ConversionReview of apiextensions.k8s.io/v1\n"},
		"a review without a request":  {"/mutate", `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, 400, "got admission.k8s.io/v1 \"AdmissionReview\", want a request in an AdmissionReview of admission.k8s.io/v1\n"},
		"a body that is too large":    {"/convert", strings.Repeat(" ", 101), 413, "the review is larger than 100 bytes\n"},
		"a review that is too large":  {"/mutate", strings.Repeat(" ", 201), 413, "the review is larger than 200 bytes\n"},
		"a path that does not exist":  {"/healthz", "", 404, "404 page not found\n"},
		"convert is not for nothing":  {"/convert", `null`, 400, "got  \"\", want a request in a ConversionReview of apiextensions.k8s.io/v1\n"},
		"an array is no review":       {"/validate", `[]`, 400, "decode AdmissionReview: json: cannot unmarshal array into Go value of type v1.AdmissionReview\n"},
		"a list is no review, either": {"/convert", `[]`, 400, "decode ConversionReview: json: cannot unmarshal array into Go value of type webhook.conversionReview\n"},
		"objects are an array":        {"/convert", `{"request":{"objects":"x"}}`, 400, "decode ConversionReview: request.objects must be an array\n"},
	} {
		t.Run(sentence, func(t *testing.T) {
			code, body := post(t, server.URL+tc.path, tc.body)
			if diff := cmp.Diff(fmt.Sprint(tc.code, " ", tc.want), fmt.Sprint(code, " ", body)); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOtherMethodsAndMediaTypes(t *testing.T) {
	server := serve(t, webhook.Config{})
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/convert", nil)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: got %d", resp.StatusCode)
	}
	resp, err = http.Post(server.URL+"/convert", "application/yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("YAML: got %d", resp.StatusCode)
	}
}

// admit asks about a write; old is "" for a create.
func admit(t *testing.T, url, subresource, object, old string) *admissionv1.AdmissionResponse {
	t.Helper()
	var typeMeta metav1.TypeMeta
	if err := json.Unmarshal([]byte(object), &typeMeta); err != nil {
		t.Fatal(err)
	}
	gvk := metav1.GroupVersionKind(typeMeta.GroupVersionKind())
	in := admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "r1", Kind: gvk, RequestKind: &gvk, Name: "web", Namespace: "shop", SubResource: subresource,
			Operation: admissionv1.Create, Object: runtime.RawExtension{Raw: []byte(object)},
		},
	}
	if old != "" {
		in.Request.Operation, in.Request.OldObject = admissionv1.Update, runtime.RawExtension{Raw: []byte(old)}
	}
	code, body := post(t, url, encode(t, in))
	var out admissionv1.AdmissionReview
	if err := json.Unmarshal([]byte(body), &out); err != nil || code != http.StatusOK {
		t.Fatalf("answer %d %s: %v", code, body, err)
	}
	if out.Response.UID != "r1" || out.Kind != "AdmissionReview" {
		t.Errorf("answer to %q of kind %q", out.Response.UID, out.Kind)
	}
	return out.Response
}

func TestValidate(t *testing.T) {
	server := serve(t, webhook.Config{})
	typed := strings.Replace(topologyShape, `"cell"`, `"cluster"`, 1)
	for sentence, tc := range map[string]struct {
		subresource, object, old string
		code                     int32
		message                  string
		warnings                 []string
	}{
		"a good object":                  {object: topologyShape},
		"a good object of v1beta1":       {object: clusterShape},
		"an update that changes nothing": {object: topologyShape, old: topologyShape},
		"a subresource that is no federated object": {
			subresource: "scale", object: `{"apiVersion":"autoscaling/v1","kind":"Scale"}`,
		},
		"a wrong object of v1beta2": {
			object: strings.Replace(topologyShape, "rz00a", "rz00a.shop", 1), code: 422,
			message: `FederatedDeployment.types.kubefed.io "web" is invalid: spec.placement.topologies[0].name: Invalid value: "rz00a.shop": the name of a cell holds no dot: write rz00a`,
		},
		"a wrong object of v1beta1": {
			object: strings.Replace(clusterShape, "rz00a.shop", "m3", 1), code: 422,
			message: `FederatedDeployment.types.kubefed.io "web" is invalid: spec.placement.clusters[0].name: Invalid value: "m3": topologyType is cell, so the name must be <cell>.shop`,
		},
		"topologyType is immutable": {
			object: typed, old: topologyShape, code: 422,
			message: `FederatedDeployment.types.kubefed.io "web" is invalid: spec.topologyType: Invalid value: "cluster": is immutable, and was cell: delete the object and create it anew`,
		},
		"a kind that is not served": {
			object: `{"apiVersion":"apps/v1","kind":"Deployment"}`, code: 400,
			message: `apiVersion "apps/v1" is not served here: types.kubefed.io/v1beta1 and types.kubefed.io/v1beta2 are`,
		},
		"a mask": {
			object:   strings.Replace(topologyShape, `"placement"`, `"placementMask":{"topologies":[]},"placement"`, 1),
			warnings: []string{"spec.placementMask: clients of v1beta1, such as stock KubeFed controllers, do not see the mask and change every placed target"},
		},
		"a target twice in a status": {
			subresource: "status", old: topologyShape, code: 422,
			object:  strings.TrimSuffix(topologyShape, "}") + `,"status":{"targets":[{"name":"rz00a"},{"name":"rz00a"}]}}`,
			message: `FederatedDeployment.types.kubefed.io "web" is invalid: status.targets[1].name: Duplicate value: "rz00a": a target has one entry`,
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			got := admit(t, server.URL+"/validate", tc.subresource, tc.object, tc.old)
			if got.Allowed != (tc.code == 0) {
				t.Errorf("allowed: %t, %v", got.Allowed, got.Result)
			}
			if got.Result == nil {
				got.Result = &metav1.Status{}
			}
			if diff := cmp.Diff(fmt.Sprint(tc.code, tc.message), fmt.Sprint(got.Result.Code, got.Result.Message)); diff != "" {
				t.Errorf("refusal (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.warnings, got.Warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMutate(t *testing.T) {
	server := serve(t, webhook.Config{})
	const head = `{"apiVersion":"types.kubefed.io/v1beta1","kind":"FederatedDeployment","metadata":{"name":"web","namespace":"shop"`
	const stash = `"federation.koinon.io/topology":"{\"topologyType\":\"cell\",\"placementMask\":{\"topologies\":[]}}"`
	const stored = head + `,"annotations":{` + stash + `}},"spec":{"placement":{"clusters":[{"name":"rz00a.shop"}]}}`
	for sentence, tc := range map[string]struct{ subresource, object, old, patched string }{
		"v1beta2 gets its default": {
			object:  `{"apiVersion":"types.kubefed.io/v1beta2","kind":"FederatedDeployment","spec":{"template":{}}}`,
			patched: `{"apiVersion":"types.kubefed.io/v1beta2","kind":"FederatedDeployment","spec":{"template":{},"topologyType":"cluster"}}`,
		},
		"even without a spec": {
			object:  `{"apiVersion":"types.kubefed.io/v1beta2","kind":"FederatedDeployment"}`,
			patched: `{"apiVersion":"types.kubefed.io/v1beta2","kind":"FederatedDeployment","spec":{"topologyType":"cluster"}}`,
		},
		"v1beta2 that has one stays":   {object: topologyShape, patched: topologyShape},
		"v1beta1 needs none":           {object: head + `},"spec":{}}`, patched: head + `},"spec":{}}`},
		"a kept annotation is enough":  {object: stored + `}`, old: stored + `}`, patched: stored + `}`},
		"a plain object stays as sent": {object: head + `},"spec":{}}`, old: head + `},"spec":{}}`, patched: head + `},"spec":{}}`},
		"a dropped annotation comes back": {
			object: head + `},"spec":{"placement":{"clusters":[]}}}`, old: stored + `}`,
			patched: head + `,"annotations":{` + stash + `}},"spec":{"placement":{"clusters":[]}}}`,
		},
		"a dropped annotation comes back among others": {
			object: head + `,"annotations":{"a":"b"}},"spec":{}}`, old: stored + `}`,
			patched: head + `,"annotations":{"a":"b",` + stash + `}},"spec":{}}`,
		},
		"a status gets back what the client does not know": {
			subresource: "status",
			old:         stored + `,"status":{"clusters":[{"name":"rz00a.shop"},{"name":"rz01a.shop","status":"Masked"}],"topology":{"targets":[{"name":"rz00a","hash":"h"}]}}}`,
			object:      head + `},"spec":{},"status":{"observedGeneration":2,"clusters":[{"name":"rz00a.shop","status":"UpdateFailed"}]}}`,
			patched:     head + `},"spec":{},"status":{"observedGeneration":2,"clusters":[{"name":"rz00a.shop","status":"UpdateFailed"},{"name":"rz01a.shop","status":"Masked"}],"topology":{"targets":[{"name":"rz00a","hash":"h"}]}}}`,
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			got := admit(t, server.URL+"/mutate", tc.subresource, tc.object, tc.old)
			if !got.Allowed {
				t.Fatalf("refused: %v", got.Result)
			}
			patched := []byte(tc.object)
			if got.Patch != nil {
				patch, err := jsonpatch.DecodePatch(got.Patch)
				if err != nil {
					t.Fatal(err)
				}
				if patched, err = patch.Apply(patched); err != nil {
					t.Fatal(err)
				}
			}
			if !jsonpatch.Equal(patched, []byte(tc.patched)) {
				t.Errorf("got %s, want %s", patched, tc.patched)
			}
		})
	}
}

func TestMutateRefusesAPlacementThatIsNoCell(t *testing.T) {
	server := serve(t, webhook.Config{})
	sent := `{"apiVersion":"types.kubefed.io/v1beta1","kind":"FederatedDeployment","metadata":{"name":"web","namespace":"shop"},"spec":{"placement":{"clusters":[{"name":"m3"}]}}}`
	got := admit(t, server.URL+"/mutate", "", sent, clusterShape)
	want := `FederatedDeployment.types.kubefed.io "web" is invalid: spec.placement.clusters[0].name: Invalid value: "m3": topologyType is cell, so the name must be <cell>.shop`
	if got.Allowed || got.Result.Message != want || got.Result.Code != 422 {
		t.Errorf("got %v, want %s", got.Result, want)
	}
}

func TestDeletionsAreAllowed(t *testing.T) {
	server := serve(t, webhook.Config{})
	body := `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"r1","operation":"DELETE","kind":{"group":"types.kubefed.io","version":"v1beta2","kind":"FederatedDeployment"}}}`
	for _, path := range []string{"/validate", "/mutate"} {
		if _, answer := post(t, server.URL+path, body); !strings.Contains(answer, `"allowed":true`) {
			t.Errorf("%s: %s", path, answer)
		}
	}
}

// BenchmarkConvert is one list of 500 objects with a template of 4 KiB, over loopback.
func BenchmarkConvert(b *testing.B) {
	server := serve(b, webhook.Config{})
	template := `{"a":"` + strings.Repeat("x", 4<<10) + `"}`
	var objects []string
	for range 500 {
		objects = append(objects, strings.Replace(topologyShape, `{"a":"<"}`, template, 1))
	}
	body := convertReview("types.kubefed.io/v1beta1", objects...)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if code, answer := post(b, server.URL+"/convert", body); code != http.StatusOK {
			b.Fatal(answer)
		}
	}
}

func FuzzReviewsNeverPanic(f *testing.F) {
	f.Add("/convert", []byte(convertReview("types.kubefed.io/v1beta1", topologyShape)))
	f.Add("/convert", []byte(convertReview("types.kubefed.io/v1beta2", clusterShape)))
	f.Add("/mutate", []byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"r1","operation":"UPDATE","subResource":"status","kind":{"group":"types.kubefed.io","version":"v1beta1","kind":"FederatedDeployment"},"object":`+clusterShape+`,"oldObject":`+clusterShape+`}}`))
	f.Add("/validate", []byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"r1","operation":"CREATE","kind":{"group":"types.kubefed.io","version":"v1beta2","kind":"FederatedDeployment"},"object":null}}`))
	handler := webhook.New(webhook.Config{})
	f.Fuzz(func(_ *testing.T, path string, body []byte) {
		req := &http.Request{Method: http.MethodPost, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}
		req.URL = reviewURL(path)
		handler.ServeHTTP(connected{httptest.NewRecorder()}, req)
	})
}

// connected is a recorder that takes deadlines, as a connection does.
type connected struct{ *httptest.ResponseRecorder }

func (connected) SetReadDeadline(time.Time) error  { return nil }
func (connected) SetWriteDeadline(time.Time) error { return nil }

func reviewURL(path string) *url.URL {
	switch path {
	case "/mutate", "/validate":
		return &url.URL{Path: path}
	}
	return &url.URL{Path: "/convert"}
}
