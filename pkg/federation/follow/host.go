package follow

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// host asks the host for native objects. It writes nothing.
type host struct {
	metadata metadata.Interface
	objects  dynamic.Interface
	// api reads what the host serves.
	api rest.Interface
}

// lister lists and watches the objects of a type.
type lister interface {
	List(ctx context.Context, options metav1.ListOptions) (*metav1.PartialObjectMetadataList, error)
	Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error)
}

func newHost(config *rest.Config) (*host, error) {
	h := &host{}
	var err error
	if h.metadata, err = metadata.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("make a client of the host's metadata: %w", err)
	}
	if h.objects, err = dynamic.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("make a client of the host's objects: %w", err)
	}
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, metav1.Unversioned)
	config = rest.CopyConfig(config)
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	if h.api, err = rest.UnversionedRESTClientFor(config); err != nil {
		return nil, fmt.Errorf("make a client of the host's discovery: %w", err)
	}
	return h, nil
}

func (h *host) source(resource schema.GroupVersionResource, namespace string) lister {
	if namespace == "" {
		return h.metadata.Resource(resource)
	}
	return h.metadata.Resource(resource).Namespace(namespace)
}

// group returns the versions of a group that the host serves, the preferred one first; none if it does not serve the group.
func (h *host) group(ctx context.Context, name string) (versions []schema.GroupVersion, err error) {
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	var group metav1.APIGroup
	switch err := h.api.Get().AbsPath("/apis/" + name).Do(ctx).Into(&group); {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("ask the host for group %s: %w", name, err)
	}
	versions = append(versions, schema.GroupVersion{Group: name, Version: group.PreferredVersion.Version})
	for _, v := range group.Versions {
		if v.Version != group.PreferredVersion.Version {
			versions = append(versions, schema.GroupVersion{Group: name, Version: v.Version})
		}
	}
	return versions, nil
}

// versions are the preferred versions of all groups that the host serves.
func (h *host) versions(ctx context.Context) ([]schema.GroupVersion, error) {
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	var groups metav1.APIGroupList
	if err := h.api.Get().AbsPath("/apis").Do(ctx).Into(&groups); err != nil {
		return nil, fmt.Errorf("ask the host for its groups: %w", err)
	}
	all := []schema.GroupVersion{corev1.SchemeGroupVersion}
	for _, group := range groups.Groups {
		all = append(all, schema.GroupVersion{Group: group.Name, Version: group.PreferredVersion.Version})
	}
	return all, nil
}

// resources returns what a version has; nothing if the host does not serve it.
func (h *host) resources(ctx context.Context, version schema.GroupVersion) ([]metav1.APIResource, error) {
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	path := "/apis/" + version.String()
	if version.Group == "" {
		path = "/api/" + version.Version
	}
	var list metav1.APIResourceList
	switch err := h.api.Get().AbsPath(path).Do(ctx).Into(&list); {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("ask the host for %s: %w", version, err)
	}
	return list.APIResources, nil
}

// get reads a whole object.
func (h *host) get(ctx context.Context, resource schema.GroupVersionResource, k key) (*unstructured.Unstructured, error) {
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	var objects dynamic.ResourceInterface = h.objects.Resource(resource)
	if k.namespace != "" {
		objects = h.objects.Resource(resource).Namespace(k.namespace)
	}
	return objects.Get(ctx, k.name, metav1.GetOptions{})
}

// look reads the metadata of an object.
func (h *host) look(ctx context.Context, resource schema.GroupVersionResource, namespace, name string) (*metav1.PartialObjectMetadata, error) {
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	var objects metadata.ResourceInterface = h.metadata.Resource(resource)
	if namespace != "" {
		objects = h.metadata.Resource(resource).Namespace(namespace)
	}
	return objects.Get(ctx, name, metav1.GetOptions{})
}
