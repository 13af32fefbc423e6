package validation

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/mistakes"
)

// KubeFedCluster checks a whole KubeFedCluster but its status.
func KubeFedCluster(cluster *v1beta1.KubeFedCluster) field.ErrorList {
	return kubeFedCluster(cluster, &v1beta1.KubeFedCluster{})
}

// kubeFedCluster takes lists that are as long as they were.
func kubeFedCluster(cluster, old *v1beta1.KubeFedCluster) field.ErrorList {
	spec := field.NewPath("spec")
	errs := clusterName(cluster)
	errs = append(errs, endpoint(cluster.Spec.APIEndpoint, spec.Child("apiEndpoint"))...)
	errs = append(errs, objectName(cluster.Spec.SecretRef.Name, spec.Child("secretRef", "name"))...)
	errs = append(errs, tlsValidations(cluster.Spec.DisabledTLSValidations, len(old.Spec.DisabledTLSValidations), spec.Child("disabledTLSValidations"))...)
	errs = append(errs, proxyURL(cluster.Spec.ProxyURL, spec.Child("proxyURL"))...)
	errs = append(errs, tunnel(cluster.Spec.Tunnel, spec.Child("tunnel"))...)
	errs = append(errs, optional(cluster.Spec.JoinNamespace, spec.Child("joinNamespace"), validation.IsDNS1123Label)...)
	return append(errs, systemNamespaces(cluster.Spec.AllowedSystemNamespaces, len(old.Spec.AllowedSystemNamespaces), spec.Child("allowedSystemNamespaces"))...)
}

func tunnel(value v1beta1.TunnelUse, path *field.Path) field.ErrorList {
	allowed := []v1beta1.TunnelUse{v1beta1.TunnelAlways, v1beta1.TunnelNever}
	if value != "" && !slices.Contains(allowed, value) {
		return field.ErrorList{field.NotSupported(path, value, allowed)}
	}
	return nil
}

func systemNamespaces(names []string, old int, path *field.Path) field.ErrorList {
	errs := mistakes.TooMany(len(names), old, v1beta1.MaxAllowedSystemNamespaces, path)
	if len(errs) > 0 {
		return errs
	}
	seen := map[string]bool{}
	for i, namespace := range names {
		errs = append(errs, matches(namespace, path.Index(i), "the name of a namespace", validation.IsDNS1123Label)...)
		errs = append(errs, unique(seen, namespace, path.Index(i))...)
	}
	return errs
}

// KubeFedClusterUpdate checks the new state of a KubeFedCluster. An endpoint that was taken
// before http was refused does not stand in the way of other changes.
func KubeFedClusterUpdate(cluster, old *v1beta1.KubeFedCluster) field.ErrorList {
	errs := kubeFedCluster(cluster, old)
	if cluster.Spec.APIEndpoint != old.Spec.APIEndpoint {
		return errs
	}
	return slices.DeleteFunc(errs, func(err *field.Error) bool { return err.Field == "spec.apiEndpoint" })
}

// KubeFedClusterStatus checks the status of a KubeFedCluster.
func KubeFedClusterStatus(cluster *v1beta1.KubeFedCluster) field.ErrorList {
	errs := mistakes.TooMany(len(cluster.Status.Conditions), 0, v1beta1.MaxConditions, field.NewPath("status", "conditions"))
	if len(errs) > 0 {
		return errs
	}
	seen := map[string]bool{}
	for i, condition := range cluster.Status.Conditions {
		path := field.NewPath("status", "conditions").Index(i)
		errs = append(errs, oneOf(condition.Type, path.Child("type"),
			v1beta1.ClusterReady, v1beta1.ClusterOffline, v1beta1.ClusterConfigMalformed, v1beta1.ClusterCredentialsExpiring)...)
		errs = append(errs, oneOf(condition.Status, path.Child("status"),
			corev1.ConditionTrue, corev1.ConditionFalse, corev1.ConditionUnknown)...)
		errs = append(errs, unique(seen, string(condition.Type), path.Child("type"))...)
	}
	return errs
}

// clusterName keeps names with a dot for cells and edge units, and ties the name of a
// KubeFedCluster that is one to its labels, both ways: selectors read the labels,
// conversion reads the name.
func clusterName(cluster *v1beta1.KubeFedCluster) field.ErrorList {
	path := field.NewPath("metadata", "name")
	topologyType, labelled := cluster.Labels[federationv1alpha1.TopologyLabel]
	if !labelled {
		return memberName(cluster.Name, path)
	}
	if !topology.Scoped(topologyType) {
		return field.ErrorList{field.NotSupported(
			field.NewPath("metadata", "labels").Key(federationv1alpha1.TopologyLabel), topologyType, scopedTypes())}
	}
	namespace := cluster.Labels[federationv1alpha1.TopologyNamespaceLabel]
	name := cluster.Labels[federationv1alpha1.TopologyNameLabel]
	for _, key := range []string{federationv1alpha1.TopologyNamespaceLabel, federationv1alpha1.TopologyNameLabel} {
		if cluster.Labels[key] == "" {
			return field.ErrorList{field.Required(field.NewPath("metadata", "labels").Key(key), fmt.Sprintf(
				"the label %s=%s is for the KubeFedClusters that are made of cells and edge units, and these say of which one; leave it out on a member",
				federationv1alpha1.TopologyLabel, topologyType))}
		}
	}
	if want := topology.ClusterName(topologyType, namespace, name); cluster.Name != want {
		return field.ErrorList{field.Invalid(path, cluster.Name, fmt.Sprintf(
			"must be %q, as the labels %s, %s and %s say", want, federationv1alpha1.TopologyLabel,
			federationv1alpha1.TopologyNamespaceLabel, federationv1alpha1.TopologyNameLabel))}
	}
	return nil
}

// memberName refuses a name that is not free for members.
func memberName(name string, path *field.Path) field.ErrorList {
	if !strings.Contains(name, ".") {
		return nil
	}
	var rules []string
	for _, topologyType := range scopedTypes() {
		rules = append(rules, topology.Rule(topologyType, "<namespace>"))
	}
	return field.ErrorList{field.Invalid(path, name, fmt.Sprintf(
		"a name with a dot is reserved for the KubeFedClusters of cells and edge units (%s), which carry the label %s; use a name without dots",
		strings.Join(rules, ", "), federationv1alpha1.TopologyLabel))}
}

// scopedTypes lists the topology types whose targets appear as KubeFedClusters of their
// own.
func scopedTypes() []string {
	return slices.DeleteFunc(topology.Types(), func(t string) bool { return !topology.Scoped(t) })
}

// endpoint takes a host, host:port or https URL: over http a member's credentials could be
// read on their way.
func endpoint(value string, path *field.Path) field.ErrorList {
	const allowed = "must be a host, a host:port or a URL with the scheme https"
	if value == "" {
		return field.ErrorList{field.Required(path, allowed)}
	}
	address := value
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" {
		return field.ErrorList{field.Invalid(path, value, allowed)}
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return field.ErrorList{field.Invalid(path, u.Redacted(), allowed+", without user, query and fragment")}
	}
	return nil
}

func tlsValidations(values []v1beta1.TLSValidation, old int, path *field.Path) field.ErrorList {
	errs := mistakes.TooMany(len(values), old, v1beta1.MaxDisabledTLSValidations, path)
	if len(errs) > 0 {
		return errs
	}
	seen := map[string]bool{}
	for i, value := range values {
		errs = append(errs, oneOf(value, path.Index(i),
			v1beta1.TLSAll, v1beta1.TLSSubjectName, v1beta1.TLSValidityPeriod)...)
		errs = append(errs, unique(seen, string(value), path.Index(i))...)
	}
	if len(values) > 1 && slices.Contains(values, v1beta1.TLSAll) {
		errs = append(errs, field.Invalid(path, values, `"*" must be the only entry: it turns off every check`))
	}
	return errs
}

func proxyURL(value string, path *field.Path) field.ErrorList {
	const allowed = "must be a URL with the scheme http, https or socks5"
	if value == "" {
		return nil
	}
	u, err := url.Parse(value)
	if err != nil {
		return field.ErrorList{field.Invalid(path, "", allowed)}
	}
	if u.Hostname() == "" || !slices.Contains([]string{"http", "https", "socks5"}, u.Scheme) {
		return field.ErrorList{field.Invalid(path, u.Redacted(), allowed)}
	}
	return nil
}
