package cellview

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
)

// notMapped are fields of kinds in namespaces that have namespace in their name and are left as they are.
var notMapped = map[string]string{
	"shareProcessNamespace":                         "a namespace of processes",
	"storageos.volumeNamespace":                     "a namespace of StorageOS",
	"template.metadata.namespace":                   "controllers make pods in the namespace of their own object",
	"jobTemplate.metadata.namespace":                "CronJobs make jobs in their own namespace",
	"volumeClaimTemplate.metadata.namespace":        "claims are made in the namespace of their pod",
	"volumeClaimTemplates[].metadata.namespace":     "claims are made in the namespace of their StatefulSet",
	"ResourceClaimTemplate spec.metadata.namespace": "claims are made in the namespace of their pod",
}

// plurals are resources whose names are no simple plural.
var plurals = map[string]string{"Endpoints": "endpoints", "NetworkPolicy": "networkpolicies", "Ingress": "ingresses"}

func resourceOf(kind schema.GroupVersionKind) schema.GroupResource {
	plural, ok := plurals[kind.Kind]
	if !ok {
		plural = strings.ToLower(kind.Kind) + "s"
	}
	return schema.GroupResource{Group: kind.Group, Resource: plural}
}

// notReached are kinds that have no namespace, or are gone.
func notReached(kind schema.GroupVersionKind) bool {
	switch kind.Group {
	case "admissionregistration.k8s.io", "flowcontrol.apiserver.k8s.io", "imagepolicy.k8s.io", "internal.apiserver.k8s.io":
		return true
	case "extensions": // served by no member that is supported
		return true
	}
	return slices.Contains([]string{
		"ClusterRoleBinding", "Node", "PersistentVolume", "VolumeAttachment", "IPAddress", "IngressClass", "SubjectAccessReview", "Namespace", "TokenReview",
		// Annotations of pods were of this kind once.
		"SerializedReference",
	}, kind.Kind)
}

// namespaceFields are the paths of all fields of a type that may name a namespace.
func namespaceFieldsOf(of reflect.Type, path string, around []reflect.Type) []string {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice || of.Kind() == reflect.Map {
		if of.Kind() == reflect.Slice {
			path += "[]"
		}
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct || slices.Contains(around, of) {
		return nil
	}
	var all []string
	for i := range of.NumField() {
		field := of.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" && !strings.Contains(options, "inline") && !field.Anonymous || name == "-" {
			continue
		}
		below := path
		if name != "" {
			below = strings.TrimPrefix(path+"."+name, ".")
		}
		if strings.Contains(strings.ToLower(name), "namespace") {
			all = append(all, below)
		}
		all = append(all, namespaceFieldsOf(field.Type, below, append(around, of))...)
	}
	return all
}

// has reports whether something is known of a place. It must be known as a whole: a list with
// its elements, a selector with its labels.
func (n *node) has(path string) bool {
	for step := range strings.SplitSeq(path, ".") {
		name, array := strings.CutSuffix(step, "[]")
		if n = n.fields[name]; n == nil {
			return false
		}
		if array {
			if n = n.elem; n == nil {
				return false
			}
		}
	}
	return n.act != none || n.elem != nil && n.elem.act != none || n.fields["matchLabels"] != nil && n.fields["matchExpressions"] != nil
}

// TestEveryNamespaceOfEveryKind looks at all kinds of Kubernetes, so that a release that adds a
// field fails here.
func TestEveryNamespaceOfEveryKind(t *testing.T) {
	seen, used := 0, map[string]bool{}
	for kind, of := range scheme.Scheme.AllKnownTypes() {
		if notReached(kind) || strings.HasSuffix(kind.Kind, "Options") || strings.HasSuffix(kind.Kind, "List") || kind.Version == "__internal" {
			continue
		}
		rules := rulesOf(resourceOf(kind), "")
		for _, path := range namespaceFieldsOf(of, "", nil) {
			seen++
			excepted := false
			for exception := range notMapped {
				if strings.HasSuffix(kind.Kind+" "+path, exception) {
					excepted, used[exception] = true, true
				}
			}
			if !excepted && !rules.object.has(path) {
				t.Errorf("%s: %s is not mapped, and nothing says why", kind, path)
			}
		}
	}
	for exception, why := range notMapped {
		if !used[exception] {
			t.Errorf("no kind has %s, %s", exception, why)
		}
	}
	if seen < 100 {
		t.Errorf("found %d fields only", seen)
	}
}
