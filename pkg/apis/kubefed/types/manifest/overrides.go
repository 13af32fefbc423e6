package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

// Operations of a patch. KubeFed knows the same, and takes none for a replace.
const (
	OpAdd     = "add"
	OpRemove  = "remove"
	OpReplace = "replace"
)

var operations = sets.New(OpAdd, OpRemove, OpReplace)

// forbiddenPaths identify the object in the member: an override of them would make
// another object of it. They are KubeFed's. apiVersion is allowed, as members may serve
// different versions.
var forbiddenPaths = [][]string{
	{"kind"},
	{"metadata", "name"},
	{"metadata", "namespace"},
	{"metadata", "generateName"},
}

const forbiddenDetail = "/kind, /metadata/name, /metadata/namespace and /metadata/generateName may not be overridden: they say which object it is"

// ties are what would take an object out of our hands: members delete what has an owner that they
// do not know, and never delete what has a finalizer that nobody takes off. KubeFed lets
// overrides set them.
var ties = map[string]string{
	"ownerReferences": "/metadata/ownerReferences may not be overridden: a member deletes an object whose owner is not there",
	"finalizers":      "/metadata/finalizers may not be overridden: the copies could not be deleted before somebody in the member takes them off",
}

// Operation returns what a patch does: replace unless it says otherwise.
func Operation(p *v1beta2.OverridePatch) string {
	if p.Op == "" {
		return OpReplace
	}
	return p.Op
}

// Value returns what a patch sets: null if it names no value. KubeFed's clients leave a
// value of null out.
func Value(p *v1beta2.OverridePatch) rawjson.Value {
	if p.Value == nil {
		return rawjson.Value("null")
	}
	return p.Value
}

// PatchErrors returns why a patch cannot be applied, whatever the template; nil if it
// can. apiVersion is that of the target kind, such as apps/v1, and empty if it is not known.
// at returns the path of the patch, and is called only if there is an error. What is in a
// value is not looked at but where it could identify the object.
func PatchErrors(p *v1beta2.OverridePatch, apiVersion string, at func() *field.Path) field.ErrorList {
	var errs field.ErrorList
	if !operations.Has(Operation(p)) {
		errs = append(errs, field.NotSupported(at().Child("op"), p.Op, sets.List(operations)))
	}
	if p.Path == "" {
		return append(errs, field.Required(at().Child("path"), "a JSON pointer into the template, such as /spec/replicas"))
	}
	tokens, ok := Steps(p.Path)
	if !ok {
		return append(errs, field.Invalid(at().Child("path"), p.Path, "must be a JSON pointer (RFC 6901), such as /spec/replicas or /metadata/labels/example.com~1tier"))
	}
	if err := pathError(p, tokens, apiVersion, at); err != nil {
		errs = append(errs, err)
	}
	return errs
}

func pathError(p *v1beta2.OverridePatch, tokens []string, apiVersion string, at func() *field.Path) *field.Error {
	for _, forbidden := range forbiddenPaths {
		if hasPrefix(tokens, forbidden) {
			return field.Invalid(at().Child("path"), p.Path, forbiddenDetail)
		}
	}
	switch {
	case len(tokens) > 1 && tokens[0] == "metadata" && ties[tokens[1]] != "":
		return field.Invalid(at().Child("path"), p.Path, ties[tokens[1]])
	case tokens[0] == "":
		return field.Invalid(at().Child("path"), p.Path, "must begin with a field of the object, such as /spec: it cannot be replaced as a whole")
	case tokens[0] == "apiVersion":
		return versionError(p, tokens, apiVersion, at)
	case len(tokens) == 1 && tokens[0] == "metadata":
		return metadataError(p, at)
	}
	return nil
}

// versionError lets apiVersion be another one of the same group, and nothing else: in another
// group it would be another kind, which other rules are for.
func versionError(p *v1beta2.OverridePatch, tokens []string, apiVersion string, at func() *field.Path) *field.Error {
	if len(tokens) > 1 || Operation(p) == OpRemove {
		return field.Invalid(at().Child("path"), p.Path, "/apiVersion may be replaced, and nothing else: every object has one")
	}
	tree, err := Value(p).Tree()
	text, _ := tree.(string)
	version, parseErr := schema.ParseGroupVersion(text)
	if err != nil || parseErr != nil || version.Version == "" {
		return field.Invalid(at().Child("value"), excerpt(p.Value), "must be a version, such as apps/v1")
	}
	if target, err := schema.ParseGroupVersion(apiVersion); err == nil && apiVersion != "" && target.Group != version.Group {
		return field.Invalid(at().Child("value"), text, fmt.Sprintf("must be a version of the template's group, such as %s", apiVersion))
	}
	return nil
}

// metadataError keeps a patch of all metadata from doing what one of its parts may not.
func metadataError(p *v1beta2.OverridePatch, at func() *field.Path) *field.Error {
	value := Value(p)
	if Operation(p) == OpRemove || string(value) == "null" {
		return nil
	}
	tree, err := value.Tree()
	metadata, ok := tree.(map[string]any)
	if err != nil || !ok {
		return field.Invalid(at().Child("value"), excerpt(value), "must be an object: the metadata")
	}
	for _, key := range []string{"name", "namespace", "generateName"} {
		if name, there := metadata[key]; there {
			return field.Invalid(at().Child("value", key), name, forbiddenDetail)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(ties)) {
		if !IsEmpty(metadata[key]) {
			return field.Invalid(at().Child("value", key), field.OmitValueType{}, ties[key])
		}
	}
	return nil
}

// Steps splits a JSON pointer (RFC 6901). It returns false if it is none.
func Steps(pointer string) ([]string, bool) {
	if !strings.HasPrefix(pointer, "/") || !utf8.ValidString(pointer) {
		return nil, false
	}
	tokens := strings.Split(pointer[1:], "/")
	for i, token := range tokens {
		if !strings.Contains(token, "~") {
			continue
		}
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

// excerpt is the start of a value, as an error can show it.
func excerpt(raw []byte) string {
	const limitBytes = 64
	if len(raw) <= limitBytes {
		return string(raw)
	}
	return string(raw[:limitBytes]) + "..."
}
