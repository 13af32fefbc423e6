package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NamespaceChange decides on a change of a namespace of a host. What it refuses is an error of the API
// with the reason Invalid; any other error says that nobody can tell.
type NamespaceChange func(ctx context.Context, now, old metav1.Object) error

// NewNamespaces returns a handler of AdmissionReviews of changes of namespaces, whatever the path. It refuses what change
// refuses. While nobody can tell, it lets them pass with a warning: the host is not to wait for this server.
//
// What it says names federated objects, and whoever calls it presents no credentials: serve it at a path that only the host knows.
func NewNamespaces(config Config, change NamespaceChange) http.Handler {
	config = config.withDefaults()
	s := shapes{objectLimitBytes: config.ObjectLimitBytes, decodedLimitBytes: config.DecodedLimitBytes}
	limits := &gate{limitBytes: config.MemoryLimitBytes, maxInFlight: config.MaxInFlight}
	return &reviewer{limits, config.AdmissionLimitBytes, config.TransferTimeout, s.reviewed(change.review)}
}

// review decides on what is an update of a namespace, whatever the subresource: labels change with each.
func (change NamespaceChange) review(ctx context.Context, req *admissionv1.AdmissionRequest, response *admissionv1.AdmissionResponse) error {
	if req.Operation != admissionv1.Update || req.Resource.Group != "" || req.Resource.Resource != "namespaces" {
		return nil
	}
	var now, old metav1.PartialObjectMetadata
	if err := json.Unmarshal(req.Object.Raw, &now); err != nil {
		return fmt.Errorf("object: %w", err)
	}
	if err := json.Unmarshal(req.OldObject.Raw, &old); err != nil {
		return fmt.Errorf("oldObject: %w", err)
	}
	err := change(ctx, &now, &old)
	if err == nil || apierrors.IsInvalid(err) {
		return err
	}
	response.Warnings = append(response.Warnings, "whether the change of tenant strands federated objects is not known: "+reason(err))
	return nil
}

// reason is what may be told of an error: that of the API is a sentence for users.
func reason(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) && !apierrors.IsInternalError(err) {
		return status.Status().Message
	}
	return "the server could not look"
}
