package validation

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// forbiddenPaths identify the object in the member: an override of them would make
// another object of it. apiVersion is allowed, as members may serve different versions.
var forbiddenPaths = [][]string{
	{"kind"},
	{"metadata", "name"},
	{"metadata", "namespace"},
	{"metadata", "generateName"},
}

const forbiddenDetail = "/kind, /metadata/name, /metadata/namespace and /metadata/generateName may not be overridden: they say which object it is"

var patchOps = sets.New("add", "remove", "replace")

func (c *check) overrides() {
	seen := map[string]bool{}
	for i := range c.obj.Spec.Overrides {
		o := &c.obj.Spec.Overrides[i]
		c.overrideTarget(i, o, seen)
		c.patches(o.TopologyOverrides, c.overridePatches(i))
	}
}

// overrideTarget checks whom an override is for; seen holds the names of those before.
func (c *check) overrideTarget(i int, o *v1beta2.Override, seen map[string]bool) {
	switch {
	case o.TopologySelector != nil && o.TopologyName != "":
		c.add(field.Invalid(c.overrideName(i), o.TopologyName, "is set together with topologySelector: exactly one of them is allowed"))
	case o.TopologySelector != nil:
		c.selector(o.TopologySelector, c.override(i).Child("topologySelector"))
	case o.TopologyName == "" && !c.clusterShape:
		c.add(field.Required(c.overrideName(i), "exactly one of topologyName and topologySelector must be set"))
	default:
		name := o.TopologyName
		c.targetName(name, c.target(name), func() *field.Path { return c.overrideName(i) })
		if name != "" && seen[name] {
			c.add(duplicate(c.overrideName(i), c.target(name), "a target has one entry, with all of its changes in "+c.patchesField(i)))
		}
		seen[name] = true
	}
}

func (c *check) patches(patches []v1beta2.OverridePatch, path *field.Path) {
	seen := make(map[string]bool, len(patches))
	for i := range patches {
		p := &patches[i]
		at := path.Index(i)
		if p.Op != "" && !patchOps.Has(p.Op) {
			c.add(field.NotSupported(at.Child("op"), p.Op, sets.List(patchOps)))
		}
		c.patchPath(p, at)
		if seen[p.Path] {
			c.add(duplicate(at.Child("path"), p.Path, "a path is changed once per target"))
		}
		seen[p.Path] = true
		if !utf8.Valid(p.Value) {
			c.add(field.Invalid(at.Child("value"), "binary data", "must be JSON in UTF-8"))
		}
	}
}

func (c *check) patchPath(p *v1beta2.OverridePatch, at *field.Path) {
	if p.Path == "" {
		c.add(field.Required(at.Child("path"), "a JSON pointer into the template, such as /spec/replicas"))
		return
	}
	tokens, ok := pointerTokens(p.Path)
	if !ok {
		c.add(field.Invalid(at.Child("path"), p.Path, "must be a JSON pointer (RFC 6901), such as /spec/replicas or /metadata/labels/example.com~1tier"))
		return
	}
	for _, forbidden := range forbiddenPaths {
		if hasPrefix(tokens, forbidden) {
			c.add(field.Invalid(at.Child("path"), p.Path, forbiddenDetail))
		}
	}
	if len(tokens) == 1 && tokens[0] == "metadata" {
		c.wholeMetadata(p, at)
	}
}

// wholeMetadata keeps a patch of all metadata from doing what one of its parts may not.
func (c *check) wholeMetadata(p *v1beta2.OverridePatch, at *field.Path) {
	if !p.Value.IsObject() {
		return
	}
	var value map[string]any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(p.Value, &value); err != nil {
		c.add(field.Invalid(at.Child("value"), "malformed JSON", "must be JSON: "+err.Error()))
		return
	}
	for _, key := range []string{"name", "namespace", "generateName"} {
		if _, there := value[key]; there {
			c.add(field.Invalid(at.Child("value", key), fmt.Sprint(value[key]), forbiddenDetail))
		}
	}
}

// pointerTokens splits a JSON pointer. It returns false if it is none.
func pointerTokens(pointer string) ([]string, bool) {
	if !strings.HasPrefix(pointer, "/") || !utf8.ValidString(pointer) {
		return nil, false
	}
	tokens := strings.Split(pointer[1:], "/")
	for i, token := range tokens {
		rest := strings.NewReplacer("~0", "", "~1", "").Replace(token)
		if strings.Contains(rest, "~") {
			return nil, false
		}
		tokens[i] = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
	}
	return tokens, true
}

func hasPrefix(tokens, prefix []string) bool {
	if len(tokens) < len(prefix) {
		return false
	}
	for i := range prefix {
		if tokens[i] != prefix[i] {
			return false
		}
	}
	return true
}
