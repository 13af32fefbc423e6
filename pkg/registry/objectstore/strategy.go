package objectstore

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/storage/names"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// Scope says whether the objects of a kind have a namespace.
type Scope bool

const (
	// Namespaced kinds have one.
	Namespaced Scope = true
	// ClusterScoped kinds have none.
	ClusterScoped Scope = false
)

// Base is the part of a strategy that all kinds share: names are generated, nothing is
// created by an update, updates need a resource version, and there are no warnings.
type Base struct {
	runtime.ObjectTyper
	names.NameGenerator

	scope       Scope
	resetFields map[fieldpath.APIVersion]*fieldpath.Set
}

// NewBase returns the base of a strategy whose writes leave the fields reset, which are
// top-level fields, as they are. Server-side apply gives nobody ownership of those.
func NewBase(scheme *runtime.Scheme, scope Scope, gv schema.GroupVersion, reset ...string) Base {
	base := Base{ObjectTyper: scheme, NameGenerator: names.SimpleNameGenerator, scope: scope}
	if len(reset) > 0 {
		set := &fieldpath.Set{}
		for _, name := range reset {
			set.Insert(fieldpath.MakePathOrDie(name))
		}
		base.resetFields = map[fieldpath.APIVersion]*fieldpath.Set{fieldpath.APIVersion(gv.String()): set}
	}
	return base
}

// GetResetFields returns the fields that NewBase was told.
func (b Base) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set { return b.resetFields }

// NamespaceScoped reports whether objects have a namespace.
func (b Base) NamespaceScoped() bool { return b.scope == Namespaced }

// AllowCreateOnUpdate is false: a PUT does not create.
func (Base) AllowCreateOnUpdate() bool { return false }

// AllowUnconditionalUpdate is false: a PUT must say which version it was made from, so
// that no write is lost.
func (Base) AllowUnconditionalUpdate() bool { return false }

// Canonicalize does nothing.
func (Base) Canonicalize(runtime.Object) {}

// Validate finds no fault.
func (Base) Validate(context.Context, runtime.Object) field.ErrorList { return nil }

// ValidateUpdate finds no fault.
func (Base) ValidateUpdate(_ context.Context, _, _ runtime.Object) field.ErrorList { return nil }

// WarningsOnCreate has none.
func (Base) WarningsOnCreate(context.Context, runtime.Object) []string { return nil }

// WarningsOnUpdate has none.
func (Base) WarningsOnUpdate(_ context.Context, _, _ runtime.Object) []string { return nil }
