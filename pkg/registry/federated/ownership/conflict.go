package ownership

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// conflictInWords returns the error of an apply with its fields in the words of a version, and
// with the versions that their owners spoke, which stored has. Other errors are returned as
// they are.
func conflictInWords(err error, version schema.GroupVersion, stored []metav1.ManagedFieldsEntry) error {
	var status *apierrors.StatusError
	if !errors.As(err, &status) || status.ErrStatus.Details == nil {
		return err
	}
	var causes []metav1.StatusCause
	changed := false
	for _, cause := range status.ErrStatus.Details.Causes {
		if cause.Type != metav1.CauseTypeFieldManagerConflict {
			return err
		}
		was := cause
		cause.Field, cause.Message = fieldInWords(cause.Field, version), managerInWords(cause.Message, version, stored)
		changed = changed || cause != was
		if !slices.Contains(causes, cause) {
			causes = append(causes, cause)
		}
	}
	if !changed {
		return err
	}
	return apierrors.NewApplyConflict(causes, conflictMessage(causes))
}

// managerInWords names the version that a manager spoke when it updated the object.
func managerInWords(message string, version schema.GroupVersion, stored []metav1.ManagedFieldsEntry) string {
	for i := range stored {
		e := &stored[i]
		manager := fmt.Sprintf("conflict with %q", e.Manager)
		if e.Subresource != "" {
			manager += fmt.Sprintf(" with subresource %q", e.Subresource)
		}
		if e.Operation == metav1.ManagedFieldsOperationUpdate && message == manager+" using "+version.String() {
			return manager + " using " + e.APIVersion
		}
	}
	return message
}

// fieldInWords is the path of a field of the tracked shape, as a client of version knows it.
func fieldInWords(field string, version schema.GroupVersion) string {
	is := func(path fieldpath.Path) bool {
		return field == path.String() || strings.HasPrefix(field, path.String()+".") || strings.HasPrefix(field, path.String()+"[")
	}
	if version != federated.V1beta1 {
		if is(overridesPath) {
			return overridesPath.String()
		}
		return field
	}
	if slices.ContainsFunc(unsaidPaths, is) {
		return annotationPath.String()
	}
	switch {
	case is(byNamePath):
		return overridesPath.String()
	case is(topologiesPath):
		return clustersPath.String()
	case is(selectorPath):
		return clusterSelectorPath.String()
	case is(statusTargetsPath):
		return statusClustersPath.String()
	}
	return field
}

// conflictMessage says the same as the library does of the same conflicts.
func conflictMessage(causes []metav1.StatusCause) string {
	if len(causes) == 1 {
		return fmt.Sprintf("Apply failed with 1 conflict: %s: %s", causes[0].Message, causes[0].Field)
	}
	var managers []string
	fields := map[string][]string{}
	for _, cause := range causes {
		manager := strings.TrimPrefix(cause.Message, "conflict with ")
		if fields[manager] == nil {
			managers = append(managers, manager)
		}
		fields[manager] = append(fields[manager], "- "+cause.Field)
	}
	slices.Sort(managers)
	var lines []string
	for _, manager := range managers {
		lines = append(append(lines, fmt.Sprintf("conflicts with %s:", manager)), fields[manager]...)
	}
	return fmt.Sprintf("Apply failed with %d conflicts: %s", len(causes), strings.Join(lines, "\n"))
}
