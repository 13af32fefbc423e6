package computed_test

import (
	"context"
	"crypto/aes"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	genericstorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	aestransformer "k8s.io/apiserver/pkg/storage/value/encrypt/aes"

	"github.com/koinon-io/koinon/pkg/apis/install"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1alpha1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
	"github.com/koinon-io/koinon/pkg/registry/computed"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	targetschema "github.com/koinon-io/koinon/pkg/registry/federated/schema"
	"github.com/koinon-io/koinon/pkg/registry/federated/strategy"
	"github.com/koinon-io/koinon/pkg/registry/federated/wire"
	"github.com/koinon-io/koinon/pkg/registry/federatedservicestatus"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
	"github.com/koinon-io/koinon/pkg/registry/propagatedversion"
	"github.com/koinon-io/koinon/pkg/storage"
)

// The kinds of the tests. Records of configMaps and otherMaps have the same names.
var (
	configMaps = kindOf("FederatedConfigMap", "", "ConfigMap", "configmaps")
	otherMaps  = kindOf("FederatedOtherMap", "example.com", "ConfigMap", "configmaps")
	services   = kindOf("FederatedService", "", "Service", "services")
)

func kindOf(kind, group, target, resource string) federated.Kind {
	return federated.Kind{
		Kind: kind, Resource: fmt.Sprintf("%ss", lower(kind)), Namespaced: true,
		Target: schema.GroupVersionKind{Group: group, Version: "v1", Kind: target}, TargetNamespaced: true, TargetResource: resource,
	}
}

func lower(kind string) string { return federated.Kind{Kind: kind}.Singular() }

// server is two views over real storage in this process.
type server struct {
	t        *testing.T
	store    *storage.Store
	log      *slowLog
	objects  map[federated.Kind]*strategy.Storage
	versions *computed.REST[*v1alpha1.PropagatedVersion]
	statuses *computed.REST[*v1alpha1.FederatedServiceStatus]

	mu     sync.Mutex
	kinds  []federated.Kind
	hidden map[string]bool // objects that no request in a namespace sees
	listed func()          // is called before each list, if it is not nil
}

// slowLog is a store of which one answer can be held back.
type slowLog struct {
	computed.Log
	mu   sync.Mutex
	held map[question]heldAnswer // the next one to a question; guarded by mu
}

// question is one that is asked before a watch begins.
type question string

const (
	howFar    question = "Revision"
	whatThere question = "Keys"
)

// heldAnswer is one that is given when it is released, or not at all.
type heldAnswer struct{ asked, released chan struct{} }

// holdNext holds back the next answer to a question.
func (l *slowLog) holdNext(q question) heldAnswer {
	l.mu.Lock()
	defer l.mu.Unlock()
	held := heldAnswer{asked: make(chan struct{}), released: make(chan struct{})}
	l.held = map[question]heldAnswer{q: held}
	return held
}

func (l *slowLog) wait(ctx context.Context, q question) error {
	l.mu.Lock()
	held, is := l.held[q]
	delete(l.held, q)
	l.mu.Unlock()
	if !is {
		return nil
	}
	close(held.asked)
	select {
	case <-held.released:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *slowLog) Revision(ctx context.Context) (int64, error) {
	if err := l.wait(ctx, howFar); err != nil {
		return 0, err
	}
	return l.Log.Revision(ctx)
}

func (l *slowLog) Keys(ctx context.Context, prefix string, revision int64) ([]string, error) {
	if err := l.wait(ctx, whatThere); err != nil {
		return nil, err
	}
	return l.Log.Keys(ctx, prefix, revision)
}

// options store every resource behind a watch cache.
type options struct{ config storagebackend.Config }

func (o options) GetRESTOptions(resource schema.GroupResource, _ runtime.Object) (generic.RESTOptions, error) {
	return generic.RESTOptions{
		StorageConfig: o.config.ForResource(resource), Decorator: genericregistry.StorageWithCacher(),
		ResourcePrefix: resource.Group + "/" + resource.Resource, EnableGarbageCollection: true, DeleteCollectionWorkers: 1,
	}, nil
}

func start(t *testing.T) *server {
	t.Helper()
	store, err := storage.Open(t.Context(), storage.Config{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return serve(t, store)
}

// serve is one of the servers of a store.
func serve(t *testing.T, store *storage.Store) *server {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := install.Install(scheme); err != nil {
		t.Fatal(err)
	}
	config := storagebackend.NewDefaultConfig("/registry", serializer.NewCodecFactory(scheme).LegacyCodec(install.GroupVersions()...))
	config.Transport = store.Transport()
	block, err := aes.NewCipher([]byte("0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	if config.Transformer, err = aestransformer.NewGCMTransformer(block); err != nil { // as Secrets are stored
		t.Fatal(err)
	}
	s := &server{t: t, store: store, log: &slowLog{Log: store}, objects: map[federated.Kind]*strategy.Storage{}, kinds: []federated.Kind{configMaps, otherMaps, services}, hidden: map[string]bool{}}
	known := wire.NewTypes()
	known.SetKinds(s.kinds)
	for _, kind := range s.kinds {
		made, err := strategy.NewStorage(strategy.Config{
			Types: known, Kind: kind, Schema: func() *targetschema.Target { return nil }, Authorizer: authorizerfactory.NewAlwaysAllowAuthorizer(),
		}, options{*config})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(made.Object.Destroy)
		s.objects[kind] = made
	}
	view := computed.View{Source: s, Log: s.log}
	if s.versions, _, err = propagatedversion.NewREST(scheme, options{*config}, view); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.versions.Destroy)
	if s.statuses, err = federatedservicestatus.NewREST(scheme, options{*config}, view); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.statuses.Destroy)
	filled := func(context.Context) (bool, error) {
		problems := []error{s.versions.ReadinessCheck(), s.statuses.ReadinessCheck()}
		for _, kind := range s.kinds {
			problems = append(problems, s.objects[kind].Object.ReadinessCheck())
		}
		return errors.Join(problems...) == nil, nil
	}
	if err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, patience, true, filled); err != nil {
		t.Fatalf("the watch caches did not fill: %v", err)
	}
	return s
}

func (s *server) Kinds() []federated.Kind {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kinds
}

func (s *server) setKinds(kinds ...federated.Kind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kinds = kinds
}

func (s *server) Object(ctx context.Context, kind federated.Kind, namespace, name string) (*typesv1beta2.FederatedObject, error) {
	object, err := s.objects[kind].Object.Get(genericapirequest.WithNamespace(ctx, namespace), name, &metav1.GetOptions{})
	if err != nil {
		return nil, ignoreNotFound(err)
	}
	return object.(*typesv1beta2.FederatedObject), nil
}

func (s *server) List(ctx context.Context, kind federated.Kind, options *metainternalversion.ListOptions) (*typesv1beta2.FederatedObjectList, error) {
	if s.listed != nil {
		s.listed()
	}
	list, err := s.objects[kind].Object.List(ctx, options)
	if err != nil {
		return nil, err
	}
	return list.(*typesv1beta2.FederatedObjectList), nil
}

func (s *server) Encoding(kind federated.Kind) (objectstore.Encoding, bool) {
	return s.objects[kind].Object.Encoding(), true
}

func (s *server) Sees(_ context.Context, _ schema.GroupResource, object metav1.Object) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.hidden[object.GetName()], nil
}

func (s *server) in(namespace string) context.Context {
	return genericapirequest.WithNamespace(s.t.Context(), namespace)
}

// put makes an object, or changes it, to run in a cluster in a version; "" is nowhere.
func (s *server) put(kind federated.Kind, namespace, name, version string) {
	s.t.Helper()
	registry, ctx := s.objects[kind], s.in(namespace)
	object, err := registry.Object.Get(ctx, name, &metav1.GetOptions{})
	if ignoreNotFound(err) != nil {
		s.t.Fatal(err)
	}
	if err != nil {
		o := &typesv1beta2.FederatedObject{TypeMeta: metav1.TypeMeta{Kind: kind.Kind, APIVersion: federated.V1beta2.String()}}
		o.Name, o.Namespace = name, namespace
		o.Spec.TopologyType, o.Spec.Template = typesv1beta2.TopologyCluster, rawjson.Value(`{}`)
		if object, err = registry.Object.Create(ctx, o, rest.ValidateAllObjectFunc, &metav1.CreateOptions{}); err != nil {
			s.t.Fatal(err)
		}
	}
	o := object.(*typesv1beta2.FederatedObject).DeepCopy()
	o.Status = &typesv1beta2.FederatedObjectStatus{}
	if version != "" {
		target := typesv1beta2.TargetStatus{Name: "m1", Version: version}
		if kind == services {
			target.RemoteStatus = rawjson.Value(fmt.Sprintf(`{"loadBalancer":{"ingress":[{"hostname":%q}]}}`, version))
		}
		o.Status.Targets = []typesv1beta2.TargetStatus{target}
	}
	if _, _, err := registry.Status.Update(ctx, name, rest.DefaultUpdatedObjectInfo(o), rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, false, &metav1.UpdateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// erase deletes an object that the engine has let go.
func (s *server) erase(kind federated.Kind, namespace, name string) {
	s.t.Helper()
	store, ctx := s.objects[kind].Object.Store, s.in(namespace)
	key, err := store.KeyFunc(ctx, name)
	if err != nil {
		s.t.Fatal(err)
	}
	err = store.Storage.Delete(ctx, key, store.NewFunc(), nil, rest.ValidateAllObjectFunc, false, nil, genericstorage.DeleteOptions{})
	if err != nil && !genericstorage.IsNotFound(err) {
		s.t.Fatal(err)
	}
}

func (s *server) remove(storage rest.GracefulDeleter, namespace, name string) {
	s.t.Helper()
	if _, _, err := storage.Delete(s.in(namespace), name, rest.ValidateAllObjectFunc, &metav1.DeleteOptions{}); ignoreNotFound(err) != nil {
		s.t.Fatal(err)
	}
}

// record stores one.
func (s *server) record(namespace, name string, labels map[string]string) types.UID {
	s.t.Helper()
	object, err := s.versions.Create(s.in(namespace), &v1alpha1.PropagatedVersion{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels}},
		rest.ValidateAllObjectFunc, &metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return object.(*v1alpha1.PropagatedVersion).UID
}
