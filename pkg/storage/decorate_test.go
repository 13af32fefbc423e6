package storage

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/k3s-io/kine/pkg/server"
	"google.golang.org/grpc"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	genericstorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/value/encrypt/identity"

	"github.com/koinon-io/koinon/pkg/storage/engine"
	"github.com/koinon-io/koinon/pkg/storage/sqllog"
	"github.com/koinon-io/koinon/pkg/storage/storagetest"
)

// flaky is a backend that fails while it is told to.
type flaky struct {
	server.Backend
	failure atomic.Pointer[error]
}

func (f *flaky) fail(err error) { f.failure.Store(&err) }

func (f *flaky) err() error {
	if failure := f.failure.Load(); failure != nil {
		return *failure
	}
	return nil
}

func (f *flaky) Get(ctx context.Context, key string, revision int64, keysOnly bool) (int64, *server.KeyValue, error) {
	if err := f.err(); err != nil {
		return 0, nil, err
	}
	return f.Backend.Get(ctx, key, revision, keysOnly)
}

func (f *flaky) List(ctx context.Context, key, end string, limit, revision int64, keysOnly bool) (int64, []*server.KeyValue, error) {
	if err := f.err(); err != nil {
		return 0, nil, err
	}
	return f.Backend.List(ctx, key, end, limit, revision, keysOnly)
}

func (f *flaky) Count(ctx context.Context, key, end string, revision int64) (int64, int64, error) {
	if err := f.err(); err != nil {
		return 0, 0, err
	}
	return f.Backend.Count(ctx, key, end, revision)
}

func (f *flaky) Create(ctx context.Context, key string, value []byte, lease int64) (int64, error) {
	if err := f.err(); err != nil {
		return 0, err
	}
	return f.Backend.Create(ctx, key, value, lease)
}

func (f *flaky) Update(ctx context.Context, key string, value []byte, revision, lease int64) (int64, *server.KeyValue, bool, error) {
	if err := f.err(); err != nil {
		return 0, nil, false, err
	}
	return f.Backend.Update(ctx, key, value, revision, lease)
}

func (f *flaky) Delete(ctx context.Context, key string, revision int64) (int64, *server.KeyValue, bool, error) {
	if err := f.err(); err != nil {
		return 0, nil, false, err
	}
	return f.Backend.Delete(ctx, key, revision)
}

// newFlaky serves a flaky backend as etcd, and returns its address.
func newFlaky(t *testing.T) (*flaky, string) {
	t.Helper()
	backend := &flaky{Backend: newBackend(t)}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveEtcd(t, backend, listener)
	return backend, listener.Addr().String()
}

// serveEtcd serves a backend until the test ends, or until the function that it returns is
// called.
func serveEtcd(t *testing.T, backend server.Backend, listener net.Listener) (stop func()) {
	front := grpc.NewServer()
	server.New(backend, "http", time.Second, "3.6.11").Register(front)
	go func() { _ = front.Serve(listener) }() // Stop ends it
	t.Cleanup(front.Stop)
	return front.Stop
}

// newBackend opens an engine over a database of its own.
func newBackend(t *testing.T) server.Backend {
	t.Helper()
	log, err := sqllog.OpenSQLite(t.Context(), sqllog.SQLiteConfig{Path: filepath.Join(t.TempDir(), "db"), Name: "store"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	opened, err := engine.Open(t.Context(), log, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(opened.Close)
	return opened
}

// newStorage makes the storage of a resource, with or without a watch cache.
func newStorage(t *testing.T, a *answers, address string, decorator generic.StorageDecorator) genericstorage.Interface {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	codecs := serializer.NewCodecFactory(scheme)
	json := codecs.SupportedMediaTypes()[0].Serializer
	config := storagebackend.NewDefaultConfig("/registry", codecs.CodecForVersions(json, json, corev1.SchemeGroupVersion, corev1.SchemeGroupVersion))
	config.Transport.ServerList = []string{"http://" + address}
	config.Transformer = identity.NewEncryptCheckTransformer()
	resource := schema.GroupResource{Resource: "configmaps"}
	options, err := restOptions{generic.RESTOptions{StorageConfig: config.ForResource(resource), Decorator: decorator}, a}.GetRESTOptions(resource, nil)
	if err != nil {
		t.Fatal(err)
	}
	attrs := func(object runtime.Object) (labels.Set, fields.Set, error) {
		meta := object.(*corev1.ConfigMap).ObjectMeta
		return meta.Labels, fields.Set{"metadata.name": meta.Name, "metadata.namespace": meta.Namespace}, nil
	}
	storage, destroy, err := options.Decorator(options.StorageConfig, "/configmaps",
		func(object runtime.Object) (string, error) {
			return "/configmaps/ns/" + object.(*corev1.ConfigMap).Name, nil
		},
		func() runtime.Object { return &corev1.ConfigMap{} }, func() runtime.Object { return &corev1.ConfigMapList{} },
		attrs, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(destroy)
	return storage
}

// requests are what API servers do with a storage. Each returns the error that it got.
var requests = map[string]func(context.Context, genericstorage.Interface) error{
	"create": func(ctx context.Context, s genericstorage.Interface) error {
		return s.Create(ctx, "/configmaps/ns/new", object("new"), &corev1.ConfigMap{}, 0)
	},
	"create for a while": func(ctx context.Context, s genericstorage.Interface) error {
		return s.Create(ctx, "/configmaps/ns/new", object("new"), &corev1.ConfigMap{}, 60)
	},
	"get": func(ctx context.Context, s genericstorage.Interface) error {
		return s.Get(ctx, "/configmaps/ns/old", genericstorage.GetOptions{}, &corev1.ConfigMap{})
	},
	"list": func(ctx context.Context, s genericstorage.Interface) error { return list(ctx, s, "") },
	"update": func(ctx context.Context, s genericstorage.Interface) error {
		return s.GuaranteedUpdate(ctx, "/configmaps/ns/old", &corev1.ConfigMap{}, false, nil, genericstorage.SimpleUpdate(func(in runtime.Object) (runtime.Object, error) {
			in.(*corev1.ConfigMap).Data = map[string]string{"changed": "yes"}
			return in, nil
		}), nil)
	},
	"delete": func(ctx context.Context, s genericstorage.Interface) error {
		return s.Delete(ctx, "/configmaps/ns/old", &corev1.ConfigMap{}, nil, genericstorage.ValidateAllObjectFunc, nil, genericstorage.DeleteOptions{})
	},
	"watch from now": func(ctx context.Context, s genericstorage.Interface) error {
		sendInitial := true
		return firstError(s.Watch(ctx, "/configmaps/", genericstorage.ListOptions{
			ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, SendInitialEvents: &sendInitial, Recursive: true, Predicate: everything(),
		}))
	},
	"count": func(ctx context.Context, s genericstorage.Interface) error {
		_, err := s.Stats(ctx)
		return err
	},
}

func object(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns"}}
}

func everything() genericstorage.SelectionPredicate {
	all := genericstorage.Everything
	all.AllowWatchBookmarks = true
	return all
}

func list(ctx context.Context, s genericstorage.Interface, revision string) error {
	return s.GetList(ctx, "/configmaps/", genericstorage.ListOptions{ResourceVersion: revision, Recursive: true, Predicate: everything()}, &corev1.ConfigMapList{})
}

// firstError is the error of a watch, be it that it does not begin or its first event.
func firstError(watched apiwatch.Interface, err error) error {
	if err != nil {
		return err
	}
	defer watched.Stop()
	if first := <-watched.ResultChan(); first.Type == apiwatch.Error {
		return apierrors.FromObject(first.Object)
	}
	return nil
}

// writes are those of requests that change something.
var writes = []string{"create", "create for a while", "update", "delete"}

func TestEveryRequestIsAnswered(t *testing.T) {
	for decorated, decorator := range map[string]generic.StorageDecorator{
		"with a watch cache":    genericregistry.StorageWithCacher(),
		"without a watch cache": generic.UndecoratedStorage,
	} {
		t.Run(decorated, func(t *testing.T) {
			backend, address := newFlaky(t)
			a := wellAnswers(mysqlStore)
			storage := newStorage(t, a, address, decorator)
			if err := storage.Create(t.Context(), "/configmaps/ns/old", object("old"), nil, 0); err != nil {
				t.Fatal(err)
			}
			storagetest.Eventually(t, "the storage is ready", func() bool { return storage.ReadinessCheck() == nil && list(t.Context(), storage, "") == nil })

			backend.fail(away)
			for name, request := range requests {
				want := unavailableWith(away.Error())
				if name == "watch from now" && decorated == "without a watch cache" { // only the text of its error is left
					want = unavailableWith("the mysql datastore is not available: the watch was interrupted")
				}
				if slices.Contains(writes, name) {
					want.RetryAfter = 0 // it may have been done
				}
				if diff := cmp.Diff(want, toldOf(request(t.Context(), storage))); diff != "" {
					t.Errorf("%s while the store is away (-want +got):\n%s", name, diff)
				}
			}
			if decorated == "with a watch cache" {
				if err := list(t.Context(), storage, "0"); err != nil {
					t.Errorf("what the cache has while the store is away: %v", err)
				}
			}
			backend.fail(nil)
			for _, name := range []string{"create", "get", "list", "update", "watch from now", "count", "delete"} {
				if err := requests[name](t.Context(), storage); err != nil {
					t.Errorf("%s when the store is back: %v", name, err)
				}
			}
		})
	}
}

func TestRequestsThatWouldFailDoNotAskTheStore(t *testing.T) {
	_, address := newFlaky(t)
	var readable, writable error
	a := &answers{store: mysqlStore, readable: func() error { return readable }, writable: func() error { return writable }}
	storage := newStorage(t, a, address, generic.UndecoratedStorage)
	if err := storage.Create(t.Context(), "/configmaps/ns/old", object("old"), nil, 0); err != nil {
		t.Fatal(err)
	}
	writable = readOnly
	for name, request := range requests {
		want := told{}
		if slices.Contains(writes, name) {
			want = unavailableWith(readOnly.Error())
		}
		var got told
		if err := request(t.Context(), storage); err != nil {
			got = toldOf(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s while the store is read-only (-want +got):\n%s", name, diff)
		}
	}
	readable = away
	writable = readable
	for name, request := range requests {
		if diff := cmp.Diff(unavailableWith(away.Error()), toldOf(request(t.Context(), storage))); diff != "" {
			t.Errorf("%s while the store is away (-want +got):\n%s", name, diff)
		}
	}
}

// TestTheWatchCacheIsThatOfTheLibrary fails when the library configures its watch cache in
// another way than we do: then look at what has changed there, and do the same.
func TestTheWatchCacheIsThatOfTheLibrary(t *testing.T) {
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/apiserver").Output()
	if err != nil {
		t.Fatal(err)
	}
	library := cacheFields(t, filepath.Join(strings.TrimSpace(string(dir)), "pkg/registry/generic/registry/storage_factory.go"))
	if diff := cmp.Diff(library, cacheFields(t, "decorate.go")); diff != "" {
		t.Errorf("configuration of the watch cache (-library +ours):\n%s", diff)
	}
}

// cacheFields are the fields that a file sets in the configuration of the watch cache.
func cacheFields(t *testing.T, path string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	ast.Inspect(file, func(node ast.Node) bool {
		literal, ok := node.(*ast.CompositeLit)
		if !ok {
			return true
		}
		if kind, ok := literal.Type.(*ast.SelectorExpr); !ok || kind.Sel.Name != "Config" {
			return true
		}
		for _, element := range literal.Elts {
			names = append(names, element.(*ast.KeyValueExpr).Key.(*ast.Ident).Name)
		}
		return true
	})
	if len(names) == 0 {
		t.Fatalf("%s configures no watch cache", path)
	}
	return names
}
