package hostreg

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
)

// SecretName is the Secret in the system namespace that holds the authorities.
const SecretName = "koinon-serving-ca"

const (
	authoritiesKey = "authorities.pem"
	trustKey       = "ca.crt"
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

// ensureAuthorities returns the authorities of the Secret, which it creates, repairs and
// brings up to date. A conflict is an error: the next attempt reads what another replica
// wrote.
func (r *Registration) ensureAuthorities(ctx context.Context) (authorities, error) {
	secrets := r.config.Client.CoreV1().Secrets(r.config.Namespace)
	secret, err := secrets.Get(ctx, SecretName, metav1.GetOptions{})
	absent := apierrors.IsNotFound(err)
	if absent {
		secret = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: SecretName, Namespace: r.config.Namespace, Labels: managedBy}}
	} else if err != nil {
		return nil, fmt.Errorf("read the Secret %s/%s of the host: %w", r.config.Namespace, SecretName, err)
	}
	result, changed, err := r.decide(ctx, secret).at(r.config.Clock.Now())
	if err != nil {
		return nil, err
	}
	encoded, err := result.encode()
	if err != nil {
		return nil, err
	}
	changed = changed || absent || !bytes.Equal(secret.Data[authoritiesKey], encoded) || !bytes.Equal(secret.Data[trustKey], result.trust())
	if !changed {
		return result, nil
	}
	secret = secret.DeepCopy()
	secret.Data = map[string][]byte{authoritiesKey: encoded, trustKey: result.trust()}
	if absent {
		_, err = secrets.Create(ctx, secret, metav1.CreateOptions{})
	} else {
		_, err = secrets.Update(ctx, secret, metav1.UpdateOptions{})
	}
	if err != nil {
		return nil, fmt.Errorf("write the Secret %s/%s of the host: %w", r.config.Namespace, SecretName, err)
	}
	klog.FromContext(ctx).V(2).Info("Wrote the authorities of the serving certificates", "secret", klog.KObj(secret), "authorities", len(result))
	return result, nil
}

// decide returns the authorities to go on with: the Secret's or, if somebody removed or
// damaged it, the last ones that this process knows.
func (r *Registration) decide(ctx context.Context, secret *corev1.Secret) authorities {
	if data, ok := secret.Data[authoritiesKey]; ok {
		decoded, err := decodeAuthorities(data)
		if err == nil {
			return decoded
		}
		klog.FromContext(ctx).Error(err, "Authorities of the serving certificates were damaged and are replaced", "secret", klog.KObj(secret))
	}
	return r.known
}

func parseCertificate(data []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("there is no certificate in it")
	}
	return x509.ParseCertificate(block.Bytes)
}
