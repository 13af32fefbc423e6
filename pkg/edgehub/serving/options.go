package serving

import (
	"net/url"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/edgehub/target"
	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

// options are those of a request, as API servers read them.
type options struct {
	internalversion.ListOptions
	// wanted is the resourceVersion, 0 if there is none.
	wanted uint64
}

// optionsOf reads options. Of one object, resourceVersion is all there is. What an API server would not take is a *StatusError.
func optionsOf(q *target.Target, query url.Values) (*options, error) {
	var o options
	if q.Name != "" {
		var one metav1.GetOptions
		if err := scheme.ParameterCodec.DecodeParameters(query, metav1.SchemeGroupVersion, &one); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		o.ResourceVersion = one.ResourceVersion
	} else {
		if err := scheme.ParameterCodec.DecodeParameters(query, metav1.SchemeGroupVersion, &o.ListOptions); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		internalversion.SetListOptionsDefaults(&o.ListOptions, true)
		if errs := validation.ValidateListOptions(&o.ListOptions, true); len(errs) > 0 {
			return nil, apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: "ListOptions"}, "", errs)
		}
	}
	if o.ResourceVersion == "" {
		return &o, nil
	}
	var err error
	if o.wanted, err = view.ParseVersion(o.ResourceVersion); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if o.Continue != "" && o.wanted > 0 {
		return nil, apierrors.NewBadRequest("specifying resource version is not allowed when using continue")
	}
	return &o, nil
}

// isInitial reports whether a watch begins with what there is.
func (o *options) isInitial() bool { return o.SendInitialEvents != nil && *o.SendInitialEvents }

// selects reports whether less is asked for than there is.
func (o *options) selects() bool {
	return o.LabelSelector != nil && !o.LabelSelector.Empty() || o.FieldSelector != nil && !o.FieldSelector.Empty()
}

// isExact reports whether a list has to be of its resourceVersion and no other. With a limit that is so if nothing else is said.
func (o *options) isExact() bool {
	return o.ResourceVersionMatch == metav1.ResourceVersionMatchExact || o.ResourceVersionMatch == "" && o.Limit > 0 && o.wanted > 0
}
