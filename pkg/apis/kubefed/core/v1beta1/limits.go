package v1beta1

// How long lists may be; docs/limits.md has them all. An object that was stored with a longer
// one may be changed as long as the list does not grow.
const (
	// MaxAllowedSystemNamespaces is of KubeFedCluster.spec.allowedSystemNamespaces.
	MaxAllowedSystemNamespaces = 100
	// MaxDisabledTLSValidations is of KubeFedCluster.spec.disabledTLSValidations: each once.
	MaxDisabledTLSValidations = 3
	// MaxConditions is of KubeFedCluster.status.conditions: KubeFed has three.
	MaxConditions = 16
	// MaxPropagatingAnnotations is of FederatedTypeConfig.spec.propagatingAnnotations.
	MaxPropagatingAnnotations = 100
	// MaxRetainFields is of FederatedTypeConfig.spec.retainFields, and MaxRetainWhenBytes how long the
	// expression of each may be.
	MaxRetainFields    = 100
	MaxRetainWhenBytes = 4 << 10
	// MaxEndedBytes is how long the expression FederatedTypeConfig.spec.runToCompletion.ended
	// may be.
	MaxEndedBytes = 4 << 10
	// MaxHealthBytes is how long each expression of FederatedTypeConfig.spec.health may be.
	MaxHealthBytes = 4 << 10
	// MaxFeatureGates is of KubeFedConfig.spec.featureGates.
	MaxFeatureGates = 16
)
