package propagation

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// A watch of the host may lose an event, or bring an old one last, whatever is between us and the
// store. What the cache shows of federated objects is compared with what the host has, now and then,
// as that of members is (package memberclient): a list of names and versions, and, where they
// differ, a look at the object some time later. If an event was lost, everything is listed anew.

const (
	// hostPage is how many objects are asked for at once, and hostCatchUp for how long the watch may
	// be behind. At most maxSuspects objects are read.
	hostPage    = 500
	hostCatchUp = 10 * time.Second
	maxSuspects = 64
)

// suspect is an object of which the host's list said something else than the cache.
type suspect struct {
	name cache.ObjectName
	// uid and version are what the list had; empty if it did not have the object.
	uid     types.UID
	version string
}

// followHost compares again and again until ctx ends.
func (f *feed) followHost(ctx context.Context, host *rest.Config) {
	names, err := metadata.NewForConfig(host)
	if err != nil {
		klog.FromContext(ctx).Error(err, "Failed to make a client of the host's metadata")
		return // never: other clients were made of it
	}
	for {
		if !sleep(ctx, wait.Jitter(resync, 0.5)) {
			return
		}
		suspects, err := f.suspects(ctx, names)
		if err != nil {
			klog.FromContext(ctx).V(2).Info("Failed to compare the cache with the host", "type", f.plural, "problem", err.Error())
			continue
		}
		if len(suspects) == 0 || !sleep(ctx, hostCatchUp) {
			continue
		}
		for _, s := range suspects {
			if f.wasLost(ctx, s) {
				klog.FromContext(ctx).Info("Watch of the host lost events", "type", f.plural, "object", s.name)
				f.informer.ListAnew()
				break
			}
		}
	}
}

// suspects lists what the host has and compares: at most maxSuspects objects.
func (f *feed) suspects(ctx context.Context, names metadata.Interface) ([]suspect, error) {
	listed, options := map[string]bool{}, metav1.ListOptions{Limit: hostPage}
	var found []suspect
	for {
		call, cancel := context.WithTimeout(ctx, hostTimeout)
		page, err := names.Resource(f.factory.Version().WithResource(f.plural)).List(call, options)
		cancel()
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", f.plural, err)
		}
		for i := range page.Items {
			object := &page.Items[i]
			name := cache.MetaObjectToName(object)
			listed[name.String()] = true
			if cached := f.cached(name); (cached == nil || isBefore(cached.ResourceVersion, object.ResourceVersion)) && len(found) < maxSuspects {
				found = append(found, suspect{name, object.UID, object.ResourceVersion})
			}
		}
		if options.Continue = page.Continue; options.Continue == "" {
			return f.missing(found, listed, page.ResourceVersion), nil
		}
	}
}

// missing adds the objects that a list of a version did not have although it could.
func (f *feed) missing(found []suspect, listed map[string]bool, version string) []suspect {
	for _, object := range f.informer.GetStore().List() {
		cached := object.(*v1beta2.FederatedObject)
		name := cache.MetaObjectToName(cached)
		if len(found) < maxSuspects && !listed[name.String()] && !isBefore(version, cached.ResourceVersion) {
			found = append(found, suspect{name: name})
		}
	}
	return found
}

func (f *feed) cached(name cache.ObjectName) *v1beta2.FederatedObject {
	object, ok, err := f.informer.GetStore().GetByKey(name.String())
	if err != nil || !ok {
		return nil
	}
	return object.(*v1beta2.FederatedObject)
}

// wasLost reports whether the cache still does not show what the list did.
func (f *feed) wasLost(ctx context.Context, s suspect) bool {
	if cached := f.cached(s.name); cached != nil && s.version != "" {
		return isBefore(cached.ResourceVersion, s.version)
	}
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	stored, err := f.factory.Resource(f.plural, s.name.Namespace).Get(ctx, s.name.Name, metav1.GetOptions{})
	cached := f.cached(s.name)
	switch {
	case err == nil:
		return cached == nil && stored.UID == s.uid
	case apierrors.IsNotFound(err):
		return cached != nil && s.version == ""
	}
	return false
}

// isBefore reports whether one resourceVersion is known to be earlier than another.
func isBefore(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err == nil && order < 0
}

// sleep waits for d. It returns false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
