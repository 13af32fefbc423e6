package api_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// status sends a request that no handler takes, and returns the answer.
func (f *fixture) status(method, path, accept, contentType string) metav1.Status {
	f.t.Helper()
	client, err := rest.HTTPClientFor(f.config)
	if err != nil {
		f.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(f.t.Context(), method, f.config.Host+path, strings.NewReader("{}"))
	if err != nil {
		f.t.Fatal(err)
	}
	request.Header.Set("Accept", accept)
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := client.Do(request)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	var status metav1.Status
	if err := json.Unmarshal(body, &status); err != nil {
		f.t.Fatalf("%s %s: %d %s", method, path, response.StatusCode, body)
	}
	if int(status.Code) != response.StatusCode {
		f.t.Errorf("%s %s: the answer is %d and says %d", method, path, response.StatusCode, status.Code)
	}
	return status
}

// What no route takes is answered as kube-apiserver answers it: a ConfigMap is served by
// its code.
func TestRequestsThatNoRouteTakesAreAnsweredAsByKubernetes(t *testing.T) {
	f := newFixture(t)
	const asJSON, merge, strategic = "application/json", "application/merge-patch+json", "application/strategic-merge-patch+json"
	native := "/api/v1/namespaces/default/configmaps"
	resources := map[string]string{
		"federated, v1beta2": "/apis/types.kubefed.io/v1beta2/namespaces/default/federatedconfigmaps",
		"federated, v1beta1": "/apis/types.kubefed.io/v1beta1/namespaces/default/federatedconfigmaps",
		"static":             "/apis/core.kubefed.io/v1beta1/namespaces/default/kubefedclusters",
		"ours":               "/apis/federation.koinon.io/v1alpha1/namespaces/default/cells",
	}
	for name, test := range map[string]struct {
		method, suffix, accept, contentType string
		code                                int32
	}{
		"a method that a collection lacks": {http.MethodPut, "", asJSON, asJSON, http.StatusMethodNotAllowed},
		"a method that an object lacks":    {http.MethodPost, "/x", asJSON, asJSON, http.StatusMethodNotAllowed},
		"a subresource that is not there":  {http.MethodGet, "/x/nothing", asJSON, "", http.StatusNotFound},
		"an answer in XML":                 {http.MethodGet, "", "application/xml", "", http.StatusNotAcceptable},
		"a body in XML":                    {http.MethodPost, "", asJSON, "application/xml", http.StatusUnsupportedMediaType},
		"a patch in XML":                   {http.MethodPatch, "/x", asJSON, "application/xml", http.StatusUnsupportedMediaType},
	} {
		want := f.status(test.method, native+test.suffix, test.accept, test.contentType)
		if want.Code != test.code || want.Kind != "Status" || want.APIVersion != "v1" || want.Reason == "" || want.Message == "" {
			t.Errorf("%s: Kubernetes answers %+v, want %d", name, want, test.code)
		}
		for resource, path := range resources {
			t.Run(name+", "+resource, func(t *testing.T) {
				got := f.status(test.method, path+test.suffix, test.accept, test.contentType)
				if got.Message == "" {
					t.Error("there is no message")
				}
				// It may list media types, of which there are others here.
				got.Message, got.Details = want.Message, want.Details
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("(-Kubernetes +got):\n%s", diff)
				}
			})
		}
	}
	if got := f.status(http.MethodPatch, resources["federated, v1beta1"]+"/x", asJSON, strategic); got.Reason != metav1.StatusReasonUnsupportedMediaType || !strings.Contains(got.Message, merge) {
		t.Errorf("a strategic merge patch: got %+v, want one that names what is taken", got)
	}
}

func TestVersionsAndResourcesThatAreNotServedAreNotFound(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{
		"/apis/types.kubefed.io/v1", "/apis/types.kubefed.io/v1/federatedconfigmaps", "/apis/types.kubefed.io/v1beta1/nothing", "/apis/types.kubefed.io/v1beta2/nothing/x",
		"/apis/core.kubefed.io/v1", "/apis/core.kubefed.io/v1/kubefedclusters", "/apis/core.kubefed.io/v1beta1/nothing",
		"/apis/federation.koinon.io/v9/cells", "/apis/edge.koinon.io/v1alpha1/nothing",
	} {
		got := f.status(http.MethodGet, path, "application/json", "")
		if got.Code != http.StatusNotFound || got.Reason != metav1.StatusReasonNotFound || got.Kind != "Status" || got.APIVersion != "v1" || got.Message == "" {
			t.Errorf("%s: got %+v", path, got)
		}
	}
}
