package edgehub_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/koinon-io/koinon/pkg/edgehub/upstream"
	"github.com/koinon-io/koinon/test/testbed"
)

// way is one of several to the API server. While it is frozen no byte passes, and nobody is told.
type way struct {
	listener net.Listener
	to       string
	gate     sync.RWMutex // held while it is frozen
	frozen   bool         // the test's alone
}

func (w *way) freeze() {
	w.gate.Lock()
	w.frozen = true
}

func (w *way) thaw() {
	if w.frozen {
		w.frozen = false
		w.gate.Unlock()
	}
}

func newWay(t *testing.T, cluster *testbed.Cluster) *way {
	t.Helper()
	to, err := url.Parse(cluster.Server())
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &way{listener: listener, to: to.Host}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { w.carry(ctx, conn) })
		}
	})
	t.Cleanup(func() { w.thaw(); _ = listener.Close(); cancel(); all.Wait() })
	return w
}

func (w *way) url() string { return "https://" + w.listener.Addr().String() }

// carry passes bytes until one end closes, or ctx ends.
func (w *way) carry(ctx context.Context, from net.Conn) {
	defer from.Close()
	to, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	defer to.Close()
	defer context.AfterFunc(ctx, func() { _ = from.Close(); _ = to.Close() })()
	var both sync.WaitGroup
	both.Go(func() { w.pass(to, from) })
	both.Go(func() { w.pass(from, to) })
	both.Wait()
}

func (w *way) pass(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		w.gate.RLock()
		_, failed := to.Write(buffer[:n])
		w.gate.RUnlock()
		if err != nil || failed != nil {
			return
		}
	}
}

// severalWays are API servers that are one, over several ways, as whoever the administrator is.
func severalWays(t *testing.T, cluster *testbed.Cluster, ways ...*way) *upstream.Upstream {
	t.Helper()
	config := upstream.Config{Logger: slog.New(slog.DiscardHandler), CAs: func() (*x509.CertPool, error) {
		text, err := os.ReadFile(cluster.CAFile())
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(text)
		return pool, err
	}}
	for i, w := range ways {
		config.Servers = append(config.Servers, upstream.Server{URL: w.url(), Priority: i})
	}
	u, err := upstream.New(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { u.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return u
}

// administrator makes requests as the administrator of a cluster.
func administrator(t *testing.T, cluster *testbed.Cluster, u *upstream.Upstream) http.RoundTripper {
	t.Helper()
	config := cluster.RESTConfig(t)
	certificate, err := tls.LoadX509KeyPair(config.CertFile, config.KeyFile)
	if len(config.CertData) > 0 {
		certificate, err = tls.X509KeyPair(config.CertData, config.KeyData)
	}
	if err != nil {
		t.Fatal(err)
	}
	return u.Transport(upstream.Certificate(func() (*tls.Certificate, error) { return &certificate, nil }))
}

// isChosen waits until requests go one way.
func isChosen(t *testing.T, u *upstream.Upstream, w *way) {
	t.Helper()
	testbed.Eventually(t, w.url()+" is chosen", func(context.Context) error {
		for _, s := range u.Status() {
			if s.Chosen && s.Healthy && s.URL == w.url() {
				return nil
			}
		}
		return fmt.Errorf("it is not: %+v", u.Status())
	})
}

// counted writes a number into a configmap, again and again.
type counted struct {
	t      *testing.T
	client kubernetes.Interface
	last   int
}

func (c *counted) write(times int) {
	c.t.Helper()
	for range times {
		c.last++
		of := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "counted"}, Data: map[string]string{"n": strconv.Itoa(c.last)}}
		var err error
		if c.last == 1 {
			_, err = c.client.CoreV1().ConfigMaps("default").Create(c.t.Context(), of, metav1.CreateOptions{})
		} else {
			_, err = c.client.CoreV1().ConfigMaps("default").Update(c.t.Context(), of, metav1.UpdateOptions{})
		}
		if err != nil {
			c.t.Fatal(err)
		}
	}
}

// numbers watches through the hub, and returns what comes, in order.
func (h *hub) numbers() <-chan int {
	h.t.Helper()
	response, err := http.Get(h.url + "/api/v1/namespaces/default/configmaps?watch=true&fieldSelector=metadata.name%3Dcounted&timeoutSeconds=600")
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = response.Body.Close() })
	numbers := make(chan int, 1000)
	go func() { // ends with the body
		defer close(numbers)
		for decoder := json.NewDecoder(response.Body); ; {
			var event struct {
				Type   string
				Object corev1.ConfigMap
			}
			if decoder.Decode(&event) != nil {
				return
			}
			if n, err := strconv.Atoi(event.Object.Data["n"]); err == nil {
				numbers <- n
			}
		}
	}()
	return numbers
}

// Scenario 19: one API server is a black hole, another is away, and watches of the node see each change once.
func TestWatchesMissNothingWhileAPIServersComeAndGo(t *testing.T) {
	cluster := testbed.StartCluster(t, testbed.ClusterOptions{Name: "cloud"})
	first, second := newWay(t, cluster), newWay(t, cluster)
	u := severalWays(t, cluster, first, second)
	isChosen(t, u, first)
	h := newHub(t, &link{next: administrator(t, cluster, u), to: &url.URL{}, conns: map[net.Conn]struct{}{}})
	c := &counted{t: t, client: kubernetes.NewForConfigOrDie(cluster.RESTConfig(t))}
	c.write(1)
	testbed.Eventually(t, "the hub has it", func(context.Context) error {
		response, err := http.Get(h.url + "/api/v1/namespaces/default/configmaps?fieldSelector=metadata.name%3Dcounted")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		var list corev1.ConfigMapList
		if err := json.NewDecoder(response.Body).Decode(&list); err != nil || len(list.Items) != 1 {
			return fmt.Errorf("%s with %d, %w", response.Status, len(list.Items), err)
		}
		return nil
	})
	numbers := h.numbers()
	seen := 0
	sees := func(what string) {
		t.Helper()
		for seen < c.last {
			select {
			case n, open := <-numbers:
				if !open || n != seen+1 {
					t.Fatalf("%s: after %d comes %d (the watch goes on: %t)", what, seen, n, open)
				}
				seen = n
			case <-time.After(testbed.Patience):
				t.Fatalf("%s: after %d nothing comes", what, seen)
			}
		}
	}
	c.write(20)
	sees("at first")

	first.freeze()
	began := time.Now()
	c.write(20)
	isChosen(t, u, second)
	sees("the first is a black hole")
	t.Logf("from one way to the other, with all changes, in %s", time.Since(began))
	first.thaw()

	second.freeze() // before the first has been well for a while
	c.write(20)
	isChosen(t, u, first)
	sees("the second is one")
	second.thaw()
	c.write(20)
	sees("both are back")
	select {
	case n, open := <-numbers:
		t.Errorf("at last comes %d (the watch goes on: %t)", n, open)
	default:
	}
}
