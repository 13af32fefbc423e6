package schema

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kube-openapi/pkg/schemaconv"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// What the schema of one kind may have. The largest custom resources that are in use have
// some 30,000 parts; what is larger is made to be large.
const (
	// maxDocumentBytes is for the document of a group version, with all its kinds.
	maxDocumentBytes = 16 << 20
	// maxKindBytes is for the definitions that one kind refers to, as JSON. A
	// CustomResourceDefinition with all its versions has at most 1.5 MiB.
	maxKindBytes   = 2 << 20
	maxDefinitions = 1000
	// maxParts is how many schemas there are inside one another once every reference was
	// replaced by what it refers to, as validating admission policies have it done.
	maxParts = 100_000
	// maxSchemaDepth is as deep as templates are.
	maxSchemaDepth = 128
	// maxProperties is of one object.
	maxProperties = 1000
	// maxMapKeys is how many keys the items of a list may have, and maxDefaultBytes how long
	// the default of one is: every item of a list is known by all of them.
	maxMapKeys      = 8
	maxDefaultBytes = 256
)

// definitionNames are what OpenAPI allows as names of definitions.
var definitionNames = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,253}$`)

// jsonTypes are the types that a schema may name.
var jsonTypes = []string{"array", "boolean", "integer", "number", "object", "string"}

// document is what is read of an OpenAPI v3 document: each definition by itself, as one that
// cannot be read is no matter of kinds that do not refer to it.
type document struct {
	Components struct {
		Schemas map[string]json.RawMessage `json:"schemas"`
	} `json:"components"`
}

// Read returns the schemas of kinds that an OpenAPI v3 document has, which another server wrote
// who may mean harm. Of kinds whose schema cannot be used, problems has a sentence without a
// full stop that says why. Those that are not in the document are in neither.
func Read(data []byte, kinds []schema.GroupVersionKind) (targets map[schema.GroupVersionKind]*Target, problems map[schema.GroupVersionKind]string) {
	targets, problems = map[schema.GroupVersionKind]*Target{}, map[schema.GroupVersionKind]string{}
	if len(kinds) == 0 {
		return targets, problems
	}
	doc := document{}
	var err error
	if len(data) > maxDocumentBytes {
		err = fmt.Errorf("the OpenAPI document has more than %d MiB", maxDocumentBytes>>20)
	} else if err = json.Unmarshal(data, &doc); err != nil {
		err = fmt.Errorf("the OpenAPI document cannot be read: %w", err)
	}
	if err != nil {
		for _, kind := range kinds {
			problems[kind] = sentence(err)
		}
		return targets, problems
	}
	roots := rootsOf(&doc)
	for _, kind := range kinds {
		root, ok := roots[foldedKind(kind)]
		if !ok {
			continue
		}
		if targets[kind], err = adopt(doc.Components.Schemas, root, kind); err != nil {
			delete(targets, kind)
			problems[kind] = sentence(err)
		}
	}
	return targets, problems
}

// sentence is what is told of an error, which may hold what somebody else wrote.
func sentence(err error) string {
	const limitBytes = 512
	text := strings.ToValidUTF8(err.Error(), "\uFFFD")
	text, _, _ = strings.Cut(text, "\n")
	if len(text) > limitBytes {
		text = strings.ToValidUTF8(text[:limitBytes], "") + "..."
	}
	return text
}

func foldedKind(kind schema.GroupVersionKind) schema.GroupVersionKind {
	kind.Kind = strings.ToLower(kind.Kind)
	return kind
}

// rootsOf returns the names of the definitions that say which kind they are. Of two that say the
// same, it is the first by name.
func rootsOf(doc *document) map[schema.GroupVersionKind]string {
	roots := map[schema.GroupVersionKind]string{}
	for name, raw := range doc.Components.Schemas {
		var definition struct {
			Kinds []schema.GroupVersionKind `json:"x-kubernetes-group-version-kind"`
		}
		if json.Unmarshal(raw, &definition) != nil {
			continue // of no kind, or of none that can be told
		}
		for _, kind := range definition.Kinds {
			kind = foldedKind(kind)
			if other, ok := roots[kind]; !ok || name < other {
				roots[kind] = name
			}
		}
	}
	return roots
}

// adopt makes a Target of definitions that another server wrote, who may mean harm. It returns
// an error, one sentence, if they cannot be used.
//
// Definitions are copied field by field, so that nothing is passed on that is not known here;
// above all not which kinds they say that they are. They are renamed after the kind: whoever
// defines io.k8s.api.core.v1.PodSpec does so for that kind alone. The copy is complete and
// bounded, and server-side apply can be done with it: what is made of all kinds together does
// not fail by one.
func adopt(definitions map[string]json.RawMessage, root string, kind schema.GroupVersionKind) (target *Target, err error) {
	defer func() {
		// The libraries that read and convert schemas expect them to be well-formed.
		if r := recover(); r != nil {
			target, err = nil, fmt.Errorf("it cannot be read: %v", r)
		}
	}()
	a := adopter{definitions: definitions, root: root, kind: kind, out: map[string]*spec.Schema{}}
	if err := a.collect(); err != nil {
		return nil, err
	}
	target = &Target{GVK: kind, Root: a.name(root), Schemas: a.out}
	if !slices.Equal(target.Schemas[target.Root].Type, []string{"object"}) {
		return nil, fmt.Errorf("%q is not of the type object", cut(root))
	}
	for _, list := range a.lists {
		if err := target.checkKeys(list); err != nil {
			return nil, err
		}
	}
	if parts := target.parts(); parts > maxParts {
		return nil, fmt.Errorf("it has more than %d parts once its references are followed", maxParts)
	}
	if _, err := schemaconv.ToSchemaFromOpenAPI(target.Schemas, false); err != nil {
		return nil, err
	}
	return target, nil
}

// adopter copies the definitions that a kind needs.
type adopter struct {
	definitions map[string]json.RawMessage
	root        string
	kind        schema.GroupVersionKind

	out   map[string]*spec.Schema // by their new names
	todo  []reference
	bytes int
	parts int
	lists []list
}

// reference is one to a definition that was not copied yet.
type reference struct{ from, to string }

// list is a list whose items are known by keys.
type list struct {
	at     *field.Path
	schema *spec.Schema
}

// name is the new name of a definition. Kinds, versions and groups have no underscores, so no
// two kinds share one.
func (a *adopter) name(definition string) string {
	name := fmt.Sprintf("io.kubefed.targets.%s.%s.%s", a.kind.Group, a.kind.Version, a.kind.Kind)
	if definition == a.root {
		return name
	}
	return name + "_" + definition
}

func (a *adopter) collect() error {
	a.todo = []reference{{to: a.root}}
	for len(a.todo) > 0 {
		next := a.todo[0]
		a.todo = a.todo[1:]
		if a.out[a.name(next.to)] != nil {
			continue
		}
		if err := a.definition(next); err != nil {
			return err
		}
	}
	return nil
}

func (a *adopter) definition(r reference) error {
	raw, ok := a.definitions[r.to]
	if !ok {
		return fmt.Errorf("definition %q refers to %q, which the document does not have", r.from, cut(r.to))
	}
	if len(a.out) == maxDefinitions {
		return fmt.Errorf("it refers to more than %d definitions", maxDefinitions)
	}
	if a.bytes += len(raw); a.bytes > maxKindBytes {
		return fmt.Errorf("the definitions that it refers to have more than %d MiB", maxKindBytes>>20)
	}
	definition := &spec.Schema{}
	if err := json.Unmarshal(raw, definition); err != nil {
		return fmt.Errorf("definition %q cannot be read: %w", cut(r.to), err)
	}
	if definition.Ref.String() != "" {
		return fmt.Errorf("definition %q is nothing but a reference", cut(r.to))
	}
	copied, err := a.copy(position{definition: cut(r.to), path: field.NewPath(cut(r.to))}, definition)
	if err != nil {
		return err
	}
	a.out[a.name(r.to)] = copied
	return nil
}

// position is where in a definition a schema is.
type position struct {
	definition string
	path       *field.Path
	depth      int
}

func (p position) child(name string, more ...string) position {
	return position{p.definition, p.path.Child(name, more...), p.depth + 1}
}

// copy returns what is known of a schema, and notes what it refers to.
func (a *adopter) copy(at position, s *spec.Schema) (*spec.Schema, error) {
	if at.depth > maxSchemaDepth {
		return nil, fmt.Errorf("definition %q is nested deeper than %d", at.definition, maxSchemaDepth)
	}
	if a.parts++; a.parts > maxParts {
		return nil, fmt.Errorf("it has more than %d parts", maxParts)
	}
	out := scalarsOf(s)
	if err := a.copyType(at, s, out); err != nil {
		return nil, err
	}
	if err := a.copyReference(at, s, out); err != nil {
		return nil, err
	}
	if err := a.copyInner(at, s, out); err != nil {
		return nil, err
	}
	copyExtensions(s, out)
	if keys := mapKeys(out); keys != nil {
		a.lists = append(a.lists, list{at.path, out})
	}
	return out, nil
}

// scalarsOf copies what has nothing inside it.
func scalarsOf(s *spec.Schema) *spec.Schema {
	out := &spec.Schema{SchemaProps: spec.SchemaProps{
		Description: s.Description, Nullable: s.Nullable, Format: s.Format, Title: s.Title, Required: s.Required,
		Maximum: s.Maximum, ExclusiveMaximum: s.ExclusiveMaximum, Minimum: s.Minimum, ExclusiveMinimum: s.ExclusiveMinimum,
		MaxLength: s.MaxLength, MinLength: s.MinLength, Pattern: s.Pattern, MaxItems: s.MaxItems, MinItems: s.MinItems,
		UniqueItems: s.UniqueItems, MultipleOf: s.MultipleOf, MaxProperties: s.MaxProperties, MinProperties: s.MinProperties,
	}}
	if isScalar(s.Default) {
		out.Default = s.Default
	}
	if !slices.ContainsFunc(s.Enum, func(v any) bool { return !isScalar(v) }) {
		out.Enum = s.Enum
	}
	return out
}

// isScalar is for what stands for itself: the default of a list's key, above all.
func isScalar(value any) bool {
	switch v := value.(type) {
	case string:
		return len(v) <= maxDefaultBytes
	case bool, float64, int64:
		return true
	}
	return false
}

func (a *adopter) copyType(at position, s, out *spec.Schema) error {
	if len(s.Type) > 1 {
		return fmt.Errorf("%s.type: has %d types, must be one", at.path, len(s.Type))
	}
	for _, t := range s.Type {
		if !slices.Contains(jsonTypes, t) {
			return fmt.Errorf("%s.type: %q is no type, must be one of %s", at.path, cut(t), strings.Join(jsonTypes, ", "))
		}
		out.Type = []string{t}
	}
	return nil
}

func (a *adopter) copyReference(at position, s, out *spec.Schema) error {
	text := s.Ref.String()
	if text == "" {
		return nil
	}
	to, ok := strings.CutPrefix(text, refPrefix)
	if !ok || !definitionNames.MatchString(to) {
		return fmt.Errorf("%s.$ref: %q refers to no definition of the document, must be %sNAME", at.path, cut(text), refPrefix)
	}
	a.todo = append(a.todo, reference{at.definition, to})
	out.Ref = spec.MustCreateRef(refPrefix + a.name(to))
	return nil
}

// copyInner copies the schemas that are written inside one.
func (a *adopter) copyInner(at position, s, out *spec.Schema) (err error) {
	if len(s.Properties) > maxProperties {
		return fmt.Errorf("%s: has %d properties, must have at most %d", at.path, len(s.Properties), maxProperties)
	}
	if len(s.Properties) > 0 {
		out.Properties = make(map[string]spec.Schema, len(s.Properties))
	}
	for name, property := range s.Properties {
		copied, err := a.copy(at.child("properties", cut(name)), &property)
		if err != nil {
			return err
		}
		out.Properties[name] = *copied
	}
	if s.Items != nil && s.Items.Schema == nil {
		return fmt.Errorf("%s.items: must be one schema, which all items have", at.path)
	}
	if s.Items != nil {
		copied, err := a.copy(at.child("items"), s.Items.Schema)
		if err != nil {
			return err
		}
		out.Items = &spec.SchemaOrArray{Schema: copied}
	}
	if more := s.AdditionalProperties; more != nil {
		out.AdditionalProperties = &spec.SchemaOrBool{Allows: more.Allows}
		if more.Schema != nil {
			if out.AdditionalProperties.Schema, err = a.copy(at.child("additionalProperties"), more.Schema); err != nil {
				return err
			}
		}
	}
	for _, alternatives := range []struct {
		name string
		from []spec.Schema
		to   *[]spec.Schema
	}{{"allOf", s.AllOf, &out.AllOf}, {"oneOf", s.OneOf, &out.OneOf}, {"anyOf", s.AnyOf, &out.AnyOf}} {
		for i := range alternatives.from {
			copied, err := a.copy(at.child(alternatives.name), &alternatives.from[i])
			if err != nil {
				return err
			}
			*alternatives.to = append(*alternatives.to, *copied)
		}
	}
	return nil
}

// copyExtensions copies the extensions that say how values are merged and compared, as far as
// they are what they should be.
func copyExtensions(s, out *spec.Schema) {
	for _, name := range []string{"x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string", "x-kubernetes-embedded-resource"} {
		if set, _ := s.Extensions[name].(bool); set {
			out.AddExtension(name, true)
		}
	}
	for _, name := range []string{"x-kubernetes-list-type", "x-kubernetes-map-type", "x-kubernetes-patch-strategy", "x-kubernetes-patch-merge-key"} {
		if text, ok := s.Extensions[name].(string); ok {
			out.AddExtension(name, text)
		}
	}
	if keys, ok := s.Extensions.GetStringSlice("x-kubernetes-list-map-keys"); ok {
		values := make([]any, len(keys))
		for i := range keys {
			values[i] = keys[i]
		}
		out.AddExtension("x-kubernetes-list-map-keys", values)
	}
}

// mapKeys returns the keys that items of a list are known by; nil if there are none.
func mapKeys(s *spec.Schema) []string {
	if listType, ok := s.Extensions.GetString("x-kubernetes-list-type"); ok {
		if listType != "map" {
			return nil
		}
		keys, _ := s.Extensions.GetStringSlice("x-kubernetes-list-map-keys")
		return append([]string{}, keys...)
	}
	if strategy, _ := s.Extensions.GetString("x-kubernetes-patch-strategy"); strings.HasPrefix(strategy, "merge") {
		if key, ok := s.Extensions.GetString("x-kubernetes-patch-merge-key"); ok {
			return []string{key}
		}
	}
	return nil
}

// checkKeys refuses a list whose items cannot have the keys that they are to be known by: no
// object with such a list could be merged.
func (t *Target) checkKeys(l list) error {
	keys := mapKeys(l.schema)
	if len(keys) == 0 || len(keys) > maxMapKeys {
		return fmt.Errorf("%s: its items are known by %d keys, must be 1 to %d", l.at, len(keys), maxMapKeys)
	}
	var item *spec.Schema
	if l.schema.Items != nil {
		item = t.resolve(l.schema.Items.Schema)
	}
	for _, key := range keys {
		if item == nil {
			return fmt.Errorf("%s: its items are known by the key %q, but have no schema", l.at, cut(key))
		}
		property, ok := item.Properties[key]
		if !ok {
			return fmt.Errorf("%s: its items are known by the key %q, but have no such property", l.at, cut(key))
		}
		if resolved := t.resolve(&property); resolved == nil || len(resolved.Type) > 0 && (resolved.Type[0] == "object" || resolved.Type[0] == "array") {
			return fmt.Errorf("%s: its items are known by the key %q, which must be a string, a number or a boolean", l.at, cut(key))
		}
	}
	return nil
}

// parts counts the schemas inside the kind's own, references followed until they would come
// back to where they are, but no further than a little beyond maxParts.
func (t *Target) parts() int {
	count := 0
	within := map[string]bool{}
	var visit func(s *spec.Schema)
	follow := func(name string) {
		if within[name] || count > maxParts {
			return
		}
		within[name] = true
		visit(t.Schemas[name])
		delete(within, name)
	}
	visit = func(s *spec.Schema) {
		walkSchema(s, func(s *spec.Schema) {
			count++
			if name, ok := strings.CutPrefix(s.Ref.String(), refPrefix); ok {
				follow(name)
			}
		})
	}
	follow(t.Root)
	return count
}

// cut keeps a name that somebody else chose short.
func cut(text string) string { return fmt.Sprint(short(text)) }
