package admissionsuite

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// hooks is a server of admission webhooks.
type hooks struct {
	*httptest.Server
	authority string // in PEM, then base64
}

// startHooks serves webhooks that answer by their path: what becomes of the response.
func startHooks(t testing.TB, paths map[string]func(*admissionv1.AdmissionRequest, *admissionv1.AdmissionResponse)) *hooks {
	t.Helper()
	mux := http.NewServeMux()
	for path, answer := range paths {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			var review admissionv1.AdmissionReview
			if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.Request == nil {
				http.Error(w, fmt.Sprintf("no admission review: %v", err), http.StatusBadRequest)
				return
			}
			review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
			answer(review.Request, review.Response)
			review.Request = nil
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(review)
		})
	}
	server := httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return &hooks{server, base64.StdEncoding.EncodeToString(authority)}
}

// clientConfig is how an API server reaches a path, as YAML.
func (h *hooks) clientConfig(path string) string {
	return fmt.Sprintf("{url: %q, caBundle: %s}", h.URL+path, h.authority)
}

// deny says what it was shown: see sentence.
func deny(request *admissionv1.AdmissionRequest, response *admissionv1.AdmissionResponse) {
	response.Allowed = false
	response.Result = &metav1.Status{Message: sentence(request.Kind.Version, string(request.Operation), seen(request.Object.Raw), seen(request.OldObject.Raw))}
}

// sentence is what the webhooks and policies of this suite deny with.
func sentence(version, operation, object, oldObject string) string {
	return fmt.Sprintf("%s in %s: new is %s; old is %s.", operation, version, object, oldObject)
}

// seen tells a shape from the other by its words.
func seen(raw []byte) string {
	type target struct{ Name string }
	var o struct {
		Spec struct {
			Replicas  *int
			Placement struct{ Clusters, Topologies []target }
		}
	}
	if len(raw) == 0 || string(raw) == "null" {
		return "none"
	}
	if err := json.Unmarshal(raw, &o); err != nil {
		return err.Error()
	}
	names := func(targets []target) string {
		out := make([]string, len(targets))
		for i, target := range targets {
			out[i] = target.Name
		}
		return strings.Join(out, ",")
	}
	switch placement := o.Spec.Placement; {
	case o.Spec.Replicas != nil:
		return fmt.Sprintf("replicas %d", *o.Spec.Replicas)
	case placement.Clusters != nil:
		return "clusters " + names(placement.Clusters)
	case placement.Topologies != nil:
		return "topologies " + names(placement.Topologies)
	}
	return "unknown"
}

// patch answers with a JSON patch.
func patch(operations string) func(*admissionv1.AdmissionRequest, *admissionv1.AdmissionResponse) {
	return func(_ *admissionv1.AdmissionRequest, response *admissionv1.AdmissionResponse) {
		kind := admissionv1.PatchTypeJSONPatch
		response.PatchType, response.Patch = &kind, []byte(operations)
	}
}
