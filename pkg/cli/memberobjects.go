package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"

	"github.com/koinon-io/koinon/pkg/apis/federation/rights"
	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

const (
	// pageSize is how many objects are listed at once.
	pageSize = 500
	// firstNames is how many objects of a type are named.
	firstNames = 3
	// asksAtOnce is how many requests a command has on their way to one server.
	asksAtOnce = 8
)

// typeObjects is what a federation has made of one type in a member.
type typeObjects struct {
	Resource schema.GroupResource
	Count    int
	// First are the names of some, NAMESPACE/NAME, sorted as the member lists them.
	First []string
	// Unknown is why it is not known; empty if it is.
	Unknown string
}

func (o typeObjects) String() string {
	said := fmt.Sprintf("%d %s: %s", o.Count, o.Resource, strings.Join(o.First, ", "))
	if more := o.Count - len(o.First); more > 0 {
		said += fmt.Sprintf(" and %d more", more)
	}
	return said
}

// findObjects lists what carries our label, by type. What another federation says is its own is not
// ours, if it is known which one is: without a federation all are listed, as they may be ours. Types of which there is nothing are left out.
func findObjects(ctx context.Context, member *memberClients, types []v1beta1.FederatedTypeConfig, federation string) []typeObjects {
	found := make([]typeObjects, len(types))
	places := make(chan struct{}, asksAtOnce)
	var group sync.WaitGroup
	for i := range types {
		group.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			target := rights.Target(&types[i])
			found[i] = listServed(ctx, member, target.WithVersion(types[i].Spec.TargetType.Version), federation)
		})
	}
	group.Wait()
	found = slices.DeleteFunc(found, func(o typeObjects) bool { return o.Count == 0 && o.Unknown == "" })
	slices.SortFunc(found, func(a, b typeObjects) int { return strings.Compare(a.Resource.String(), b.Resource.String()) })
	return found
}

// listServed lists objects in the version of the type, or in another one that the member serves.
func listServed(ctx context.Context, member *memberClients, gvr schema.GroupVersionResource, federation string) typeObjects {
	objects, served := listObjects(ctx, member.metadata, gvr, federation)
	if served || gvr.Group == "" {
		return objects
	}
	var group metav1.APIGroup
	err := member.discovery.RESTClient().Get().AbsPath("/apis/" + gvr.Group).MaxRetries(0).Do(ctx).Into(&group)
	switch {
	case apierrors.IsNotFound(err):
		return objects // what has no type is not there
	case err != nil:
		objects.Unknown = sentence(err)
		return objects
	}
	for _, version := range group.Versions {
		if version.Version == gvr.Version {
			continue
		}
		if objects, served = listObjects(ctx, member.metadata, gvr.GroupResource().WithVersion(version.Version), federation); served {
			return objects
		}
	}
	return objects
}

// listObjects lists objects in one version. served is false if the member has not that one.
func listObjects(ctx context.Context, client metadata.Interface, gvr schema.GroupVersionResource, federation string) (objects typeObjects, served bool) {
	objects.Resource = gvr.GroupResource()
	options := metav1.ListOptions{LabelSelector: v1beta1.ManagedLabel + "=true", Limit: pageSize}
	for {
		page, err := client.Resource(gvr).List(ctx, options)
		if apierrors.IsNotFound(err) {
			return objects, false
		}
		if err != nil {
			objects.Unknown = sentence(err)
			return objects, true
		}
		for i := range page.Items {
			objects.add(&page.Items[i], federation)
		}
		if options.Continue = page.Continue; options.Continue == "" {
			return objects, true
		}
	}
}

func (o *typeObjects) add(object *metav1.PartialObjectMetadata, federation string) {
	if of := object.Annotations[v1alpha1.FederationAnnotation]; of != "" && federation != "" && of != federation {
		return
	}
	o.Count++
	if len(o.First) < firstNames {
		o.First = append(o.First, strings.TrimPrefix(object.Namespace+"/"+object.Name, "/"))
	}
}

// notListed says of which types it is not known what there is; empty if it is of all.
func notListed(found []typeObjects) string {
	var names []string
	why := ""
	for _, o := range found {
		if o.Unknown != "" {
			names, why = append(names, o.Resource.String()), o.Unknown
		}
	}
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf("it is not known what there is of %s: %s", strings.Join(names, ", "), why)
}

// countObjects returns the counts of all types, as part of a sentence, and their sum.
func countObjects(found []typeObjects) (said string, sum int) {
	var parts []string
	for _, o := range found {
		if sum += o.Count; o.Count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s (%s)", o.Count, o.Resource, strings.Join(o.First, ", ")+ifMore(o.Count > len(o.First))))
		}
	}
	return strings.Join(parts, ", "), sum
}

func ifMore(more bool) string {
	if more {
		return ", ..."
	}
	return ""
}

// resourcesOf are the types of which there is something, as kubectl takes them.
func resourcesOf(found []typeObjects) string {
	var names []string
	for _, o := range found {
		if o.Count > 0 {
			names = append(names, o.Resource.String())
		}
	}
	return strings.Join(names, ",")
}

// contents is what a namespace holds beside what every namespace has, and what is named in own
// (resource and name, as "secrets/koinon").
func contents(ctx context.Context, member *memberClients, namespace string, own map[string]bool) (names []string, err error) {
	lists, err := member.discovery.ServerPreferredNamespacedResources()
	if err != nil { // also if a part of it is not known
		return nil, fmt.Errorf("ask the member which types it has: %s", sentence(err))
	}
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, fmt.Errorf("read the types of the member: %w", err)
		}
		for _, resource := range list.APIResources {
			if !slices.Contains(resource.Verbs, "list") || resource.Name == "events" {
				continue
			}
			found, err := member.metadata.Resource(gv.WithResource(resource.Name)).Namespace(namespace).List(ctx, metav1.ListOptions{Limit: pageSize})
			if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("list %s of the namespace %s of the member: %s", resource.Name, namespace, sentence(err))
			}
			for i := range found.Items {
				name := resource.Name + "/" + found.Items[i].Name
				if !own[name] && name != "serviceaccounts/default" && name != "configmaps/kube-root-ca.crt" {
					names = append(names, name)
				}
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
