package kubefedconfig

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

// NewREST returns the storage of KubeFedConfigs. One is used, that of KubeFed's name in
// systemNamespace; others are stored with a warning.
func NewREST(scheme *runtime.Scheme, optsGetter generic.RESTOptionsGetter, systemNamespace string) (*objectstore.REST, error) {
	object, _, err := objectstore.New(objectstore.Config{
		Group:    v1beta1.GroupName,
		Plural:   "kubefedconfigs",
		Singular: "kubefedconfig",
		New:      func() runtime.Object { return &v1beta1.KubeFedConfig{} },
		NewList:  func() runtime.Object { return &v1beta1.KubeFedConfigList{} },
		Strategy: newStrategy(scheme, systemNamespace),
		Table: objectstore.Table(
			objectstore.Column[*v1beta1.KubeFedConfig]{Name: "Scope", Description: "Whether whole clusters or one namespace is federated.",
				Value: func(c *v1beta1.KubeFedConfig) any { return string(c.Spec.Scope) }},
			objectstore.Age[*v1beta1.KubeFedConfig](),
		),
	}, optsGetter)
	return object, err
}
