package ownership

import (
	"context"
	"errors"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/registry/rest"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/typed"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion"
	typesv1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// statusSubresource is the only one whose objects are federated objects.
const statusSubresource = "status"

// Keeper does for the requests of one version what the field manager leaves to be done.
type Keeper struct {
	converter *Converter
	version   schema.GroupVersion
}

// NewKeeper returns the keeper of a version.
func NewKeeper(converter *Converter, version schema.GroupVersion) *Keeper {
	return &Keeper{converter: converter, version: version}
}

// write is one update, from the stored object to admission.
type write struct {
	subresource string
	// applier is the manager of an apply; applies tells whether this is one.
	applier string
	applies bool
	// live is what the field manager is shown instead of the stored object, nil if that can
	// be shown as it is; stored are the entries that it has there.
	live   *typesv1beta2.FederatedObject
	stored []metav1.ManagedFieldsEntry
}

type writeKey struct{}

// Update prepares an update of an object or of a subresource: the context and the new object
// are what is to be passed on. applies says whether it is a server-side apply.
func (k *Keeper) Update(ctx context.Context, subresource string, info rest.UpdatedObjectInfo, applies bool, options *metav1.UpdateOptions) (context.Context, rest.UpdatedObjectInfo) {
	w := &write{subresource: subresource, applies: applies, applier: options.FieldManager}
	return context.WithValue(ctx, writeKey{}, w), &tracked{info, k, w}
}

// tracked is a new object that is made from a stored one as the field manager wants it.
type tracked struct {
	rest.UpdatedObjectInfo
	keeper *Keeper
	write  *write
}

// UpdatedObject runs the field manager, and then admission.
func (t *tracked) UpdatedObject(ctx context.Context, old runtime.Object) (runtime.Object, error) {
	live, ok := old.(*typesv1beta2.FederatedObject)
	if !ok {
		return t.UpdatedObjectInfo.UpdatedObject(ctx, old)
	}
	t.write.live, t.write.stored = nil, live.ManagedFields
	if entries, changed := trackedEntries(live.ManagedFields, t.keeper.version); changed {
		shown := *live
		shown.ManagedFields = entries
		t.write.live, live = &shown, &shown
	}
	obj, err := t.UpdatedObjectInfo.UpdatedObject(ctx, live)
	return obj, conflictInWords(err, t.keeper.version, t.write.stored)
}

// Admission returns admission that begins, before any plugin, with what is to be done after
// the field manager.
func (k *Keeper) Admission(plugins admission.Interface) admission.Interface {
	return &beforePlugins{keeper: k, plugins: plugins}
}

type beforePlugins struct {
	keeper  *Keeper
	plugins admission.Interface // may be nil
}

var (
	_ admission.MutationInterface   = &beforePlugins{}
	_ admission.ValidationInterface = &beforePlugins{}
)

// Handles reports whether there is something to do.
func (b *beforePlugins) Handles(operation admission.Operation) bool {
	return operation == admission.Create || operation == admission.Update || b.pluginsHandle(operation)
}

func (b *beforePlugins) pluginsHandle(operation admission.Operation) bool {
	return b.plugins != nil && b.plugins.Handles(operation)
}

// Admit completes the object, then asks the plugins.
func (b *beforePlugins) Admit(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	if obj, ok := a.GetObject().(*typesv1beta2.FederatedObject); ok && (a.GetOperation() == admission.Create || a.GetOperation() == admission.Update) {
		old, _ := a.GetOldObject().(*typesv1beta2.FederatedObject)
		if err := b.keeper.complete(ctx, a, obj, old); err != nil {
			return err
		}
	}
	if mutating, ok := b.plugins.(admission.MutationInterface); ok && b.pluginsHandle(a.GetOperation()) {
		return mutating.Admit(ctx, a, o)
	}
	return nil
}

// Validate asks the plugins.
func (b *beforePlugins) Validate(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	if validating, ok := b.plugins.(admission.ValidationInterface); ok && b.pluginsHandle(a.GetOperation()) {
		return validating.Validate(ctx, a, o)
	}
	return nil
}

// complete makes of what the field manager left an object as it is to be stored. old is the
// one that the field manager was shown, nil for a new object.
func (k *Keeper) complete(ctx context.Context, a admission.Attributes, obj, old *typesv1beta2.FederatedObject) error {
	w, _ := ctx.Value(writeKey{}).(*write)
	if w == nil {
		w = &write{}
	}
	var err error
	if w.applies && old != nil && a.GetSubresource() == "" {
		if err := dropLeftNulls(obj, old); err != nil {
			return err
		}
	}
	switch {
	case a.GetSubresource() == statusSubresource:
		if k.version == federated.V1beta1 && old != nil {
			err = k.completeStatus(obj, old)
		}
	case k.version == federated.V1beta1:
		err = completeSpec(w, obj, old)
	case old != nil:
		if w.applies {
			keepOrder(w, obj, old)
		}
		keepWholeLists(obj, old)
	}
	var invalid *field.Error
	if errors.As(err, &invalid) {
		return apierrors.NewInvalid(a.GetKind().GroupKind(), a.GetName(), field.ErrorList{invalid})
	}
	if err != nil {
		return err
	}
	obj.ManagedFields = k.storedEntries(w, obj, old)
	if w.live != nil && old == w.live {
		w.live.ManagedFields = w.stored // it is shown to plugins
	}
	return nil
}

// storedEntries are those of an object, each in the words of the version that its manager
// spoke last, if that has some for all that it owns.
func (k *Keeper) storedEntries(w *write, obj, old *typesv1beta2.FederatedObject) []metav1.ManagedFieldsEntry {
	out := slices.Clone(obj.ManagedFields)
	for i := range out {
		e := &out[i]
		if was := find(w.stored, keyOf(e)); was != nil && was.APIVersion != e.APIVersion && !k.spoke(w, e, old) {
			e.APIVersion = was.APIVersion
		}
		storeEntry(e, placesGroups(obj))
	}
	return inOrder(out)
}

// spoke reports whether the write was that of an entry's manager: it applied, or has got
// fields by an update.
func (k *Keeper) spoke(w *write, e *metav1.ManagedFieldsEntry, old *typesv1beta2.FederatedObject) bool {
	if w.applies {
		return keyOf(e) == w.applierKey()
	}
	return old == nil || !setOf(e).Difference(setOf(find(old.ManagedFields, keyOf(e)))).Empty()
}

// completeSpec restores what a client of v1beta1 did not say, for it and its owners, and
// puts names into the words of v1beta2.
func completeSpec(w *write, obj, old *typesv1beta2.FederatedObject) error {
	applied := obj.APIVersion == federated.V1beta1.String()
	if value, ok := obj.Annotations[typesv1beta1.TopologyAnnotation]; ok && applied {
		if _, err := conversion.ReadStash(value); err != nil {
			return err
		}
	}
	if old != nil && !saysTopology(w, obj) {
		if err := takeTopology(w, obj, old); err != nil {
			return err
		}
		obj.ManagedFields = keepUnsaid(obj.ManagedFields, old.ManagedFields)
	}
	if !conversion.HasSelectorOverrides(&obj.Spec) {
		obj.ManagedFields = withoutClaims(obj.ManagedFields)
	}
	if applied {
		if err := toTopologyWords(obj); err != nil {
			return err
		}
	}
	if placesGroups(obj) {
		obj.ManagedFields = claimGroups(w, obj, old)
	}
	return nil
}

// placesGroups reports whether an object names groups in its placement, for which v1beta1 shows a
// selector.
func placesGroups(obj *typesv1beta2.FederatedObject) bool {
	return topology.Label(obj.Spec.TopologyType) != "" && obj.Spec.Placement != nil && len(obj.Spec.Placement.Topologies) > 0
}

// saysTopology reports whether the client itself said what v1beta1 has no words for, in the
// annotation. An apply says what its manager then owns.
func saysTopology(w *write, obj *typesv1beta2.FederatedObject) bool {
	if !w.applies {
		return conversion.HasTopology(&obj.Spec)
	}
	return !below(w.applied(obj), unsaid).Empty()
}

// applied are the fields that the manager of an apply owns by it.
func (w *write) applied(obj *typesv1beta2.FederatedObject) *fieldpath.Set {
	return setOf(find(obj.ManagedFields, w.applierKey()))
}

func (w *write) applierKey() entryKey {
	return entryKey{w.applier, w.subresource, federated.GroupName, metav1.ManagedFieldsOperationApply}
}

func takeTopology(w *write, obj, old *typesv1beta2.FederatedObject) error {
	if w.applies {
		conversion.TakeTopology(old, obj)
		return nil
	}
	return conversion.Restore(old, obj, "")
}

func toTopologyWords(obj *typesv1beta2.FederatedObject) error {
	renamed, err := conversion.FromClusterWords(obj)
	if err != nil {
		return err
	}
	*obj = *renamed
	obj.APIVersion = federated.V1beta2.String()
	return nil
}

// completeStatus restores what KubeFed's status has no place for, with its owners.
func (k *Keeper) completeStatus(obj, old *typesv1beta2.FederatedObject) error {
	if obj.APIVersion == federated.V1beta1.String() {
		if err := toTopologyWords(obj); err != nil {
			return err
		}
	}
	before := *obj
	before.Status = obj.Status.DeepCopy()
	conversion.RestoreStatus(old, obj)
	restored, err := k.addedStatus(&before, obj)
	if err != nil {
		return err
	}
	obj.ManagedFields = giveBack(obj.ManagedFields, old.ManagedFields, restored)
	if sameTargets(old.Status, obj.Status) {
		obj.ManagedFields = keepTargets(obj.ManagedFields, old.ManagedFields)
	}
	return nil
}

// sameTargets reports whether two statuses say the same of the same targets.
func sameTargets(a, b *typesv1beta2.FederatedObjectStatus) bool {
	return a != nil && b != nil && equality.Semantic.DeepEqual(a.Targets, b.Targets)
}

// addedStatus returns the fields that the status of after has and that of before has not.
func (k *Keeper) addedStatus(before, after *typesv1beta2.FederatedObject) (*fieldpath.Set, error) {
	a, err := k.statusOf(before)
	if err != nil {
		return nil, err
	}
	b, err := k.statusOf(after)
	if err != nil {
		return nil, err
	}
	compared, err := a.Compare(b)
	if err != nil {
		return nil, err
	}
	return compared.Added, nil
}

func (k *Keeper) statusOf(obj *typesv1beta2.FederatedObject) (*typed.TypedValue, error) {
	bare := typesv1beta2.FederatedObject{TypeMeta: obj.TypeMeta, Status: obj.Status}
	bare.Namespace, bare.Spec.TopologyType = obj.Namespace, obj.Spec.TopologyType
	v, err := newView(&bare, k.version)
	if err != nil {
		return nil, err
	}
	delete(v.Object, "spec")
	return k.converter.ObjectToTyped(v)
}
