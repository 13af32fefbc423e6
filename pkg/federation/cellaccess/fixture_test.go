package cellaccess

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/koinon-io/koinon/pkg/apis/federation/accounts"
	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/federation/membership"
	"github.com/koinon-io/koinon/test/simulation"
)

const system = "kube-federation-system"

var (
	serviceAccounts = corev1.SchemeGroupVersion.WithResource("serviceaccounts")
	roles           = rbacv1.SchemeGroupVersion.WithResource("roles")
	bindings        = rbacv1.SchemeGroupVersion.WithResource("rolebindings")
	clusterRoles    = rbacv1.SchemeGroupVersion.WithResource("clusterroles")
	clusterBindings = rbacv1.SchemeGroupVersion.WithResource("clusterrolebindings")
)

// rig is a host that gives tokens, a member, and what a Keeper is told, in a bubble with a clock of its
// own.
type rig struct {
	*testing.T
	host, member *simulation.Member
	conn         *memberclient.Conn
	endpoint     Endpoint
	other        bool
	keeper       *Keeper
	stop         func()

	mu       sync.Mutex // guards what follows
	longest  time.Duration
	tokens   int
	refuse   map[string]bool // "verb resource" of the host
	cells    map[string]bool
	holders  map[string]ownership.Owner
	health   membership.Health
	changes  int
	writes   []string // to host and member
	asked    int      // requests to the member
	ca       string
	inMember func(w http.ResponseWriter, r *http.Request) bool
	behind   time.Duration // the host's clock
	kill     *kill
	hanging  *memberclient.Conn // of every member but m1
}

// inBubble runs a test with a cell rz00a of shop in the member m1, where another engine propagates.
func inBubble(t *testing.T, do func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{
			T: t, other: true, longest: 1 << 62, refuse: map[string]bool{}, cells: map[string]bool{"shop/rz00a": true}, holders: map[string]ownership.Owner{}, ca: "CA",
			host:   simulation.NewMember("host", 0, simulation.Options{Types: simulation.HostTypes()}),
			member: simulation.NewMember("m1", 1, simulation.Options{}),
		}
		r.endpoint = Endpoint{URL: "https://koinon.example", Authority: func() ([]byte, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			return []byte(r.ca), nil
		}}
		for _, name := range []string{"shop", system} {
			r.put(r.host, simulation.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
		}
		r.holders[place("m1", "shop-rz00a")] = cell().owner()
		config := r.member.InProcess()
		config.Transport = simulation.InProcess(http.HandlerFunc(r.serveMember))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var err error
		if r.conn, err = memberclient.NewConn(ctx, config, func(schema.GroupVersionResource, memberclient.Event) {}); err != nil {
			t.Fatal(err)
		}
		defer r.conn.Close()
		do(r)
		if r.stop != nil {
			r.stop()
		}
	})
}

func cell() Cell {
	c := Named("shop", "rz00a")
	c.Member, c.MemberNamespace = "m1", "shop-rz00a"
	return c
}

// start runs a new Keeper, as a process does that begins, over what is there.
func (r *rig) start() {
	r.Helper()
	if r.stop != nil {
		r.stop()
	}
	ctx, cancel := context.WithCancel(r.Context())
	config := r.host.InProcess()
	config.Transport = simulation.InProcess(http.HandlerFunc(r.serveHost))
	config.ContentType = runtime.ContentTypeJSON
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		r.Fatal(err)
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(system), informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.LabelSelector = federationv1alpha1.AccountLabel
	}))
	objects := factory.Core().V1()
	r.keeper, err = New(Config{
		SystemNamespace: system, Endpoint: r.endpoint, Client: client, Federation: "f1", OtherEngine: r.other,
		ServiceAccounts: objects.ServiceAccounts().Lister().ServiceAccounts(system), Secrets: objects.Secrets().Lister().Secrets(system),
		Cells: r, Members: r, Holders: r,
		OnChange: func(string, string) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.changes++
		},
	})
	if err != nil {
		r.Fatal(err)
	}
	changed := func(object any) {
		if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		r.keeper.Changed(object.(metav1.Object))
	}
	for _, informer := range []cache.SharedIndexInformer{objects.ServiceAccounts().Informer(), objects.Secrets().Informer()} {
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: changed, UpdateFunc: func(_, object any) { changed(object) }, DeleteFunc: changed}); err != nil {
			r.Fatal(err)
		}
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	var running sync.WaitGroup
	running.Go(func() { // ends with ctx
		if err := r.keeper.Run(ctx); err != nil {
			r.Error(err)
		}
	})
	r.stop = func() {
		cancel()
		running.Wait()
		factory.Shutdown()
		r.stop = nil
	}
}

func (r *rig) put(into *simulation.Member, gvr schema.GroupVersionResource, object any) {
	r.Helper()
	tree, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err == nil {
		err = into.Put(gvr, tree)
	}
	if err != nil {
		r.Fatal(err)
	}
}

// after lets time pass, and returns what is known of the cell then.
func (r *rig) after(d time.Duration) Access {
	r.Helper()
	time.Sleep(d)
	synctest.Wait()
	return r.keeper.Of(cell())
}

// serveHost is the host: it gives tokens as API servers do.
func (r *rig) serveHost(w http.ResponseWriter, request *http.Request) {
	parts := strings.Split(request.URL.Path, "/") // /api/v1/namespaces/NS/serviceaccounts/NAME/token
	if request.Method != http.MethodGet {
		r.mu.Lock()
		r.writes = append(r.writes, request.Method+" host "+parts[len(parts)-1])
		refused := false
		for part := range r.refuse {
			refused = refused || slices.Contains(parts, part)
		}
		r.mu.Unlock()
		if refused {
			answerStatus(w, http.StatusForbidden, metav1.StatusReasonForbidden, "you may not")
			return
		}
		if w = r.killed(w); w == nil {
			return
		}
	}
	if len(parts) == 8 && parts[7] == "token" {
		r.serveToken(w, request, parts[6])
		return
	}
	r.host.ServeHTTP(w, request)
}

func answerStatus(w http.ResponseWriter, code int, reason metav1.StatusReason, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: int32(code), Reason: reason, Message: message})
}

func (r *rig) serveToken(w http.ResponseWriter, request *http.Request, account string) {
	var asked struct {
		Spec struct {
			ExpirationSeconds int64
			BoundObjectRef    struct{ Kind, Name, UID string }
		}
	}
	if err := json.NewDecoder(request.Body).Decode(&asked); err != nil {
		r.Error(err)
	}
	accountUID, secretUID := uidOf(r.host.Object(serviceAccounts, system, account)), uidOf(r.host.Object(simulation.Secrets, system, asked.Spec.BoundObjectRef.Name))
	if accountUID == "" || secretUID == "" || secretUID != asked.Spec.BoundObjectRef.UID || asked.Spec.BoundObjectRef.Kind != "Secret" {
		answerStatus(w, http.StatusNotFound, metav1.StatusReasonNotFound, "there is nothing of the kind")
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tokens++
	lives := min(time.Duration(asked.Spec.ExpirationSeconds)*time.Second, r.longest)
	payload := fmt.Sprintf(`{"jti":"%d","iat":%d,"exp":%d,"kubernetes.io":{"serviceaccount":{"uid":%q},"secret":{"uid":%q}}}`,
		r.tokens, time.Now().Add(-r.behind).Unix(), time.Now().Add(lives-r.behind).Unix(), accountUID, secretUID)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": map[string]any{"audiences": []string{}},
		"status": map[string]any{"token": "h." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".s", "expirationTimestamp": time.Now().Add(lives).UTC().Format(time.RFC3339)}})
}

func uidOf(object map[string]any) string {
	metadata, _ := object["metadata"].(map[string]any)
	uid, _ := metadata["uid"].(string)
	return uid
}

func (r *rig) serveMember(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	r.asked++
	if request.Method != http.MethodGet {
		r.writes = append(r.writes, request.Method+" member "+request.URL.Path)
	}
	in := r.inMember
	r.mu.Unlock()
	if in != nil && in(w, request) {
		return
	}
	if request.Method != http.MethodGet {
		if w = r.killed(w); w == nil {
			return
		}
	}
	r.member.ServeHTTP(w, request)
}

// claims are those of the token in a Secret.
func (r *rig) claims(name string) (claims accounts.Claims, secretUID string, ok bool) {
	secret := r.host.Object(simulation.Secrets, system, name)
	data, _ := secret["data"].(map[string]any)
	encoded, _ := data["token"].(string)
	token, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return claims, "", false
	}
	claims, ok = accounts.ReadClaims(string(token))
	return claims, uidOf(secret), ok
}

// good reports whether a Secret is there, with a token that the host would take.
func (r *rig) good(name string) bool {
	claims, uid, ok := r.claims(name)
	return ok && claims.SecretUID == uid && claims.AccountUID == uidOf(r.host.Object(serviceAccounts, system, "cell-rz00a.shop")) && time.Now().Before(claims.Expires)
}

// due is when the token in a Secret is to be replaced.
func (r *rig) due(name string) time.Time {
	claims, _, _ := r.claims(name)
	return credential{secret: &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}}, claims: claims}.due()
}

// requests to the member.
func (r *rig) requests() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

// left are the objects of the cell in the host, and in the member.
func (r *rig) left() (names []string) {
	for _, of := range []struct {
		in        *simulation.Member
		gvr       schema.GroupVersionResource
		namespace string
		name      []string
	}{
		{r.host, serviceAccounts, system, []string{"cell-rz00a.shop"}},
		{r.host, simulation.Secrets, system, []string{"cell-rz00a.shop.a", "cell-rz00a.shop.b"}},
		{r.host, roles, "shop", []string{"koinon:cell:rz00a"}},
		{r.host, bindings, "shop", []string{"koinon:cell:rz00a"}},
		{r.member, clusterRoles, "", []string{"koinon:cell:shop-rz00a"}},
		{r.member, clusterBindings, "", []string{"koinon:cell:shop-rz00a"}},
		{r.member, bindings, "shop-rz00a", []string{"koinon:cell:shop-rz00a"}},
	} {
		for _, name := range of.name {
			if of.in.Object(of.gvr, of.namespace, name) != nil {
				names = append(names, of.in.Name()+"/"+of.gvr.Resource+"/"+name)
			}
		}
	}
	return names
}

// wrote returns what was written since it was asked last.
func (r *rig) wrote() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	writes := r.writes
	r.writes = nil
	return writes
}

func (r *rig) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

func (r *rig) Known(namespace, name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cells[namespace+"/"+name]
}

func (r *rig) Exists(_ context.Context, namespace, name string) (bool, error) {
	return r.Known(namespace, name), nil
}

func (r *rig) Get(name string) (membership.Member, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	conn := r.conn
	if name != "m1" {
		conn = r.hanging
	}
	return membership.Member{Name: name, Conn: conn, Health: r.health, Problem: "it is " + fmt.Sprint(r.health)}, conn != nil
}

func (r *rig) Holder(namespace, member string) (ownership.Owner, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	owner, held := r.holders[place(member, namespace)]
	return owner, held
}
