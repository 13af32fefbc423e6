package validation

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/mistakes"
)

// retryFactor is the jitter that client-go's leader election adds to a retry period.
const retryFactor = 1.2

// KubeFedConfig checks a whole KubeFedConfig. Every section must be there: KubeFed's
// controller manager refuses to start without one.
func KubeFedConfig(config *v1beta1.KubeFedConfig) field.ErrorList {
	return kubeFedConfig(config, &v1beta1.KubeFedConfig{})
}

// kubeFedConfig takes a list that is as long as it was.
func kubeFedConfig(config, old *v1beta1.KubeFedConfig) field.ErrorList {
	path := field.NewPath("spec")
	spec := &config.Spec
	errs := oneOf(spec.Scope, path.Child("scope"), v1beta1.ClusterScoped, v1beta1.NamespaceScoped)
	errs = append(errs, required(spec.ControllerDuration, path.Child("controllerDuration"), durations)...)
	errs = append(errs, required(spec.LeaderElect, path.Child("leaderElect"), leaderElect)...)
	errs = append(errs, featureGates(spec.FeatureGates, len(old.Spec.FeatureGates), path.Child("featureGates"))...)
	errs = append(errs, required(spec.ClusterHealthCheck, path.Child("clusterHealthCheck"), healthCheck)...)
	errs = append(errs, required(spec.SyncController, path.Child("syncController"), syncController)...)
	return append(errs, required(spec.StatusController, path.Child("statusController"),
		func(c *v1beta1.StatusControllerConfig, path *field.Path) field.ErrorList {
			return positiveCount(c.MaxConcurrentReconciles, path.Child("maxConcurrentReconciles"))
		})...)
}

// KubeFedConfigUpdate checks the new state of a KubeFedConfig.
func KubeFedConfigUpdate(config, old *v1beta1.KubeFedConfig) field.ErrorList {
	return append(kubeFedConfig(config, old), immutable(config.Spec.Scope, old.Spec.Scope,
		field.NewPath("spec", "scope"), "delete the KubeFedConfig and create it again")...)
}

// required checks a section, and refuses that it is missing.
func required[T any](section *T, path *field.Path, check func(*T, *field.Path) field.ErrorList) field.ErrorList {
	if section == nil {
		return field.ErrorList{field.Required(path, "must be an object; its fields have defaults")}
	}
	return check(section, path)
}

func durations(config *v1beta1.DurationConfig, path *field.Path) field.ErrorList {
	errs := positive(config.AvailableDelay, path.Child("availableDelay"))
	errs = append(errs, positive(config.UnavailableDelay, path.Child("unavailableDelay"))...)
	return append(errs, positive(config.CacheSyncTimeout, path.Child("cacheSyncTimeout"))...)
}

func leaderElect(config *v1beta1.LeaderElectConfig, path *field.Path) field.ErrorList {
	errs := positive(config.LeaseDuration, path.Child("leaseDuration"))
	errs = append(errs, positive(config.RenewDeadline, path.Child("renewDeadline"))...)
	errs = append(errs, positive(config.RetryPeriod, path.Child("retryPeriod"))...)
	if config.ResourceLock == nil {
		errs = append(errs, field.Required(path.Child("resourceLock"), "must be configmaps or endpoints"))
	} else {
		errs = append(errs, oneOf(*config.ResourceLock, path.Child("resourceLock"),
			v1beta1.ConfigMapsResourceLock, v1beta1.EndpointsResourceLock)...)
	}
	if len(errs) > 0 {
		return errs
	}
	lease, renew, retry := config.LeaseDuration.Duration, config.RenewDeadline.Duration, config.RetryPeriod.Duration
	if lease <= renew {
		errs = append(errs, field.Invalid(path.Child("leaseDuration"), lease.String(),
			fmt.Sprintf("must be greater than renewDeadline, which is %s", renew)))
	}
	if float64(renew) <= retryFactor*float64(retry) {
		errs = append(errs, field.Invalid(path.Child("renewDeadline"), renew.String(),
			fmt.Sprintf("must be greater than %v times retryPeriod, which is %s", retryFactor, retry)))
	}
	return errs
}

func featureGates(gates []v1beta1.FeatureGatesConfig, old int, path *field.Path) field.ErrorList {
	errs := mistakes.TooMany(len(gates), old, v1beta1.MaxFeatureGates, path)
	if len(errs) > 0 {
		return errs
	}
	seen := map[string]bool{}
	for i, gate := range gates {
		errs = append(errs, oneOf(gate.Name, path.Index(i).Child("name"),
			v1beta1.GatePushReconciler, v1beta1.GateSchedulerPreferences, v1beta1.GateRawResourceStatusCollection)...)
		errs = append(errs, unique(seen, gate.Name, path.Index(i).Child("name"))...)
		errs = append(errs, oneOf(gate.Configuration, path.Index(i).Child("configuration"),
			v1beta1.Enabled, v1beta1.Disabled)...)
	}
	return errs
}

func healthCheck(config *v1beta1.ClusterHealthCheckConfig, path *field.Path) field.ErrorList {
	errs := positive(config.Period, path.Child("period"))
	errs = append(errs, positiveCount(config.FailureThreshold, path.Child("failureThreshold"))...)
	errs = append(errs, positiveCount(config.SuccessThreshold, path.Child("successThreshold"))...)
	return append(errs, positive(config.Timeout, path.Child("timeout"))...)
}

func syncController(config *v1beta1.SyncControllerConfig, path *field.Path) field.ErrorList {
	errs := positiveCount(config.MaxConcurrentReconciles, path.Child("maxConcurrentReconciles"))
	if config.AdoptResources == nil {
		return append(errs, field.Required(path.Child("adoptResources"), "must be Enabled or Disabled"))
	}
	return append(errs, oneOf(*config.AdoptResources, path.Child("adoptResources"), v1beta1.Enabled, v1beta1.Disabled)...)
}
