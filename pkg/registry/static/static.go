// Package static assembles the REST storage of every static kind: those of
// core.kubefed.io, scheduling.kubefed.io, federation.koinon.io and edge.koinon.io.
//
// The scheme must have been prepared by package install. Nothing here starts anything.
package static

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/rest"

	edgev1alpha1 "github.com/koinon-io/koinon/pkg/apis/edge/v1alpha1"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	corev1alpha1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1alpha1"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	schedulingv1alpha1 "github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/v1alpha1"
	"github.com/koinon-io/koinon/pkg/registry/cell"
	"github.com/koinon-io/koinon/pkg/registry/cluster"
	"github.com/koinon-io/koinon/pkg/registry/clusterpropagatedversion"
	"github.com/koinon-io/koinon/pkg/registry/edgeunit"
	"github.com/koinon-io/koinon/pkg/registry/federatedservicestatus"
	"github.com/koinon-io/koinon/pkg/registry/federatedtypeconfig"
	"github.com/koinon-io/koinon/pkg/registry/kubefedcluster"
	"github.com/koinon-io/koinon/pkg/registry/kubefedconfig"
	"github.com/koinon-io/koinon/pkg/registry/propagatedversion"
	"github.com/koinon-io/koinon/pkg/registry/replicaschedulingpreference"
	"github.com/koinon-io/koinon/pkg/registry/seats"
)

// Deps is what the storage needs. All fields are required.
type Deps struct {
	// Scheme that package install prepared.
	Scheme *runtime.Scheme
	// RESTOptions say where and how to store each resource.
	RESTOptions generic.RESTOptionsGetter
	// SystemNamespace holds members and type configurations.
	SystemNamespace string
	// Namespaces of the host, for their tenants.
	Namespaces seats.Namespaces
}

func (d *Deps) validate() error {
	switch {
	case d.Scheme == nil:
		return fmt.Errorf("the storage of static kinds needs a scheme")
	case d.RESTOptions == nil:
		return fmt.Errorf("the storage of static kinds needs REST options")
	case d.SystemNamespace == "":
		return fmt.Errorf("the storage of static kinds needs the name of the system namespace")
	case d.Namespaces == nil:
		return fmt.Errorf("the storage of static kinds needs the labels of namespaces")
	}
	return nil
}

// Resources maps the path of a resource, such as cells or cells/status, to its storage.
type Resources map[string]rest.Storage

// Storage returns the resources of every static group version.
func Storage(deps Deps) (map[schema.GroupVersion]Resources, error) {
	if err := deps.validate(); err != nil {
		return nil, err
	}
	b := builder{Deps: deps, resources: map[schema.GroupVersion]Resources{}}
	for _, install := range []func() error{b.core, b.records, b.scheduling, b.topology} {
		if err := install(); err != nil {
			return nil, err
		}
	}
	return b.resources, nil
}

// builder collects the resources.
type builder struct {
	Deps
	resources map[schema.GroupVersion]Resources
	// clusters is the storage of KubeFedClusters, which others read.
	clusters cluster.Source
}

func (b *builder) add(gv schema.GroupVersion, path string, storage rest.Storage) {
	if b.resources[gv] == nil {
		b.resources[gv] = Resources{}
	}
	b.resources[gv][path] = storage
}

func (b *builder) core() error {
	gv := corev1beta1.SchemeGroupVersion
	clusters, clusterStatus, err := kubefedcluster.NewREST(b.Scheme, b.RESTOptions, b.SystemNamespace)
	if err != nil {
		return err
	}
	types, typeStatus, err := federatedtypeconfig.NewREST(b.Scheme, b.RESTOptions, b.SystemNamespace)
	if err != nil {
		return err
	}
	configs, err := kubefedconfig.NewREST(b.Scheme, b.RESTOptions)
	if err != nil {
		return err
	}
	b.clusters = clusters
	b.add(gv, "kubefedclusters", clusters)
	b.add(gv, "kubefedclusters/status", clusterStatus)
	b.add(gv, "federatedtypeconfigs", types)
	b.add(gv, "federatedtypeconfigs/status", typeStatus)
	b.add(gv, "kubefedconfigs", configs)
	return nil
}

// records are what stock KubeFed controllers keep of their work.
func (b *builder) records() error {
	gv := corev1alpha1.SchemeGroupVersion
	versions, versionStatus, err := propagatedversion.NewREST(b.Scheme, b.RESTOptions)
	if err != nil {
		return err
	}
	clusterVersions, clusterVersionStatus, err := clusterpropagatedversion.NewREST(b.Scheme, b.RESTOptions)
	if err != nil {
		return err
	}
	serviceStatuses, err := federatedservicestatus.NewREST(b.Scheme, b.RESTOptions)
	if err != nil {
		return err
	}
	b.add(gv, "propagatedversions", versions)
	b.add(gv, "propagatedversions/status", versionStatus)
	b.add(gv, "clusterpropagatedversions", clusterVersions)
	b.add(gv, "clusterpropagatedversions/status", clusterVersionStatus)
	b.add(gv, "federatedservicestatuses", serviceStatuses)
	return nil
}

func (b *builder) scheduling() error {
	preferences, err := replicaschedulingpreference.NewREST(b.Scheme, b.RESTOptions)
	if err != nil {
		return err
	}
	b.add(schedulingv1alpha1.SchemeGroupVersion, "replicaschedulingpreferences", preferences)
	return nil
}

// topology is how the fleet is divided. It reads the clusters, so core comes first.
func (b *builder) topology() error {
	book, err := seats.NewBook(kubefedcluster.Members{Getter: b.clusters, Namespace: b.SystemNamespace}, b.Namespaces)
	if err != nil {
		return err
	}
	cells, cellStatus, err := cell.NewREST(b.Scheme, b.RESTOptions, book)
	if err != nil {
		return err
	}
	units, unitStatus, err := edgeunit.NewREST(b.Scheme, b.RESTOptions, book)
	if err != nil {
		return err
	}
	view, err := cluster.NewREST(b.clusters, b.SystemNamespace)
	if err != nil {
		return err
	}
	b.add(federationv1alpha1.SchemeGroupVersion, "cells", cells)
	b.add(federationv1alpha1.SchemeGroupVersion, "cells/status", cellStatus)
	b.add(federationv1alpha1.SchemeGroupVersion, "clusters", view)
	b.add(edgev1alpha1.SchemeGroupVersion, "edgeunits", units)
	b.add(edgev1alpha1.SchemeGroupVersion, "edgeunits/status", unitStatus)
	return nil
}
