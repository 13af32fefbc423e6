package render

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

var deployment = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}

// request is one target of an object.
type request struct {
	Spec
	Target
}

func input(template string) request {
	return request{
		Spec: Spec{Template: rawjson.Value(template), Kind: deployment, Source: "shop/web"},
		Target: Target{
			Name: "rz00a", Labels: map[string]string{"zone": "a"}, ObjectName: "web", Namespace: "shop",
		},
	}
}

// sent is a manifest with the JSON of its object.
type sent struct {
	*Manifest
	JSON []byte
}

func render(t *testing.T, in request) (sent, error) {
	t.Helper()
	base, err := Compile(t.Context(), in.Spec)
	if err != nil {
		return sent{}, err
	}
	m, err := base.For(t.Context(), in.Target)
	if err != nil {
		return sent{}, err
	}
	data, err := encode(m.Object())
	if err != nil {
		t.Fatal(err)
	}
	return sent{m, data}, nil
}

func patch(op, path, value string) v1beta2.OverridePatch {
	p := v1beta2.OverridePatch{Op: op, Path: path}
	if value != "" {
		p.Value = rawjson.Value(value)
	}
	return p
}

func forTarget(name string, patches ...v1beta2.OverridePatch) v1beta2.Override {
	return v1beta2.Override{TopologyName: name, TopologyOverrides: patches}
}

// rendered is what every test here expects around its own part.
func rendered(metadata, rest string) string {
	if rest != "" {
		rest = "," + rest
	}
	return `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"shop"` + metadata + `}` + rest + `}`
}

const (
	managed = `"labels":{"kubefed.io/managed":"true"}`
	source  = `"annotations":{"federation.koinon.io/federated-object":"shop/web"}`
	plain   = `,` + managed + `,` + source
)

func TestRender(t *testing.T) {
	for name, test := range map[string]struct {
		template string
		change   func(*request)
		want     string
	}{
		"the template gets identity, label and source": {
			template: `{"spec":{"replicas":3}}`,
			want:     rendered(plain, `"spec":{"replicas":3}`),
		},
		"no template at all is an empty object": {
			template: ``,
			want:     rendered(plain, ``),
		},
		"numbers keep every digit": {
			template: `{"spec":{"n":12345678901234567890,"f":1.10}}`,
			want:     rendered(plain, `"spec":{"f":1.10,"n":12345678901234567890}`),
		},
		"a template cannot name itself": {
			template: `{"kind":"Pod","apiVersion":"v9","metadata":{"name":"x","namespace":"y","generateName":"z"}}`,
			want:     rendered(plain, ``),
		},
		"status, finalizers and server fields are dropped": {
			template: `{"metadata":{"finalizers":["a/b"],"uid":"1","resourceVersion":"2"},"status":{"replicas":1}}`,
			want:     rendered(plain, ``),
		},
		"labels are kept": {
			template: `{"metadata":{"labels":{"app":"web","kubefed.io/managed":"false"}}}`,
			want:     rendered(`,"labels":{"app":"web","kubefed.io/managed":"true"},`+source, ``),
		},
		"annotations that do not propagate are dropped": {
			template: `{"metadata":{"annotations":{"a":"1","lb/x":"2"}}}`,
			want:     rendered(plain, ``),
		},
		"annotations that match a pattern propagate": {
			template: `{"metadata":{"annotations":{"a":"1","lb.io/x":"2"}}}`,
			change:   func(in *request) { in.PropagatingAnnotations = []string{"lb.io/*"} },
			want:     rendered(`,`+managed+`,"annotations":{"federation.koinon.io/federated-object":"shop/web","lb.io/x":"2"}`, ``),
		},
		"a bare star propagates all": {
			template: `{"metadata":{"annotations":{"lb.io/x":"2"}}}`,
			change:   func(in *request) { in.PropagatingAnnotations = []string{"*"} },
			want:     rendered(`,`+managed+`,"annotations":{"federation.koinon.io/federated-object":"shop/web","lb.io/x":"2"}`, ``),
		},
		"an annotation that an override sets propagates whatever the patterns say": {
			template: `{"metadata":{"annotations":{"a":"1"}}}`,
			change: func(in *request) {
				in.Overrides = []v1beta2.Override{forTarget("rz00a", patch("add", "/metadata/annotations/b", `"2"`))}
			},
			want: rendered(`,`+managed+`,"annotations":{"b":"2","federation.koinon.io/federated-object":"shop/web"}`, ``),
		},
		"overrides of this target apply in order": {
			template: `{"spec":{"replicas":1}}`,
			change: func(in *request) {
				in.Overrides = []v1beta2.Override{
					forTarget("rz00a", patch("", "/spec/replicas", "2"), patch("add", "/spec/paused", "true")),
					forTarget("rz01a", patch("replace", "/spec/replicas", "9")),
					forTarget("rz00a", patch("remove", "/spec/paused", "")),
				}
			},
			want: rendered(plain, `"spec":{"replicas":2}`),
		},
		"overrides by selector apply to targets with the label": {
			template: `{"spec":{"replicas":1}}`,
			change: func(in *request) {
				in.Overrides = []v1beta2.Override{{
					TopologySelector:  &metav1.LabelSelector{MatchLabels: map[string]string{"zone": "a"}},
					TopologyOverrides: []v1beta2.OverridePatch{patch("", "/spec/replicas", "4")},
				}, {
					TopologySelector:  &metav1.LabelSelector{MatchLabels: map[string]string{"zone": "b"}},
					TopologyOverrides: []v1beta2.OverridePatch{patch("", "/spec/replicas", "5")},
				}}
			},
			want: rendered(plain, `"spec":{"replicas":4}`),
		},
		"an override may add the first label and annotation": {
			template: `{}`,
			change: func(in *request) {
				in.Overrides = []v1beta2.Override{forTarget("rz00a",
					patch("add", "/metadata/labels/a", `"1"`),
					patch("add", "/metadata/annotations/b", `"2"`))}
			},
			want: rendered(`,"labels":{"a":"1","kubefed.io/managed":"true"},`+
				`"annotations":{"b":"2","federation.koinon.io/federated-object":"shop/web"}`, ``),
		},
		"a value that is left out is null": {
			template: `{"spec":{"a":1}}`,
			change: func(in *request) {
				in.Overrides = []v1beta2.Override{forTarget("rz00a", patch("replace", "/spec/a", ``))}
			},
			want: rendered(plain, `"spec":{"a":null}`),
		},
		"all metadata may be replaced, and the identity stays": {
			template: `{"metadata":{"labels":{"app":"web"}}}`,
			change: func(in *request) {
				in.Overrides = []v1beta2.Override{forTarget("rz00a", patch("", "/metadata", `{"labels":{"a":"b"}}`))}
			},
			want: rendered(`,"labels":{"a":"b","kubefed.io/managed":"true"},`+source, ``),
		},
		"all metadata may be removed, and the identity stays": {
			template: `{"metadata":{"labels":{"app":"web"}}}`,
			change: func(in *request) {
				in.Overrides = []v1beta2.Override{forTarget("rz00a", patch("remove", "/metadata", ``))}
			},
			want: rendered(plain, ``),
		},
		"an override cannot set what members set": {
			template: `{}`,
			change: func(in *request) {
				in.Overrides = []v1beta2.Override{forTarget("rz00a",
					patch("add", "/metadata/uid", `"1"`), patch("add", "/metadata/resourceVersion", `"2"`), patch("add", "/status", `{"replicas":1}`))}
			},
			want: rendered(plain, ``),
		},
		"a value may be an explicit null": {
			template: `{"spec":{"a":1}}`,
			change: func(in *request) {
				in.Overrides = []v1beta2.Override{forTarget("rz00a", patch("", "/spec/a", `null`))}
			},
			want: rendered(plain, `"spec":{"a":null}`),
		},
		"an edge unit binds pods to its nodes": {
			template: `{"spec":{"template":{"spec":{"nodeSelector":{"disk":"ssd"}}}}}`,
			change:   func(in *request) { in.NodeSelector = map[string]string{"edge.koinon.io/unit": "north"} },
			want:     rendered(plain, `"spec":{"template":{"spec":{"nodeSelector":{"disk":"ssd","edge.koinon.io/unit":"north"}}}}`),
		},
		"an override cannot move pods out of their edge unit": {
			template: `{"spec":{"template":{"spec":{"nodeSelector":{}}}}}`,
			change: func(in *request) {
				in.NodeSelector = map[string]string{"edge.koinon.io/unit": "north"}
				in.Overrides = []v1beta2.Override{forTarget("rz00a",
					patch("add", "/spec/template/spec/nodeSelector", `{"edge.koinon.io/unit":"south"}`))}
			},
			want: rendered(plain, `"spec":{"template":{"spec":{"nodeSelector":{"edge.koinon.io/unit":"north"}}}}`),
		},
		"an edge unit leaves kinds without pods alone": {
			template: `{"spec":{"ports":[]}}`,
			change:   func(in *request) { in.NodeSelector = map[string]string{"edge.koinon.io/unit": "north"} },
			want:     rendered(plain, `"spec":{"ports":[]}`),
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := input(test.template)
			if test.change != nil {
				test.change(&in)
			}
			got, err := render(t, in)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]any{}
			if err := decode([]byte(test.want), &want); err != nil {
				t.Fatal(err)
			}
			wanted, err := encode(want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(wanted), string(got.JSON)); diff != "" {
				t.Errorf("manifest (-want +got):\n%s", diff)
			}
			again, err := render(t, in)
			if err != nil {
				t.Fatal(err)
			}
			if again.Hash != got.Hash {
				t.Errorf("got hash %s and then %s of one input", got.Hash, again.Hash)
			}
		})
	}
}

// TestWhatOverridesCannotSetDoesNotFail is for what admission warns about: it is not sent.
func TestWhatOverridesCannotSetDoesNotFail(t *testing.T) {
	in := input(`{"spec":{"a":1}}`)
	without, err := render(t, in)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/status", "/status/replicas", "/metadata/uid", "/metadata/labels/kubefed.io~1managed"} {
		for _, op := range []string{"", "add", "replace", "remove"} {
			in.Overrides = []v1beta2.Override{forTarget("rz00a", patch(op, path, `"x"`))}
			got, err := render(t, in)
			if err != nil {
				t.Errorf("%s %s: %v", op, path, err)
				continue
			}
			if diff := cmp.Diff(string(without.JSON), string(got.JSON)); diff != "" {
				t.Errorf("%s %s changes what is sent (-without +with):\n%s", op, path, diff)
			}
		}
	}
}

func TestRenderRefuses(t *testing.T) {
	overridden := func(patches ...v1beta2.OverridePatch) func(*request) {
		return func(in *request) {
			in.Overrides = []v1beta2.Override{forTarget("other"), forTarget("rz00a", patches...)}
		}
	}
	for name, test := range map[string]struct {
		template string
		change   func(*request)
		want     string
	}{
		"a template that is a list":             {`[]`, nil, `spec.template: must be a JSON object`},
		"a template that is a string":           {`"x"`, nil, `spec.template: must be a JSON object`},
		"a template that is cut off":            {`{"spec":`, nil, `spec.template: unexpected EOF`},
		"an override of the name":               {`{}`, overridden(patch("", "/metadata/name", `"x"`)), `spec.overrides[1].topologyOverrides[0] (path "/metadata/name"): Invalid value: "/metadata/name": /kind, /metadata/name,`},
		"an override of the whole object":       {`{}`, overridden(patch("", "", `{}`)), `Required value: a JSON pointer into the template`},
		"an override of a field without a name": {`{}`, overridden(patch("", "/", `{}`)), `cannot be replaced as a whole`},
		"an unknown operation":                  {`{}`, overridden(patch("move", "/spec", "1")), `Unsupported value: "move": supported values: "add", "remove", "replace"`},
		"a replace of what is not there": {`{"spec":{"a":1}}`,
			overridden(patch("", "/spec/a", "2"), patch("", "/spec/b", "2")), `spec.overrides[1].topologyOverrides[1] (path "/spec/b"): there is nothing to replace at this path; op: add sets`},
		"a replace under a missing parent": {`{}`, overridden(patch("replace", "/spec/a", "2")), `(path "/spec/a"): there is nothing to replace at this path`},
		"a remove of what is not there":    {`{}`, overridden(patch("remove", "/spec", "")), `(path "/spec"): there is nothing to remove at this path`},
		"an add under a missing parent":    {`{}`, overridden(patch("add", "/spec/a", "2")), `spec.overrides[1].topologyOverrides[0] (path "/spec/a"): what this path leads through is not there`},
		"a selector that is broken": {`{}`, func(in *request) {
			in.Overrides = []v1beta2.Override{{TopologySelector: &metav1.LabelSelector{
				MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}},
			}}}
		}, `spec.overrides[0]: topologySelector:`},
	} {
		t.Run(name, func(t *testing.T) {
			in := input(test.template)
			if test.change != nil {
				test.change(&in)
			}
			_, err := render(t, in)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got error %v, want one with %q", err, test.want)
			}
			var overrideError *OverrideError
			if isOverride := errors.As(err, &overrideError); isOverride != strings.HasPrefix(err.Error(), "spec.overrides") {
				t.Errorf("got %T, which is not the type for this error", err)
			}
		})
	}
}

func TestAnOverrideMayChangeTheVersion(t *testing.T) {
	in := input(`{"apiVersion":"apps/v1"}`)
	in.Overrides = []v1beta2.Override{forTarget("rz00a", patch("", "/apiVersion", `"apps/v1beta2"`))}
	got, err := render(t, in)
	if err != nil {
		t.Fatal(err)
	}
	if want := (schema.GroupVersion{Group: "apps", Version: "v1beta2"}); got.Version != want || !strings.Contains(string(got.JSON), `"apiVersion":"apps/v1beta2"`) {
		t.Errorf("got version %s in %s", got.Version, got.JSON)
	}
	in.Target.Name = "other"
	if got, err = render(t, in); err != nil || got.Version != deployment.GroupVersion() {
		t.Errorf("got version %s for another target, %v", got.Version, err)
	}
}

// What is stored may be older than the rule.
func TestAnOverrideCannotMakeAnObjectOfAnotherGroup(t *testing.T) {
	in := input(`{}`)
	in.Overrides = []v1beta2.Override{forTarget("rz00a", patch("", "/apiVersion", `"v1"`))}
	var refused *OverrideError
	if _, err := render(t, in); !errors.As(err, &refused) {
		t.Errorf("got error %v, want the override refused", err)
	}
}

func TestOverridesOfOthersCannotFail(t *testing.T) {
	in := input(`{}`)
	in.Overrides = []v1beta2.Override{forTarget("other", patch("", "/spec/x", "1"))}
	if _, err := render(t, in); err != nil {
		t.Errorf("an override of another target failed this one: %v", err)
	}
}

func TestHashKnowsRetainReplicas(t *testing.T) {
	in := input(`{"spec":{"replicas":1}}`)
	off, err := render(t, in)
	if err != nil {
		t.Fatal(err)
	}
	in.RetainReplicas = true
	on, err := render(t, in)
	if err != nil {
		t.Fatal(err)
	}
	if on.Hash == off.Hash {
		t.Error("the hash is the same with and without retainReplicas: turning it off would send nothing")
	}
}

func TestHas(t *testing.T) {
	m, err := render(t, input(`{"metadata":{"labels":{"app":"web"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{"app": "web", "kubefed.io/managed": "true", "added-by": "member"}
	annotations := map[string]string{SourceAnnotation: "shop/web"}
	if !m.Has(labels, annotations) {
		t.Error("labels that the member added count as drift")
	}
	labels["app"] = "changed"
	if m.Has(labels, annotations) {
		t.Error("a changed label does not count as drift")
	}
}
