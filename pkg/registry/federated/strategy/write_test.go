package strategy

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/federated/schema"
)

func requestContext(t *testing.T, fieldValidation string) context.Context {
	ctx := genericapirequest.WithNamespace(t.Context(), "shop")
	ctx = genericapirequest.WithRequestInfo(ctx, &genericapirequest.RequestInfo{APIGroup: federated.GroupName, APIVersion: "v1beta2"})
	return ForRequest(ctx, fieldValidation)
}

// counter counts what it is asked, and warns.
type counter struct{ placements, schemas int }

func (c *counter) CheckPlacement(context.Context, *typesv1beta2.FederatedObject, string) (field.ErrorList, []string) {
	c.placements++
	return nil, []string{"odd target"}
}

func (c *counter) Losses(context.Context, *typesv1beta2.FederatedObject, *typesv1beta2.FederatedObject, Holdings, string) []string {
	return nil
}

// create does what the library does for a create.
func create(ctx context.Context, s strategy, o *typesv1beta2.FederatedObject) ([]string, error) {
	rest.FillObjectMetaSystemFields(o)
	if err := rest.BeforeCreate(s, ctx, o); err != nil {
		return nil, err
	}
	return s.WarningsOnCreate(ctx, o), nil
}

func update(ctx context.Context, s strategy, o, old *typesv1beta2.FederatedObject) ([]string, error) {
	o.ResourceVersion, old.ResourceVersion = "1", "1"
	if err := rest.BeforeUpdate(s, ctx, o, old); err != nil {
		return nil, err
	}
	return s.WarningsOnUpdate(ctx, o, old), nil
}

func TestOneWriteLooksOnce(t *testing.T) {
	c := &counter{}
	s, target := podStrategy(), pods()
	s.placement, s.schema = c, func() *schema.Target { c.schemas++; return target }
	s.annotations = func() manifest.Patterns { return nil }
	old := podObject([]byte(`{"spec":{"containers":[{"nam":"web"}]},"metadata":{"annotations":{"a":"b"}}}`))
	warnings, err := create(requestContext(t, ""), s, old)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`spec.template.metadata.annotations[a]: is not sent to members: no pattern in spec.propagatingAnnotations of the FederatedTypeConfig matches it`,
		`spec.template.spec.containers[0].nam: Invalid value: "web": v1 Pod has no such field; did you mean "name"?`,
		`odd target`,
	}
	if diff := cmp.Diff(want, warnings); diff != "" {
		t.Errorf("warnings of a create (-want +got):\n%s", diff)
	}
	o := old.DeepCopy()
	o.Spec.Template = []byte(`{"spec":{"containers":[]}}`)
	o.Spec.Placement.Topologies = o.Spec.Placement.Topologies[:1]
	if _, err := update(requestContext(t, ""), s, o, old); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&counter{placements: 2, schemas: 2}, c, cmp.AllowUnexported(counter{})); diff != "" {
		t.Errorf("asked in one create and one update (-want +got):\n%s", diff)
	}
}

func TestTheSameTemplateInAnotherFormChangesNothing(t *testing.T) {
	s := podStrategy()
	old := podObject([]byte(`{"spec":{"containers":[]},"metadata":{"labels":{"a":"b"}}}`))
	old.Spec.Overrides = []typesv1beta2.Override{{TopologyName: "m1", TopologyOverrides: []typesv1beta2.OverridePatch{{Path: "/a", Value: []byte(`{"b":1,"a":1}`)}}}}
	if _, err := create(requestContext(t, ""), s, old); err != nil {
		t.Fatal(err)
	}
	o := old.DeepCopy()
	o.Spec.Template = []byte(`{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[]}}`)
	o.Spec.Overrides[0].TopologyOverrides[0].Value = []byte(`{"a":1e0,"b":1.0}`)
	if _, err := update(requestContext(t, ""), s, o, old); err != nil {
		t.Fatal(err)
	}
	if o.Generation != old.Generation {
		t.Errorf("got generation %d, want %d", o.Generation, old.Generation)
	}
}

func TestWhatCannotBeReadIsRefusedWhereItIsWritten(t *testing.T) {
	s := podStrategy()
	const noFloat, noText = "must be a number that a 64-bit float holds", "must be text in UTF-8"
	for sentence, test := range map[string]struct{ template, value, want string }{
		"a number":            {template: `{"spec":{"x":1e400}}`, want: "spec.template.spec.x: Invalid value: \"1e400\": " + noFloat},
		"a long integer":      {template: `{"spec":{"x":` + strings.Repeat("9", 5000) + `}}`, want: noFloat},
		"bytes":               {template: "{\"spec\":{\"x\":\"\xff\"}}", want: "spec.template.spec.x: Invalid value: \"\\\"\uFFFD\\\"\": " + noText},
		"a number in a value": {template: `{}`, value: `1e400`, want: `spec.overrides[0].topologyOverrides[0].value: Invalid value: "1e400": ` + noFloat},
		"half of a character": {template: `{}`, value: `"\ud800"`, want: noText},
		"more than one fault": {template: `{"a":1e400,"b":"\ud800"}`, want: noText},
	} {
		t.Run(sentence, func(t *testing.T) {
			bad := func() *typesv1beta2.FederatedObject {
				o := podObject([]byte(test.template))
				if test.value != "" {
					o.Spec.Overrides = []typesv1beta2.Override{{TopologyName: "m1", TopologyOverrides: []typesv1beta2.OverridePatch{{Path: "/a", Value: []byte(test.value)}}}}
				}
				return o
			}
			if _, err := create(requestContext(t, ""), s, bad()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("create: got %v, want %s", err, test.want)
			}
			good := podObject([]byte(`{"spec":{"containers":[]}}`))
			if _, err := create(requestContext(t, ""), s, good); err != nil {
				t.Fatal(err)
			}
			o := bad()
			o.UID, o.CreationTimestamp = good.UID, good.CreationTimestamp
			if _, err := update(requestContext(t, ""), s, o, good); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("update: got %v, want %s", err, test.want)
			}
			// What was stored before that was checked can be frozen, and deleted.
			stored := bad()
			frozen := stored.DeepCopy()
			frozen.Spec.PlacementMask = &typesv1beta2.Placement{Topologies: []typesv1beta2.TopologyReference{}}
			frozen.Finalizers = []string{"a/b"}
			if _, err := update(requestContext(t, metav1.FieldValidationStrict), s, frozen, stored); err != nil {
				t.Errorf("a mask for what is stored: %v", err)
			}
		})
	}
}

// TestWhatV1beta1CannotSayIsWarnedAboutWhereAnotherEngineRuns also looks at when is asked who
// propagates: that is a question to the host.
func TestWhatV1beta1CannotSayIsWarnedAboutWhereAnotherEngineRuns(t *testing.T) {
	const (
		ofMask     = "spec.placementMask: clients of v1beta1, such as stock KubeFed controllers, do not see the mask and change every placed target"
		inCells    = "spec.placementMask: clients of v1beta1, such as stock KubeFed controllers, do not see the mask and report that they failed in cells that it leaves out, which are kept as they are"
		ofSelector = "spec.overrides[0]: clients of v1beta1, such as stock KubeFed controllers, do not see an override with a topologySelector"
	)
	mask := func(o *typesv1beta2.FederatedObject) {
		o.Spec.PlacementMask = &typesv1beta2.Placement{Topologies: []typesv1beta2.TopologyReference{{Name: "m1"}}}
	}
	maskOfCells := func(o *typesv1beta2.FederatedObject) {
		mask(o)
		o.Spec.TopologyType = typesv1beta2.TopologyCell
	}
	bySelector := func(o *typesv1beta2.FederatedObject) {
		o.Spec.Overrides = []typesv1beta2.Override{{TopologySelector: &metav1.LabelSelector{MatchLabels: map[string]string{"zone": "eu"}}}}
	}
	for name, test := range map[string]struct {
		change func(*typesv1beta2.FederatedObject)
		other  bool // engine
		want   []string
		asks   bool
	}{
		"a mask, and another engine":               {mask, true, []string{ofMask}, true},
		"a mask of cells, and another engine":      {maskOfCells, true, []string{inCells}, true},
		"an override by selector, and another one": {bySelector, true, []string{ofSelector}, true},
		"a mask, and our engine":                   {mask, false, nil, true},
		"an override by selector, and our engine":  {bySelector, false, nil, true},
		"neither, and another engine":              {func(*typesv1beta2.FederatedObject) {}, true, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			asked := false
			s := podStrategy()
			s.otherEngine = func(context.Context) bool { asked = true; return test.other }
			template := []byte(`{"spec":{"containers":[{"name":"web","image":"web:1"}]}}`)
			created := podObject(template)
			test.change(created)
			got, err := create(requestContext(t, ""), s, created)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("warnings of a create (-want +got):\n%s", diff)
			}
			old := podObject(template)
			old.Spec.TopologyType = created.Spec.TopologyType
			updated := old.DeepCopy()
			updated.Spec.Placement.Topologies = updated.Spec.Placement.Topologies[:1]
			test.change(updated)
			if got, err = update(requestContext(t, ""), s, updated, old); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("warnings of an update (-want +got):\n%s", diff)
			}
			if asked != test.asks {
				t.Errorf("asked who propagates: %t, want %t", asked, test.asks)
			}
			s.otherEngine = nil // as in a process that propagates
			again := podObject(template)
			test.change(again)
			if got, err := create(requestContext(t, ""), s, again); err != nil || got != nil {
				t.Errorf("warnings where nobody needs to be asked: got %v, %v", got, err)
			}
		})
	}
}
