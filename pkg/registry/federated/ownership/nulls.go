package ownership

import (
	"bytes"

	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

// dropLeftNulls takes out of the template of an applied object the nulls that merging leaves
// where a list or a map has lost its last item. Kubernetes' own kinds have no such field then;
// in members, custom kinds would be refused for it.
//
// A null where old has one, or has nothing, is what somebody wrote, and stays.
func dropLeftNulls(obj, old *typesv1beta2.FederatedObject) error {
	template := obj.Spec.Template
	if bytes.Equal(template, old.Spec.Template) || !bytes.Contains(template, []byte("null")) {
		return nil
	}
	tree, err := template.Tree()
	if err != nil {
		return err
	}
	was, err := old.Spec.Template.Tree()
	if err != nil {
		was = nil // it says nothing of what was written
	}
	if !dropNulls(tree, []any{was}) {
		return nil
	}
	obj.Spec.Template, err = rawjson.FromTree(tree)
	return err
}

// dropNulls drops fields that are null and were something in one of the trees that the object
// may have been, and reports whether there were any. An item of a list may have been any item.
func dropNulls(tree any, was []any) bool {
	dropped := false
	switch t := tree.(type) {
	case map[string]any:
		for key, value := range t {
			before := fieldsOf(was, key)
			if value == nil && isLeft(before) {
				delete(t, key)
				dropped = true
				continue
			}
			dropped = dropNulls(value, before) || dropped
		}
	case []any:
		var items []any
		for _, list := range was {
			list, _ := list.([]any)
			items = append(items, list...)
		}
		for _, item := range t {
			dropped = dropNulls(item, items) || dropped
		}
	}
	return dropped
}

// fieldsOf are the values of a field in all objects that have it.
func fieldsOf(objects []any, key string) []any {
	var out []any
	for _, o := range objects {
		if o, ok := o.(map[string]any); ok {
			if value, ok := o[key]; ok {
				out = append(out, value)
			}
		}
	}
	return out
}

// isLeft reports whether a field was a list or a map, and never null.
func isLeft(was []any) bool {
	left := false
	for _, value := range was {
		switch value.(type) {
		case map[string]any, []any:
			left = true
		case nil:
			return false
		}
	}
	return left
}
