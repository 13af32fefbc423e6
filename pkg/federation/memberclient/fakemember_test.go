package memberclient

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

var configMaps = Type{Resource: schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}, Kind: "ConfigMap", Namespaced: true}

// fakeMember is an API server that answers as it likes; what it does not care for is
// answered as a kube-apiserver without objects does.
type fakeMember struct {
	healthz, version, discovery, list, watch, object http.HandlerFunc

	lists, watches atomic.Int64
}

func say(value any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if text, ok := value.(string); ok {
			_, _ = io.WriteString(w, text)
			return
		}
		_ = json.NewEncoder(w).Encode(value)
	}
}

// open says nothing more until the client goes.
func open(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

func (m *fakeMember) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(chosen, standard http.HandlerFunc) {
		if chosen == nil {
			chosen = standard
		}
		chosen(w, r)
	}
	switch {
	case r.URL.Path == "/healthz":
		answer(m.healthz, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	case r.URL.Path == "/version":
		answer(m.version, say(map[string]string{"gitVersion": "v1.36.3"}))
	case r.URL.Path == "/api/v1":
		answer(m.discovery, say(metav1.APIResourceList{GroupVersion: "v1", APIResources: []metav1.APIResource{{Name: "configmaps", Kind: "ConfigMap", Namespaced: true}}}))
	case r.URL.Query().Has("watch"):
		m.watches.Add(1)
		answer(m.watch, open)
	case r.URL.Path == "/api/v1/configmaps":
		m.lists.Add(1)
		answer(m.list, say(`{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"10"},"items":[]}`))
	default:
		answer(m.object, say(`{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","namespace":"ns","uid":"u","resourceVersion":"5"}}`))
	}
}

// joined are a KubeFedCluster and its Secret that reach a member with a token.
func joined(url string, authority []byte) (*v1beta1.KubeFedCluster, *corev1.Secret) {
	cluster := &v1beta1.KubeFedCluster{
		ObjectMeta: metav1.ObjectMeta{Name: "m1", Namespace: "sys"},
		Spec:       v1beta1.KubeFedClusterSpec{APIEndpoint: url, SecretRef: v1beta1.LocalSecretReference{Name: "s"}},
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "sys", Annotations: map[string]string{
			v1beta1.CredentialsForAnnotation: cluster.Name, v1beta1.APIEndpointAnnotation: url,
		}},
		Data: map[string][]byte{v1beta1.TokenKey: []byte("t"), v1beta1.CAKey: authority},
	}
	return cluster, secret
}

// serve serves a member over TLS and connects to it as a KubeFedCluster and its Secret say.
func serve(t *testing.T, member http.Handler) *Conn {
	t.Helper()
	server := httptest.NewTLSServer(member)
	t.Cleanup(server.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	cluster, secret := joined(server.URL, authority)
	config, err := Config(cluster, secret, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := NewConn(t.Context(), config, func(schema.GroupVersionResource, Event) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// calls are all requests that a Conn makes but those of caches.
func calls(conn *Conn) map[string]func(context.Context) error {
	manifest := map[string]any{"kind": "ConfigMap", "apiVersion": "v1", "metadata": map[string]any{"name": "a", "namespace": "ns"}}
	return map[string]func(context.Context) error{
		"a check of health": func(ctx context.Context) error { _, _, err := conn.Health(ctx); return err },
		"discovery":         func(ctx context.Context) error { _, err := conn.serves(ctx, configMaps); return err },
		"a creation": func(ctx context.Context) error {
			_, err := conn.Create(ctx, configMaps.Resource, "ns", "a", manifest, Hold{})
			return err
		},
		"a get": func(ctx context.Context) error { _, err := conn.Get(ctx, configMaps.Resource, "ns", "a"); return err },
		"a release": func(ctx context.Context) error {
			return conn.ReleaseVersion(ctx, configMaps.Resource, "ns", "a", "u", "1", "x")
		},
		"a delete": func(ctx context.Context) error {
			return conn.Delete(ctx, configMaps.Resource, "ns", "a", "u", metav1.DeleteOptions{})
		},
		"a look at a namespace": func(ctx context.Context) error { _, err := conn.Namespace(ctx, "ns"); return err },
		"a namespace's creation": func(ctx context.Context) error {
			_, err := conn.createNamespace(ctx, Hold{Name: "ns"})
			return err
		},
		"a list": func(ctx context.Context) error {
			_, err := conn.list(ctx, query{resource: configMaps.Resource}, func(*Live) error { return nil })
			return err
		},
		"a watch": func(ctx context.Context) error {
			watched, err := newCache(conn, configMaps, Keep{}, nil).beginWatch(ctx)
			if err == nil {
				watched.end()
			}
			return err
		},
	}
}
