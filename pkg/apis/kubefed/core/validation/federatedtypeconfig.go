package validation

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/mistakes"
)

// whyImmutable says why a type's identity stays: its objects are stored under it.
const whyImmutable = "delete the FederatedTypeConfig and create another, objects of the old kind are kept"

// FederatedTypeConfig checks a whole FederatedTypeConfig but its status.
func FederatedTypeConfig(config *v1beta1.FederatedTypeConfig) field.ErrorList {
	return federatedTypeConfig(config, &v1beta1.FederatedTypeConfig{})
}

// federatedTypeConfig takes a list that is as long as it was.
func federatedTypeConfig(config, old *v1beta1.FederatedTypeConfig) field.ErrorList {
	spec := field.NewPath("spec")
	errs := typeConfigName(config)
	errs = append(errs, apiResource(&config.Spec.TargetType, spec.Child("targetType"))...)
	errs = append(errs, federatedType(&config.Spec, spec.Child("federatedType"))...)
	if config.Spec.StatusType != nil {
		errs = append(errs, apiResource(config.Spec.StatusType, spec.Child("statusType"))...)
	}
	errs = append(errs, oneOf(config.Spec.Propagation, spec.Child("propagation"), v1beta1.Enabled, v1beta1.Disabled)...)
	if mode := config.Spec.StatusCollection; mode != nil {
		errs = append(errs, oneOf(*mode, spec.Child("statusCollection"), v1beta1.Enabled, v1beta1.Disabled)...)
	}
	return append(errs, annotationPatterns(config.Spec.PropagatingAnnotations, len(old.Spec.PropagatingAnnotations), spec.Child("propagatingAnnotations"))...)
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
