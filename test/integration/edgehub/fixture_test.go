// Package edgehub_test has programs of a node read through the hub's parts, from a real kube-apiserver behind a link that is cut: client-go's informers, as kubelet and
// controllers use them.
package edgehub_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/edgehub/feed"
	"github.com/koinon-io/koinon/pkg/edgehub/serving"
	"github.com/koinon-io/koinon/pkg/edgehub/store"
	"github.com/koinon-io/koinon/pkg/edgehub/view"
	"github.com/koinon-io/koinon/test/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m) }

// link is the way to the API server.
type link struct {
	cut  atomic.Bool
	next http.RoundTripper
	to   *url.URL

	mu    sync.Mutex
	conns map[net.Conn]struct{} // guarded by mu
}

func newLink(t *testing.T, cluster *testbed.Cluster) *link {
	t.Helper()
	config := cluster.RESTConfig(t)
	l := &link{conns: map[net.Conn]struct{}{}}
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if l.cut.Load() {
			return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("the link is cut")}
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err == nil {
			l.mu.Lock()
			l.conns[conn] = struct{}{}
			l.mu.Unlock()
		}
		return conn, err
	}
	var err error
	if l.next, err = rest.TransportFor(config); err != nil {
		t.Fatal(err)
	}
	if l.to, err = url.Parse(cluster.Server()); err != nil {
		t.Fatal(err)
	}
	return l
}

// sever cuts the link, and what goes over it.
func (l *link) sever() {
	l.cut.Store(true)
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.conns {
		_ = conn.Close()
	}
	clear(l.conns)
}

func (l *link) heal() { l.cut.Store(false) }

// RoundTrip implements http.RoundTripper, to the API server.
func (l *link) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = l.to.Scheme, l.to.Host
	return l.next.RoundTrip(r)
}

// Do implements feed.Doer.
func (l *link) Do(r *http.Request) (*http.Response, error) { return l.RoundTrip(r) }

// fromUpstream is a header of what no view has answered.
const fromUpstream = "X-From-Upstream"

// hub is what is on a node.
type hub struct {
	t    *testing.T
	link *link
	dir  string

	url  string
	disk *store.Store
	stop func()
}

func newHub(t *testing.T, l *link) *hub {
	t.Helper()
	h := &hub{t: t, link: l, dir: t.TempDir()}
	h.start("127.0.0.1:0")
	t.Cleanup(func() { h.kill() })
	return h
}

// start starts it with what it has on its disk.
func (h *hub) start(address string) {
	h.t.Helper()
	disk, kept, damage, err := store.Open(filepath.Join(h.dir, "cache.db"))
	if err != nil || damage != nil {
		h.t.Fatal(err, damage)
	}
	cache, err := view.NewCache(kept)
	if err != nil {
		h.t.Fatal(err)
	}
	pool, err := feed.NewPool(feed.PoolConfig{
		Cache: cache, Disk: disk, Logger: slog.New(slog.DiscardHandler), Asker: func(view.Key, *http.Request) feed.Asker { return feed.Asker{Client: h.link} },
	})
	if err != nil {
		h.t.Fatal(err)
	}
	handler, err := serving.New(serving.Config{
		Views: pool, Logger: slog.New(slog.DiscardHandler),
		Upstream: &httputil.ReverseProxy{Transport: h.link, Rewrite: func(*httputil.ProxyRequest) {}, FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0), ModifyResponse: func(r *http.Response) error {
			r.Header.Set(fromUpstream, "true")
			return nil
		}},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { pool.Run(ctx) })
	listener, err := net.Listen("tcp", address)
	if err != nil {
		h.t.Fatal(err)
	}
	server := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	running.Go(func() { _ = server.Serve(listener) }) // ends with Close
	h.url = "http://" + listener.Addr().String()
	h.disk = disk
	h.stop = func() { _ = server.Close(); cancel(); running.Wait() }
}

// kill ends it, and its connections: no client gets a new one, which would be waited for.
func (h *hub) kill() {
	h.stop()
	_ = h.disk.Close()
}

// restart starts it where it was.
func (h *hub) restart() {
	h.t.Helper()
	h.kill()
	h.start(strings.TrimPrefix(h.url, "http://"))
}

// raw makes one request, and tries nothing again.
func (h *hub) raw(path string) (*http.Response, *metav1.Status) {
	h.t.Helper()
	answer, err := http.Get(h.url + path)
	if err != nil {
		h.t.Fatal(err)
	}
	defer answer.Body.Close()
	var status metav1.Status
	if err := json.NewDecoder(answer.Body).Decode(&status); err != nil {
		h.t.Fatal(err)
	}
	return answer, &status
}

// client is one of a program on the node. It takes JSON, too.
func (h *hub) client(contentType string) kubernetes.Interface {
	h.t.Helper()
	return h.accepting(contentType, contentType+",application/json")
}

// accepting is one that takes what accept says, and nothing else.
func (h *hub) accepting(contentType, accept string) kubernetes.Interface {
	h.t.Helper()
	client, err := kubernetes.NewForConfig(&rest.Config{Host: h.url, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: contentType, AcceptContentTypes: accept}})
	if err != nil {
		h.t.Fatal(err)
	}
	return client
}
