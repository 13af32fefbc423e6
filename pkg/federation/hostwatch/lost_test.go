package hostwatch_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/federation/hostwatch"
	"github.com/koinon-io/koinon/test/simulation"
)

// followed is a host in a bubble whose ConfigMaps and Secrets are cached and compared.
type followed struct {
	host     *simulation.Member
	settings *hostwatch.Informer
	// lists is how many lists of metadata were asked for, and atOnce how many at once at most.
	lists, underWay, atOnce atomic.Int64
}

// ServeHTTP implements http.Handler.
func (f *followed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Has("limit") && !r.URL.Query().Has("watch") {
		f.lists.Add(1)
		if n := f.underWay.Add(1); n > f.atOnce.Load() {
			f.atOnce.Store(n)
		}
		time.Sleep(time.Minute / 10) // of the bubble
		defer f.underWay.Add(-1)
	}
	f.host.ServeHTTP(w, r)
}

// inBubble runs a test with a host that has so many ConfigMaps, in the namespace shop.
func inBubble(t *testing.T, objects int, do func(*followed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &followed{host: simulation.NewMember("host", 0, simulation.Options{})}
		put(t, f, simulation.Namespaces, "", "shop")
		for i := range objects {
			put(t, f, simulation.ConfigMaps, "shop", fmt.Sprintf("settings-%d", i))
		}
		config := f.host.InProcess()
		config.Transport = simulation.InProcess(f)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		follow(t, ctx, &running, config, f)
		do(f)
	})
}

func follow(t *testing.T, ctx context.Context, running *sync.WaitGroup, config *rest.Config, f *followed) {
	t.Helper()
	client := kubernetes.NewForConfigOrDie(config).CoreV1()
	checker, err := hostwatch.NewChecker(config)
	if err != nil {
		t.Fatal(err)
	}
	f.settings = hostwatch.NewInformer(client.ConfigMaps(""), &corev1.ConfigMap{})
	for resource, informer := range map[schema.GroupVersionResource]*hostwatch.Informer{
		simulation.ConfigMaps: f.settings,
		simulation.Secrets:    hostwatch.NewInformer(client.Secrets("shop"), &corev1.Secret{}),
	} {
		namespace := ""
		if resource == simulation.Secrets {
			namespace = "shop"
		}
		// Both end with ctx.
		running.Go(func() { informer.RunWithContext(ctx) })
		running.Go(func() { checker.Follow(ctx, resource, namespace, informer) })
	}
	pass(time.Minute)
}

func put(t *testing.T, f *followed, resource schema.GroupVersionResource, namespace, name string) {
	t.Helper()
	metadata := map[string]any{"name": name}
	if namespace != "" {
		metadata["namespace"] = namespace
	}
	if err := f.host.Put(resource, map[string]any{"metadata": metadata}); err != nil {
		t.Fatal(err)
	}
}

func pass(d time.Duration) {
	time.Sleep(d) // of the bubble
	synctest.Wait()
}

func TestACacheThatLostNothingIsComparedNowAndThenAndNotListedAnew(t *testing.T) {
	inBubble(t, 1100, func(f *followed) {
		begun, compared := f.host.Counts().Requests["watch"], f.lists.Load()
		const hours = 2
		pass(hours * time.Hour)
		// Three pages of ConfigMaps, and one of Secrets, every 10 to 15 minutes.
		if n := f.lists.Load() - compared; n < 4*hours*3 || n > 4*hours*6 {
			t.Errorf("the host was asked for %d lists in %d hours", n, hours)
		}
		if n := f.atOnce.Load(); n != 1 {
			t.Errorf("%d lists were asked for at once", n)
		}
		// A watch lasts 5 to 10 minutes; what is listed anew begins one more.
		if n := f.host.Counts().Requests["watch"] - begun; n > 2*hours*12 {
			t.Errorf("%d watches were begun in %d hours", n, hours)
		}
	})
}

func TestWhatAWatchLostIsFound(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *followed){
		"an object that was made": func(t *testing.T, f *followed) { put(t, f, simulation.ConfigMaps, "shop", "new") },
		"an object that is gone":  func(_ *testing.T, f *followed) { f.host.Remove(simulation.ConfigMaps, "shop", "settings-3") },
		"an object that is another of that name": func(t *testing.T, f *followed) {
			f.host.Remove(simulation.ConfigMaps, "shop", "settings-3")
			put(t, f, simulation.ConfigMaps, "shop", "settings-3")
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 10, func(f *followed) {
				f.host.Tamper(func(simulation.WatchEvent) []simulation.WatchEvent { return nil })
				change(t, f)
				pass(time.Minute)
				if f.isRight() {
					t.Error("the cache shows what its watch has lost")
				}
				pass(16 * time.Minute)
				if !f.isRight() {
					t.Error("the cache is not as the host is")
				}
			})
		})
	}
}

// isRight reports whether the cache has the ConfigMaps of the host, and no others.
func (f *followed) isRight() bool {
	uids := map[string]bool{}
	for _, object := range f.host.Objects(simulation.ConfigMaps) {
		uids[object["metadata"].(map[string]any)["uid"].(string)] = true
	}
	for _, object := range f.settings.GetStore().List() {
		if !uids[string(object.(*corev1.ConfigMap).UID)] {
			return false
		}
		delete(uids, string(object.(*corev1.ConfigMap).UID))
	}
	return len(uids) == 0
}

var _ http.Handler = &followed{}
