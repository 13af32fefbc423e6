// Package rights says what the account by which a member was joined has to be allowed there. It is
// the one list: "kubectl koinon join" gives these rights, "kubectl koinon doctor" asks the member
// about them, and docs/members.md shows them.
//
// It makes them of FederatedTypeConfigs, and asks nobody. All of it may be called concurrently.
package rights

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
)

var (
	read  = []string{"get", "list", "watch"}
	write = append(slices.Clone(read), "create", "update", "patch", "delete")
	// hold is for namespaces that are not federated: those that objects go to are made, and marked.
	hold = append(slices.Clone(read), "create", "patch")
)

var (
	namespaces = schema.GroupResource{Resource: "namespaces"}
	pods       = schema.GroupResource{Resource: "pods"}
	// scaled are the types whose replicas a ReplicaSchedulingPreference divides. With rebalance it is
	// looked for pods that find no node.
	scaled = []schema.GroupResource{{Group: "apps", Resource: "deployments"}, {Group: "apps", Resource: "replicasets"}}
)

// Rules are what propagating the types takes, in a stable order. The types are those of the system
// namespace; of those that are Disabled nothing is written, and nothing asked for. proxy adds the
// right to act as somebody else, which clusters/proxy needs, and which is the right to act as anybody.
//
// Kinds that give rights are only read: to write them takes all the rights that they give, which
// no list of types says. See GivesRights.
func Rules(types []v1beta1.FederatedTypeConfig, proxy bool) []rbacv1.PolicyRule {
	verbs := map[schema.GroupResource][]string{namespaces: hold}
	for i := range types {
		if !Enabled(&types[i]) {
			continue
		}
		verbs[Target(&types[i])] = write
		if GivesRights(&types[i]) {
			verbs[Target(&types[i])] = read
		}
	}
	if _, federated := verbs[pods]; !federated && slices.ContainsFunc(scaled, func(r schema.GroupResource) bool { return verbs[r] != nil }) {
		verbs[pods] = []string{"list"}
	}
	rules := append(group(verbs),
		rbacv1.PolicyRule{APIGroups: []string{"apiextensions.k8s.io"}, Resources: []string{"customresourcedefinitions"}, Verbs: []string{"get"}},
		rbacv1.PolicyRule{NonResourceURLs: []string{"/healthz", "/readyz", "/version", "/api*", "/openapi*"}, Verbs: []string{"get"}},
	)
	if proxy {
		rules = append(rules, Impersonation()...)
	}
	return rules
}

// Impersonation is the right to act as anybody, with groups, UIDs and extra.
func Impersonation() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"users", "groups"}, Verbs: []string{"impersonate"}},
		{APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"*"}, Verbs: []string{"impersonate"}},
	}
}

// Renewal is the right of a service account to make tokens of itself, in a Role of its own namespace: in a ClusterRole it
// would be for accounts of that name in all namespaces.
func Renewal(account string) []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, ResourceNames: []string{account}, Verbs: []string{"create"}}}
}

// group makes one rule of all resources of a group that have the same verbs.
func group(verbs map[schema.GroupResource][]string) (rules []rbacv1.PolicyRule) {
	type key struct{ group, verbs string }
	byKey := map[key]*rbacv1.PolicyRule{}
	for resource, allowed := range verbs {
		k := key{resource.Group, strings.Join(allowed, ",")}
		if byKey[k] == nil {
			byKey[k] = &rbacv1.PolicyRule{APIGroups: []string{resource.Group}, Verbs: allowed}
		}
		byKey[k].Resources = append(byKey[k].Resources, resource.Resource)
	}
	keys := slices.SortedFunc(maps.Keys(byKey), func(a, b key) int {
		return cmp.Or(strings.Compare(a.group, b.group), strings.Compare(a.verbs, b.verbs))
	})
	for _, k := range keys {
		slices.Sort(byKey[k].Resources)
		rules = append(rules, *byKey[k])
	}
	return rules
}

// Enabled reports whether objects of a type are written to members.
func Enabled(config *v1beta1.FederatedTypeConfig) bool {
	return config.Spec.Propagation != v1beta1.Disabled
}

// GivesRights reports whether objects of a type give rights in members, so that only an account that
// has all of them, as cluster-admin does, may write them.
func GivesRights(config *v1beta1.FederatedTypeConfig) bool {
	return manifest.GrantVerb(config.Spec.TargetType.Group, config.Spec.TargetType.Kind) != ""
}

// Target is the resource of a type in members.
func Target(config *v1beta1.FederatedTypeConfig) schema.GroupResource {
	target := config.Spec.TargetType
	if target.PluralName != "" {
		return schema.GroupResource{Group: target.Group, Resource: target.PluralName}
	}
	plural, inName, _ := strings.Cut(config.Name, ".")
	return schema.GroupResource{Group: cmp.Or(target.Group, inName), Resource: plural}
}

// Need is one right: one of the two is set.
type Need struct {
	Resource    *authorizationv1.ResourceAttributes
	NonResource *authorizationv1.NonResourceAttributes
}

// Needs are the single rights that rules allow, in their order, as an API server is asked about
// them. Of paths with a * at the end it is asked about what is before it.
func Needs(rules []rbacv1.PolicyRule) (needs []Need) {
	for _, rule := range rules {
		for _, verb := range rule.Verbs {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					needs = append(needs, Need{Resource: &authorizationv1.ResourceAttributes{Group: group, Resource: resource, Verb: verb}})
				}
			}
			for _, url := range rule.NonResourceURLs {
				needs = append(needs, Need{NonResource: &authorizationv1.NonResourceAttributes{Path: strings.TrimSuffix(url, "*"), Verb: verb}})
			}
		}
	}
	return needs
}

// What is what a right is on: a resource with its group, or a path.
func (n Need) What() string {
	if n.NonResource != nil {
		return n.NonResource.Path
	}
	return schema.GroupResource{Group: n.Resource.Group, Resource: n.Resource.Resource}.String()
}

// Verb is what may be done with it.
func (n Need) Verb() string {
	if n.NonResource != nil {
		return n.NonResource.Verb
	}
	return n.Resource.Verb
}
