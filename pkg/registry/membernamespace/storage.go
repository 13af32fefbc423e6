// Package membernamespace is the REST storage of MemberNamespaces, the pages of the book
// that says who owns which namespace of which member.
package membernamespace

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/federation/validation"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

// NewREST returns the storage of MemberNamespaces.
func NewREST(scheme *runtime.Scheme, optsGetter generic.RESTOptionsGetter) (*objectstore.REST, error) {
	object, _, err := objectstore.New(objectstore.Config{
		Group:    v1alpha1.GroupName,
		Plural:   "membernamespaces",
		Singular: "membernamespace",
		New:      func() runtime.Object { return &v1alpha1.MemberNamespace{} },
		NewList:  func() runtime.Object { return &v1alpha1.MemberNamespaceList{} },
		Strategy: strategy{objectstore.NewBase(scheme, objectstore.ClusterScoped, v1alpha1.SchemeGroupVersion)},
		Table: objectstore.Table(
			objectstore.Column[*v1alpha1.MemberNamespace]{Name: "Owners", Description: "Who owns the namespaces of this name, and in how many members.",
				Value: func(p *v1alpha1.MemberNamespace) any { return owners(p) }},
			objectstore.Age[*v1alpha1.MemberNamespace](),
		),
	}, optsGetter)
	return object, err
}

// owners names the owners in a line.
func owners(page *v1alpha1.MemberNamespace) string {
	words := make([]string, 0, len(page.Spec.Owners))
	for _, entry := range page.Spec.Owners {
		name := entry.Namespace
		if entry.Name != "" {
			name += "/" + entry.Name
		}
		words = append(words, fmt.Sprintf("%s %s (%d)", entry.Kind, name, len(entry.Members)))
	}
	return strings.Join(words, ", ")
}

type strategy struct {
	objectstore.Base
}

// PrepareForCreate writes members in order, so that equal pages are equal bytes.
func (strategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	page := obj.(*v1alpha1.MemberNamespace)
	page.Generation = 1
	sortMembers(page)
}

// PrepareForUpdate counts a generation if the spec changed.
func (strategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	page, oldPage := obj.(*v1alpha1.MemberNamespace), old.(*v1alpha1.MemberNamespace)
	sortMembers(page)
	page.Generation = oldPage.Generation
	if !apiequality.Semantic.DeepEqual(page.Spec, oldPage.Spec) {
		page.Generation++
	}
}

func sortMembers(page *v1alpha1.MemberNamespace) {
	for i := range page.Spec.Owners {
		slices.Sort(page.Spec.Owners[i].Members)
	}
}

// Validate refuses a page on which a namespace has two owners.
func (strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return validation.MemberNamespace(obj.(*v1alpha1.MemberNamespace))
}

// ValidateUpdate does the same.
func (strategy) ValidateUpdate(_ context.Context, obj, _ runtime.Object) field.ErrorList {
	return validation.MemberNamespace(obj.(*v1alpha1.MemberNamespace))
}

// Pages reads and writes the book without a way over the network.
type Pages struct {
	// Storage of MemberNamespaces.
	Storage rest.StandardStorage
}

// Get returns the page as it is stored at this moment. The error for one that does not
// exist is a NotFound.
func (p Pages) Get(ctx context.Context, name string) (*v1alpha1.MemberNamespace, error) {
	return p.get(ctx, name, &metav1.GetOptions{})
}

// GetCached returns the page as it was some milliseconds ago, without asking the store.
func (p Pages) GetCached(ctx context.Context, name string) (*v1alpha1.MemberNamespace, error) {
	return p.get(ctx, name, &metav1.GetOptions{ResourceVersion: "0"})
}

func (p Pages) get(ctx context.Context, name string, options *metav1.GetOptions) (*v1alpha1.MemberNamespace, error) {
	obj, err := p.Storage.Get(clusterScoped(ctx), name, options)
	if err != nil {
		return nil, err
	}
	page, ok := obj.(*v1alpha1.MemberNamespace)
	if !ok {
		return nil, fmt.Errorf("get the page of namespace %q: got a %T", name, obj)
	}
	return page.DeepCopy(), nil
}

// Create stores a new page. The error for one that exists by now is an AlreadyExists.
func (p Pages) Create(ctx context.Context, page *v1alpha1.MemberNamespace) error {
	_, err := p.Storage.Create(clusterScoped(ctx), page, rest.ValidateAllObjectFunc, &metav1.CreateOptions{})
	return err
}

// Update stores a page that was read. The error for one that has changed since is a
// Conflict, for one that is gone a NotFound.
func (p Pages) Update(ctx context.Context, page *v1alpha1.MemberNamespace) error {
	_, _, err := p.Storage.Update(clusterScoped(ctx), page.Name, rest.DefaultUpdatedObjectInfo(page),
		rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, false, &metav1.UpdateOptions{})
	return err
}

// clusterScoped drops the namespace of the request that a page is looked up for.
func clusterScoped(ctx context.Context) context.Context {
	return genericapirequest.WithNamespace(ctx, metav1.NamespaceNone)
}
