package follow

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/apis/federation/rights"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/following"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/events"
)

const (
	// unfederatedEvery is how often labelled objects are looked for whose type is not federated, and maxUnfederated of how many
	// of one type that is told at once.
	unfederatedEvery, maxUnfederated = 10 * time.Minute, 20
)

// findUnfederated tells, now and then, of labelled objects whose type has no FederatedTypeConfig: nobody watches those. It
// ends with ctx.
func (c *Controller) findUnfederated(ctx context.Context) {
	told := map[types.UID]bool{}
	ticker := time.NewTicker(unfederatedEvery)
	defer ticker.Stop()
	for {
		told = c.tellUnfederated(ctx, told)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// tellUnfederated tells of the objects that are not in told, and returns those that there are. What the host does not let us list
// is passed over.
func (c *Controller) tellUnfederated(ctx context.Context, told map[types.UID]bool) map[types.UID]bool {
	found := map[types.UID]bool{}
	configs, err := c.Types.List(labels.Everything())
	if err != nil {
		return told // never: it is a cache
	}
	versions, err := c.host.versions(ctx)
	if err != nil {
		klog.FromContext(ctx).V(2).Info("Failed to look for labelled objects whose type is not federated", "problem", err.Error())
		return told
	}
	isFederated := func(resource schema.GroupResource) bool {
		return slices.ContainsFunc(configs, func(config *v1beta1.FederatedTypeConfig) bool { return rights.Target(config) == resource })
	}
	for _, version := range versions {
		if isOurs(version.Group) {
			continue
		}
		resources, err := c.host.resources(ctx, version)
		if err != nil {
			continue
		}
		for _, r := range resources {
			resource := version.WithResource(r.Name)
			if !slices.Contains(r.Verbs, "list") || strings.Contains(r.Name, "/") || isFederated(resource.GroupResource()) {
				continue
			}
			for _, object := range c.labelled(ctx, resource) {
				wanted, _, _ := following.Wanted(object.Labels)
				if found[object.UID] = true; wanted && !told[object.UID] {
					c.tellNotEnabled(resource, r.Kind, &object)
				}
			}
		}
	}
	return found
}

// labelled are the first labelled objects of a type.
func (c *Controller) labelled(ctx context.Context, resource schema.GroupVersionResource) []metav1.PartialObjectMetadata {
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	page, err := c.host.source(resource, c.Namespace).List(ctx, metav1.ListOptions{LabelSelector: v1beta1.FederateLabel, Limit: maxUnfederated})
	if err != nil {
		return nil
	}
	return page.Items
}

func (c *Controller) tellNotEnabled(resource schema.GroupVersionResource, kind string, object metav1.Object) {
	c.Record(&corev1.ObjectReference{
		APIVersion: resource.GroupVersion().String(), Kind: kind, Namespace: object.GetNamespace(), Name: object.GetName(), UID: object.GetUID(),
	}, events.Event{Type: corev1.EventTypeWarning, Reason: v1beta2.EventNotFollowed, Message: fmt.Sprintf(
		"no federated object follows it: its type is not enabled; \"kubectl koinon enable %s\" enables it", resource.GroupResource())})
}

// isOurs reports whether a group is one of Koinon, whose objects are not federated.
func isOurs(group string) bool {
	return strings.HasSuffix(group, ".kubefed.io") || strings.HasSuffix(group, ".koinon.io")
}
