package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	kjson "sigs.k8s.io/json"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// The wire format is apiextensions.k8s.io/v1 ConversionReview. It has types of its own
// here, so that a list is taken apart without copies and one object at a time is decoded,
// converted and encoded: what is decoded has no part in how long the list may be.

const conversionAPIVersion = "apiextensions.k8s.io/v1"

type conversionReview struct {
	metav1.TypeMeta `json:",inline"`
	Request         *conversionRequest `json:"request,omitempty"`
}

type conversionRequest struct {
	UID               types.UID `json:"uid"`
	DesiredAPIVersion string    `json:"desiredAPIVersion"`
	Objects           rawArray  `json:"objects"`
}

type conversionAnswer struct {
	metav1.TypeMeta `json:",inline"`
	Response        conversionResponse `json:"response"`
}

type conversionResponse struct {
	UID    types.UID     `json:"uid"`
	Result metav1.Status `json:"result"`
}

// rawArray is an array as it is in the decoded text, of which it is a part. Nil is no array.
type rawArray []byte

// UnmarshalJSON implements json.Unmarshaler. It keeps data, against the rule: the text that
// it is a part of is the body of the request, and stays as it is.
func (a *rawArray) UnmarshalJSON(data []byte) error {
	switch {
	case string(data) == "null":
		*a = nil
	case data[0] != '[':
		return errors.New("request.objects must be an array")
	default:
		*a = data
	}
	return nil
}

// elements goes over the elements of the array, which is valid JSON, without copies.
func (a rawArray) elements() iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		if len(a) == 0 || len(bytes.TrimSpace(a[1:len(a)-1])) == 0 {
			return
		}
		index, start, depth := 0, 1, 0
		for i := 0; i < len(a); i++ {
			switch a[i] {
			case '"':
				i = endOfString(a, i)
				continue
			case '{', '[':
				depth++
				continue
			case '}', ']':
				depth--
			}
			if ends := depth == 0 || (depth == 1 && a[i] == ','); !ends {
				continue
			}
			if !yield(index, bytes.TrimSpace(a[start:i])) {
				return
			}
			index, start = index+1, i+1
		}
	}
}

// convert answers a ConversionReview.
func (s shapes) convert(_ context.Context, body []byte, held *account) ([]byte, error) {
	var in conversionReview
	if err := kjson.UnmarshalCaseSensitivePreserveInts(body, &in); err != nil {
		return nil, fmt.Errorf("decode ConversionReview: %w", err)
	}
	if in.APIVersion != conversionAPIVersion || in.Kind != "ConversionReview" || in.Request == nil {
		return nil, fmt.Errorf("got %s %q, want a request in a ConversionReview of %s", in.APIVersion, in.Kind, conversionAPIVersion)
	}
	out, err := s.convertAll(in.Request, held)
	var large tooLargeError
	switch {
	case errors.As(err, &large) || errors.Is(err, errBusy):
		return nil, err
	case err != nil:
		return held.encode(conversionAnswer{TypeMeta: in.TypeMeta, Response: conversionResponse{
			UID: in.Request.UID, Result: metav1.Status{Status: metav1.StatusFailure, Message: err.Error()},
		}})
	}
	return out, nil
}

// convertAll returns the answer with all objects in the desired version, in the order in
// which they were sent.
func (s shapes) convertAll(req *conversionRequest, held *account) ([]byte, error) {
	desired, err := s.check(req.DesiredAPIVersion, "FederatedObject")
	if err != nil {
		return nil, fmt.Errorf("desiredAPIVersion: %w", err)
	}
	uid, err := json.Marshal(req.UID)
	if err != nil {
		return nil, fmt.Errorf("encode uid: %w", err)
	}
	out := meteredBuffer{by: held}
	fmt.Fprintf(&out, `{"kind":"ConversionReview","apiVersion":%q,"response":{"uid":%s,"convertedObjects":[`, conversionAPIVersion, uid)
	for i, raw := range req.Objects.elements() {
		if i > 0 {
			fmt.Fprint(&out, ",")
		}
		if err := s.convertOne(i, raw, desired, held, &out); err != nil {
			return nil, err
		}
	}
	fmt.Fprintf(&out, `],"result":{"metadata":{},"status":%q}}}`, metav1.StatusSuccess)
	return out.buf.Bytes(), out.err
}

// convertOne writes one object, that at the index, in the desired version.
func (s shapes) convertOne(index int, raw []byte, desired string, held *account, out io.Writer) error {
	if err := s.checkSize(raw); err != nil {
		return fmt.Errorf("objects[%d]: %w", index, err)
	}
	release, err := held.decoded(raw, s.decodedLimitBytes)
	if err != nil {
		return fmt.Errorf("objects[%d]: %w", index, err)
	}
	defer release()
	if desired == v1beta1.SchemeGroupVersion.Version {
		return writeConverted(s, index, raw, v1beta2.SchemeGroupVersion.Version, toCluster, out)
	}
	return writeConverted(s, index, raw, v1beta1.SchemeGroupVersion.Version, toTopology, out)
}

// writeConverted converts an object that is likely in the given version.
func writeConverted[T any](s shapes, index int, raw []byte, likely string, convert func(*object, *T) error, out io.Writer) error {
	o, err := s.decodeAny(raw, likely)
	if err != nil {
		return fmt.Errorf("objects[%d]: %w", index, err)
	}
	var converted T
	if err := convert(o, &converted); err != nil {
		return fmt.Errorf("%s: %w", o.describe(), err)
	}
	return encodeJSON(out, &converted)
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
