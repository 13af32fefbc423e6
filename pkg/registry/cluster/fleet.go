package cluster

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/registry/kubefedcluster"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

// FleetREST serves the one fleet that there is: all members, counted.
type FleetREST struct {
	rest.TableConvertor
	members *REST
}

var (
	_ rest.Scoper               = &FleetREST{}
	_ rest.Getter               = &FleetREST{}
	_ rest.Lister               = &FleetREST{}
	_ rest.CategoriesProvider   = &FleetREST{}
	_ rest.SingularNameProvider = &FleetREST{}
)

type fleetColumn = objectstore.Column[*v1alpha1.Fleet]

// NewFleetREST returns the fleets of the members that a view shows.
func NewFleetREST(members *REST) *FleetREST {
	return &FleetREST{members: members, TableConvertor: objectstore.Table(
		fleetColumn{Name: "Members", Description: "How many members there are.", Value: func(f *v1alpha1.Fleet) any { return int64(f.Status.Members) }},
		fleetColumn{Name: "Ready", Description: "How many of them answer.", Value: func(f *v1alpha1.Fleet) any { return int64(f.Status.Ready) }},
	)}
}

// New returns an empty Fleet.
func (r *FleetREST) New() runtime.Object { return &v1alpha1.Fleet{} }

// NewList returns an empty FleetList.
func (r *FleetREST) NewList() runtime.Object { return &v1alpha1.FleetList{} }

// Destroy does nothing: nothing is held.
func (r *FleetREST) Destroy() {}

// NamespaceScoped is false.
func (r *FleetREST) NamespaceScoped() bool { return false }

// GetSingularName returns fleet.
func (r *FleetREST) GetSingularName() string { return "fleet" }

// Categories returns none: it would be listed beside its members.
func (r *FleetREST) Categories() []string { return nil }

// Get returns the fleet.
func (r *FleetREST) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	if name != v1alpha1.FleetAll {
		return nil, apierrors.NewNotFound(v1alpha1.Resource("fleets"), name)
	}
	fleet, _, err := r.count(ctx)
	return fleet, err
}

// List returns the fleet, if the options select it.
func (r *FleetREST) List(ctx context.Context, options *metainternalversion.ListOptions) (runtime.Object, error) {
	fleet, version, err := r.count(ctx)
	if err != nil {
		return nil, err
	}
	list := &v1alpha1.FleetList{ListMeta: metav1.ListMeta{ResourceVersion: version}}
	if options == nil || (options.LabelSelector == nil || options.LabelSelector.Empty()) && (options.FieldSelector == nil || options.FieldSelector.Matches(nameField(fleet.Name))) {
		list.Items = append(list.Items, *fleet)
	}
	return list, nil
}

// nameField are the fields that select a fleet.
type nameField string

func (f nameField) Has(field string) bool { return field == metav1.ObjectNameField }

func (f nameField) Get(field string) string {
	if f.Has(field) {
		return string(f)
	}
	return ""
}

// count counts members, as the watch cache has them.
func (r *FleetREST) count(ctx context.Context) (fleet *v1alpha1.Fleet, version string, err error) {
	options := r.members.members(&metainternalversion.ListOptions{ResourceVersion: "0"})
	obj, err := r.members.source.List(genericapirequest.WithNamespace(ctx, r.members.namespace), options)
	if err != nil {
		return nil, "", err
	}
	clusters, ok := obj.(*corev1beta1.KubeFedClusterList)
	if !ok {
		return nil, "", fmt.Errorf("list KubeFedClusters: got a %T", obj)
	}
	fleet = &v1alpha1.Fleet{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.FleetAll}, Status: v1alpha1.FleetStatus{Members: int32(len(clusters.Items))}}
	for i := range clusters.Items {
		if kubefedcluster.Ready(&clusters.Items[i].Status) == string(metav1.ConditionTrue) {
			fleet.Status.Ready++
		}
	}
	return fleet, clusters.ResourceVersion, nil
}
