package completion

import (
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// Rule says of the objects of one type whether they have ended.
type Rule struct {
	ended func(object map[string]any) bool
	rerun v1beta1.Rerun
	// forever: most objects of the type are meant to run for ever.
	forever bool
}

var podKind = schema.GroupKind{Group: corev1.GroupName, Kind: "Pod"}

// builtIn are the rules of types that are meant to end whatever a FederatedTypeConfig says.
var builtIn = map[schema.GroupKind]func(map[string]any) bool{
	{Group: batchv1.GroupName, Kind: "Job"}: jobEnded,
	podKind:                                 podEnded,
}

// For returns the rule of a target type, nil if its objects do not end. spec is that of the
// FederatedTypeConfig, nil if it has none; it takes the place of a built-in rule. An error means
// that its expression does not compile: admission refuses those, but what is stored may be older
// than admission. The rule is then the one that the type has without it.
func For(target schema.GroupKind, spec *v1beta1.RunToCompletion) (*Rule, error) {
	ended, err := builtIn[target], error(nil)
	forever := target == podKind
	rerun := v1beta1.RerunOnChange
	if spec != nil {
		var expression func(map[string]any) bool
		if expression, err = compile(spec.Ended); err == nil {
			ended, forever = expression, false
			if spec.Rerun != "" {
				rerun = spec.Rerun
			}
		}
	}
	if ended == nil {
		return nil, err
	}
	return &Rule{ended, rerun, forever}, err
}

// EndsUnseen reports whether an object that went while nobody watched is taken for one that had
// ended: to run a Job twice is worse than to be asked for it. Pods are not: most of them
// are meant to run for ever, and are wanted again.
func (r *Rule) EndsUnseen() bool { return r != nil && !r.forever }

// Ended reports whether an object has ended. It is decoded JSON, with the types that
// unstructured objects have, and is not modified. One that is not there has not, and a nil
// rule says that nothing ends.
func (r *Rule) Ended(object map[string]any) bool {
	return r != nil && object != nil && r.ended(object)
}

// RerunOnChange reports whether a changed manifest makes an object again that has ended and is
// gone.
func (r *Rule) RerunOnChange() bool { return r == nil || r.rerun != v1beta1.RerunNever }

// jobEnded goes by the conditions that are the last ones of a Job. SuccessCriteriaMet and
// FailureTarget come before them, while pods still run.
func jobEnded(job map[string]any) bool {
	conditions, _, _ := unstructured.NestedFieldNoCopy(job, "status", "conditions")
	list, _ := conditions.([]any)
	return slices.ContainsFunc(list, func(item any) bool {
		condition, _ := item.(map[string]any)
		last := condition["type"] == string(batchv1.JobComplete) || condition["type"] == string(batchv1.JobFailed)
		return last && condition["status"] == string(corev1.ConditionTrue)
	})
}

// podEnded leaves out pods that are meant to run for ever: one of those that was evicted has the
// phase Failed, and is wanted again.
func podEnded(pod map[string]any) bool {
	policy, _, _ := unstructured.NestedString(pod, "spec", "restartPolicy")
	if policy == "" || policy == string(corev1.RestartPolicyAlways) {
		return false
	}
	phase, _, _ := unstructured.NestedString(pod, "status", "phase")
	return phase == string(corev1.PodSucceeded) || phase == string(corev1.PodFailed)
}
