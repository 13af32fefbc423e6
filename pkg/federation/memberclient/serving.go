package memberclient

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
)

// maxVersions bounds how many versions of one group are asked for a type.
const maxVersions = 16

// customResourceDefinitions is the resource that types are made of.
var customResourceDefinitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// Served returns the version in which objects of a type are listed, watched, read, deleted
// and released: that of gvr, unless the cache of the type has found that the member serves
// another one only. Writes of manifests are made in the manifest's own version.
func (c *Conn) Served(gvr schema.GroupVersionResource) schema.GroupVersionResource {
	for _, cache := range c.cachesOf(gvr) {
		if served := cache.servedVersion(); !served.Empty() {
			return served
		}
	}
	return gvr
}

// cachesOf returns the caches of a type: that of its version, or else those of others.
func (c *Conn) cachesOf(gvr schema.GroupVersionResource) []*Cache {
	c.mu.Lock()
	defer c.mu.Unlock()
	if found := c.caches[gvr]; found != nil {
		return []*Cache{found}
	}
	var others []*Cache
	for resource, cache := range c.caches {
		if resource.GroupResource() == gvr.GroupResource() {
			others = append(others, cache)
		}
	}
	return others
}

// servedVersion asks in which version the member serves the type: in that of t if it can,
// else in the one that the member prefers. It is empty if there is none.
func (c *Conn) findServed(ctx context.Context, t Type) (schema.GroupVersionResource, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	served, err := c.serves(ctx, t)
	if err != nil || served {
		return t.Resource, err
	}
	versions, err := c.versions(ctx, t.Resource.Group)
	if err != nil {
		return schema.GroupVersionResource{}, err
	}
	for _, version := range versions {
		other := t
		if other.Resource.Version = version; version == t.Resource.Version {
			continue
		}
		if served, err := c.serves(ctx, other); err != nil || served {
			return other.Resource, err
		}
	}
	return schema.GroupVersionResource{}, nil
}

// serves asks whether the member has the type in its version.
func (c *Conn) serves(ctx context.Context, t Type) (bool, error) {
	resource, err := c.discover(ctx, t.Resource)
	return resource != nil && resource.Namespaced == t.Namespaced, err
}

// discover returns what the member says of a resource; nil if it does not serve it.
func (c *Conn) discover(ctx context.Context, gvr schema.GroupVersionResource) (*metav1.APIResource, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	path := versionPath(gvr.GroupVersion())
	document, err := c.document(ctx, path)
	if err != nil || document == nil {
		return nil, err
	}
	found, err := findResource(document, path, gvr.Resource)
	if err != nil {
		return nil, fmt.Errorf("read discovery of %s: %w", path, err)
	}
	return found, nil
}

// findResource reads an APIResourceList one resource after the other: a member may list a million.
func findResource(document []byte, path, name string) (found *metav1.APIResource, err error) {
	list := newPageReader(bytes.NewReader(document), path)
	if err := list.expect(json.Delim('{')); err != nil {
		return nil, err
	}
	for list.More() {
		key, err := list.token()
		if err != nil {
			return nil, err
		}
		if key != "resources" {
			var skipped json.RawMessage
			err = list.value(&skipped)
		} else {
			err = list.array(func() error {
				var one metav1.APIResource
				if err := list.value(&one); err != nil {
					return err
				}
				if one.Name == name {
					found = &one
				}
				return nil
			})
		}
		if err != nil {
			return nil, err
		}
	}
	return found, list.expect(json.Delim('}'))
}

// versions returns the versions of a group that the member serves, the preferred one first.
func (c *Conn) versions(ctx context.Context, group string) ([]string, error) {
	if group == "" {
		return nil, nil // there is but one
	}
	path := "/apis/" + group
	document, err := c.document(ctx, path)
	if err != nil || document == nil {
		return nil, err
	}
	var served metav1.APIGroup
	if err := json.Unmarshal(document, &served); err != nil {
		return nil, fmt.Errorf("read discovery of %s: %w", path, err)
	}
	versions := []string{}
	if preferred := served.PreferredVersion.Version; preferred != "" {
		versions = append(versions, preferred)
	}
	for _, version := range served.Versions {
		if version.Version != served.PreferredVersion.Version && len(versions) < maxVersions {
			versions = append(versions, version.Version)
		}
	}
	return versions, nil
}

// document reads a document of discovery; nil if there is none.
func (c *Conn) document(ctx context.Context, path string) ([]byte, error) {
	body, err := c.client.Get().AbsPath(path).SetHeader("Accept", "application/json").Do(ctx).Raw()
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return body, nil
}

// Vanished reports whether the objects of a type are known to be gone since the type was
// removed from the member, and its objects with it: its CustomResourceDefinition is not
// there, and no version of its group serves it. False says nothing: a type may be served
// again, with the objects that it had.
//
// An API that another server of the member's provided (an APIService that was removed) is
// taken for such a type: nothing is left that tells it from one.
func (c *Conn) Vanished(ctx context.Context, t Type) (bool, error) {
	if isBuiltIn(t.Resource.Group) {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	name := t.Resource.Resource + "." + t.Resource.Group
	_, err := c.metadata.Resource(customResourceDefinitions).Get(ctx, name, metav1.GetOptions{})
	if !IsMissing(err, name) {
		return false, err
	}
	versions, err := c.versions(ctx, t.Resource.Group)
	if err != nil {
		return false, err
	}
	for _, version := range versions {
		gvr := schema.GroupVersionResource{Group: t.Resource.Group, Version: version, Resource: t.Resource.Resource}
		if found, err := c.discover(ctx, gvr); err != nil || found != nil {
			return false, err
		}
	}
	return true, nil
}

// aggregated are groups of Kubernetes' own that come with none of its API servers' types.
var aggregated = map[string]bool{
	"apiextensions.k8s.io": true, "apiregistration.k8s.io": true,
	"metrics.k8s.io": true, "custom.metrics.k8s.io": true, "external.metrics.k8s.io": true,
}

// isBuiltIn reports whether a group is Kubernetes' own: its types come and go with releases
// and flags of the API server, and their objects stay where they are stored. Groups that
// end in .k8s.io may be of CustomResourceDefinitions too, as those of the gateway API are.
func isBuiltIn(group string) bool {
	return !strings.Contains(group, ".") || scheme.Scheme.IsGroupRegistered(group) || aggregated[group]
}
