package identity

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/koinon-io/koinon/pkg/keypair"
)

const (
	userPrefix = "system:node:"
	group      = "system:nodes"
)

// held is a certificate of a node, and its key.
type held struct {
	tls  *tls.Certificate // its leaf first
	node string
}

// newHeld checks that a certificate is a node's, and of this key. Its errors are the rest of a sentence that begins with the certificate.
func newHeld(chain []*x509.Certificate, key crypto.Signer) (*held, error) {
	leaf := chain[0]
	if !(keypair.Pair{Certificate: leaf, Key: key}).Matches() {
		return nil, keypair.ErrOtherKey
	}
	node, ok := strings.CutPrefix(leaf.Subject.CommonName, userPrefix)
	if !ok || node == "" || !slices.Contains(leaf.Subject.Organization, group) {
		return nil, fmt.Errorf("is for %q, which is no node: CN=%sNAME, O=%s is needed", leaf.Subject, userPrefix, group)
	}
	h := &held{tls: &tls.Certificate{PrivateKey: key, Leaf: leaf}, node: node}
	for _, certificate := range chain {
		h.tls.Certificate = append(h.tls.Certificate, certificate.Raw)
	}
	return h, nil
}

// parseHeld reads PEM, as encode writes it and kubelet does.
func parseHeld(certificate, key []byte) (*held, error) {
	signer, err := keypair.ParseKey(key)
	if err != nil {
		return nil, err
	}
	chain, err := keypair.ParseCertificates(certificate)
	if err != nil {
		return nil, err
	}
	return newHeld(chain, signer)
}

func (h *held) encode() ([]byte, error) {
	key, err := keypair.EncodeKey(h.tls.PrivateKey.(crypto.Signer))
	if err != nil {
		return nil, err
	}
	var text []byte
	for _, der := range h.tls.Certificate {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return append(text, key...), nil
}

// of checks whose it is. An empty node is any.
func (h *held) of(node string) error {
	if node != "" && h.node != node {
		return fmt.Errorf("is for the node %q, and this node is %q", h.node, node)
	}
	return nil
}

// outside says how the certificate is not good by the clock, nil if it is.
func (h *held) outside(now time.Time) error {
	leaf := h.tls.Leaf
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return fmt.Errorf("the certificate of the node %q is good from %s until %s, and this machine's clock says %s", h.node, stamp(leaf.NotBefore), stamp(leaf.NotAfter), stamp(now))
	}
	return nil
}

// due is when it is to be renewed: after 70 to 90 % of its life, each at a time of its own, so that nodes that began together do not renew together.
func (h *held) due() time.Time {
	leaf := h.tls.Leaf
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	random := new(big.Int).Mod(leaf.SerialNumber, big.NewInt(1000)).Int64()
	return leaf.NotBefore.Add(life*7/10 + life/5000*time.Duration(random))
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
