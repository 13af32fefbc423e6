package manifest

import (
	"fmt"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
)

// NoSource is the value of SourceAnnotation on a namespace that was made because objects
// were placed in it, not because a FederatedNamespace says so. No object has this name.
const NoSource = "-"

// Source is the value of SourceAnnotation for the objects of a federated object; namespace is empty
// for one of none.
func Source(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

// Foreign says whose an object in a member is by its annotations, if it is not one of source in
// this federation, in words for people. It is empty if it is, or if nothing is said of where it
// comes from.
func Foreign(annotations map[string]string, source, federation string) string {
	theirs, named := annotations[SourceAnnotation]
	other := annotations[federationv1alpha1.FederationAnnotation]
	switch {
	case !named || theirs == NoSource:
		return ""
	case other != "" && other != federation:
		return fmt.Sprintf("the object there comes from the federated object %q of another federation, %q; this one is %q", theirs, other, federation)
	case theirs != source:
		return fmt.Sprintf("the object there comes from the federated object %q", theirs)
	}
	return ""
}
