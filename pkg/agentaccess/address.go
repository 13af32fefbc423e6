package agentaccess

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/koinon-io/koinon/pkg/tunnel/identity"
)

// addressMap is the ConfigMap of an Address. Its keys are addressesKey, HOST:PORT of one a line, and caKey, PEM.
const (
	addressMap   = "koinon-tunnel"
	addressesKey = "addresses"
	caKey        = "ca.crt"
)

// Address is where agents find the tunnel.
type Address struct {
	// Servers are HOST:PORT.
	Servers []string
	// CA are the authorities of its serving certificate, PEM.
	CA []byte
}

// Publish writes the address where ReadAddress finds it, if it is not there.
func (a Address) Publish(ctx context.Context, configMaps corev1client.ConfigMapInterface) error {
	data := map[string]string{addressesKey: strings.Join(a.Servers, "\n"), caKey: string(a.CA)}
	found, err := configMaps.Get(ctx, addressMap, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		_, err = configMaps.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: addressMap, Labels: map[string]string{"app.kubernetes.io/managed-by": "koinon"}}, Data: data,
		}, metav1.CreateOptions{})
	case err == nil && !maps.Equal(found.Data, data):
		found.Data = data
		_, err = configMaps.Update(ctx, found, metav1.UpdateOptions{})
	}
	if apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) {
		return nil // another server has written what it knows, and looks again as this one does
	}
	if err != nil {
		return fmt.Errorf("write the ConfigMap %s: %w", addressMap, err)
	}
	return nil
}

// ReadAddress reads what a server has published.
func ReadAddress(ctx context.Context, configMaps corev1client.ConfigMapInterface) (Address, error) {
	found, err := configMaps.Get(ctx, addressMap, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return Address{}, fmt.Errorf("the server has no tunnel: there is no ConfigMap %s; start it with the component tunnel", addressMap)
	}
	if err != nil {
		return Address{}, fmt.Errorf("read where the tunnel is: %w", err)
	}
	return Address{Servers: strings.Fields(found.Data[addressesKey]), CA: []byte(found.Data[caKey])}, nil
}

// Pins are those of the authorities.
func (a Address) Pins() ([]identity.Pin, error) {
	var pins []identity.Pin
	for rest := a.CA; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("the authority of the tunnel: %w", err)
		}
		pins = append(pins, identity.PinOf(certificate))
	}
	if len(pins) == 0 {
		return nil, errors.New("the authority of the tunnel: there is no certificate in PEM")
	}
	return pins, nil
}
