package webhook

import (
	"context"
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/validation"
)

// write is what an AdmissionReview asks about: a create or an update of an object or of
// its status.
type write struct {
	*admissionv1.AdmissionRequest
	object *object
	// old is nil when the object is created.
	old *object
}

// verdict fills in the response to a write. An error refuses it.
type verdict func(w *write, response *admissionv1.AdmissionResponse) error

// admission answers an AdmissionReview of federated objects. Deletions, connections and subresources other
// than status are always allowed: they write no federated object.
func (s shapes) admission(decide verdict) answer {
	return s.reviewed(func(_ context.Context, req *admissionv1.AdmissionRequest, response *admissionv1.AdmissionResponse) error {
		return s.decide(req, decide, response)
	})
}

// review fills in the response to the request of an AdmissionReview. An error refuses it.
type review func(ctx context.Context, req *admissionv1.AdmissionRequest, response *admissionv1.AdmissionResponse) error

// reviewed answers an AdmissionReview.
func (s shapes) reviewed(decide review) answer {
	return func(ctx context.Context, body []byte, held *account) ([]byte, error) {
		release, err := held.decoded(body, s.decodedLimitBytes)
		if err != nil {
			return nil, err
		}
		defer release()
		var in admissionv1.AdmissionReview
		if err := kjson.UnmarshalCaseSensitivePreserveInts(body, &in); err != nil {
			return nil, fmt.Errorf("decode AdmissionReview: %w", err)
		}
		if in.APIVersion != admissionv1.SchemeGroupVersion.String() || in.Kind != "AdmissionReview" || in.Request == nil {
			return nil, fmt.Errorf("got %s %q, want a request in an AdmissionReview of %s", in.APIVersion, in.Kind, admissionv1.SchemeGroupVersion)
		}
		if err := errors.Join(s.checkSize(in.Request.Object.Raw), s.checkSize(in.Request.OldObject.Raw)); err != nil {
			return nil, err
		}
		response := &admissionv1.AdmissionResponse{UID: in.Request.UID, Allowed: true}
		if err := decide(ctx, in.Request, response); err != nil {
			*response = admissionv1.AdmissionResponse{UID: in.Request.UID, Result: refusal(in.Request, err)}
		}
		return held.encode(&admissionv1.AdmissionReview{TypeMeta: in.TypeMeta, Response: response})
	}
}

func (s shapes) decide(req *admissionv1.AdmissionRequest, decide verdict, response *admissionv1.AdmissionResponse) error {
	written := req.Operation == admissionv1.Create || req.Operation == admissionv1.Update
	if !written || (req.SubResource != "" && req.SubResource != "status") {
		return nil
	}
	version, err := s.check(schema.GroupVersion{Group: req.Kind.Group, Version: req.Kind.Version}.String(), req.Kind.Kind)
	if err != nil {
		return err
	}
	w := &write{AdmissionRequest: req}
	if w.object, err = decode(req.Object.Raw, version); err != nil {
		return fmt.Errorf("object: %w", err)
	}
	if req.Operation == admissionv1.Update {
		if w.old, err = decode(req.OldObject.Raw, version); err != nil {
			return fmt.Errorf("oldObject: %w", err)
		}
	}
	return decide(w, response)
}

// refusal turns an error into what the client sees: 422 with the field for what is wrong
// in the object, 400 for what cannot be read.
func refusal(req *admissionv1.AdmissionRequest, err error) *metav1.Status {
	kind := schema.GroupKind{Group: req.Kind.Group, Kind: req.Kind.Kind}
	var status *apierrors.StatusError
	if errors.As(err, &status) {
		return &status.ErrStatus
	}
	var one *field.Error
	if errors.As(err, &one) {
		return &apierrors.NewInvalid(kind, req.Name, field.ErrorList{one}).ErrStatus
	}
	return &apierrors.NewBadRequest(err.Error()).ErrStatus
}

// both returns the written object and the old one, nil if there is none, in v1beta2.
func (w *write) both() (obj, old *v1beta2.FederatedObject, err error) {
	if obj, err = w.object.toTopology(); err != nil {
		return nil, nil, err
	}
	conversion.SetDefaults(obj)
	if w.old == nil {
		return obj, nil, nil
	}
	if old, err = w.old.toTopology(); err != nil {
		return nil, nil, fmt.Errorf("stored object: %w", err)
	}
	conversion.SetDefaults(old)
	return obj, old, nil
}

func (w *write) options() validation.Options {
	requested := w.Kind.Version
	if w.RequestKind != nil {
		requested = w.RequestKind.Version
	}
	// Which engine propagates custom resources is not known here.
	return validation.Options{Namespaced: w.Namespace != "", RequestedVersion: requested, OtherEngine: true}
}

// validate refuses what package validation refuses, and warns of what it warns of.
func (s shapes) validate(w *write, response *admissionv1.AdmissionResponse) error {
	obj, old, err := w.both()
	if err != nil {
		return err
	}
	opts := w.options()
	var errs field.ErrorList
	switch {
	case w.SubResource == "status":
		errs = validation.ValidateStatusUpdate(obj, old, opts)
	case old == nil:
		errs = validation.ValidateObject(obj, opts)
	default:
		errs = validation.ValidateUpdate(obj, old, opts)
	}
	if len(errs) > 0 {
		return apierrors.NewInvalid(schema.GroupKind{Group: w.Kind.Group, Kind: w.Kind.Kind}, w.Name, errs)
	}
	if w.SubResource == "" {
		response.Warnings = validation.Warnings(obj, old, opts)
	}
	return nil
}
