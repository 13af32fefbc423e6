package identity

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
)

// Pin is what an agent is told of an authority before it knows it: the SHA-256 of its public key (RFC 7469), as of kubeadm.
type Pin [sha256.Size]byte

const pinPrefix = "sha256:"

// PinOf is that of a certificate's key.
func PinOf(certificate *x509.Certificate) Pin {
	return sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
}

func (p Pin) String() string { return pinPrefix + hex.EncodeToString(p[:]) }

// ParsePin reads sha256:HEX.
func ParsePin(text string) (Pin, error) {
	var pin Pin
	digits, ok := strings.CutPrefix(text, pinPrefix)
	sum, err := hex.DecodeString(digits)
	if !ok || err != nil || len(sum) != len(pin) {
		return Pin{}, fmt.Errorf("%q is no pin of an authority: %s and 64 hexadecimal digits are needed", text, pinPrefix)
	}
	copy(pin[:], sum)
	return pin, nil
}
