package relay_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/registry/proxy/links"
	"github.com/koinon-io/koinon/pkg/registry/proxy/relay"
)

// BenchmarkList is an answer of 54 MiB that a member writes object by object, as API servers do: read from the member
// itself, and through the relay.
func BenchmarkList(b *testing.B) {
	object := append(bytes.Repeat([]byte("x"), 5600), ',')
	member := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for range 10_000 {
			_, _ = w.Write(object)
		}
	}))
	member.EnableHTTP2 = true
	member.StartTLS()
	defer member.Close()
	link, err := links.NewLink("m1", &rest.Config{Host: member.URL, BearerToken: "t", TLSClientConfig: rest.TLSClientConfig{Insecure: true}}, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer link.End(links.ErrServerEnds)
	carrier := relay.New(fail)
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		carrier.Serve(w, r, relay.Request{Cluster: "m1", Link: link, Prefix: prefix, Path: strings.TrimPrefix(r.URL.Path, prefix), Caller: &user.DefaultInfo{Name: "alice"}})
	}))
	front.EnableHTTP2 = true
	front.StartTLS()
	defer front.Close()
	for what, server := range map[string]*httptest.Server{"directly": member, "relay": front} {
		b.Run(what, func(b *testing.B) {
			client := server.Client()
			for b.Loop() {
				answer, err := client.Get(server.URL + prefix + "/api/v1/pods")
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.Copy(io.Discard, answer.Body)
				if err != nil || answer.ProtoMajor != 2 {
					b.Fatal(err)
				}
				b.SetBytes(n)
				_ = answer.Body.Close()
			}
		})
	}
}
