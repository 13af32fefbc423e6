package follow

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

func typeConfig(group, kind, plural string, scope v1beta1.ResourceScope) *v1beta1.FederatedTypeConfig {
	config := &v1beta1.FederatedTypeConfig{ObjectMeta: metav1.ObjectMeta{Name: plural}}
	config.Spec.TargetType = v1beta1.APIResource{Group: group, Version: "v1", Kind: kind, PluralName: plural, Scope: scope}
	config.Spec.FederatedType = v1beta1.APIResource{Kind: "Federated" + kind, Scope: v1beta1.NamespaceScoped}
	return config
}

func read[T any](t *testing.T, manifest string) *T {
	t.Helper()
	into := new(T)
	if err := yaml.Unmarshal([]byte(manifest), into); err != nil {
		t.Fatalf("%v in %s", err, manifest)
	}
	return into
}

func unstructuredOf(t *testing.T, manifest string) *unstructured.Unstructured {
	t.Helper()
	return &unstructured.Unstructured{Object: *read[map[string]any](t, manifest)}
}

// told is what of a decision a test looks at.
type told struct {
	refused, create, template, mark string
	wait                            bool
}

func tell(t *testing.T, d decision) (out told) {
	t.Helper()
	out.refused, out.wait = d.refused, d.wait
	if d.create != nil {
		data, err := yaml.Marshal(d.create.Spec.Placement)
		if err != nil {
			t.Fatal(err)
		}
		out.create = d.create.Namespace + "/" + d.create.Name + " " + d.create.Spec.TopologyType + " " + strings.ReplaceAll(strings.TrimSpace(string(data)), "\n", " ")
		out.template, out.mark = string(d.create.Spec.Template), d.create.Annotations[v1beta1.FollowsAnnotation]
	}
	if d.update != nil {
		out.template, out.mark = string(d.update.template), d.update.mark.String()
	}
	return out
}

func TestWhatBecomesOfAnObjectThatIsLabelled(t *testing.T) {
	const object = `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: shop, uid: u, resourceVersion: "7", labels: {app: web, federation.koinon.io/federate: "true"}}, data: {a: b}}`
	const template = `{"data":{"a":"b"},"metadata":{"labels":{"app":"web"}}}`
	federated := func(mark, template string) string {
		return `{metadata: {name: a, namespace: shop, annotations: {federation.koinon.io/follows: '` + mark + `'}}, spec: {template: ` + template + `, placement: {topologies: [{name: m9}]}, overrides: [{topologyName: m9}]}}`
	}
	for name, c := range map[string]struct {
		object, federated string
		keep              bool
		want              told
	}{
		"without a placement it is placed nowhere": {object, "", false, told{create: "shop/a  topologies: []", template: template, mark: `{"uid":"u"}`}},
		"with one it is placed there": {`{apiVersion: v1, metadata: {name: a, namespace: shop, uid: u, annotations: {federation.koinon.io/placement: "{topologyType: cell, topologySelector: {}}"}}}`, "", true,
			told{create: "shop/a cell topologySelector: {}", template: `{}`, mark: `{"uid":"u","keep":true}`}},
		"with one that is wrong it is not made": {`{metadata: {name: a, namespace: shop, uid: u, annotations: {federation.koinon.io/placement: everywhere}}}`, "", false,
			told{refused: "metadata.annotations[federation.koinon.io/placement] is \"everywhere\""}},
		"what follows it already, and is the same, is left alone": {object, federated(`{"uid":"u"}`, template), false, told{}},
		"its template becomes another, and nothing else does":     {object, federated(`{"uid":"u"}`, `{data: {a: c}}`), false, told{template: template, mark: `{"uid":"u"}`}},
		"its mark becomes another":                                {object, federated(`{"uid":"u"}`, template), true, told{mark: `{"uid":"u","keep":true}`}},
		"what followed it once does so again":                     {object, federated(`{"uid":"u","ended":true}`, template), false, told{mark: `{"uid":"u"}`}},
		"what followed one of that name follows its successor":    {object, federated(`{"uid":"old"}`, template), false, told{mark: `{"uid":"u"}`}},
		"but not if that had ended":                               {object, federated(`{"uid":"old","ended":true}`, template), false, told{refused: "it was not made from this object"}},
		"what a person made is not taken over":                    {object, `{metadata: {name: a, namespace: shop}, spec: {template: ` + template + `}}`, false, told{refused: "it was not made from this object"}},
		"nor what somebody marked with something else":            {object, federated(`me`, template), false, told{refused: "it was not made from this object"}},
		"what is on its way out is waited for": {object, `{metadata: {name: a, namespace: shop, deletionTimestamp: "2026-01-01T00:00:00Z", annotations: {federation.koinon.io/follows: '{"uid":"u"}'}}}`, false,
			told{wait: true}},
		"an object that goes is waited for": {`{metadata: {name: a, namespace: shop, uid: u, deletionTimestamp: "2026-01-01T00:00:00Z"}}`, "", false, told{wait: true}},
		"a copy that Koinon made is not followed": {`{metadata: {name: a, namespace: shop, uid: u, labels: {kubefed.io/managed: "true"}, annotations: {federation.koinon.io/federated-object: shop/a}}}`, "", false,
			told{refused: "it is made by Koinon from a federated object"}},
		"nor what a controller made": {`{metadata: {name: a, namespace: shop, uid: u, ownerReferences: [{kind: X, name: x, controller: true}]}}`, "", false,
			told{refused: "it is made by a controller from another object"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := observation{config: typeConfig("", "ConfigMap", "configmaps", v1beta1.NamespaceScoped), object: unstructuredOf(t, c.object), keep: c.keep}
			if c.federated != "" {
				o.federated = read[v1beta2.FederatedObject](t, c.federated)
			}
			before := o.object.DeepCopy()
			d, err := decide(o)
			if err != nil {
				t.Fatal(err)
			}
			got := tell(t, d)
			if !strings.Contains(got.refused, c.want.refused) || (got.refused == "") != (c.want.refused == "") {
				t.Errorf("refused: got %q, want %q", got.refused, c.want.refused)
			}
			got.refused = c.want.refused
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(told{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, o.object); diff != "" {
				t.Errorf("the object was modified:\n%s", diff)
			}
		})
	}
}

// A FederatedNamespace takes away what is not where it goes.
func TestANamespaceIsFollowedOnlyIfNothingIsTakenAway(t *testing.T) {
	for name, c := range map[string]struct {
		placement string
		held      []string
		refused   string
	}{
		"nowhere, since nobody said where":            {"", nil, "has to be said"},
		"everywhere":                                  {`topologySelector: {}`, []string{"m1"}, ""},
		"where its objects are":                       {`topologies: [{name: m1}, {name: m2}]`, []string{"m1"}, ""},
		"where not all are":                           {`topologies: [{name: m1}]`, []string{"m1", "m2"}, `cluster "m2" has objects`},
		"anywhere, if there are none":                 {`topologies: [{name: m1}]`, nil, ""},
		"by labels, if there are none":                {`topologySelector: {matchLabels: {a: b}}`, nil, ""},
		"by labels that one has not":                  {`topologySelector: {matchLabels: {a: b}}`, []string{"m1"}, `cluster "m1" has objects`},
		"in the cells where its objects are":          {`{topologyType: cell, topologies: [{name: c1}]}`, []string{"c1"}, ""},
		"in other cells":                              {`{topologyType: cell, topologies: [{name: c1}]}`, []string{"c1", "c2"}, `cell "c2" has objects`},
		"in a zone of clusters, in which one is not":  {`{topologyType: "cluster:zone", topologies: [{name: m1}]}`, []string{"m1"}, `cluster "m1" has objects`},
		"in all zones, in which not all clusters are": {`{topologyType: "cluster:zone", topologySelector: {}}`, []string{"m1"}, `cluster "m1" has objects`},
		"in a zone, if there are none":                {`{topologyType: "cluster:zone", topologies: [{name: a}]}`, nil, ""},
		"by labels that they have":                    {`topologySelector: {matchLabels: {a: b}}`, []string{"labelled"}, ""},
		"in the zone that they are in":                {`{topologyType: "cluster:a", topologies: [{name: b}]}`, []string{"labelled"}, ""},
		"where another tenant's is, which keeps it":   {`topologies: [{name: m1}]`, []string{"m1", "refused"}, ""},
	} {
		object := unstructuredOf(t, `{apiVersion: v1, kind: Namespace, metadata: {name: shop, uid: u}}`)
		if c.placement != "" {
			object.SetAnnotations(map[string]string{v1beta1.PlacementAnnotation: c.placement})
		}
		o := observation{config: typeConfig("", "Namespace", "namespaces", v1beta1.ClusterScoped), object: object}
		for _, target := range c.held {
			o.held = append(o.held, holder(target))
		}
		d, err := decide(o)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(d.refused, c.refused) || (d.refused == "") != (c.refused == "") {
			t.Errorf("%s: got %q, want %q", name, d.refused, c.refused)
		}
		if d.create != nil && (d.create.Namespace != "shop" || d.create.Name != "shop") {
			t.Errorf("%s: made %s/%s", name, d.create.Namespace, d.create.Name)
		}
	}
}

// holder is a target that has objects of the namespace.
func holder(name string) placement.Candidate {
	c := placement.Candidate{Name: name}
	switch name {
	case "labelled":
		c.Labels = map[string]string{"a": "b"}
	case "refused":
		c.Refusal = "is another tenant's"
	}
	return c
}

func TestRolesAreNotFollowedUnlessAnAdministratorSaysSo(t *testing.T) {
	config := typeConfig("rbac.authorization.k8s.io", "Role", "roles", v1beta1.NamespaceScoped)
	o := observation{config: config, object: unstructuredOf(t, `{metadata: {name: a, namespace: shop, uid: u}}`)}
	if d, err := decide(o); err != nil || !strings.Contains(d.refused, "give rights") {
		t.Errorf("got %+v, %v", d, err)
	}
	config.Annotations = map[string]string{v1beta1.FollowAnnotation: "Enabled"}
	if d, err := decide(o); err != nil || d.create == nil {
		t.Errorf("turned on: got %+v, %v", d, err)
	}
}

func TestFederatedObjectsAndNativeOnesFindEachOther(t *testing.T) {
	for name, c := range map[string]struct {
		config          *v1beta1.FederatedTypeConfig
		namespace, name string
		want            key
		none            bool
	}{
		"in a namespace":              {typeConfig("", "ConfigMap", "configmaps", v1beta1.NamespaceScoped), "shop", "a", key{"configmaps", "shop", "a"}, false},
		"a namespace":                 {typeConfig("", "Namespace", "namespaces", v1beta1.ClusterScoped), "shop", "shop", key{"namespaces", "", "shop"}, false},
		"that of another namespace":   {typeConfig("", "Namespace", "namespaces", v1beta1.ClusterScoped), "shop", "other", key{}, true},
		"of the whole cluster":        {typeConfig("x.io", "Widget", "widgets", v1beta1.ClusterScoped), "", "a", key{"widgets", "", "a"}, false},
		"in a namespace, of no place": {typeConfig("x.io", "Widget", "widgets", v1beta1.ClusterScoped), "shop", "a", key{}, true},
	} {
		got, ok := nativeKey(c.config, c.namespace, c.name)
		if ok == c.none || ok && got != c.want {
			t.Errorf("%s: got %v %t", name, got, ok)
		}
		if namespace, federated := got.federated(c.config); ok && (namespace != c.namespace || federated != c.name) {
			t.Errorf("%s: the federated object is %s/%s", name, namespace, federated)
		}
	}
	if hasOneName(typeConfig("x.io", "Widget", "widgets", v1beta1.ClusterScoped)) {
		t.Error("an object of the whole cluster would be federated in any namespace")
	}
}

// An Event is read by more people than a Secret.
func TestWhatASecretHoldsIsNotSaidWhereItIsRefused(t *testing.T) {
	refusal := apierrors.NewInvalid(schema.GroupKind{Kind: "FederatedSecret"}, "a", field.ErrorList{field.Invalid(field.NewPath("spec", "template"), "hunter2", "is wrong")})
	if said := sayable(typeConfig("", "Secret", "secrets", v1beta1.NamespaceScoped), refusal); strings.Contains(said, "hunter2") || !strings.Contains(said, "spec.template") {
		t.Errorf("it says %q", said)
	}
	if said := sayable(typeConfig("", "ConfigMap", "configmaps", v1beta1.NamespaceScoped), refusal); !strings.Contains(said, "hunter2") {
		t.Errorf("of a ConfigMap it says %q", said)
	}
}

// In JavaScript's numbers both are the same.
func TestLargeNumbersThatDifferAreAChange(t *testing.T) {
	if sameJSON([]byte(`{"a":9007199254740992}`), []byte(`{"a":9007199254740993}`)) {
		t.Error("two numbers are the same")
	}
	if !sameJSON([]byte(`{"a":9007199254740993,"b":0.5}`), []byte(`{"b": 0.5, "a": 9007199254740993}`)) {
		t.Error("the same document in another order is another")
	}
}
