// Package hoststate keeps things in the host that the replicas of a server share: a namespace,
// and Secrets whose content the first replica decides. What is there is never changed.
//
// Its functions may be called concurrently, by several processes too.
package hoststate

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// managedBy marks what this package makes.
var managedBy = map[string]string{"app.kubernetes.io/managed-by": "koinon"}

// SharedSecret returns what a Secret holds under a key. If there is no such Secret, it is
// created with content; of several that create it at a time one wins, and all get its
// content.
func SharedSecret(ctx context.Context, client kubernetes.Interface, namespace, name, key string, content func() ([]byte, error)) ([]byte, error) {
	secrets := client.CoreV1().Secrets(namespace)
	secret, err := secrets.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		var data []byte
		if data, err = content(); err != nil {
			return nil, err
		}
		secret, err = secrets.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: managedBy},
			Data:       map[string][]byte{key: data},
		}, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			secret, err = secrets.Get(ctx, name, metav1.GetOptions{})
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read the Secret %s/%s of the host: %w", namespace, name, err)
	}
	if len(secret.Data[key]) == 0 {
		return nil, fmt.Errorf("the Secret %s/%s of the host has no %q: restore it from a backup", namespace, name, key)
	}
	return secret.Data[key], nil
}

// EnsureNamespace makes a namespace of the host if it is absent.
func EnsureNamespace(ctx context.Context, client kubernetes.Interface, name string) error {
	_, err := client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	}
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make the namespace %q in the host: %w", name, err)
	}
	return nil
}
