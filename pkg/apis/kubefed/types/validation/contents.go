package validation

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// WithoutContents returns the errors of a federated object without the values in them if they
// may be what a Secret or a ConfigMap holds, in the template or in an override. The message of
// a refusal is written to audit logs, whatever their policy says of bodies.
func WithoutContents(targetKind string, errs field.ErrorList) field.ErrorList {
	if targetKind != "Secret" && targetKind != "ConfigMap" {
		return errs
	}
	var out field.ErrorList
	for _, err := range errs {
		if err != nil && isContent(err.Field) {
			silent := *err
			silent.BadValue = field.OmitValueType{}
			err = &silent
		}
		out = append(out, err)
	}
	return out
}

func isContent(path string) bool {
	template := strings.HasPrefix(path, templatePath.String())
	return template || strings.HasPrefix(path, specPath.Child("overrides").String()) && strings.Contains(path, ".value")
}
