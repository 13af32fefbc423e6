package manifest

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Fields are fields of objects of one kind that the member decides. They are carried over
// from what a member has when its object is replaced: a replacement without them would be
// refused, or would take away what has been allocated there.
type Fields []Field

// Field is one of them, or several of one shape.
type Field struct {
	// Steps lead to it from the object. The step * is any item of a list, or any key of a map.
	// Items are the same in the manifest and in the member if they have the same name (or what
	// identifies them in its place), or the same position where there is none.
	Steps []string
	// Carry says what of it is the member's.
	Carry Carry
	// BlankCounts says that an empty string in a manifest is a value. Else it is as if the
	// manifest did not have the field.
	BlankCounts bool
	// Item says of an item of a list whether it is the member's, for CarryItems.
	Item func(item any) bool
	// When says of a manifest and what the member has whether it is for the member to decide;
	// nil: always.
	When func(manifest, live map[string]any) bool
}

// Carry says what is carried over.
type Carry int

const (
	// CarryUnset carries over what the manifest does not set, nor did set before. What it sets is
	// sent: where the member cannot take it, it says so.
	CarryUnset Carry = iota
	// CarryAlways leaves the field as it is in the member, absent included, once its parent is
	// there.
	CarryAlways
	// CarryBeneath puts what the manifest has over what the member has, at any depth.
	CarryBeneath
	// CarryItems appends those items of a list that are the member's by Item, and that the manifest
	// does not have.
	CarryItems
)

// BuiltinFields returns what the member decides of a built-in kind, none of others. The result
// is not to be modified.
func BuiltinFields(kind schema.GroupKind) Fields { return builtinFields[kind] }

// builtinFields says for each kind where the rule comes from: its strategy in
// k8s.io/kubernetes/pkg/registry (PrepareForCreate, PrepareForUpdate, ValidateUpdate), the
// admission plugins that fill fields on create alone (plugin/pkg/admission), or a controller.
//
// What is not here needs no care, as API servers fill it in themselves when it is left out of a
// replacement: of a Service the cluster IPs, the IP families, the node port of a port of the same
// name and the health check's (patchAllocatedValues in core/service/storage, which also
// knows when the type changes; a second rule here could only contradict it), of a claim
// dataSourceRef (NormalizeDataSources), of a Pod its priority (admission/priority), of a Namespace
// its finalizers. Nor what nobody may change once it is there and a manifest has in full, such as
// the selector of a Deployment or the provisioner of a StorageClass: the member refuses that,
// and says why.
var builtinFields = map[schema.GroupKind]Fields{
	// batch/job: generateSelectorIfNeeded runs on create alone; ValidateJobUpdate: the selector and
	// the template are immutable.
	{Group: "batch", Kind: "Job"}: {
		{Steps: []string{"spec", "selector"}, When: manifestIs(generatesSelector)},
		{Steps: []string{"spec", "template", "metadata", "labels", "controller-uid"}, When: manifestIs(generatesSelector)},
		{Steps: []string{"spec", "template", "metadata", "labels", "batch.kubernetes.io/controller-uid"}, When: manifestIs(generatesSelector)},
		{Steps: []string{"spec", "template", "metadata", "labels", "job-name"}, When: manifestIs(generatesSelector)},
		{Steps: []string{"spec", "template", "metadata", "labels", "batch.kubernetes.io/job-name"}, When: manifestIs(generatesSelector)},
	},
	// core/pod: ValidatePodUpdate takes images, further tolerations and few other changes; the
	// rest was filled by the scheduler and by admission (serviceaccount, defaulttolerationseconds,
	// limitranger, runtimeclass, webhooks), on create alone.
	{Kind: "Pod"}: {{Steps: []string{"spec"}, Carry: CarryBeneath}},
	// core/persistentvolumeclaim: the volume is chosen by a controller, the class by
	// admission/storage/setdefault on create or by a controller later; both are immutable once set. An
	// empty class is a class: none. What is requested may only grow, and what the manifest
	// requests is sent.
	{Kind: "PersistentVolumeClaim"}: {
		{Steps: []string{"spec", "volumeName"}},
		{Steps: []string{"spec", "storageClassName"}, BlankCounts: true},
	},
	// core/persistentvolume: the binder sets the claim, or the UID of the claim that the manifest names.
	{Kind: "PersistentVolume"}: {
		{Steps: []string{"spec", "claimRef"}},
		{Steps: []string{"spec", "claimRef", "uid"}, When: sameClaim},
		{Steps: []string{"spec", "claimRef", "resourceVersion"}, When: sameClaim},
	},
	// The token controller of clusters before 1.24, and of distributions, lists its Secrets here and
	// makes another one when it is taken away. KubeFed retains the first list too.
	{Kind: "ServiceAccount"}: {
		{Steps: []string{"secrets"}},
		{Steps: []string{"secrets"}, Carry: CarryItems, Item: isTokenReference},
		{Steps: []string{"imagePullSecrets"}, Carry: CarryItems, Item: isTokenReference},
	},
	// The token controller fills Secrets of this type.
	{Kind: "Secret"}: {
		{Steps: []string{"data", "token"}, When: manifestIs(holdsToken)},
		{Steps: []string{"data", "ca.crt"}, When: manifestIs(holdsToken)},
		{Steps: []string{"data", "namespace"}, When: manifestIs(holdsToken)},
	},
	// core/node: the IPAM and cloud controllers, once; the node lifecycle controller taints by the
	// conditions of a node, all the time.
	{Kind: "Node"}: {
		{Steps: []string{"spec", "podCIDR"}},
		{Steps: []string{"spec", "podCIDRs"}},
		{Steps: []string{"spec", "providerID"}},
		{Steps: []string{"spec", "taints"}, Carry: CarryItems, Item: isConditionTaint},
	},
	// core/service: webhooks of load balancers, such as the one of AWS, set the class on create alone;
	// ValidateServiceUpdate (validateLoadBalancerClassField): immutable while the type stays.
	{Kind: "Service"}: {{Steps: []string{"spec", "loadBalancerClass"}, When: balancesBefore}},
	// The clusterrole-aggregation-controller writes the rules of roles that select others. What a
	// manifest has beside a selector, such as the empty list of many charts, it writes over.
	{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"}: {
		{Steps: []string{"rules"}, Carry: CarryAlways, When: manifestIs(aggregates)},
	},
	// admission/network/defaultingressclass fills it on create alone.
	{Group: "networking.k8s.io", Kind: "Ingress"}: {{Steps: []string{"spec", "ingressClassName"}}},
	// Authorities are put in by controllers such as cert-manager's, of the member.
	{Group: "admissionregistration.k8s.io", Kind: "ValidatingWebhookConfiguration"}: {
		{Steps: []string{"webhooks", AnyStep, "clientConfig", "caBundle"}},
	},
	{Group: "admissionregistration.k8s.io", Kind: "MutatingWebhookConfiguration"}: {
		{Steps: []string{"webhooks", AnyStep, "clientConfig", "caBundle"}},
	},
	{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}: {
		{Steps: []string{"spec", "conversion", "webhook", "clientConfig", "caBundle"}},
	},
	{Group: "apiregistration.k8s.io", Kind: "APIService"}: {
		{Steps: []string{"spec", "caBundle"}, When: manifestIs(verifiesAuthority)},
	},
}

func manifestIs(rule func(map[string]any) bool) func(manifest, live map[string]any) bool {
	return func(manifest, _ map[string]any) bool { return rule(manifest) }
}

// sameClaim reports whether a volume is reserved for the claim that it is bound to.
func sameClaim(manifest, live map[string]any) bool {
	claim := func(volume map[string]any) [2]any {
		spec, _ := volume["spec"].(map[string]any)
		ref, _ := spec["claimRef"].(map[string]any)
		return [2]any{ref["namespace"], ref["name"]}
	}
	return claim(manifest) == claim(live)
}

// generatesSelector reports whether a Job leaves its selector to the API server.
func generatesSelector(job map[string]any) bool {
	spec, _ := job["spec"].(map[string]any)
	return spec["manualSelector"] != true
}

// balancesBefore reports whether a Service is, and stays, one of a load balancer.
func balancesBefore(manifest, live map[string]any) bool {
	for _, service := range []map[string]any{manifest, live} {
		if spec, _ := service["spec"].(map[string]any); spec["type"] != "LoadBalancer" {
			return false
		}
	}
	return true
}

// aggregates reports whether a ClusterRole has its rules from others.
func aggregates(role map[string]any) bool { return role["aggregationRule"] != nil }

const tokenSecretType = "kubernetes.io/service-account-token"

func holdsToken(secret map[string]any) bool { return secret["type"] == tokenSecretType }

// isConditionTaint: these keys are reserved to Kubernetes and cloud controllers.
func isConditionTaint(item any) bool {
	taint, _ := item.(map[string]any)
	key, _ := taint["key"].(string)
	return strings.HasPrefix(key, "node.kubernetes.io/") || strings.HasPrefix(key, "node.cloudprovider.kubernetes.io/")
}

// verifiesAuthority: an authority beside insecureSkipTLSVerify is refused.
func verifiesAuthority(service map[string]any) bool {
	spec, _ := service["spec"].(map[string]any)
	return spec["insecureSkipTLSVerify"] != true
}

// String returns the field as a pointer.
func (f Field) String() string {
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	var out strings.Builder
	for _, step := range f.Steps {
		out.WriteString("/" + escape.Replace(step))
	}
	return out.String()
}
