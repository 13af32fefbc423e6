package sqllog

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/storage/storagetest"
)

// authority makes a certificate for loopback that is its own authority, and writes it and
// its key to files.
func authority(t *testing.T) (pool *x509.CertPool, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "database"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for file, data := range map[string][]byte{certFile: cert, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pool, certFile, keyFile
}

func TestTheConnectionToTheDatabaseIsEncrypted(t *testing.T) {
	trusted, certFile, keyFile := authority(t)
	other, _, _ := authority(t)
	server := storagetest.StartMariaDB(t, "--ssl-ca="+certFile, "--ssl-cert="+certFile, "--ssl-key="+keyFile)
	config := MySQLConfig{DSN: server.NewDatabase(t), Addresses: []string{server.Address}, Name: "test database", TLS: &tls.Config{RootCAs: trusted}}
	l, err := OpenMySQL(t.Context(), config)
	l = opened(t, l, err)
	var name, cipher string
	if err := l.reads.QueryRowContext(t.Context(), "SHOW STATUS LIKE 'Ssl_cipher'").Scan(&name, &cipher); err != nil || cipher == "" {
		t.Errorf("cipher %q, %v: want one", cipher, err)
	}
	mustAppend(t, l, "a")
	config.TLS = &tls.Config{RootCAs: other}
	if l, err := OpenMySQL(t.Context(), config); err == nil {
		_ = l.Close()
		t.Error("a server of an unknown authority was trusted")
	}
}
