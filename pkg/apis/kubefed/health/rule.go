package health

import (
	"strings"
	"unicode/utf8"

	kstatus "github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/completion"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// Rule says of the objects of one type how they are.
type Rule struct {
	target            schema.GroupKind
	healthy, degraded completion.Predicate
	message           completion.Text
	// ends says of a Job that it has ended; nil if objects of the kind do not.
	ends *completion.Rule
}

// Summary is what is kept of how one object is.
type Summary struct {
	Health v1beta2.Health
	// Message is empty if the object is healthy, and at most v1beta2.MaxHealthMessageBytes long.
	Message string
	// Replicas are nil if the object has none.
	Replicas *v1beta2.WorkloadStatus
}

var there = &Summary{Health: v1beta2.HealthHealthy}

// There is how an object is of whose kind nothing is told but that it is there: see HasStatus. It
// is the same one for all, and must not be modified.
func There() *Summary { return there }

// For returns the rule of a target type. spec is that of the FederatedTypeConfig, nil if it has
// none. An error, a *field.Error below path, is an expression that does not compile, or a rule
// without any.
func For(target schema.GroupKind, spec *v1beta1.HealthRule) (*Rule, error) {
	ends, err := completion.For(target, nil)
	if err != nil {
		return nil, err
	}
	r := &Rule{target: target, ends: ends}
	if spec == nil {
		return r, nil
	}
	if errs := Validate(spec, nil); len(errs) > 0 {
		return nil, errs[0]
	}
	for _, e := range []struct {
		to   *completion.Predicate
		text string
	}{{&r.healthy, spec.Healthy}, {&r.degraded, spec.Degraded}} {
		if e.text == "" {
			continue
		}
		if *e.to, err = completion.NewPredicate(e.text, v1beta1.MaxHealthBytes); err != nil {
			return nil, err
		}
	}
	if spec.Message != "" {
		if r.message, err = completion.NewText(spec.Message, v1beta1.MaxHealthBytes); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Of returns how an object is. It is decoded JSON, with the types that unstructured objects have,
// and is not modified.
func (r *Rule) Of(object map[string]any) (s *Summary) {
	s = &Summary{}
	defer func() {
		// kstatus takes objects to be as their types say. A member may send anything.
		if recover() != nil {
			*s = Summary{Health: v1beta2.HealthUnknown, Message: nonsense}
		}
	}()
	s.Replicas = r.replicas(object)
	s.Health, s.Message = r.judge(object)
	switch {
	case s.Health == v1beta2.HealthHealthy:
		s.Message = ""
	case r.message != nil:
		if said, ok := r.message(object); ok && said != "" {
			s.Message = said
		}
	}
	s.Message = cut(s.Message)
	return s
}

const nonsense = "the object there is not as objects of its kind are"

func (r *Rule) judge(object map[string]any) (v1beta2.Health, string) {
	if why := unfinished(object); why != "" {
		return v1beta2.HealthProgressing, why
	}
	if r.degraded != nil && r.degraded(object) {
		return v1beta2.HealthDegraded, "the object there failed"
	}
	if r.healthy != nil {
		if r.healthy(object) {
			return v1beta2.HealthHealthy, ""
		}
		return v1beta2.HealthProgressing, "the object there is not healthy yet"
	}
	return r.known(object)
}

// unfinished says what holds whatever the rules are: the object is about to be another one.
func unfinished(object map[string]any) string {
	if deleted, _, _ := unstructured.NestedString(object, "metadata", "deletionTimestamp"); deleted != "" {
		return "the object there is being deleted"
	}
	generation, has, err := unstructured.NestedInt64(object, "metadata", "generation")
	if !has || err != nil {
		return ""
	}
	observed, has, err := unstructured.NestedInt64(object, "status", "observedGeneration")
	if !has || err != nil || observed == generation {
		return ""
	}
	return "the controller there has not seen the newest spec yet"
}

// known judges by what is known of the kind, and of kinds in general.
func (r *Rule) known(object map[string]any) (v1beta2.Health, string) {
	result, err := kstatus.Compute(timeless(object))
	if err != nil {
		return v1beta2.HealthUnknown, nonsense
	}
	switch {
	case result.Status == kstatus.FailedStatus, r.failed(object):
		return v1beta2.HealthDegraded, result.Message
	case r.suspended(object, result.Status == kstatus.CurrentStatus):
		return v1beta2.HealthSuspended, "spec has the object there wait"
	case result.Status == kstatus.CurrentStatus:
		return v1beta2.HealthHealthy, ""
	case result.Status == kstatus.InProgressStatus, result.Status == kstatus.TerminatingStatus:
		return v1beta2.HealthProgressing, result.Message
	default:
		return v1beta2.HealthUnknown, result.Message
	}
}

// timeless is the object without its age: kstatus gives a Pod 15 s to be scheduled, and nobody
// would look at it again when they are over.
func timeless(object map[string]any) *unstructured.Unstructured {
	metadata, _ := object["metadata"].(map[string]any)
	if _, has := metadata["creationTimestamp"]; !has {
		return &unstructured.Unstructured{Object: object}
	}
	out, kept := make(map[string]any, len(object)), make(map[string]any, len(metadata))
	for key, value := range object {
		out[key] = value
	}
	for key, value := range metadata {
		if key != "creationTimestamp" {
			kept[key] = value
		}
	}
	out["metadata"] = kept
	return &unstructured.Unstructured{Object: out}
}

var (
	podKind        = schema.GroupKind{Kind: "Pod"}
	deploymentKind = schema.GroupKind{Group: "apps", Kind: "Deployment"}
	// suspending is the field of spec that has objects of a kind wait.
	suspending = map[schema.GroupKind]string{
		{Group: "batch", Kind: "Job"}:     "suspend",
		{Group: "batch", Kind: "CronJob"}: "suspend",
		deploymentKind:                    "paused",
	}
)

// failed adds what kstatus takes for the end of a Pod like any other.
func (r *Rule) failed(object map[string]any) bool {
	phase, _, _ := unstructured.NestedString(object, "status", "phase")
	return r.target == podKind && phase == "Failed"
}

// suspended: a Job that has ended waits for nothing, nor does a paused Deployment that runs what its
// spec says, which is what current says of one.
func (r *Rule) suspended(object map[string]any, current bool) bool {
	field, has := suspending[r.target]
	if !has || current && r.target == deploymentKind {
		return false
	}
	suspended, _, _ := unstructured.NestedBool(object, "spec", field)
	return suspended && !r.ends.Ended(object)
}

// cut makes a text that a member sends a short one, of one line.
func cut(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= v1beta2.MaxHealthMessageBytes {
		return text
	}
	const mark = "..."
	end := v1beta2.MaxHealthMessageBytes - len(mark)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return strings.Clone(text[:end]) + mark
}
