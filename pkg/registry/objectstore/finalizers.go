package objectstore

import (
	"context"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/koinon-io/koinon/pkg/apis/names"
)

// WarningsOnCreate has those of the kind, and those on finalizers.
func (s createStrategy) WarningsOnCreate(ctx context.Context, obj runtime.Object) []string {
	return append(finalizerWarnings(obj, nil), s.RESTCreateStrategy.WarningsOnCreate(ctx, obj)...)
}

// WarningsOnUpdate has those of the kind, and those on finalizers.
func (s updateStrategy) WarningsOnUpdate(ctx context.Context, obj, old runtime.Object) []string {
	return append(finalizerWarnings(obj, old), s.RESTUpdateStrategy.WarningsOnUpdate(ctx, obj, old)...)
}

func finalizerWarnings(obj, old runtime.Object) []string {
	meta, err := apimeta.Accessor(obj)
	if err != nil {
		return nil
	}
	if old == nil {
		return names.FinalizerWarnings(meta, nil)
	}
	was, err := apimeta.Accessor(old)
	if err != nil {
		return nil
	}
	return names.FinalizerWarnings(meta, was)
}
