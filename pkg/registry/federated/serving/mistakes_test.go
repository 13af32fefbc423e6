package serving_test

import (
	"fmt"
	"net/http"
	"slices"
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

func one(entry any) []any { return []any{entry} }
