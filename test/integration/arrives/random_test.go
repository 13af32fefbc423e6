package arrives_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"

	"github.com/koinon-io/koinon/pkg/federation/compose"
)

// TestRandomManifestsArrive grows manifests of every kind by fields of its OpenAPI schema that the
// member accepts in a create, and replaces one by another, both ways. KOINON_SEED grows others:
// a new seed may meet a rule of the member that the generator does not know.
func TestRandomManifestsArrive(t *testing.T) {
	seed := uint64(1)
	if text := os.Getenv("KOINON_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("KOINON_SEED=%d", seed)
	m := newMember(t)
	schemas := loadSchemas(t)
	refused := 0
	for i, k := range kinds {
		if k.Kind == "Namespace" || k.Kind == "CertificateSigningRequest" || k.Kind == "PriorityClass" {
			continue // nothing but metadata is sent; all is immutable; a cluster has one default
		}
		t.Run(k.name(), func(t *testing.T) {
			g := &grower{rand: rand.New(rand.NewPCG(seed, uint64(i))), schemas: schemas}
			o := m.object(t, k)
			one, two := g.manifest(t, o, k.a(t)), g.manifest(t, o, k.b(t))
			o.create(one)
			for _, next := range []map[string]any{two, one} {
				written, err := o.put(next, compose.Rules{})
				if apierrors.IsInvalid(err) || apierrors.IsForbidden(err) {
					refused++
					t.Logf("cannot be changed in place: %.300s", err)
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				o.same(next, written)
			}
			if t.Failed() {
				show, _ := json.Marshal([]any{one, two})
				t.Logf("the manifests: %s", show)
			}
		})
	}
	t.Logf("%d of %d kinds met a change that cannot be made in place", refused, len(kinds))
}

type schemas map[string]*propertySchema

// propertySchema is what of OpenAPI is used.
type propertySchema struct {
	Ref                  string                                  `json:"$ref"`
	AllOf                []*propertySchema                       `json:"allOf"`
	OneOf                []*propertySchema                       `json:"oneOf"`
	Type                 string                                  `json:"type"`
	Format               string                                  `json:"format"`
	Enum                 []any                                   `json:"enum"`
	Properties           map[string]*propertySchema              `json:"properties"`
	AdditionalProperties *propertySchema                         `json:"additionalProperties"`
	Items                *propertySchema                         `json:"items"`
	Required             []string                                `json:"required"`
	Kinds                []struct{ Group, Version, Kind string } `json:"x-kubernetes-group-version-kind"`
}

func loadSchemas(t *testing.T) schemas {
	t.Helper()
	client, err := discovery.NewDiscoveryClientForConfig(cluster.Get(t).RESTConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	paths, err := client.OpenAPIV3().Paths()
	if err != nil {
		t.Fatal(err)
	}
	out := schemas{}
	for path, group := range paths {
		if !strings.Contains(path, "/v") {
			continue
		}
		var document struct {
			Components struct{ Schemas schemas }
		}
		// A group that a CustomResourceDefinition of another test has just made, or taken away, has a path and no
		// document for a moment.
		readErr := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
			var data []byte
			if data, err = group.Schema("application/json"); err == nil {
				err = json.Unmarshal(data, &document)
			}
			return err == nil || apierrors.IsNotFound(err), nil
		})
		if readErr != nil {
			t.Fatalf("the schema of %s: %v", path, err)
		}
		maps.Copy(out, document.Components.Schemas)
	}
	return out
}

func (s schemas) of(k kind) *propertySchema {
	for _, one := range s {
		for _, gvk := range one.Kinds {
			if gvk.Group == k.kind().Group && gvk.Version == k.kind().Version && gvk.Kind == k.Kind {
				return one
			}
		}
	}
	return nil
}

func (s schemas) resolve(p *propertySchema) *propertySchema {
	for p != nil {
		switch {
		case p.Ref != "":
			p = s[p.Ref[strings.LastIndex(p.Ref, "/")+1:]]
		case len(p.AllOf) == 1:
			p = p.AllOf[0]
		default:
			return p
		}
	}
	return &propertySchema{}
}

type grower struct {
	rand    *rand.Rand
	schemas schemas
}

// manifest adds fields, and keeps those with which the object can be created.
func (g *grower) manifest(t *testing.T, o *object, base map[string]any) map[string]any {
	t.Helper()
	schema := g.schemas.of(o.kind)
	if schema == nil {
		t.Fatal("no schema")
	}
	probe := *o
	probe.named("probe")
	start := base
	for range 25 {
		grown := runtime.DeepCopyJSON(base)
		names := slices.DeleteFunc(slices.Sorted(maps.Keys(schema.Properties)), func(name string) bool {
			return slices.Contains([]string{"apiVersion", "kind", "metadata", "status"}, name)
		})
		name := names[g.rand.IntN(len(names))]
		grown[name] = g.grow(schema.Properties[name], grown[name], 0)
		body := compose.ForCreate(probe.render(grown), o.kind.kind())
		_, err := probe.resource.Create(t.Context(), &unstructured.Unstructured{Object: body}, metav1.CreateOptions{
			FieldManager: compose.FieldManager, FieldValidation: "Strict", DryRun: []string{metav1.DryRunAll}})
		if err == nil || apierrors.IsAlreadyExists(err) {
			base = grown
		}
	}
	// A dry run allocates nothing, and misses what cannot be.
	body := compose.ForCreate(probe.render(base), o.kind.kind())
	defer probe.remove()
	if _, err := probe.resource.Create(t.Context(), &unstructured.Unstructured{Object: body}, metav1.CreateOptions{FieldManager: compose.FieldManager}); err != nil {
		t.Logf("a dry run took what cannot be created: %v", err)
		return start
	}
	return base
}

// grow returns a value with something more in it.
func (g *grower) grow(p *propertySchema, value any, depth int) any {
	p = g.schemas.resolve(p)
	switch v := value.(type) {
	case map[string]any:
		return g.growMap(p, v, depth)
	case []any:
		if len(v) > 0 && g.rand.IntN(4) > 0 {
			i := g.rand.IntN(len(v))
			v[i] = g.grow(p.Items, v[i], depth+1)
			return v
		}
		return append(v, g.value(p.Items, depth+1))
	}
	return g.value(p, depth)
}

func (g *grower) growMap(p *propertySchema, v map[string]any, depth int) any {
	if len(p.Properties) == 0 {
		if p.AdditionalProperties != nil {
			v["k"+strconv.Itoa(g.rand.IntN(9))] = g.value(p.AdditionalProperties, depth+1)
		}
		return v
	}
	names := slices.Sorted(maps.Keys(p.Properties))
	name := names[g.rand.IntN(len(names))]
	if depth < 9 && name != "managedFields" {
		v[name] = g.grow(p.Properties[name], v[name], depth+1)
	}
	return v
}

// value is a new value: of an object what it must have, and one field more.
func (g *grower) value(p *propertySchema, depth int) any {
	p = g.schemas.resolve(p)
	if len(p.Enum) > 0 {
		return p.Enum[g.rand.IntN(len(p.Enum))]
	}
	if len(p.OneOf) > 0 {
		return g.value(p.OneOf[g.rand.IntN(len(p.OneOf))], depth)
	}
	switch p.Type {
	case "boolean":
		return g.rand.IntN(2) == 0
	case "integer", "number":
		return int64(g.rand.IntN(7))
	case "array":
		return []any{g.value(p.Items, depth+1)}
	case "object":
		v := map[string]any{}
		for _, name := range p.Required {
			v[name] = g.value(p.Properties[name], depth+1)
		}
		return g.growMap(p, v, depth)
	}
	switch p.Format {
	case "byte":
		return "AAAA"
	case "date-time":
		return "2026-01-02T03:04:05Z"
	}
	return []any{fmt.Sprintf("x%d", g.rand.IntN(9)), "1", "10%", "example.com/x", "192.0.2.7"}[g.rand.IntN(5)]
}
