package topology

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// here keeps what is on nodes whose names begin with n.
func here(node string) bool { return strings.HasPrefix(node, "n") }

func TestFilter(t *testing.T) {
	for name, test := range map[string]struct{ slice, want string }{
		"what is elsewhere is removed":                    {`{"endpoints":[{"nodeName":"n1"},{"nodeName":"m1"},{"nodeName":"n2"}]}`, `{"endpoints":[{"nodeName":"n1"},{"nodeName":"n2"}]}`},
		"an empty slice is left of one that is elsewhere": {`{"a":1,"endpoints":[{"nodeName":"m1"}],"b":2}`, `{"a":1,"endpoints":[],"b":2}`},
		"what is nowhere is asked for by no name":         {`{"endpoints":[{"addresses":["10.0.0.1"]},{"nodeName":null},{"nodeName":""}]}`, `{"endpoints":[]}`},
		"hints are removed of what stays": {`{"endpoints":[{"nodeName":"n1","hints":{"forZones":[{"name":"z"}]},"zone":"z"},{"hints":{},"nodeName":"n2"},{"nodeName":"n3","hints":null}]}`,
			`{"endpoints":[{"nodeName":"n1","zone":"z"},{"nodeName":"n2"},{"nodeName":"n3"}]}`},
		"hints elsewhere are no hints": {`{"hints":{},"endpoints":[{"nodeName":"n1","targetRef":{"hints":{}}}]}`, `{"hints":{},"endpoints":[{"nodeName":"n1","targetRef":{"hints":{}}}]}`},
		"conditions stay": {`{"endpoints":[{"nodeName":"n1","conditions":{"ready":false,"serving":true,"terminating":true}},{"nodeName":"m"}]}`,
			`{"endpoints":[{"nodeName":"n1","conditions":{"ready":false,"serving":true,"terminating":true}}]}`},
		"fields of later versions stay, and numbers as they are written": {`{"later":1e400,"endpoints":[{"nodeName":"m"},{"later":{"x":[1.0,-0]},"nodeName":"n"}],"more":"é\ud800"}`,
			`{"later":1e400,"endpoints":[{"later":{"x":[1.0,-0]},"nodeName":"n"}],"more":"é\ud800"}`},
		"braces and quotes within strings":              {`{"a":"]}\"\\","endpoints":[{"nodeName":"m","x":"}],{\""},{"x":"[{\\","nodeName":"n"}]}`, `{"a":"]}\"\\","endpoints":[{"x":"[{\\","nodeName":"n"}]}`},
		"names that are written otherwise":              {`{"endp\u006fints":[{"node\u004eame":"m"},{"nodeName":"\u006e1","hin\u0074s":{}}]}`, `{"endp\u006fints":[{"nodeName":"\u006e1"}]}`},
		"names in other case are other names":           {`{"Endpoints":[{"nodeName":"m"}],"endpoints":[{"nodename":"n"},{"nodeName":"n"}]}`, `{"Endpoints":[{"nodeName":"m"}],"endpoints":[{"nodeName":"n"}]}`},
		"white space":                                   {" { \"endpoints\" : [ { \"nodeName\" : \"m\" } , { \"hints\" : { } , \"nodeName\"\n:\t\"n\" } ] } \n", " { \"endpoints\" : [{\"nodeName\"\n:\t\"n\"}] } \n"},
		"nothing is changed where nothing is to be":     {"{ \"endpoints\": [ {\"nodeName\":\"n\"} ] }", "{ \"endpoints\": [ {\"nodeName\":\"n\"} ] }"},
		"endpoints that are null":                       {`{"endpoints":null}`, `{"endpoints":null}`},
		"endpoints that are empty":                      {`{"endpoints":[ ]}`, `{"endpoints":[ ]}`},
		"no endpoints":                                  {`{}`, `{}`},
		"endpoints of something within are not ours":    {`{"metadata":{"endpoints":[{"nodeName":"m"}]}}`, `{"metadata":{"endpoints":[{"nodeName":"m"}]}}`},
		"an endpoint that has hints alone is an object": {`{"endpoints":[{"nodeName":"n"},{"hints":{}}]}`, `{"endpoints":[{"nodeName":"n"}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			before := []byte(test.slice)
			got, err := Filter(before, here)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if string(before) != test.slice {
				t.Error("it has written to what it was given")
			}
		})
	}
}

func TestWhatIsNoEndpointSliceIsAnError(t *testing.T) {
	for name, test := range map[string]struct{ slice, want string }{
		"nothing":                        {``, "no JSON"},
		"a part":                         {`{"endpoints":[`, "no JSON"},
		"two":                            {`{}{}`, "no JSON"},
		"a list":                         {`[]`, "is no object"},
		"endpoints twice":                {`{"endpoints":[],"endpoints":[{"nodeName":"m"}]}`, `it has "endpoints" twice`},
		"endpoints that are no list":     {`{"endpoints":{"nodeName":"m"}}`, "they are no list"},
		"an endpoint that is no object":  {`{"endpoints":["n"]}`, `"\"n\"" is no object`},
		"an endpoint that is null":       {`{"endpoints":[null]}`, "is no object"},
		"a node that is no string":       {`{"endpoints":[{"nodeName":1}]}`, "a nodeName"},
		"two nodes of one endpoint":      {`{"endpoints":[{"nodeName":"m","nodeName":"n"}]}`, `it has "nodeName" twice`},
		"hints twice, written otherwise": {`{"endpoints":[{"nodeName":"n","hints":{},"hint\u0073":{}}]}`, `it has "hints" twice`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Filter([]byte(test.slice), here)
			if err == nil {
				t.Fatalf("it is %s", got)
			}
			expectProblem(t, err, test.want)
		})
	}
}

// Whatever is given, what comes out means the same but for the endpoints that are elsewhere, and hints.
func FuzzFilter(f *testing.F) {
	for _, text := range []string{
		`{"metadata":{"name":"s"},"endpoints":[{"nodeName":"n1","hints":{"forZones":[]}},{"nodeName":"m1"},{}],"ports":null}`,
		`{"endpoints":[{"node\u004eame":"n\"]}"},{"x":[[{}],[]],"nodeName":"m"}]}`, `{"endpoints":null}`, ` [1,{"a":-1e5}]`, `{"endpoints":[{"nodeName":"n","nodeName":"m"}]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		before := slices.Clone(text)
		got, err := Filter(text, here)
		if !bytes.Equal(before, text) {
			t.Fatal("it has written to what it was given")
		}
		if err != nil {
			return
		}
		want, err := filtered(text)
		if err != nil {
			t.Fatalf("%q was taken: %v", text, err)
		}
		if have := decoded(t, got); !reflect.DeepEqual(have, want) {
			t.Fatalf("%q became %q, which means %v, and not %v", text, got, have, want)
		}
		again, err := Filter(got, here)
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("%q became %q, and that %q, %v", text, got, again, err)
		}
	})
}

func decoded(t *testing.T, text []byte) any {
	t.Helper()
	var v any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return v
}

// filtered is what Filter is to return, by way of maps.
func filtered(text []byte) (any, error) {
	var slice map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&slice); err != nil {
		return nil, err
	}
	endpoints, ok := slice["endpoints"].([]any)
	if !ok {
		return any(slice), nil
	}
	kept := []any{}
	for _, e := range endpoints {
		endpoint, ok := e.(map[string]any)
		if !ok {
			return nil, errors.New("an endpoint is no object")
		}
		if node, _ := endpoint["nodeName"].(string); !here(node) {
			continue
		}
		delete(endpoint, "hints")
		kept = append(kept, endpoint)
	}
	slice["endpoints"] = kept
	return any(slice), nil
}

func TestWhatIsFilteredIsAnEndpointSlice(t *testing.T) {
	ready, node, other := true, "n1", "m1"
	slice := discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{
		{Addresses: []string{"10.0.0.1"}, NodeName: &node, Conditions: discoveryv1.EndpointConditions{Ready: &ready}, Hints: &discoveryv1.EndpointHints{ForNodes: []discoveryv1.ForNode{{Name: "m1"}}}},
		{Addresses: []string{"10.0.0.2"}, NodeName: &other},
	}}
	slice.Name, slice.Namespace, slice.Labels = "web-1", "default", map[string]string{discoveryv1.LabelServiceName: "web"}
	body, err := json.Marshal(&slice)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Filter(body, here)
	if err != nil {
		t.Fatal(err)
	}
	slice.Endpoints = slice.Endpoints[:1]
	slice.Endpoints[0].Hints = nil
	var have discoveryv1.EndpointSlice
	if err := json.Unmarshal(got, &have); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(slice, have); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if serviceLabel != discoveryv1.LabelServiceName {
		t.Errorf("the label of an EndpointSlice's Service is %s", discoveryv1.LabelServiceName)
	}
}
