package computed

import (
	"context"
	"crypto/sha256"
	"fmt"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

// Kind is what is computed. T is a pointer to its Go type. All fields are required.
type Kind[T objectstore.Object] struct {
	// New returns an empty object.
	New func() T
	// Scope of the kind. Those of a federated kind have the same namespaces as its objects.
	Scope objectstore.Scope
	// Covers reports whether objects of a federated kind have some.
	Covers func(federated.Kind) bool
	// NameOf is what that of an object of a covered kind is called; false if nothing can be called that.
	NameOf func(kind federated.Kind, object string) (string, bool)
	// ObjectOf is NameOf the other way round; false if none of that kind has one of the name.
	ObjectOf func(kind federated.Kind, name string) (string, bool)
	// Has reports whether an object has one. It is asked more often than Of, and costs nothing.
	Has func(o *typesv1beta2.FederatedObject) bool
	// Of computes that of an object that has one, but for its resource version. The object is shared.
	Of func(kind federated.Kind, o *typesv1beta2.FederatedObject) (T, error)
}

// Source are the federated objects that things are computed from.
type Source interface {
	// Kinds are those that are served, in an order.
	Kinds() []federated.Kind
	// Object returns an object, nil if there is none.
	Object(ctx context.Context, kind federated.Kind, namespace, name string) (*typesv1beta2.FederatedObject, error)
	// List returns the objects of the namespace of a context, or all if that is empty. They are shared.
	List(ctx context.Context, kind federated.Kind, options *metainternalversion.ListOptions) (*typesv1beta2.FederatedObjectList, error)
	// Encoding is how those of a kind are stored; false if it is not served.
	Encoding(kind federated.Kind) (objectstore.Encoding, bool)
	// Sees reports whether a request is shown an object of a resource: it may be of an earlier namespace.
	Sees(ctx context.Context, resource schema.GroupResource, object metav1.Object) (bool, error)
}

// Log is the store, as far as what happens there has an order. Errors with the reason Expired say that
// a revision is compacted.
type Log interface {
	// Revision returns the one that the store is at.
	Revision(ctx context.Context) (int64, error)
	// Keys returns the keys below a prefix that were there at a revision.
	Keys(ctx context.Context, prefix string, revision int64) ([]string, error)
	// Value returns what a key had at a revision, nil if it was not there.
	Value(ctx context.Context, key string, revision int64) ([]byte, error)
	// Follow calls take for each change of a key from one up to, and without, another after a revision, in
	// their order, and without a key for a revision up to which all was told. It returns with
	// ctx, or with an error, also one of take.
	Follow(ctx context.Context, from, end string, after int64, take func(key string, value, before []byte, revision int64) error) error
}

// View says what is computed from.
type View struct {
	// Source of the federated objects. Nil computes nothing.
	Source Source
	// Log of the store. With nil a watch shows what is stored alone.
	Log Log
	// OtherEngine says whether another engine than ours propagates: it stores its own, and nothing is
	// computed. Nil says no.
	OtherEngine func(context.Context) bool
}

// kinds are those that objects are computed of now, in their order.
func (r *REST[T]) kinds(ctx context.Context) []federated.Kind {
	if r.view.Source == nil || r.view.OtherEngine != nil && r.view.OtherEngine(ctx) {
		return nil
	}
	var covered []federated.Kind
	for _, kind := range r.view.Source.Kinds() {
		if r.kind.Covers(kind) {
			covered = append(covered, kind)
		}
	}
	return covered
}

// of computes that of an object; false if it has none.
func (r *REST[T]) of(kind federated.Kind, o *typesv1beta2.FederatedObject) (object T, ok bool, err error) {
	if !r.kind.Has(o) {
		return object, false, nil
	}
	if object, err = r.kind.Of(kind, o); err != nil {
		return object, false, err
	}
	object.SetResourceVersion(o.ResourceVersion)
	return object, true, nil
}

// UID is that of what is computed of an object: a UUID of version 8 (RFC 9562) that follows from the
// object's, for each use another one.
func UID(use string, owner types.UID) types.UID {
	sum := sha256.Sum256([]byte(use + "/" + string(owner)))
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80
	return types.UID(fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16]))
}
