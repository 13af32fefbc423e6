package hostreg

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ensureService keeps the Service that leads the host to a server outside of it. In the
// host, the Service belongs to whoever installed the server.
func (r *Registration) ensureService(ctx context.Context) error {
	if r.config.ExternalName == "" {
		return nil
	}
	services := r.config.Client.CoreV1().Services(r.config.Namespace)
	service, err := services.Get(ctx, r.config.ServiceName, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		_, err = services.Create(ctx, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: r.config.ServiceName, Namespace: r.config.Namespace, Labels: managedBy},
			Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: r.config.ExternalName},
		}, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			err = nil // by another replica, for which the next look is early enough
		}
	case err == nil && service.Spec.Type != corev1.ServiceTypeExternalName:
		return nil // somebody else leads the host to the server
	case err == nil && service.Spec.ExternalName != r.config.ExternalName && managed(service.Labels):
		service = service.DeepCopy()
		service.Spec.ExternalName = r.config.ExternalName
		if err = r.loop.MayWrite(ctx); err == nil {
			_, err = services.Update(ctx, service, metav1.UpdateOptions{})
		}
	}
	if err != nil {
		return fmt.Errorf("keep the Service %s/%s of the host: %w", r.config.Namespace, r.config.ServiceName, err)
	}
	return nil
}

// managed says that this package made an object.
func managed(labels map[string]string) bool {
	for key, value := range managedBy {
		if labels[key] != value {
			return false
		}
	}
	return true
}
