package keypair

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/util/keyutil"
)

func keys(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	p256, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]crypto.Signer{"P-256": p256, "P-384": p384, "RSA": rsaKey}
}

func TestKeysAreWrittenAndReadAsByClientGo(t *testing.T) {
	for what, key := range keys(t) {
		ours, err := EncodeKey(key)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := keyutil.MarshalPrivateKeyToPEM(key)
		if err != nil || !bytes.Equal(ours, theirs) {
			t.Errorf("%s: written in another form (%v)", what, err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		parameters := pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte("x")})
		for form, data := range map[string][]byte{
			"as it is written": ours, "PKCS #8": pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der}),
			"behind another block": append(parameters, ours...), "behind one that is damaged": append(pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: []byte("x")}), ours...),
		} {
			got, err := ParseKey(data)
			if err != nil || !key.(interface{ Equal(crypto.PrivateKey) bool }).Equal(got) {
				t.Errorf("%s, %s: got %v", what, form, err)
			}
		}
	}
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	if _, err := EncodeKey(key); err == nil || !strings.Contains(err.Error(), "ECDSA and RSA are") {
		t.Errorf("a key that is not written: %v", err)
	}
}

func TestACertificateThatIsDamagedIsNotReadInParts(t *testing.T) {
	authority, err := NewAuthority("authority", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	good := authority.CertificatePEM()
	other := pem.EncodeToMemory(&pem.Block{Type: "OTHER", Bytes: []byte("x")})
	damaged := pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: authority.Certificate.Raw[:100]})
	for what, test := range map[string]struct {
		data []byte
		want int // 0: an error
	}{
		"one": {good, 1}, "two": {append(good, good...), 2}, "one and something else": {append(other, good...), 1},
		"nothing": {nil, 0}, "blanks": {[]byte("\n "), 0}, "something else": {other, 0}, "half of one": {damaged, 0}, "one and half of another": {append(good, damaged...), 0},
	} {
		if got, err := ParseCertificates(test.data); len(got) != test.want || (err == nil) != (test.want > 0) {
			t.Errorf("%s: got %d, %v", what, len(got), err)
		}
	}
}

func TestACertificateOfAnotherKeyIsNoPair(t *testing.T) {
	a, err := NewAuthority("a", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := EncodeKey(b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParsePair(a.CertificatePEM(), encoded); err != ErrOtherKey {
		t.Errorf("got %v", err)
	}
}
