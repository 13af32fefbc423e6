package host

import (
	"context"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/klog/v2"
)

// trim drops what no controller here reads before an object is cached.
func trim(object any) (any, error) {
	if accessor, err := meta.Accessor(object); err == nil {
		accessor.SetManagedFields(nil)
	}
	return object, nil
}

// reportStopped tells the operator that no controller runs in this process.
func reportStopped(ctx context.Context, err error) {
	klog.FromContext(ctx).Error(err, "Controllers of the host could not be started; namespaces and dependents will not be removed")
}
