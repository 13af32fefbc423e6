package apiserver

import (
	"context"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/registry/static"
)

// oneConfig has a KubeFedConfig of that scope, or none.
type oneConfig corev1beta1.ResourceScope

func (c oneConfig) Get(_ context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	if c == "" {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "kubefedconfigs"}, name)
	}
	return &corev1beta1.KubeFedConfig{Spec: corev1beta1.KubeFedConfigSpec{Scope: corev1beta1.ResourceScope(c)}}, nil
}

func TestTheScopeSaysWhichNamespaceAloneIsPropagated(t *testing.T) {
	for scope, want := range map[corev1beta1.ResourceScope]string{corev1beta1.ClusterScoped: "", corev1beta1.NamespaceScoped: "system", "": ""} {
		got, err := targets{registry: &static.Registry{Configs: oneConfig(scope)}, namespace: "system"}.OnlyNamespace(t.Context())
		if err != nil || got != want {
			t.Errorf("scope %q: got %q, %v, want %q", scope, got, err, want)
		}
	}
}
