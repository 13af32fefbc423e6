package schema

import (
	"slices"
	"strings"

	"k8s.io/kube-openapi/pkg/util"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// refPrefix of references between schemas of OpenAPI v3.
const refPrefix = "#/components/schemas/"

// FriendlyName is the name of a model in a document. Most have one that is fit for it;
// the rest are Go type names.
func FriendlyName(name string) string {
	if !strings.Contains(name, "/") {
		return name
	}
	return util.ToRESTFriendlyName(name)
}

// References lists the names of the schemas that a schema refers to, sorted, each once.
func References(s *spec.Schema) []string {
	var names []string
	walkSchema(s, func(s *spec.Schema) {
		if name, ok := strings.CutPrefix(s.Ref.String(), refPrefix); ok {
			names = append(names, name)
		}
	})
	slices.Sort(names)
	return slices.Compact(names)
}

// walkSchema visits a schema and all that are written inside it.
func walkSchema(s *spec.Schema, visit func(*spec.Schema)) {
	if s == nil {
		return
	}
	visit(s)
	for name := range s.Properties {
		p := s.Properties[name]
		walkSchema(&p, visit)
	}
	if s.Items != nil {
		walkSchema(s.Items.Schema, visit)
	}
	if s.AdditionalProperties != nil {
		walkSchema(s.AdditionalProperties.Schema, visit)
	}
	for _, list := range [][]spec.Schema{s.AllOf, s.OneOf, s.AnyOf} {
		for i := range list {
			walkSchema(&list[i], visit)
		}
	}
}
