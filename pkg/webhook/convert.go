package webhook

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	kjson "sigs.k8s.io/json"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// The wire format is apiextensions.k8s.io/v1 ConversionReview. It has types of its own
// here, so that a list of objects is decoded once and encoded once, without going through
// raw extensions on the way out.

const conversionAPIVersion = "apiextensions.k8s.io/v1"

type conversionReview struct {
	metav1.TypeMeta `json:",inline"`
	Request         *conversionRequest `json:"request,omitempty"`
}

type conversionRequest struct {
	UID               types.UID         `json:"uid"`
	DesiredAPIVersion string            `json:"desiredAPIVersion"`
	Objects           []json.RawMessage `json:"objects"`
}

type conversionAnswer struct {
	metav1.TypeMeta `json:",inline"`
	Response        conversionResponse `json:"response"`
}

type conversionResponse struct {
	UID types.UID `json:"uid"`
	// ConvertedObjects is a slice of one of the shapes, or of raw objects if nothing had
	// to be converted.
	ConvertedObjects any           `json:"convertedObjects"`
	Result           metav1.Status `json:"result"`
}

// convert answers a ConversionReview.
func (s shapes) convert(body []byte) (any, error) {
	var in conversionReview
	if err := kjson.UnmarshalCaseSensitivePreserveInts(body, &in); err != nil {
		return nil, fmt.Errorf("decode ConversionReview: %w", err)
	}
	if in.APIVersion != conversionAPIVersion || in.Kind != "ConversionReview" || in.Request == nil {
		return nil, fmt.Errorf("got %s %q, want a request in a ConversionReview of %s", in.APIVersion, in.Kind, conversionAPIVersion)
	}
	out := conversionAnswer{TypeMeta: in.TypeMeta}
	out.Response = conversionResponse{UID: in.Request.UID, Result: metav1.Status{Status: metav1.StatusSuccess}}
	converted, err := s.convertAll(in.Request)
	if err != nil {
		out.Response.Result = metav1.Status{Status: metav1.StatusFailure, Message: err.Error()}
		return out, nil
	}
	out.Response.ConvertedObjects = converted
	return out, nil
}

// convertAll returns a slice of objects in the desired version, in the order in which
// they were sent.
func (s shapes) convertAll(req *conversionRequest) (any, error) {
	desired, err := s.check(req.DesiredAPIVersion, "FederatedObject")
	if err != nil {
		return nil, fmt.Errorf("desiredAPIVersion: %w", err)
	}
	if desired == v1beta1.SchemeGroupVersion.Version {
		return convertEach(s, req.Objects, v1beta2.SchemeGroupVersion.Version, toCluster)
	}
	return convertEach(s, req.Objects, v1beta1.SchemeGroupVersion.Version, toTopology)
}

// convertEach converts objects that are likely in the given version.
func convertEach[T any](s shapes, raw []json.RawMessage, likely string, convert func(*object, *T) error) ([]T, error) {
	out := make([]T, len(raw))
	for i := range raw {
		o, err := s.decodeAny(raw[i], likely)
		if err != nil {
			return nil, fmt.Errorf("objects[%d]: %w", i, err)
		}
		if err := convert(o, &out[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", o.describe(), err)
		}
	}
	return out, nil
}

func toCluster(o *object, out *v1beta1.FederatedObject) error {
	if o.cluster != nil {
		*out = *o.cluster
		return nil
	}
	return conversion.ToV1beta1Into(o.topology, out)
}

func toTopology(o *object, out *v1beta2.FederatedObject) error {
	converted, err := o.toTopology()
	if err != nil {
		return err
	}
	*out = *converted
	return nil
}

// decodeAny decodes an object that says itself what it is. It goes over it once if the
// version is the likely one.
func (s shapes) decodeAny(raw []byte, likely string) (*object, error) {
	o, likelyErr := decode(raw, likely)
	var typeMeta metav1.TypeMeta
	if likelyErr == nil {
		typeMeta = o.typeMeta()
	} else if err := kjson.UnmarshalCaseSensitivePreserveInts(raw, &typeMeta); err != nil {
		return nil, fmt.Errorf("decode object: %w", err)
	}
	version, err := s.check(typeMeta.APIVersion, typeMeta.Kind)
	if err != nil {
		return nil, err
	}
	if version == likely {
		return o, likelyErr
	}
	return decode(raw, version)
}

func (o *object) typeMeta() metav1.TypeMeta {
	if o.cluster != nil {
		return o.cluster.TypeMeta
	}
	return o.topology.TypeMeta
}

// describe names the object in an error.
func (o *object) describe() string {
	if o.cluster != nil {
		return fmt.Sprintf("%s %s/%s", o.cluster.Kind, o.cluster.Namespace, o.cluster.Name)
	}
	return fmt.Sprintf("%s %s/%s", o.topology.Kind, o.topology.Namespace, o.topology.Name)
}
