package memberclient

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"
)

func asked(err error) error {
	return &url.Error{Op: "Get", URL: "https://10.0.0.7:6443/api/v1/configmaps?continue=abc&timeout=15s", Err: err}
}

func dialed(err error) error {
	address := func(port int) net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port} }
	return asked(&net.OpError{Op: "dial", Net: "tcp", Source: address(34567), Addr: address(6443), Err: os.NewSyscallError("connect", err)})
}

func TestProblemsAreStable(t *testing.T) {
	resource := schema.GroupResource{Resource: "configmaps"}
	expired := x509.CertificateInvalidError{Reason: x509.Expired, Detail: "current time 2026-11-28T23:20:26Z is after 2025-06-01T00:00:00Z"}
	webhook := `failed calling webhook "v.example.com": failed to call webhook: Post "https://hook.ns.svc:443/validate?timeout=10s": `
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"a refused connection":         {dialed(syscall.ECONNREFUSED), "connection refused"},
		"a connection without a route": {dialed(syscall.EHOSTUNREACH), "dial tcp <address>: connect: no route to host"},
		"a reset connection":           {dialed(syscall.ECONNRESET), "the connection broke"},
		"an end":                       {asked(io.EOF), "the connection broke"},
		"a torn answer":                {fmt.Errorf("read: %w", io.ErrUnexpectedEOF), "the connection broke"},
		"a GOAWAY":                     {asked(errors.New(`http2: server sent GOAWAY and closed the connection; LastStreamID=1999, ErrCode=NO_ERROR, debug=""`)), "the connection broke"},
		"a lost connection":            {asked(errors.New("http2: client connection lost")), "the connection broke"},
		"a deadline":                   {asked(context.DeadlineExceeded), "no answer in time"},
		"a deadline while connecting":  {asked(&net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}), "no answer in time"},
		"no such host":                 {asked(&net.DNSError{Err: "no such host", Name: "m1.example", Server: "10.96.0.10:53"}), "lookup m1.example: no such host"},
		"a resolver that is away":      {asked(&net.DNSError{Err: "read udp 10.0.0.1:42341->10.96.0.10:53: i/o timeout", Name: "m1.example", IsTimeout: true}), "no answer in time"},
		"our own limit of requests":    {errors.New("client rate limiter Wait returned an error: context deadline exceeded"), "too many requests to the member are waiting"},
		"our limit, known beforehand":  {fmt.Errorf("client rate limiter Wait returned an error: %w", errors.New("rate: Wait(n=1) would exceed context deadline")), "too many requests to the member are waiting"},
		"an expired certificate":       {asked(expired), "x509: certificate has expired or is not yet valid: the current time is after 2025-06-01T00:00:00Z"},
		"a refusal that quotes an object": {apierrors.NewBadRequest("spec.template: Invalid value: " + strings.Repeat("q", 9999) + ": field is immutable"),
			"spec.template: Invalid value: " + strings.Repeat("q", 475) + " ... (cut) ... " + strings.Repeat("q", 484) + ": field is immutable"},
		"too many requests":             {apierrors.NewTooManyRequests("try again, says 10.0.0.7:6443", 7), "try again, says <address>"},
		"a webhook that is away":        {apierrors.NewInternalError(errors.New(webhook + "dial tcp 10.96.3.4:443: connect: connection refused")), `Internal error occurred: failed calling webhook "v.example.com": failed to call webhook: dial tcp <address>: connect: connection refused`},
		"a webhook that is cut":         {apierrors.NewInternalError(errors.New(webhook + "read tcp [fd00::1]:41234->[fd00::2]:443: read: connection reset by peer")), `Internal error occurred: failed calling webhook "v.example.com": failed to call webhook: read tcp <address>: read: connection reset by peer`},
		"a webhook that says the time":  {apierrors.NewBadRequest(`admission webhook "w" denied the request: at 2026-11-28T23:20:26.123Z, request 1B4E28BA-2FA1-11D2-883F-0016D3CCA427 took 1.52s`), `admission webhook "w" denied the request: at <time>, request <uid> took <duration>`},
		"another object of the name":    {apierrors.NewConflict(resource, "a", errors.New("Precondition failed: UID in precondition: 1b4e28ba-2fa1-11d2-883f-0016d3cca427, UID in object meta: 1b4e28ba-2fa1-11d2-883f-0016d3cca428")), `Operation cannot be fulfilled on configmaps "a": Precondition failed: UID in precondition: <uid>, UID in object meta: <uid>`},
		"a version that is too old":     {apierrors.NewResourceExpired("too old resource version: 123 (456)"), "too old resource version: <version>"},
		"an address of the manifest's":  {apierrors.NewInvalid(schema.GroupKind{Kind: "Service"}, "a", nil), `Service "a" is invalid`},
		"an IP address without a port":  {apierrors.NewBadRequest(`Invalid value: "10.96.0.300": must be a valid IP address`), `Invalid value: "10.96.0.300": must be a valid IP address`},
		"a quantity and a duration":     {apierrors.NewBadRequest("0.5m, 1.5Gi, 10s and 5m are not allowed"), "0.5m, 1.5Gi, 10s and 5m are not allowed"},
		"what Go prints of time":        {apierrors.NewBadRequest("at 2026-11-28 23:20:26.123456 +0000 UTC m=+0.012 it failed"), "at <time> it failed"},
		"an answer that is none":        {fmt.Errorf("get: %w", &AnswerError{Problem: "the answer is longer"}), "the answer is longer"},
		"an API server that says times": {apierrors.NewTimeoutError("request did not complete within requested timeout - context deadline exceeded", 0), "Timeout: request did not complete within requested timeout - context deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Problem(test.err); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// TestProblemsOfTheLibraryAreStable has the library make the errors.
func TestProblemsOfTheLibraryAreStable(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/version" {
			panic(http.ErrAbortHandler)
		}
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	get := func(config *rest.Config, path string, timeout time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		conn, err := NewConn(ctx, guarded(config), func(schema.GroupVersionResource, Event) {})
		if err != nil {
			t.Fatal(err)
		}
		return conn.client.Get().AbsPath(path).Do(ctx).Error()
	}
	if got := Problem(get(&rest.Config{Host: closed.URL}, "/version", time.Minute)); got != "connection refused" {
		t.Errorf("nobody there: got %s", got)
	}
	if got := Problem(get(&rest.Config{Host: server.URL}, "/version", time.Minute)); got != "the connection broke" {
		t.Errorf("a connection that is cut: got %s", got)
	}
	if got := Problem(get(&rest.Config{Host: server.URL}, "/slow", time.Second)); got != "no answer in time" {
		t.Errorf("a deadline: got %s", got)
	}
	limiter := flowcontrol.NewTokenBucketRateLimiter(0.001, 1)
	limiter.TryAccept()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	client, err := rest.UnversionedRESTClientFor(&rest.Config{Host: closed.URL, RateLimiter: limiter, ContentConfig: rest.ContentConfig{NegotiatedSerializer: scheme.Codecs}})
	if err != nil {
		t.Fatal(err)
	}
	if got := Problem(client.Get().AbsPath("/version").Do(ctx).Error()); got != "too many requests to the member are waiting" {
		t.Errorf("our limit of requests: got %s", got)
	}
}
