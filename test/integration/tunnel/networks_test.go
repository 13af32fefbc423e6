package tunnel_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/koinon-io/koinon/test/testbed"
)

// onlyByProxy is a name of the server that no resolver knows: who gets there has asked the proxy.
const onlyByProxy = "koinon.example"

// goByWhatLetsOnlyHTTPSThrough runs the agent behind an HTTP proxy, and behind what ends TLS and passes
// on WebSockets: nginx, if it is installed, else that of the library. Each gets its certificate this way, too.
func (f *federation) goByWhatLetsOnlyHTTPSThrough() {
	f.Helper()
	port := f.tunnelPort(f.server, 1)
	f.forget()
	proxy := testbed.StartHTTPProxy(f)
	behind := f.startAgent(f.enrol("--server", fmt.Sprintf("%s:%d", onlyByProxy, port)), 0, "HTTPS_PROXY="+proxy.URL(), "NO_PROXY=")
	f.reached()
	f.works()
	if carried := proxy.Carried(); carried < 2 {
		f.Errorf("the proxy was asked %d times, want for a certificate and for a link", carried)
	}
	behind.Kill9(f)

	front := startFront(f.T, port)
	e := f.enrol("--server", front)
	e.args = append(e.args, "--transport=websocket")
	f.startAgent(e, 1)
	f.logs(f.server, `way="websocket"`)
	f.reached()
	f.works()
}

// startFront starts what ends TLS in front of the tunnel, and returns its address.
func startFront(t *testing.T, port int) string {
	t.Helper()
	at := &url.URL{Scheme: "https", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	// The certificate of a stranger: what is inside is verified.
	front := httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(at) },
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	})
	front.StartTLS()
	t.Cleanup(front.Close)
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		if nginx, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			t.Log("nginx is not installed")
			return front.Listener.Addr().String()
		}
	}
	return startNginx(t, nginx, front.TLS.Certificates[0], at.Host)
}

const nginxConfig = `
daemon off;
master_process off;
pid DIR/pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path DIR/body; proxy_temp_path DIR/proxy; fastcgi_temp_path DIR/fastcgi; uwsgi_temp_path DIR/uwsgi; scgi_temp_path DIR/scgi;
  server {
    listen ADDRESS ssl;
    ssl_certificate DIR/tls.crt;
    ssl_certificate_key DIR/tls.key;
    location = /v1/link {
      proxy_pass https://BACKEND;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
      proxy_read_timeout 1h;
    }
  }
}
`

// startNginx runs the stock one as a person would set it up.
func startNginx(t *testing.T, program string, certificate tls.Certificate, backend string) (address string) {
	t.Helper()
	dir := t.TempDir()
	key, err := encodeKey(certificate)
	if err != nil {
		t.Fatal(err)
	}
	address = fmt.Sprintf("127.0.0.1:%d", testbed.FreePort(t))
	config := strings.NewReplacer("DIR", dir, "ADDRESS", address, "BACKEND", backend).Replace(nginxConfig)
	for name, text := range map[string][]byte{
		"tls.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}), "tls.key": key, "nginx.conf": []byte(config),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var said strings.Builder // read once it has ended
	cmd := exec.Command(program, "-p", dir, "-e", "stderr", "-c", filepath.Join(dir, "nginx.conf"))
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { // ends with the process
		defer close(ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
		if t.Failed() {
			t.Logf("nginx said:\n%s", said.String())
		}
	})
	for until := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.DialTimeout("tcp", address, patience)
		if err == nil {
			_ = conn.Close()
			return address
		}
		select {
		case <-ended:
			t.Fatalf("nginx has ended: %s", said.String())
		default:
		}
		if time.Now().After(until) {
			t.Fatalf("nginx does not listen: %v", err)
		}
	}
}

func encodeKey(certificate tls.Certificate) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}
