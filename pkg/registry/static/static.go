// Package static assembles the REST storage of every static kind: those of
// core.kubefed.io, scheduling.kubefed.io, federation.koinon.io and edge.koinon.io.
//
// The scheme must have been prepared by package install. Nothing here starts anything.
package static

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"

	edgev1alpha1 "github.com/koinon-io/koinon/pkg/apis/edge/v1alpha1"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/install"
	corev1alpha1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1alpha1"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	schedulingv1alpha1 "github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/v1alpha1"
	"github.com/koinon-io/koinon/pkg/registry/cell"
	"github.com/koinon-io/koinon/pkg/registry/cluster"
	"github.com/koinon-io/koinon/pkg/registry/clusterpropagatedversion"
	"github.com/koinon-io/koinon/pkg/registry/computed"
	"github.com/koinon-io/koinon/pkg/registry/edgeunit"
	"github.com/koinon-io/koinon/pkg/registry/federatedservicestatus"
	"github.com/koinon-io/koinon/pkg/registry/federatedtypeconfig"
	"github.com/koinon-io/koinon/pkg/registry/kubefedcluster"
	"github.com/koinon-io/koinon/pkg/registry/kubefedconfig"
	"github.com/koinon-io/koinon/pkg/registry/membernamespace"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
	"github.com/koinon-io/koinon/pkg/registry/propagatedversion"
	"github.com/koinon-io/koinon/pkg/registry/proxy"
	"github.com/koinon-io/koinon/pkg/registry/replicaschedulingpreference"
	"github.com/koinon-io/koinon/pkg/registry/seats"
	"github.com/koinon-io/koinon/pkg/registry/stranding"
)

// Federated are the federated objects, for those that compute views of them, and for cells.
type Federated interface {
	computed.Source
	cell.Federated
}

// Deps is what the registry needs. All fields but Agents, OtherEngine, Federated, Log and Stranding are required.
type Deps struct {
	// Scheme that package install prepared, and the codecs of it.
	Scheme *runtime.Scheme
	Codecs serializer.CodecFactory
	// RESTOptions say where and how to store each resource.
	RESTOptions generic.RESTOptionsGetter
	// Namespace holds members and type configurations.
	Namespace string
	// Namespaces of the host, for their tenants, and what becomes of cells with them.
	Namespaces interface {
		seats.Namespaces
		cell.Namespaces
	}
	// Authorizer says who may open namespaces that members have for themselves.
	Authorizer authorizer.Authorizer
	// Links are the ways to members. Cells find cells, with the registry that is made here.
	Links proxy.Links
	Cells func(*Registry) proxy.Cells
	// Agents are what is connected to the tunnel; nil if this server has none.
	Agents kubefedcluster.Agents
	// OtherEngine says whether another engine than ours propagates; nil says no.
	OtherEngine func(context.Context) bool
	// Federated are the federated objects, which PropagatedVersions and FederatedServiceStatuses are
	// computed from; nil computes none. Log has their changes in order; without it there are no events
	// of what is computed.
	Federated Federated
	Log       computed.Log
	// Stranding makes the guard of tenants, with the registry that is made here, whose storage is not
	// there yet; nil refuses no change.
	Stranding func(*Registry) *stranding.Guard
}

func (d *Deps) validate() error {
	switch {
	case d.Scheme == nil:
		return errors.New("the static kinds need a scheme")
	case d.RESTOptions == nil:
		return errors.New("the static kinds need REST options")
	case d.Namespace == "":
		return errors.New("the static kinds need the name of the system namespace")
	case d.Namespaces == nil:
		return errors.New("the static kinds need the labels of namespaces")
	case d.Authorizer == nil:
		return errors.New("the static kinds need an authorizer")
	case d.Links == nil, d.Cells == nil:
		return errors.New("the static kinds need the ways to members and cells")
	}
	return nil
}

// Registry is the storage of every static kind.
type Registry struct {
	// Groups is what a generic API server installs, one entry per group.
	Groups []*genericapiserver.APIGroupInfo

	// Storage that other parts of the API server read or write without a way over the
	// network.
	Clusters         *kubefedcluster.REST
	TypeConfigs      *federatedtypeconfig.REST
	TypeConfigStatus *objectstore.StatusREST
	Configs          rest.Getter // KubeFedConfigs
	Cells            *cell.REST
	EdgeUnits        *seats.REST
	// Pages are the book of who owns which namespace of which member.
	Pages membernamespace.Pages
	// Seats is the book as cells and edge units use it.
	Seats *seats.Book

	// Served is what TypeConfigs say of themselves. Who serves the kinds sets it.
	Served *federatedtypeconfig.Served

	// Stranding refuses changes of tenants; nil refuses none.
	Stranding *stranding.Guard

	// view shows members.
	view *cluster.REST

	resources map[schema.GroupVersion]map[string]rest.Storage
}

// New makes the storage of every static kind.
func New(deps Deps) (*Registry, error) {
	if err := deps.validate(); err != nil {
		return nil, err
	}
	r := &Registry{resources: map[schema.GroupVersion]map[string]rest.Storage{}}
	if deps.Stranding != nil {
		r.Stranding = deps.Stranding(r)
	}
	// The topology reads the clusters, so core comes first.
	for _, add := range []func(Deps) error{r.core, r.records, r.scheduling, r.topology, r.proxies} {
		if err := add(deps); err != nil {
			return nil, err
		}
	}
	r.group(deps)
	return r, nil
}

// group sorts the resources into groups.
func (r *Registry) group(deps Deps) {
	parameters := runtime.NewParameterCodec(deps.Scheme)
	byName := map[string]*genericapiserver.APIGroupInfo{}
	for _, gv := range install.GroupVersions() {
		info := byName[gv.Group]
		if info == nil {
			group := genericapiserver.NewDefaultAPIGroupInfo(gv.Group, deps.Scheme, parameters, deps.Codecs)
			info = &group
			byName[gv.Group] = info
			r.Groups = append(r.Groups, info)
		}
		info.VersionedResourcesStorageMap[gv.Version] = r.resources[gv]
	}
}

// add adds a resource and its status subresource, which may be nil.
func (r *Registry) add(gv schema.GroupVersion, resource string, storage rest.Storage, status *objectstore.StatusREST) {
	if r.resources[gv] == nil {
		r.resources[gv] = map[string]rest.Storage{}
	}
	r.resources[gv][resource] = storage
	if status != nil {
		r.resources[gv][resource+"/status"] = status
	}
}

func (r *Registry) core(deps Deps) error {
	gv := corev1beta1.SchemeGroupVersion
	clusters, clusterStatus, err := kubefedcluster.NewREST(deps.Scheme, deps.RESTOptions, deps.Namespace, deps.Authorizer, deps.Agents, r.Stranding)
	if err != nil {
		return err
	}
	r.Served = federatedtypeconfig.NewServed(deps.Namespace)
	types, typeStatus, err := federatedtypeconfig.NewREST(deps.Scheme, deps.RESTOptions, r.Served)
	if err != nil {
		return err
	}
	configs, err := kubefedconfig.NewREST(deps.Scheme, deps.RESTOptions, deps.Namespace)
	if err != nil {
		return err
	}
	r.Clusters, r.TypeConfigs, r.TypeConfigStatus, r.Configs = clusters, types, typeStatus, configs
	r.add(gv, "kubefedclusters", clusters, clusterStatus)
	r.add(gv, "kubefedclusters/agents", kubefedcluster.NewAgentsREST(clusters, deps.Namespace, deps.Agents), nil)
	r.add(gv, "federatedtypeconfigs", types, typeStatus)
	r.add(gv, "kubefedconfigs", configs, nil)
	return nil
}

// records are what stock KubeFed controllers keep of their work.
func (r *Registry) records(deps Deps) error {
	gv := corev1alpha1.SchemeGroupVersion
	view := computed.View{Source: deps.Federated, Log: deps.Log, OtherEngine: deps.OtherEngine}
	versions, versionStatus, err := propagatedversion.NewREST(deps.Scheme, deps.RESTOptions, view)
	if err != nil {
		return err
	}
	clusterVersions, clusterVersionStatus, err := clusterpropagatedversion.NewREST(deps.Scheme, deps.RESTOptions, view)
	if err != nil {
		return err
	}
	serviceStatuses, err := federatedservicestatus.NewREST(deps.Scheme, deps.RESTOptions, view)
	if err != nil {
		return err
	}
	r.add(gv, "propagatedversions", versions, versionStatus)
	r.add(gv, "clusterpropagatedversions", clusterVersions, clusterVersionStatus)
	r.add(gv, "federatedservicestatuses", serviceStatuses, nil)
	return nil
}

func (r *Registry) scheduling(deps Deps) error {
	preferences, err := replicaschedulingpreference.NewREST(deps.Scheme, deps.RESTOptions)
	if err != nil {
		return err
	}
	r.add(schedulingv1alpha1.SchemeGroupVersion, "replicaschedulingpreferences", preferences, nil)
	return nil
}

// topology is how the fleet is divided.
func (r *Registry) topology(deps Deps) error {
	pages, err := membernamespace.NewREST(deps.Scheme, deps.RESTOptions)
	if err != nil {
		return err
	}
	r.Pages = membernamespace.Pages{Storage: pages}
	book, err := seats.NewBook(kubefedcluster.Members{Getter: r.Clusters, Namespace: deps.Namespace}, deps.Namespaces, r.Pages)
	if err != nil {
		return err
	}
	book.RefuseStranding(r.Stranding)
	cells, cellStatus, err := cell.NewREST(deps.Scheme, deps.RESTOptions, book, deletions(deps))
	if err != nil {
		return err
	}
	units, unitStatus, err := edgeunit.NewREST(deps.Scheme, deps.RESTOptions, book)
	if err != nil {
		return err
	}
	view, err := cluster.NewREST(r.Clusters, deps.Namespace)
	if err != nil {
		return err
	}
	r.Cells, r.EdgeUnits, r.Seats, r.view = cells, units, book, view
	r.add(federationv1alpha1.SchemeGroupVersion, "cells", cells, cellStatus)
	r.add(federationv1alpha1.SchemeGroupVersion, "clusters", view, nil)
	r.add(federationv1alpha1.SchemeGroupVersion, "membernamespaces", pages, nil)
	r.add(edgev1alpha1.SchemeGroupVersion, "edgeunits", units, unitStatus)
	return nil
}

// deletions say what cells may be deleted with.
func deletions(deps Deps) cell.Deletions {
	d := cell.Deletions{Namespaces: deps.Namespaces, OtherEngine: deps.OtherEngine}
	if deps.Federated != nil {
		d.Federated = deps.Federated
	}
	return d
}

// proxies are the subresources through which members are reached.
func (r *Registry) proxies(deps Deps) error {
	proxies, err := proxy.New(proxy.Config{Links: deps.Links, Cells: deps.Cells(r), Authorizer: deps.Authorizer, Codecs: deps.Codecs})
	if err != nil {
		return err
	}
	gv := federationv1alpha1.SchemeGroupVersion
	r.add(gv, "clusters/proxy", proxies.ClusterProxy(), nil)
	r.add(gv, "cells/proxy", proxies.CellProxy(), nil)
	r.add(gv, "fleets", cluster.NewFleetREST(r.view), nil)
	r.add(gv, "fleets/proxy", proxies.FleetProxy(), nil)
	return nil
}
