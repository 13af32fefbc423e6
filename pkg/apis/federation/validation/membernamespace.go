package validation

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/mistakes"
)

// MemberNamespace checks a page of the book: every namespace has one owner.
func MemberNamespace(page *v1alpha1.MemberNamespace) field.ErrorList {
	errs := label(page.Name, field.NewPath("metadata", "name"))
	holders := map[string]*field.Path{}
	for i := range page.Spec.Owners {
		if len(errs) > mistakes.Max {
			return mistakes.First(errs)
		}
		entry, path := &page.Spec.Owners[i], field.NewPath("spec", "owners").Index(i)
		errs = append(errs, owner(page, entry, path)...)
		for j, name := range entry.Members {
			if len(errs) > mistakes.Max {
				break
			}
			at := path.Child("members").Index(j)
			errs = append(errs, member(name, at)...)
			if first, held := holders[name]; held {
				errs = append(errs, field.Invalid(at, name, fmt.Sprintf("is in %s already: a namespace of a member has one owner", first)))
				continue
			}
			holders[name] = at
		}
	}
	return mistakes.First(errs)
}

func owner(page *v1alpha1.MemberNamespace, entry *v1alpha1.MemberNamespaceOwner, path *field.Path) (errs field.ErrorList) {
	if len(entry.Members) == 0 {
		errs = append(errs, field.Required(path.Child("members"), "must name a member: an owner without one is left out"))
	}
	errs = append(errs, label(entry.Namespace, path.Child("namespace"))...)
	switch entry.Kind {
	case v1alpha1.OwnerNamespace:
		if entry.Name != "" {
			errs = append(errs, field.Forbidden(path.Child("name"), "a namespace is named in the field namespace"))
		}
		if entry.Namespace != page.Name {
			errs = append(errs, field.Invalid(path.Child("namespace"), entry.Namespace, fmt.Sprintf(
				"must be %q: a namespace of the host owns namespaces of its own name", page.Name)))
		}
	case v1alpha1.OwnerCell, v1alpha1.OwnerEdgeUnit:
		for _, message := range validation.IsDNS1123Label(entry.Name) {
			errs = append(errs, field.Invalid(path.Child("name"), entry.Name, message))
		}
	default:
		errs = append(errs, field.NotSupported(path.Child("kind"), entry.Kind,
			[]v1alpha1.OwnerKind{v1alpha1.OwnerNamespace, v1alpha1.OwnerCell, v1alpha1.OwnerEdgeUnit}))
	}
	return errs
}
