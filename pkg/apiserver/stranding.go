package apiserver

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/stranding"
)

// tenantTies answers what is asked before the tenant of a namespace, a member or a cell changes.
type tenantTies struct {
	lookups
	server *Server
}

var _ stranding.Lookups = tenantTies{}

// Kinds implements stranding.Lookups. Kinds that are not known yet are not taken for none.
func (t tenantTies) Kinds() ([]federated.Kind, error) {
	if !t.server.controller.HasSynced() {
		err := apierrors.NewServiceUnavailable("whether the change of tenant strands objects is not known yet: this server has not loaded the federated types")
		err.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: 1}
		return nil, err
	}
	return t.server.federated.Kinds(), nil
}

// Objects implements stranding.Lookups.
func (t tenantTies) Objects(ctx context.Context, kind federated.Kind, namespace string, visit func(*typesv1beta2.FederatedObject) error) error {
	return t.server.federated.Objects(ctx, kind, namespace, visit)
}

// UnitLabels implements stranding.Lookups.
func (t tenantTies) UnitLabels(ctx context.Context, topologyType, namespace, name string) (map[string]string, error) {
	unit, err := t.Unit(ctx, topologyType, namespace, name)
	if err != nil || unit == nil {
		return nil, err
	}
	return unit.Labels, nil
}

// NamespaceChange refuses a change of a namespace of the host that would strand federated objects.
func (s *Server) NamespaceChange(ctx context.Context, now, old metav1.Object) error {
	return s.stranding.Namespace(ctx, now, old)
}
