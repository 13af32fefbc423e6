package health

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/completion"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// Validate takes a rule that says something, and whose expressions compile. path is where the
// rule is; nil stands for spec.health.
func Validate(rule *v1beta1.HealthRule, path *field.Path) (errs field.ErrorList) {
	if rule == nil {
		return nil
	}
	if path == nil {
		path = field.NewPath("spec", "health")
	}
	if rule.Healthy == "" && rule.Degraded == "" {
		errs = append(errs, field.Required(path.Child("healthy"), "must be "+exampleHealthy+"; or degraded must be given"))
	}
	check := func(name, expression, example string, compile func(string) error) {
		if expression == "" {
			return
		}
		if err := compile(expression); err != nil {
			errs = append(errs, field.Invalid(path.Child(name), expression, fmt.Sprintf("must be %s: %v", example, err)))
		}
	}
	isPredicate := func(expression string) error {
		_, err := completion.NewPredicate(expression, v1beta1.MaxHealthBytes)
		return err
	}
	check("healthy", rule.Healthy, exampleHealthy, isPredicate)
	check("degraded", rule.Degraded, "an expression in CEL that is true of an object that failed, such as self.status.phase == 'Failed'", isPredicate)
	check("message", rule.Message, "an expression in CEL that is a text on an object that is not healthy, such as self.status.message", func(expression string) error {
		_, err := completion.NewText(expression, v1beta1.MaxHealthBytes)
		return err
	})
	return errs
}

const exampleHealthy = "an expression in CEL that is true of a healthy object, such as self.status.phase == 'Bound'"
