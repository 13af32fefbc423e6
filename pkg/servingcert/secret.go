package servingcert

import (
	"bytes"
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
)

const (
	authoritiesKey = "authorities.pem"
	trustKey       = "ca.crt"
)

// managedBy marks the Secret.
var managedBy = map[string]string{"app.kubernetes.io/managed-by": "koinon"}

// ensureAuthorities returns the authorities of the Secret, which it creates and brings up to
// date. A Secret in which they cannot be read is left alone: see readAuthorities. A conflict
// is an error: the next attempt reads what another replica wrote.
func (k *Keeper) ensureAuthorities(ctx context.Context) (authorities, error) {
	secrets := k.config.Client.CoreV1().Secrets(k.config.Namespace)
	secret, err := secrets.Get(ctx, k.config.SecretName, metav1.GetOptions{})
	absent := apierrors.IsNotFound(err)
	if absent {
		secret = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: k.config.SecretName, Namespace: k.config.Namespace, Labels: managedBy}}
	} else if err != nil {
		return nil, fmt.Errorf("read the Secret %s/%s of the host: %w", k.config.Namespace, k.config.SecretName, err)
	}
	current := k.known // somebody has removed the Secret, or this is the first replica
	if !absent {
		if current, err = readAuthorities(secret); err != nil {
			return nil, err
		}
		current = current.with(k.known.signed(k.certificate.leaf()))
	}
	result, err := current.at(k.config.Clock.Now())
	if err != nil {
		return nil, err
	}
	encoded, err := result.encode()
	if err != nil {
		return nil, err
	}
	if !absent && bytes.Equal(secret.Data[authoritiesKey], encoded) && bytes.Equal(secret.Data[trustKey], result.trust()) {
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
		return nil, fmt.Errorf("write the Secret %s/%s of the host: %w", k.config.Namespace, k.config.SecretName, err)
	}
	klog.FromContext(ctx).V(2).Info("Wrote the authorities of the serving certificates", "secret", klog.KObj(secret), "authorities", len(result))
	return result, nil
}

// readAuthorities returns what is in the Secret, or a sentence for the operator. An authority
// that cannot be read is never replaced: other replicas may serve with it, and who has damaged
// it should be known.
func readAuthorities(secret *corev1.Secret) (authorities, error) {
	decoded, err := decodeAuthorities(secret.Data[authoritiesKey])
	if err != nil {
		return nil, fmt.Errorf("the authority of the serving certificates cannot be read: the key %q of the Secret %s/%s of the host %w. Restore the Secret from a backup; or delete it, for the servers to make another",
			authoritiesKey, secret.Namespace, secret.Name, err)
	}
	return decoded, nil
}
