// Package names says what objects may be called. The library that serves them takes
// anything that can be a segment of a URL; nearly all kinds of Kubernetes are stricter,
// custom resources among them, and clients, labels and files rely on that.
//
// Names are checked when an object is created, and not again: what has a bad name can be
// changed and deleted. Everything here is pure and may be called concurrently.
package names

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Rule returns what is wrong with a name, in words; nothing if it is right. asPrefix says
// that the name is a generateName, to which letters and digits will be added.
type Rule = validation.ValidateNameFunc

// Subdomain is the rule of custom resources and of nearly all kinds: a DNS-1123 subdomain
// of at most 253 characters.
var Subdomain Rule = validation.NameIsDNSSubdomain

// PathSegment is the rule of RBAC's kinds: anything that can be one segment of a path.
// Kubernetes sets no limit; names in URLs, records and the store need one.
func PathSegment(name string, asPrefix bool) []string {
	check := content.IsPathSegmentName
	if asPrefix {
		check = content.IsPathSegmentPrefix
	}
	problems := check(name)
	if len(name) > utilvalidation.DNS1123SubdomainMaxLength {
		problems = append(problems, utilvalidation.MaxLenError(utilvalidation.DNS1123SubdomainMaxLength))
	}
	return problems
}

// lenient are the kinds of Kubernetes that take more than a subdomain: RBAC's, and those
// named after a signer or an address, which hold colons.
var lenient = map[schema.GroupKind]bool{
	{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"}:        true,
	{Group: "rbac.authorization.k8s.io", Kind: "ClusterRoleBinding"}: true,
	{Group: "rbac.authorization.k8s.io", Kind: "Role"}:               true,
	{Group: "rbac.authorization.k8s.io", Kind: "RoleBinding"}:        true,
	{Group: "certificates.k8s.io", Kind: "ClusterTrustBundle"}:       true,
	{Group: "networking.k8s.io", Kind: "IPAddress"}:                  true,
}

// Of returns the rule of a target kind. A federated object has the name of the objects
// that it makes.
func Of(target schema.GroupKind) Rule {
	if lenient[target] {
		return PathSegment
	}
	return Subdomain
}

// Record is the rule of KubeFed's records, which are named <kind>-<name> after an object
// in lower case.
func Record(name string, asPrefix bool) []string {
	for kind := range lenient {
		if rest, ok := strings.CutPrefix(name, strings.ToLower(kind.Kind)+"-"); ok {
			if rest == "" && asPrefix {
				break
			}
			return PathSegment(name, asPrefix)
		}
	}
	return Subdomain(name, asPrefix)
}

// Validate checks name and generateName of a new object. path is that of its metadata.
func Validate(meta metav1.Object, rule Rule, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if prefix := meta.GetGenerateName(); prefix != "" {
		errs = check(prefix, rule(prefix, true), path.Child("generateName"))
	}
	if len(errs) == 0 && meta.GetName() != "" {
		errs = check(meta.GetName(), rule(meta.GetName(), false), path.Child("name"))
	}
	return errs
}

func check(name string, problems []string, path *field.Path) (errs field.ErrorList) {
	const limitBytes = 300
	shown := name
	if len(shown) > limitBytes {
		shown = fmt.Sprintf("%s... (%d bytes)", strings.ToValidUTF8(shown[:limitBytes], ""), len(name))
	}
	for _, problem := range problems {
		errs = append(errs, field.Invalid(path, shown, problem))
	}
	return errs
}
