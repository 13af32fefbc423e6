package serving_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/koinon-io/koinon/pkg/apis/mistakes"
)

// Whatever list of a federated object is very long, and wrong in each entry:
// the answer tells a bounded number of mistakes.
func TestTheLongestListOfMistakesIsAnsweredWithABoundedNumber(t *testing.T) {
	const bodyBytes = 300_000 // enough for 10,000 entries and more of each
	longest := func(entry any) []any {
		return slices.Repeat([]any{entry}, bodyBytes/len(compact(entry)))
	}
	texts := func(value any) object {
		out := object{}
		for i := range bodyBytes / 20 {
			out[fmt.Sprintf("!%d", i)] = value
		}
		return out
	}
	template := object{"spec": object{}}
	selector := func(field string, value any) object { return object{field: value} }
	expression := object{"key": "!", "operator": "!", "values": []any{"!"}}
	values := object{"key": "a", "operator": "In", "values": longest("!")}
	a := newAPI(t, nil)
	for name, spec := range map[string]struct {
		v1beta1, v1beta2 object
		metadata         object
	}{
		"placement":           {object{"placement": object{"clusters": longest(object{"name": "!"})}}, object{"placement": object{"topologies": longest(object{"name": "!"})}}, nil},
		"mask":                {nil, object{"placementMask": object{"topologies": longest(object{"name": "!"})}}, nil},
		"matchExpressions":    {object{"placement": object{"clusterSelector": selector("matchExpressions", longest(expression))}}, object{"placement": object{"topologySelector": selector("matchExpressions", longest(expression))}}, nil},
		"values":              {object{"placement": object{"clusterSelector": selector("matchExpressions", one(values))}}, object{"placement": object{"topologySelector": selector("matchExpressions", one(values))}}, nil},
		"matchLabels":         {object{"placement": object{"clusterSelector": selector("matchLabels", texts("!"))}}, object{"placement": object{"topologySelector": selector("matchLabels", texts("!"))}}, nil},
		"overrides":           {object{"overrides": longest(object{"clusterName": "!"})}, object{"overrides": longest(object{"topologyName": "!"})}, nil},
		"patches":             {object{"overrides": one(object{"clusterName": "a", "clusterOverrides": longest(object{"path": "!"})})}, object{"overrides": one(object{"topologyName": "a", "topologyOverrides": longest(object{"path": "!"})})}, nil},
		"labels of templates": {object{"template": object{"metadata": object{"labels": texts(1)}}}, object{"template": object{"metadata": object{"labels": texts(1)}}}, nil},
		"labels":              {object{}, object{}, object{"labels": texts("!")}},
		"annotations":         {object{}, object{}, object{"annotations": texts("!")}},
		"finalizers":          {object{}, object{}, object{"finalizers": longest("!")}},
		"ownerReferences":     {object{}, object{}, object{"ownerReferences": longest(object{"name": ""})}},
	} {
		for version, fields := range map[string]object{"v1beta1": spec.v1beta1, "v1beta2": spec.v1beta2} {
			if fields == nil {
				continue
			}
			t.Run(name+" "+version, func(t *testing.T) {
				b := *a
				b.t = t
				if fields["template"] == nil {
					fields["template"] = template
				}
				obj := federatedDeployment(version, "long", fields)
				for field, value := range spec.metadata {
					obj["metadata"].(object)[field] = value
				}
				code, answer := b.do(request{method: http.MethodPost, version: version, contentType: jsonBody, body: obj})
				details, _ := answer["details"].(object)
				causes, _ := details["causes"].([]any)
				if code != http.StatusUnprocessableEntity || len(causes) == 0 || len(causes) > 2*(mistakes.Max+1) {
					t.Errorf("got %d with %d causes: %.300s", code, len(causes), answer["message"])
				}
				if message := fmt.Sprint(answer["message"]); len(message) > 1<<18 {
					t.Errorf("the message has %d bytes", len(message))
				}
			})
		}
	}
}

func TestWhoLeavesTheNamespaceOutIsToldWhereItIsMissing(t *testing.T) {
	const other = "the object is of another namespace than the request: metadata.namespace says so or, where it is left out, the first cell or edge unit that spec names, as in <cell>.<namespace>"
	spec := object{"template": object{"spec": object{}}, "placement": object{"clusters": one(object{"name": "rz00a.elsewhere"})}}
	annotations := object{"federation.koinon.io/topology": `{"topologyType":"cell"}`}
	const in = "/namespaces/" + namespace
	a := newAPI(t, nil)
	for name, test := range map[string]struct {
		version, path string
		metadata      object
		spec          object
		code          int
		message       string
	}{
		"a cell of another namespace":             {"v1beta1", in, object{"annotations": annotations}, spec, 400, other},
		"another namespace":                       {"v1beta1", in, object{"namespace": "elsewhere", "annotations": annotations}, spec, 400, other},
		"another namespace in v1beta2":            {"v1beta2", in, object{"namespace": "elsewhere"}, object{"template": object{}}, 400, "the namespace of the provided object does not match the namespace sent on the request"},
		"a path without one":                      {"v1beta1", "", object{}, object{"template": object{}}, 405, "federateddeployments are in namespaces: create them at /apis/types.kubefed.io/v1beta1/namespaces/<namespace>/federateddeployments"},
		"a path without one in v1beta2":           {"v1beta2", "", object{"namespace": namespace}, object{"template": object{}}, 405, "federateddeployments are in namespaces: create them at /apis/types.kubefed.io/v1beta2/namespaces/<namespace>/federateddeployments"},
		"an object that need not say where it is": {"v1beta1", in, object{"annotations": annotations}, object{"template": object{}, "placement": object{"clusters": one(object{"name": "rz00a." + namespace})}}, 201, "<nil>"},
	} {
		t.Run(name, func(t *testing.T) {
			test.metadata["name"] = "somewhere"
			body := object{"apiVersion": "types.kubefed.io/" + test.version, "kind": "FederatedDeployment", "metadata": test.metadata, "spec": test.spec}
			req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/apis/types.kubefed.io/"+test.version+test.path+"/federateddeployments", strings.NewReader(compact(body)))
			req.Header.Set("Content-Type", jsonBody)
			recorder := httptest.NewRecorder()
			a.handler.ServeHTTP(recorder, req)
			var answer object
			if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil {
				t.Fatal(err)
			}
			if message := fmt.Sprint(answer["message"]); recorder.Code != test.code || message != test.message {
				t.Errorf("got %d %s, want %d %s", recorder.Code, message, test.code, test.message)
			}
		})
	}
}

func one(entry any) []any { return []any{entry} }
