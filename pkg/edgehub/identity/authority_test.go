package identity

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTheHubsAuthorityIsMadeOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "identity")
	first, err := OpenAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenAuthority(dir)
	if err != nil || string(first.CertificatePEM()) != string(again.CertificatePEM()) {
		t.Errorf("it is another: %v", err)
	}
	if got := files(t, dir); !slices.Equal(got, []string{"authority.pem -rw-------"}) {
		t.Errorf("there are %q", got)
	}
}

func TestOneThatIsDamagedIsNotReplaced(t *testing.T) {
	for what, text := range map[string]string{"empty": "", "garbage": "garbage", "a key alone": string(newKeyPEM(t))} {
		dir := t.TempDir()
		path := filepath.Join(dir, AuthorityFile)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenAuthority(dir); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "Restore it, or move it away") {
			t.Errorf("%s: got %v", what, err)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != text {
			t.Errorf("%s: it was replaced (%v)", what, err)
		}
	}
}

func TestOthersMayNotReadKeys(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenAuthority(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, AuthorityFile), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAuthority(dir); err != nil {
		t.Fatal(err)
	}
	if got := files(t, dir); !slices.Equal(got, []string{"authority.pem -rw-------"}) {
		t.Errorf("there are %q", got)
	}
}

func TestItsCertificatesAreGoodWhateverTheClockSays(t *testing.T) {
	authority, err := OpenAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	serving, err := authority.Serving("kubernetes.default.svc", "169.254.20.10", "::1")
	if err != nil {
		t.Fatal(err)
	}
	client, err := authority.Client("system:node:n1", "system:nodes")
	if err != nil {
		t.Fatal(err)
	}
	for _, year := range []int{2000, 2024, 2026, 2028, 2050, 2099} {
		clock := func() time.Time { return time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC) }
		for _, host := range []string{"kubernetes.default.svc", "169.254.20.10", "::1"} {
			if err := handshake(t, &tls.Config{Certificates: []tls.Certificate{*serving}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority.Pool(), Time: clock},
				&tls.Config{ServerName: host, RootCAs: authority.Pool(), Time: clock, Certificates: []tls.Certificate{{Certificate: [][]byte{client.Certificate.Raw}, PrivateKey: client.Key}}}); err != nil {
				t.Errorf("%d, %s: %v", year, host, err)
			}
		}
	}
	if err := serving.Leaf.VerifyHostname("kubernetes"); err == nil {
		t.Error("it is for other names, too")
	}
	if _, err := client.Certificate.Verify(x509.VerifyOptions{Roots: authority.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err == nil {
		t.Error("a client may serve")
	}
}

func handshake(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	done := make(chan error, 1)
	go func() { // ends with the connection
		conn := tls.Server(a, server)
		_, err := conn.Write([]byte("x"))
		done <- err
	}()
	if _, err := io.ReadFull(tls.Client(b, client), make([]byte, 1)); err != nil {
		return err
	}
	return <-done
}
