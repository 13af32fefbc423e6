package openapi

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// NewRouteSample returns what stands for an object of a kind, or for a list, while routes
// are made: it names the kind's model, and holds nothing.
func NewRouteSample(gvk schema.GroupVersionKind) runtime.Object { return &routeSample{gvk} }

// routeSample stands for an object of one kind while routes are made, so that OpenAPI
// finds a model per kind although there is one Go type for all.
type routeSample struct {
	gvk schema.GroupVersionKind
}

// OpenAPIModelName is the name of the kind's model.
func (s routeSample) OpenAPIModelName() string { return ModelName(s.gvk) }

// GetObjectKind and DeepCopyObject make it a runtime.Object.
func (s *routeSample) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject returns a copy.
func (s *routeSample) DeepCopyObject() runtime.Object { c := *s; return &c }
