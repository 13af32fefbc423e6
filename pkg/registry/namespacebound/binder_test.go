package namespacebound

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/storage"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
)

// host is a host with namespaces. What its watch has shown may be behind.
type host struct {
	current, known map[string]types.UID
	asked          int
	err            error
}

func (h *host) KnownUID(name string) types.UID { return h.known[name] }

func (h *host) CurrentUID(_ context.Context, name string) (types.UID, error) {
	h.asked++
	return h.current[name], h.err
}

// memory is a storage in memory, as far as the binding uses one. Keys are names.
type memory struct {
	storage.Interface
	objects map[string]*corev1.Secret
	events  *watch.FakeWatcher
}

func (m *memory) Create(_ context.Context, key string, object, out runtime.Object, _ uint64) error {
	if _, there := m.objects[key]; there {
		return storage.NewKeyExistsError(key, 0)
	}
	m.objects[key] = object.DeepCopyObject().(*corev1.Secret)
	return nil
}

func (m *memory) Get(_ context.Context, key string, _ storage.GetOptions, into runtime.Object) error {
	stored, ok := m.objects[key]
	if !ok {
		return storage.NewKeyNotFoundError(key, 0)
	}
	stored.DeepCopyInto(into.(*corev1.Secret))
	return nil
}

func (m *memory) GetList(_ context.Context, _ string, _ storage.ListOptions, list runtime.Object) error {
	for _, name := range []string{"a", "b", "c", "d"} {
		if stored, ok := m.objects[name]; ok {
			list.(*corev1.SecretList).Items = append(list.(*corev1.SecretList).Items, *stored.DeepCopy())
		}
	}
	return nil
}

func (m *memory) Watch(context.Context, string, storage.ListOptions) (watch.Interface, error) {
	return m.events, nil
}

func (m *memory) GuaranteedUpdate(_ context.Context, key string, _ runtime.Object, _ bool, _ *storage.Preconditions, update storage.UpdateFunc, _ runtime.Object) error {
	input, version := &corev1.Secret{}, uint64(0)
	if stored, ok := m.objects[key]; ok {
		input, version = stored.DeepCopy(), 1
	}
	output, _, err := update(input, storage.ResponseMeta{ResourceVersion: version})
	if err != nil {
		return err
	}
	m.objects[key] = output.DeepCopyObject().(*corev1.Secret)
	return nil
}

func (m *memory) Delete(ctx context.Context, key string, _ runtime.Object, _ *storage.Preconditions, validate storage.ValidateObjectFunc, _ runtime.Object, _ storage.DeleteOptions) error {
	stored, ok := m.objects[key]
	if !ok {
		return storage.NewKeyNotFoundError(key, 0)
	}
	if err := validate(ctx, stored); err != nil {
		return err
	}
	delete(m.objects, key)
	return nil
}

// admins may list everything everywhere, others nothing.
var admins = authorizer.AuthorizerFunc(func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if a.GetUser().GetName() == "admin" && a.GetVerb() == "list" && a.GetNamespace() == "" && a.GetResource() == "secrets" {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "", nil
})

type fixture struct {
	*bound
	host   *host
	memory *memory
}

// newFixture has the namespace shop, which is new, and the secrets a of it, b of an earlier
// one, c of an earlier release and d, which is b of a third one.
func newFixture(t *testing.T) *fixture {
	t.Helper()
	h := &host{current: map[string]types.UID{"shop": "new", "system": "later"}, known: map[string]types.UID{"shop": "new"}}
	binder, err := New(Config{Namespaces: h, Authorizer: admins, Exempt: "system"})
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{objects: map[string]*corev1.Secret{
		"a": secret("shop", "a", "new"), "b": secret("shop", "b", "old"), "c": secret("shop", "c", ""), "d": secret("shop", "d", "older"),
	}, events: watch.NewFake()}
	return &fixture{&bound{Interface: m, binder: binder, resource: corev1.Resource("secrets")}, h, m}
}

func secret(namespace, name string, uid types.UID) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: map[string]string{"other": "x"}}}
	if uid != "" {
		s.Annotations[federationv1alpha1.NamespaceUIDAnnotation] = string(uid)
	}
	return s
}

// as is a request of a user in the namespace shop; without a user it is the server's own.
func as(t *testing.T, name string) context.Context {
	ctx := genericapirequest.WithNamespace(t.Context(), "shop")
	if name == "" {
		return ctx
	}
	return genericapirequest.WithUser(ctx, &user.DefaultInfo{Name: name})
}

func (f *fixture) names(t *testing.T, ctx context.Context) []string {
	t.Helper()
	var list corev1.SecretList
	if err := f.GetList(ctx, "", storage.ListOptions{}, &list); err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	return names
}

func TestObjectsOfAnEarlierNamespaceAreShownToWhoSeesAllNamespaces(t *testing.T) {
	for name, want := range map[string][]string{
		"tenant": {"a", "c"},
		"admin":  {"a", "b", "c", "d"},
		"":       {"a", "b", "c", "d"},
	} {
		t.Run("user "+name, func(t *testing.T) {
			f := newFixture(t)
			ctx := as(t, name)
			if diff := cmp.Diff(want, f.names(t, ctx)); diff != "" {
				t.Errorf("list (-want +got):\n%s", diff)
			}
			var got []string
			for _, key := range []string{"a", "b", "c", "d"} {
				err := f.Get(ctx, key, storage.GetOptions{}, &corev1.Secret{})
				if err == nil {
					got = append(got, key)
				} else if !storage.IsNotFound(err) {
					t.Errorf("get %s: %v", key, err)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("get (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAListAsksTheHostOnceForANamespace(t *testing.T) {
	f := newFixture(t)
	f.host.known = nil
	f.names(t, as(t, "tenant"))
	if f.host.asked != 1 {
		t.Errorf("asked the host %d times, want once", f.host.asked)
	}
}

func TestAWatchThatIsBehindDoesNotHideObjects(t *testing.T) {
	f := newFixture(t)
	f.host.known["shop"] = "old"
	f.memory.objects = map[string]*corev1.Secret{"a": secret("shop", "a", "new")}
	if diff := cmp.Diff([]string{"a"}, f.names(t, as(t, "tenant"))); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
}

func TestNothingIsHiddenWhenTheHostDoesNotAnswer(t *testing.T) {
	f := newFixture(t)
	f.host.err = errors.New("no route")
	if err := f.GetList(as(t, "tenant"), "", storage.ListOptions{}, &corev1.SecretList{}); !apierrors.IsServiceUnavailable(err) {
		t.Errorf("list: got %v, want that it is not known", err)
	}
	if err := f.Create(as(t, "tenant"), "e", secret("unseen", "e", ""), nil, 0); !apierrors.IsServiceUnavailable(err) {
		t.Errorf("create in a namespace that no watch has shown: got %v, want that it is not known", err)
	}
	if err := f.Get(as(t, "tenant"), "a", storage.GetOptions{}, &corev1.Secret{}); err != nil {
		t.Errorf("get of an object whose namespace is known: %v", err)
	}
}

func TestANewObjectGoesOnToTheStoreWhileTheHostDoesNotAnswer(t *testing.T) {
	f := newFixture(t)
	known := f.host.known["shop"]
	f.host.err = errors.New("no route")
	if err := f.Create(as(t, "tenant"), "e", secret("shop", "e", ""), nil, 0); err != nil {
		t.Fatalf("create in a namespace that a watch has shown: %v", err)
	}
	if got := Of(f.memory.objects["e"]); got != known || got == "" {
		t.Errorf("bound to %q, want what is known, %q", got, known)
	}
}

func TestANewObjectIsBoundToTheNamespaceOfNow(t *testing.T) {
	f := newFixture(t)
	f.host.known["shop"] = "old"
	if err := f.Create(as(t, "tenant"), "e", secret("shop", "e", "forged"), nil, 0); err != nil {
		t.Fatal(err)
	}
	if got := Of(f.memory.objects["e"]); got != "new" {
		t.Errorf("bound to %q, want new", got)
	}
	if err := f.Create(as(t, "tenant"), "f", secret("gone", "f", ""), nil, 0); !apierrors.IsNotFound(err) {
		t.Errorf("in a namespace that is not there: got %v, want not found", err)
	}
	if err := f.Create(as(t, "tenant"), "g", secret("system", "g", ""), nil, 0); err != nil || Of(f.memory.objects["g"]) != "" {
		t.Errorf("in the exempt namespace: bound to %q, %v", Of(f.memory.objects["g"]), err)
	}
}

func TestANameThatIsHiddenIsSaidToBeTaken(t *testing.T) {
	f := newFixture(t)
	const want = `secrets "b": the name is taken by an object of an earlier namespace shop, which is not shown here: take another name, or ask somebody who may list secrets in all namespaces to delete it`
	err := f.Create(as(t, "tenant"), "b", secret("shop", "b", ""), nil, 0)
	if !apierrors.IsAlreadyExists(err) || err.Error() != want {
		t.Errorf("create: got %v", err)
	}
	update := func(runtime.Object, storage.ResponseMeta) (runtime.Object, *uint64, error) {
		return secret("shop", "b", ""), nil, nil
	}
	err = f.GuaranteedUpdate(as(t, "tenant"), "b", &corev1.Secret{}, true, nil, update, nil)
	if !apierrors.IsConflict(err) || err.Error() != want {
		t.Errorf("apply: got %v", err)
	}
	// Who sees the object, and whoever meets one of this namespace, is told as always.
	for user, name := range map[string]string{"admin": "b", "tenant": "a"} {
		if err := f.Create(as(t, user), name, secret("shop", name, ""), nil, 0); !storage.IsExist(err) {
			t.Errorf("%s creates %s: got %v", user, name, err)
		}
	}
	if got := Of(f.memory.objects["b"]); got != "old" {
		t.Errorf("the object of the earlier namespace is bound to %q now", got)
	}
}

func TestABindingOutlivesEveryWrite(t *testing.T) {
	replaceWith := func(uid types.UID) storage.UpdateFunc {
		return func(input runtime.Object, _ storage.ResponseMeta) (runtime.Object, *uint64, error) {
			return secret("shop", input.(*corev1.Secret).Name, uid), nil, nil
		}
	}
	for name, test := range map[string]struct {
		user, object string
		written      types.UID
		want         types.UID
		err          func(error) bool
	}{
		"one that is left out is kept":                       {"tenant", "a", "", "new", nil},
		"one that is forged is kept":                         {"tenant", "a", "old", "new", nil},
		"an earlier release's gets one":                      {"tenant", "c", "", "new", nil},
		"an earlier release's is not forged":                 {"tenant", "c", "forged", "new", nil},
		"an earlier namespace's cannot be taken over":        {"tenant", "b", "", "old", apierrors.IsConflict},
		"an administrator keeps an earlier namespace's":      {"admin", "b", "old", "old", nil},
		"an administrator hands an earlier namespace's over": {"admin", "b", "", "new", nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			err := f.GuaranteedUpdate(as(t, test.user), test.object, nil, false, nil, replaceWith(test.written), nil)
			if (test.err == nil && err != nil) || (test.err != nil && !test.err(err)) {
				t.Errorf("got error %v", err)
			}
			if got := Of(f.memory.objects[test.object]); got != test.want {
				t.Errorf("bound to %q, want %q", got, test.want)
			}
		})
	}
}

func TestAnObjectOfAnEarlierNamespaceIsDeletedByWhoSeesIt(t *testing.T) {
	f := newFixture(t)
	allow := func(context.Context, runtime.Object) error { return nil }
	if err := f.Delete(as(t, "tenant"), "b", nil, nil, allow, nil, storage.DeleteOptions{}); !storage.IsNotFound(err) {
		t.Errorf("the tenant of now: got %v, want not found", err)
	}
	if err := f.Delete(as(t, "admin"), "b", nil, nil, allow, nil, storage.DeleteOptions{}); err != nil {
		t.Errorf("an administrator: %v", err)
	}
}

func TestWatchesLeaveEarlierNamespacesOut(t *testing.T) {
	f := newFixture(t)
	watched, err := f.Watch(as(t, "tenant"), "", storage.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for _, name := range []string{"b", "a", "d", "c"} {
			f.memory.events.Add(f.memory.objects[name])
		}
		f.memory.events.Stop()
	}()
	got := []string{}
	for event := range watched.ResultChan() {
		got = append(got, fmt.Sprint(event.Type, " ", event.Object.(*corev1.Secret).Name))
	}
	if diff := cmp.Diff([]string{"ADDED a", "ADDED c"}, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestAWatchEndsWithAnErrorWhenTheHostDoesNotAnswer(t *testing.T) {
	f := newFixture(t)
	f.host.err = errors.New("no route")
	watched, err := f.Watch(as(t, "tenant"), "", storage.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	go f.memory.events.Add(f.memory.objects["b"])
	if event := <-watched.ResultChan(); event.Type != watch.Error {
		t.Errorf("got %v, want an error", event)
	}
	if event, open := <-watched.ResultChan(); open {
		t.Errorf("got %v after the error", event)
	}
}
