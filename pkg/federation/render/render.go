package render

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

// Input is everything that a manifest is made of: a Spec and a Target.
type Input struct {
	Template  rawjson.Value
	Overrides []v1beta2.Override
	// PropagatingAnnotations are the patterns of the FederatedTypeConfig.
	PropagatingAnnotations []string
	RetainReplicas         bool

	// Kind, Name and Namespace of the object in the member.
	Kind      schema.GroupVersionKind
	Name      string
	Namespace string
	// Source is the value of SourceAnnotation.
	Source string
	// Annotations are set whatever the template and the overrides say: the marks of a
	// namespace.
	Annotations map[string]string

	// TargetName and TargetLabels pick the overrides that apply.
	TargetName   string
	TargetLabels map[string]string
	// NodeSelector is set in pod templates; nil leaves them alone.
	NodeSelector map[string]string
}

// Render makes the manifest of one target, with its JSON. It is Compile and For, for callers
// that have no Base to keep, and returns their errors.
func Render(in Input) (*Manifest, error) {
	ctx := context.Background()
	base, err := Compile(ctx, Spec{
		Template: in.Template, Overrides: in.Overrides, PropagatingAnnotations: in.PropagatingAnnotations,
		RetainReplicas: in.RetainReplicas, Kind: in.Kind, Source: in.Source,
	})
	if err != nil {
		return nil, err
	}
	m, err := base.For(ctx, Target{
		Name: in.TargetName, Labels: in.TargetLabels, NodeSelector: in.NodeSelector, Annotations: in.Annotations,
		ObjectName: in.Name, Namespace: in.Namespace,
	})
	if err != nil {
		return nil, err
	}
	if m.JSON, err = encode(m.Object()); err != nil {
		return nil, &TemplateError{err.Error()}
	}
	return m, nil
}
