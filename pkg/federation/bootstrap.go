package federation

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// defaultTypesAnnotation on the KubeFedConfig says that the default type configurations
// were made. Removing it has the missing ones made again.
const defaultTypesAnnotation = "federation.koinon.io/default-types"

const (
	bootstrapTimeout = 15 * time.Second
	minRetry         = 200 * time.Millisecond
	maxRetry         = 10 * time.Second
	// quietStart is how long the API may be away before that is an error: behind a host, the
	// host looks first whether we serve.
	quietStart = 20 * time.Second
)

// untilDone tries again, with backoff, until do succeeds. It fails only if ctx ends.
func (m *Manager) untilDone(ctx context.Context, failed string, do func(context.Context) error) error {
	retry := minRetry
	for started := time.Now(); ; {
		call, cancel := context.WithTimeout(ctx, bootstrapTimeout)
		err := do(call)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Since(started) >= quietStart {
			klog.FromContext(ctx).Error(err, failed)
		} else {
			klog.FromContext(ctx).V(2).Info(failed+"; it is tried again", "problem", err.Error())
		}
		timer := time.NewTimer(retry)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		retry = min(2*retry, maxRetry)
	}
}

// bootstrap makes what the controllers need and users expect.
func (m *Manager) bootstrap(ctx context.Context) error {
	if err := m.ensureNamespace(ctx); err != nil {
		return err
	}
	config, err := m.ensureConfig(ctx)
	if err != nil {
		return err
	}
	m.scope = scopeOf(config)
	if config, err = m.ensureFederation(ctx, config); err != nil {
		return err
	}
	return m.ensureDefaultTypes(ctx, config)
}

// ensureFederation sees to what this federation is called on namespaces of members: what
// the KubeFedConfig says, and the UID of the system namespace to begin with. A KubeFedConfig
// that was deleted and made again so gets the same name; where the host itself was made
// anew, the administrator writes the old name into the annotation.
func (m *Manager) ensureFederation(ctx context.Context, config *v1beta1.KubeFedConfig) (*v1beta1.KubeFedConfig, error) {
	if m.federation = config.Annotations[federationv1alpha1.FederationAnnotation]; m.federation != "" {
		return config, nil
	}
	namespace, err := m.kube.CoreV1().Namespaces().Get(ctx, m.config.Namespace, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("get namespace %q: %w", m.config.Namespace, err)
	}
	named := config.DeepCopy()
	metav1.SetMetaDataAnnotation(&named.ObjectMeta, federationv1alpha1.FederationAnnotation, string(namespace.UID))
	updated, err := m.koinon.KubeFedCoreV1beta1().KubeFedConfigs(m.config.Namespace).Update(ctx, named, metav1.UpdateOptions{})
	if err != nil {
		return nil, fmt.Errorf("name the federation in KubeFedConfig %q: %w", config.Name, err)
	}
	m.federation = string(namespace.UID)
	return updated, nil
}

func (m *Manager) ensureNamespace(ctx context.Context) error {
	_, err := m.kube.CoreV1().Namespaces().Get(ctx, m.config.Namespace, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: m.config.Namespace}}
		_, err = m.kube.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{})
	}
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make namespace %q: %w", m.config.Namespace, err)
	}
	return nil
}

// scopeOf is Cluster unless the KubeFedConfig says otherwise.
func scopeOf(config *v1beta1.KubeFedConfig) v1beta1.ResourceScope {
	if config.Spec.Scope == v1beta1.NamespaceScoped {
		return v1beta1.NamespaceScoped
	}
	return v1beta1.ClusterScoped
}

func (m *Manager) ensureConfig(ctx context.Context) (*v1beta1.KubeFedConfig, error) {
	client := m.koinon.KubeFedCoreV1beta1().KubeFedConfigs(m.config.Namespace)
	config, err := client.Get(ctx, v1beta1.KubeFedConfigName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		config, err = client.Create(ctx, &v1beta1.KubeFedConfig{
			ObjectMeta: metav1.ObjectMeta{Name: v1beta1.KubeFedConfigName, Namespace: m.config.Namespace},
			Spec:       v1beta1.KubeFedConfigSpec{Scope: v1beta1.ClusterScoped},
		}, metav1.CreateOptions{})
	}
	if err != nil {
		return nil, fmt.Errorf("make KubeFedConfig %q: %w", v1beta1.KubeFedConfigName, err)
	}
	return config, nil
}

func (m *Manager) ensureDefaultTypes(ctx context.Context, config *v1beta1.KubeFedConfig) error {
	if config.Annotations[defaultTypesAnnotation] != "" {
		return nil
	}
	types := m.koinon.KubeFedCoreV1beta1().FederatedTypeConfigs(m.config.Namespace)
	for _, ftc := range DefaultTypes(m.config.Namespace) {
		if _, err := types.Create(ctx, ftc, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("make FederatedTypeConfig %q: %w", ftc.Name, err)
		}
	}
	marked := config.DeepCopy()
	metav1.SetMetaDataAnnotation(&marked.ObjectMeta, defaultTypesAnnotation, "created")
	if _, err := m.koinon.KubeFedCoreV1beta1().KubeFedConfigs(m.config.Namespace).Update(ctx, marked, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("mark KubeFedConfig %q: %w", config.Name, err)
	}
	return nil
}
