package v1beta1

import (
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// FederatedGroup is the API group of all federated kinds.
const FederatedGroup = "types.kubefed.io"

// FederatedSecrets is the plural name of what has Secrets in its templates, by which it is encrypted where it is stored.
const FederatedSecrets = "federatedsecrets"

// federatedVersion is the version of federated kinds that stock KubeFed speaks, and so
// the one that a FederatedTypeConfig names by default. Both versions are served
// whichever it names.
const federatedVersion = "v1beta1"

func addDefaultingFuncs(scheme *runtime.Scheme) error {
	return RegisterDefaults(scheme)
}

// SetDefaults_FederatedTypeConfig fills in what follows from the object's name and the
// target type: the target's plural and group, and the whole federated type.
func SetDefaults_FederatedTypeConfig(obj *FederatedTypeConfig) {
	plural, group, _ := strings.Cut(obj.Name, ".")
	target, federated := &obj.Spec.TargetType, &obj.Spec.FederatedType
	isLeftOut := *federated == APIResource{}
	setDefault(&target.PluralName, plural)
	setDefault(&target.Group, group)
	if target.Kind != "" {
		setDefault(&federated.Kind, "Federated"+target.Kind)
	}
	if target.PluralName != "" {
		setDefault(&federated.PluralName, "federated"+target.PluralName)
	}
	if isLeftOut {
		// As with KubeFed, a federated type that is written has to name its group.
		federated.Group = FederatedGroup
	}
	setDefault(&federated.Version, federatedVersion)
	setDefault(&federated.Scope, FederatedScope(*target))
	if status := obj.Spec.StatusType; status != nil {
		setDefault(&status.Group, federated.Group)
		setDefault(&status.Version, federated.Version)
	}
	setDefault(&obj.Spec.Propagation, Enabled)
	if rule := obj.Spec.RunToCompletion; rule != nil {
		setDefault(&rule.Rerun, RerunOnChange)
	}
}

// FederatedScope returns the scope that the federated kind of a target has: the
// target's own, but a FederatedNamespace is namespaced. It is empty if the target's is.
func FederatedScope(target APIResource) ResourceScope {
	if target.Group == "" && target.Kind == "Namespace" {
		return NamespaceScoped
	}
	return target.Scope
}

// SetDefaults_KubeFedConfig fills in every setting that is left out, with the values
// that KubeFed's own webhook and controller manager have.
func SetDefaults_KubeFedConfig(obj *KubeFedConfig) {
	spec := &obj.Spec
	setDefault(&spec.Scope, ClusterScoped)

	duration := section(&spec.ControllerDuration)
	setDefaultDuration(&duration.AvailableDelay, 20*time.Second)
	setDefaultDuration(&duration.UnavailableDelay, 60*time.Second)
	setDefaultDuration(&duration.CacheSyncTimeout, 5*time.Minute)

	elect := section(&spec.LeaderElect)
	setDefaultDuration(&elect.LeaseDuration, 15*time.Second)
	setDefaultDuration(&elect.RenewDeadline, 10*time.Second)
	setDefaultDuration(&elect.RetryPeriod, 5*time.Second)
	setDefaultPointer(&elect.ResourceLock, ConfigMapsResourceLock)

	spec.FeatureGates = defaultFeatureGates(spec.FeatureGates)

	health := section(&spec.ClusterHealthCheck)
	setDefaultDuration(&health.Period, 10*time.Second)
	setDefaultPointer(&health.FailureThreshold, 3)
	setDefaultPointer(&health.SuccessThreshold, 1)
	setDefaultDuration(&health.Timeout, 3*time.Second)

	sync := section(&spec.SyncController)
	setDefaultPointer(&sync.MaxConcurrentReconciles, 1)
	setDefaultPointer(&sync.AdoptResources, Enabled)

	setDefaultPointer(&section(&spec.StatusController).MaxConcurrentReconciles, 1)
}

// defaultFeatureGates appends the gates that are missing, in a fixed order.
func defaultFeatureGates(gates []FeatureGatesConfig) []FeatureGatesConfig {
	named := map[string]bool{}
	for _, gate := range gates {
		named[gate.Name] = true
	}
	for _, gate := range []FeatureGatesConfig{
		{Name: GatePushReconciler, Configuration: Enabled},
		{Name: GateSchedulerPreferences, Configuration: Enabled},
		{Name: GateRawResourceStatusCollection, Configuration: Disabled},
	} {
		if !named[gate.Name] {
			gates = append(gates, gate)
		}
	}
	return gates
}

// section returns the struct that p points to, and makes it first if it is missing.
func section[T any](p **T) *T {
	if *p == nil {
		*p = new(T)
	}
	return *p
}

func setDefault[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}

func setDefaultPointer[T any](p **T, value T) {
	if *p == nil {
		*p = &value
	}
}

func setDefaultDuration(p **metav1.Duration, value time.Duration) {
	setDefaultPointer(p, metav1.Duration{Duration: value})
}
