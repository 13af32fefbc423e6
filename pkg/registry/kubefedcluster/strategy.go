// Package kubefedcluster is the REST storage of KubeFedClusters: members, and the
// clusters that cells and edge units appear as.
package kubefedcluster

import (
	"context"
	"crypto/x509"
	"fmt"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/validation"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

// strategy is for writes of the object: they leave the status as it is.
type strategy struct {
	objectstore.Base
	// systemNamespace is where controllers look for clusters.
	systemNamespace string
}

func newStrategy(scheme *runtime.Scheme, systemNamespace string) strategy {
	return strategy{
		Base:            objectstore.NewBase(scheme, objectstore.Namespaced, v1beta1.SchemeGroupVersion, "status"),
		systemNamespace: systemNamespace,
	}
}

func (strategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	cluster := obj.(*v1beta1.KubeFedCluster)
	cluster.Status = v1beta1.KubeFedClusterStatus{}
	cluster.Generation = 1
}

func (strategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	cluster, oldCluster := obj.(*v1beta1.KubeFedCluster), old.(*v1beta1.KubeFedCluster)
	cluster.Status = oldCluster.Status
	if !apiequality.Semantic.DeepEqual(cluster.Spec, oldCluster.Spec) {
		cluster.Generation++
	}
}

func (strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return validation.KubeFedCluster(obj.(*v1beta1.KubeFedCluster))
}

func (strategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.KubeFedClusterUpdate(obj.(*v1beta1.KubeFedCluster), old.(*v1beta1.KubeFedCluster))
}

// WarningsOnCreate tells about a cluster that no controller will look at.
func (s strategy) WarningsOnCreate(_ context.Context, obj runtime.Object) []string {
	cluster := obj.(*v1beta1.KubeFedCluster)
	warnings := caWarnings(cluster)
	if cluster.Namespace != s.systemNamespace {
		warnings = append(warnings, fmt.Sprintf("metadata.namespace: clusters outside of namespace %q are kept and not used", s.systemNamespace))
	}
	return warnings
}

// WarningsOnUpdate tells besides what controllers have found out since.
func (strategy) WarningsOnUpdate(_ context.Context, obj, old runtime.Object) []string {
	cluster := obj.(*v1beta1.KubeFedCluster)
	warnings := caWarnings(cluster)
	if joinNamespaceUnknown(cluster) && cluster.Spec.SecretRef == old.(*v1beta1.KubeFedCluster).Spec.SecretRef {
		warnings = append(warnings, "spec.joinNamespace: the credential of this member is no service account's token, which would say in which namespace of the member the account is: name it, so that no object is placed there (kube-system, if it is in no namespace)")
	}
	return warnings
}

// joinNamespaceUnknown says that controllers have reached a member and nobody has said where
// its join account is: neither the credential nor the spec. Cells and edge units have their
// member's account.
func joinNamespaceUnknown(cluster *v1beta1.KubeFedCluster) bool {
	return Ready(&cluster.Status) == "True" && cluster.Spec.JoinNamespace == "" && cluster.Status.JoinNamespace == "" &&
		cluster.Labels[federationv1alpha1.TopologyLabel] == ""
}

// caWarnings tells about authorities that no connection can be checked against. KubeFed
// takes them, and reports the cluster as ConfigMalformed.
func caWarnings(cluster *v1beta1.KubeFedCluster) []string {
	bundle := cluster.Spec.CABundle
	if len(bundle) == 0 || x509.NewCertPool().AppendCertsFromPEM(bundle) {
		return nil
	}
	return []string{"spec.caBundle: there is no certificate in it; it must be one or more certificates in PEM form"}
}

// statusStrategy is for writes of the status: they leave all else as it is.
type statusStrategy struct {
	strategy
}

func newStatusStrategy(s strategy, scheme *runtime.Scheme) statusStrategy {
	s.Base = objectstore.NewBase(scheme, objectstore.Namespaced, v1beta1.SchemeGroupVersion, "metadata", "spec")
	return statusStrategy{s}
}

func (statusStrategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	cluster, oldCluster := obj.(*v1beta1.KubeFedCluster), old.(*v1beta1.KubeFedCluster)
	cluster.Spec = oldCluster.Spec
	metav1.ResetObjectMetaForStatus(cluster, oldCluster)
}

func (statusStrategy) ValidateUpdate(_ context.Context, obj, _ runtime.Object) field.ErrorList {
	return validation.KubeFedClusterStatus(obj.(*v1beta1.KubeFedCluster))
}

func (statusStrategy) WarningsOnUpdate(_ context.Context, _, _ runtime.Object) []string { return nil }
