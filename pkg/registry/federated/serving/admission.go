package serving

import (
	"context"
	"errors"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/admission"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/federated/wire"
)

// admissionInWords lets admission plugins see federated objects in the version that they
// match, and takes what they change in it without losing what that version cannot say.
type admissionInWords struct{ admission.Interface }

var (
	_ admission.MutationInterface   = admissionInWords{}
	_ admission.ValidationInterface = admissionInWords{}
)

// withWords returns plugins, which may be nil, with objects in their words.
func withWords(plugins admission.Interface) admission.Interface {
	if plugins == nil {
		return nil
	}
	return admissionInWords{plugins}
}

// Admit asks the plugins that may change the object.
func (a admissionInWords) Admit(ctx context.Context, attributes admission.Attributes, interfaces admission.ObjectInterfaces) error {
	mutating, ok := a.Interface.(admission.MutationInterface)
	if !ok {
		return nil
	}
	return mutating.Admit(ctx, attributes, newObjectInterfaces(interfaces, attributes))
}

// Validate asks the plugins that may refuse the object.
func (a admissionInWords) Validate(ctx context.Context, attributes admission.Attributes, interfaces admission.ObjectInterfaces) error {
	validating, ok := a.Interface.(admission.ValidationInterface)
	if !ok {
		return nil
	}
	return validating.Validate(ctx, attributes, newObjectInterfaces(interfaces, attributes))
}

// refusal makes an answer to the client of an error about a field of the object.
func refusal(o *typesv1beta2.FederatedObject, err error) error {
	var invalid *field.Error
	if errors.As(err, &invalid) {
		return apierrors.NewInvalid(schema.GroupKind{Group: federated.GroupName, Kind: o.Kind}, o.Name, field.ErrorList{invalid})
	}
	return err
}

// objectInterfaces are those of one call of the plugins.
type objectInterfaces struct {
	admission.ObjectInterfaces
	convertor *admissionConvertor
}

func newObjectInterfaces(interfaces admission.ObjectInterfaces, attributes admission.Attributes) objectInterfaces {
	hub, _ := attributes.GetObject().(*typesv1beta2.FederatedObject)
	return objectInterfaces{interfaces, &admissionConvertor{
		ObjectConvertor: interfaces.GetObjectConvertor(),
		defaulter:       interfaces.GetObjectDefaulter(),
		hub:             hub,
		views:           map[string]runtime.Object{},
	}}
}

// GetObjectConvertor implements admission.ObjectInterfaces.
func (o objectInterfaces) GetObjectConvertor() runtime.ObjectConvertor { return o.convertor }

// admissionConvertor converts objects for the plugins of one call, and back.
type admissionConvertor struct {
	runtime.ObjectConvertor
	defaulter runtime.ObjectDefaulter

	hub   *typesv1beta2.FederatedObject // what is admitted; nil if it is of another type
	mu    sync.Mutex                    // guards views
	views map[string]runtime.Object     // the newest of hub, by version
}

// Convert makes a view of the object for a plugin, if out is new. If out is the object
// itself, in is a view that a plugin has changed, and what v1beta1 has no words for stays
// as it was: a plugin that drops the annotation that says it, or the status that KubeFed
// does not know, does not mean that.
func (c *admissionConvertor) Convert(in, out, context any) error {
	if out != any(c.hub) || c.hub == nil {
		err := c.ObjectConvertor.Convert(in, out, context)
		if view, ok := out.(runtime.Object); ok && err == nil && in == any(c.hub) && c.hub != nil {
			c.remember(view)
		}
		return err
	}
	before := *c.hub
	err := c.ObjectConvertor.Convert(in, c.hub, context)
	if err == nil && versionOf(in) == federated.V1beta1.Version {
		err = restore(&before, c.hub)
	}
	if err != nil {
		*c.hub = before
	}
	return refusal(c.hub, err)
}

// ConvertToVersion makes a typed object of what a mutating policy has changed. The version is
// the one that it has, not target: that is the client's version, and the policy goes on in
// the one that it matched.
//
// The library has one view per version for all policies, made before the first runs, and takes
// over the last that was changed. So that none loses what another one did, a change is taken
// over at once, and the view of the other version follows.
func (c *admissionConvertor) ConvertToVersion(in runtime.Object, target runtime.GroupVersioner) (runtime.Object, error) {
	gvk := in.GetObjectKind().GroupVersionKind()
	if gvk.Group != federated.GroupName || c.hub == nil {
		return c.ObjectConvertor.ConvertToVersion(in, target)
	}
	view, err := c.ObjectConvertor.ConvertToVersion(in, gvk.GroupVersion())
	if err != nil {
		return nil, refusal(c.hub, err)
	}
	if err := c.Convert(view, c.hub, nil); err != nil {
		return nil, err
	}
	c.defaulter.Default(c.hub)
	c.remember(view)
	return view, c.refreshOthers(gvk.Version)
}

func (c *admissionConvertor) remember(view runtime.Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.views[versionOf(view)] = view
}

// refreshOthers makes the views of other versions than the given show the object as it is.
func (c *admissionConvertor) refreshOthers(version string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for other, view := range c.views {
		if other == version || view == runtime.Object(c.hub) {
			continue
		}
		if err := c.ObjectConvertor.Convert(c.hub, view, nil); err != nil {
			return err
		}
	}
	return nil
}

// restore puts back the parts of spec and status that v1beta1 has no words for.
func restore(before, o *typesv1beta2.FederatedObject) error {
	status := *o
	if err := conversion.Restore(before, o, ""); err != nil {
		return err
	}
	conversion.RestoreStatus(before, &status)
	o.Status = status.Status
	return nil
}

func versionOf(in any) string {
	if o, ok := in.(runtime.Object); ok {
		return o.GetObjectKind().GroupVersionKind().Version
	}
	return ""
}

// registerEquivalents says that the two versions of a kind are the same resource, so that a
// plugin that names one sees the writes of the other. The routes of a version say it too,
// but those of v1beta1 are made when somebody speaks it.
func registerEquivalents(registry runtime.EquivalentResourceRegistry, kinds []federated.Kind) {
	for _, kind := range kinds {
		for _, version := range []schema.GroupVersion{federated.V1beta2, federated.V1beta1} {
			resource := version.WithResource(kind.Resource)
			registry.RegisterKindFor(resource, "", version.WithKind(kind.Kind))
			registry.RegisterKindFor(resource, "status", version.WithKind(kind.Kind))
			registry.RegisterKindFor(resource, "scale", wire.ScaleKind)
		}
	}
}
