package validation

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/completion"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/health"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/retain"
	"github.com/koinon-io/koinon/pkg/apis/mistakes"
)

// whyImmutable says why a type's identity stays: its objects are stored under it.
const whyImmutable = "delete the FederatedTypeConfig and create another, objects of the old kind are kept"

// FederatedTypeConfig checks a whole FederatedTypeConfig but its status.
func FederatedTypeConfig(config *v1beta1.FederatedTypeConfig) field.ErrorList {
	return federatedTypeConfig(config, &v1beta1.FederatedTypeConfig{})
}

// federatedTypeConfig takes a list that is as long as it was, and retainFields that are as they were.
func federatedTypeConfig(config, old *v1beta1.FederatedTypeConfig) field.ErrorList {
	spec := field.NewPath("spec")
	errs := typeConfigName(config)
	if follow, there := config.Annotations[v1beta1.FollowAnnotation]; there {
		errs = append(errs, oneOf(v1beta1.Mode(follow), field.NewPath("metadata", "annotations").Key(v1beta1.FollowAnnotation), v1beta1.Enabled, v1beta1.Disabled)...)
	}
	errs = append(errs, apiResource(&config.Spec.TargetType, spec.Child("targetType"))...)
	errs = append(errs, federatedType(&config.Spec, spec.Child("federatedType"))...)
	if config.Spec.StatusType != nil {
		errs = append(errs, apiResource(config.Spec.StatusType, spec.Child("statusType"))...)
	}
	errs = append(errs, oneOf(config.Spec.Propagation, spec.Child("propagation"), v1beta1.Enabled, v1beta1.Disabled)...)
	if mode := config.Spec.StatusCollection; mode != nil {
		errs = append(errs, oneOf(*mode, spec.Child("statusCollection"), v1beta1.Enabled, v1beta1.Disabled)...)
	}
	errs = append(errs, annotationPatterns(config.Spec.PropagatingAnnotations, len(old.Spec.PropagatingAnnotations), spec.Child("propagatingAnnotations"))...)
	if fields := config.Spec.ForeignFields; fields != "" {
		errs = append(errs, oneOf(fields, spec.Child("foreignFields"), v1beta1.RemoveForeignFields, v1beta1.KeepForeignFields)...)
	}
	if policy := config.Spec.Conflicts; policy != "" {
		errs = append(errs, oneOf(policy, spec.Child("conflicts"), v1beta1.OverwriteConflicts, v1beta1.AbortOnConflicts)...)
	}
	errs = append(errs, retain.Validate(config.Spec.RetainFields, old.Spec.RetainFields, spec.Child("retainFields"))...)
	errs = append(errs, runToCompletion(config.Spec.RunToCompletion, spec.Child("runToCompletion"))...)
	return append(errs, health.Validate(config.Spec.Health, spec.Child("health"))...)
}

// NewFederatedTypeConfig checks a whole FederatedTypeConfig that is being created.
func NewFederatedTypeConfig(config *v1beta1.FederatedTypeConfig) field.ErrorList {
	errs := FederatedTypeConfig(config)
	if problem := FederatedKindProblem(config.Spec.FederatedType.Kind); problem != "" {
		errs = append(errs, field.Invalid(field.NewPath("spec", "federatedType", "kind"), config.Spec.FederatedType.Kind, problem))
	}
	return append(errs, encryptedName(&config.Spec)...)
}

// encryptedName has Secrets be federated under the name by which they are encrypted where they are stored.
func encryptedName(spec *v1beta1.FederatedTypeConfigSpec) field.ErrorList {
	name := spec.FederatedType.PluralName
	if spec.TargetType.Group != "" || spec.TargetType.PluralName != "secrets" || name == v1beta1.FederatedSecrets || name == "" {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("spec", "federatedType", "pluralName"), name,
		fmt.Sprintf("must be %q for Secrets: what has another name is not encrypted in the datastore", v1beta1.FederatedSecrets))}
}

// metaKinds are the kinds that every group has, or every client: those of answers, of options,
// of lists and of subresources.
var metaKinds = func() sets.Set[string] {
	gv := schema.GroupVersion{Group: v1beta1.FederatedGroup, Version: "v1beta1"}
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, gv)
	kinds := sets.New("List", "Scale", "Table", "PartialObjectMetadata", "PartialObjectMetadataList")
	for gvk := range scheme.AllKnownTypes() {
		kinds.Insert(gvk.Kind)
	}
	return kinds
}()

// FederatedKindProblem says why a federated kind of that name cannot be served, in words that
// follow the name, and "" if it can: clients would take its objects for something else. Older
// releases stored such FederatedTypeConfigs.
func FederatedKindProblem(kind string) string {
	for _, name := range []string{kind, kind + "List"} {
		if metaKinds.Has(name) {
			return fmt.Sprintf("is not free: %s is a kind that every API group has; the usual name is Federated followed by the target kind", name)
		}
	}
	return ""
}

// FederatedTypeConfigUpdate checks the new state of a FederatedTypeConfig.
func FederatedTypeConfigUpdate(config, old *v1beta1.FederatedTypeConfig) field.ErrorList {
	spec := field.NewPath("spec")
	errs := federatedTypeConfig(config, old)
	errs = append(errs, sameType(&config.Spec.TargetType, &old.Spec.TargetType, spec.Child("targetType"))...)
	return append(errs, sameType(&config.Spec.FederatedType, &old.Spec.FederatedType, spec.Child("federatedType"))...)
}

// FederatedTypeConfigStatus checks the status of a FederatedTypeConfig.
func FederatedTypeConfigStatus(config *v1beta1.FederatedTypeConfig) (errs field.ErrorList) {
	path := field.NewPath("status")
	if status := config.Status.PropagationController; status != "" {
		errs = append(errs, oneOf(status, path.Child("propagationController"),
			v1beta1.ControllerRunning, v1beta1.ControllerNotRunning)...)
	}
	if status := config.Status.StatusController; status != nil {
		errs = append(errs, oneOf(*status, path.Child("statusController"),
			v1beta1.ControllerRunning, v1beta1.ControllerNotRunning)...)
	}
	return errs
}

// typeConfigName ties the name to the target type, so that a target has one
// FederatedTypeConfig.
func typeConfigName(config *v1beta1.FederatedTypeConfig) field.ErrorList {
	target := config.Spec.TargetType
	if target.PluralName == "" {
		return nil // reported as missing
	}
	want := target.PluralName
	if target.Group != "" {
		want += "." + target.Group
	}
	if config.Name == want {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("metadata", "name"), config.Name, fmt.Sprintf(
		"must be %q: the plural name of spec.targetType, followed by a dot and its group unless that is empty", want))}
}

func apiResource(resource *v1beta1.APIResource, path *field.Path) field.ErrorList {
	errs := optional(resource.Group, path.Child("group"), validation.IsDNS1123Subdomain)
	errs = append(errs, matches(resource.Version, path.Child("version"), "a version, such as v1", validation.IsDNS1035Label)...)
	errs = append(errs, matches(resource.Kind, path.Child("kind"), "a kind, such as Deployment", isKind)...)
	errs = append(errs, matches(resource.PluralName, path.Child("pluralName"), "a plural name, such as deployments", validation.IsDNS1035Label)...)
	return append(errs, oneOf(resource.Scope, path.Child("scope"), v1beta1.ClusterScoped, v1beta1.NamespaceScoped)...)
}

// isKind has the rule of CustomResourceDefinitions.
func isKind(kind string) []string {
	return validation.IsDNS1035Label(strings.ToLower(kind))
}

// federatedType checks what can be served: one group, in the scope of the target.
func federatedType(spec *v1beta1.FederatedTypeConfigSpec, path *field.Path) field.ErrorList {
	federated := &spec.FederatedType
	errs := apiResource(federated, path)
	errs = append(errs, oneOf(federated.Group, path.Child("group"), v1beta1.FederatedGroup)...)
	errs = append(errs, oneOf(federated.Version, path.Child("version"), "v1beta1", "v1beta2")...)
	want := v1beta1.FederatedScope(spec.TargetType)
	if (want == v1beta1.ClusterScoped || want == v1beta1.NamespaceScoped) && federated.Scope != "" && federated.Scope != want {
		errs = append(errs, field.Invalid(path.Child("scope"), federated.Scope, fmt.Sprintf("must be %q for this target type", want)))
	}
	return errs
}

func sameType(resource, old *v1beta1.APIResource, path *field.Path) field.ErrorList {
	errs := immutable(resource.Group, old.Group, path.Child("group"), whyImmutable)
	errs = append(errs, immutable(resource.Kind, old.Kind, path.Child("kind"), whyImmutable)...)
	errs = append(errs, immutable(resource.PluralName, old.PluralName, path.Child("pluralName"), whyImmutable)...)
	return append(errs, immutable(resource.Scope, old.Scope, path.Child("scope"), whyImmutable)...)
}

// annotationPatterns takes annotation keys in which * stands for any characters.
func annotationPatterns(patterns []string, old int, path *field.Path) field.ErrorList {
	errs := mistakes.TooMany(len(patterns), old, v1beta1.MaxPropagatingAnnotations, path)
	if len(errs) > 0 {
		return errs
	}
	seen := map[string]bool{}
	for i, pattern := range patterns {
		errs = append(errs, unique(seen, pattern, path.Index(i))...)
		if len(validation.IsQualifiedName(strings.ReplaceAll(pattern, "*", "x"))) > 0 {
			errs = append(errs, field.Invalid(path.Index(i), pattern,
				"must be an annotation key, in which * stands for any characters, such as service.beta.kubernetes.io/*"))
		}
	}
	return errs
}

// runToCompletion takes a rule whose expression compiles.
func runToCompletion(rule *v1beta1.RunToCompletion, path *field.Path) (errs field.ErrorList) {
	if rule == nil {
		return nil
	}
	const example = "an expression in CEL that is true of an object that has ended, such as self.status.phase == 'Succeeded'"
	if rule.Ended == "" {
		errs = append(errs, field.Required(path.Child("ended"), "must be "+example))
	} else if err := completion.Compile(rule.Ended); err != nil {
		errs = append(errs, field.Invalid(path.Child("ended"), rule.Ended, fmt.Sprintf("must be %s: %v", example, err)))
	}
	return append(errs, oneOf(rule.Rerun, path.Child("rerun"), v1beta1.RerunOnChange, v1beta1.RerunNever)...)
}
