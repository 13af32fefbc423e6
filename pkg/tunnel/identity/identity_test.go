package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/koinon-io/koinon/pkg/tunnel"
)

var m1 = tunnel.Name{Cluster: "m1"}

func ecKey(t testing.TB, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func csr(t testing.TB, key crypto.Signer, template x509.CertificateRequest) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: requestBlock, Bytes: der})
}

func TestARequestIsForANameOrForWhateverTheTokenIs(t *testing.T) {
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for what, key := range map[string]crypto.Signer{"P-256": ecKey(t, elliptic.P256()), "P-384": ecKey(t, elliptic.P384()), "Ed25519": edKey, "RSA": rsaKey} {
		for _, name := range []tunnel.Name{{}, m1, {Cluster: "m1", Node: "n1.example.org"}} {
			text, err := NewRequest(key, name)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ParseRequest(text)
			if err != nil || got.Name != name {
				t.Errorf("%s, %s: got %v, %v", what, name, got, err)
			}
		}
	}
}

func TestARequestForMoreThanIsSignedIsRefused(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	uris := []*url.URL{m1.URI()}
	broken := csr(t, key, x509.CertificateRequest{URIs: uris})
	block, _ := pem.Decode(broken)
	block.Bytes[len(block.Bytes)-1] ^= 1
	good := csr(t, key, x509.CertificateRequest{URIs: uris})
	for what, test := range map[string]struct {
		text []byte
		want string
	}{
		"nothing":                   {nil, "the CSR is not PEM"},
		"no PEM":                    {[]byte("hello"), "the CSR is not PEM"},
		"another block":             {pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: block.Bytes}), "the CSR is not PEM"},
		"two blocks":                {append(append([]byte{}, good...), good...), "the CSR is not PEM"},
		"no CSR in it":              {pem.EncodeToMemory(&pem.Block{Type: requestBlock, Bytes: []byte("hello")}), "the CSR cannot be read"},
		"a signature of another":    {pem.EncodeToMemory(block), "is not signed by the key"},
		"a key that nobody has":     {csr(t, ecKey(t, elliptic.P521()), x509.CertificateRequest{URIs: uris}), "of a kind that is not signed"},
		"a curve that is too small": {csr(t, ecKey(t, elliptic.P224()), x509.CertificateRequest{URIs: uris}), "of a kind that is not signed"},
		"a subject":                 {csr(t, key, x509.CertificateRequest{URIs: uris, Subject: pkix.Name{Organization: []string{"system:masters"}}}), "asks for a subject"},
		"a host":                    {csr(t, key, x509.CertificateRequest{URIs: uris, DNSNames: []string{"koinon.example.org"}}), "asks for a subject or for names of hosts"},
		"an address":                {csr(t, key, x509.CertificateRequest{URIs: uris, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)}}), "asks for a subject or for names of hosts"},
		"an authority": {csr(t, key, x509.CertificateRequest{URIs: uris, ExtraExtensions: []pkix.Extension{
			{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 0x03, 0x01, 0x01, 0xff}},
		}}), "asks for the extension 2.5.29.19"},
		"two names":     {csr(t, key, x509.CertificateRequest{URIs: []*url.URL{m1.URI(), tunnel.Name{Cluster: "m2"}.URI()}}), "says 2 names"},
		"another URI":   {csr(t, key, x509.CertificateRequest{URIs: []*url.URL{{Scheme: "spiffe", Host: "x", Path: "/m1"}}}), "says 0 names"},
		"one URI more":  {csr(t, key, x509.CertificateRequest{URIs: []*url.URL{m1.URI(), {Scheme: "spiffe", Host: "x", Path: "/m1"}}}), "has more URIs"},
		"a wrong name":  {csr(t, key, x509.CertificateRequest{URIs: []*url.URL{tunnel.Name{Cluster: "M1"}.URI()}}), "is no name of a cluster"},
		"a path upward": {csr(t, key, x509.CertificateRequest{URIs: []*url.URL{{Scheme: "koinon-agent", Path: "/clusters/m1/../m2", OmitHost: true}}}), "the CSR is not for an agent"},
	} {
		if got, err := ParseRequest(test.text); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, %v; want %q", what, got, err, test.want)
		}
	}
}

func TestAnRSAKeyIsNeitherSmallNorLarge(t *testing.T) {
	for bits, good := range map[uint]bool{1024: false, 2047: false, 2048: true, 4096: true, 4097: false, 16384: false} {
		key := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), bits-1), E: 65537}
		if err := checkKey(key); (err == nil) != good {
			t.Errorf("%d bits: got %v", bits, err)
		}
	}
}

func TestAKeyIsReadAsItWasWritten(t *testing.T) {
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := EncodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := KeyID(key.Public())
	if id, err := KeyID(got.Public()); err != nil || id != want {
		t.Errorf("got %s, %v; want %s", id, err, want)
	}
	if _, err := ParseKey(text[:len(text)/2]); err == nil {
		t.Error("half a key is read")
	}
}

func TestAPinIsThatOfKubeadm(t *testing.T) {
	const text = "sha256:7c0d38b6f1b3fd2c5a1f4bb0f0d3f95f6c1a1b9e7a4d60b1b2a9a0d8f3e2c1b0"
	if pin, err := ParsePin(text); err != nil || pin.String() != text {
		t.Errorf("got %s, %v", pin, err)
	}
	for _, wrong := range []string{"", "sha256:", "sha256:7c0d", "7c0d38b6f1b3fd2c5a1f4bb0f0d3f95f6c1a1b9e7a4d60b1b2a9a0d8f3e2c1b0", "sha512:" + text[7:], text + "00", text[:len(text)-1] + "g"} {
		if _, err := ParsePin(wrong); err == nil || !strings.Contains(err.Error(), "64 hexadecimal digits are needed") {
			t.Errorf("%q: got %v", wrong, err)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add(csr(f, ecKey(f, elliptic.P256()), x509.CertificateRequest{URIs: []*url.URL{m1.URI()}}))
	f.Add([]byte("-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := ParseRequest(text)
		if err != nil {
			return
		}
		if got.Name != (tunnel.Name{}) && got.Name.Validate() != nil {
			t.Errorf("it is for %s", got.Name)
		}
	})
}
