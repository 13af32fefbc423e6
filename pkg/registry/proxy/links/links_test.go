package links

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	kubefake "k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/util/cert"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/generated/clientset/versioned/fake"
)

const system = "kube-federation-system"

// fleet is a member that says whose token it got, and what knows it.
type fleet struct {
	*testing.T
	member      *httptest.Server
	connections atomic.Int64  // open ones
	quiet       chan struct{} // gets something each time there is none any more
	api         *fake.Clientset
	host        *kubefake.Clientset
	links       *Links
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{T: t, quiet: make(chan struct{}, 100)}
	f.member = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("Authorization"))
	}))
	f.member.EnableHTTP2 = true
	f.member.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			f.connections.Add(1)
		case http.StateClosed, http.StateHijacked:
			if f.connections.Add(-1) == 0 {
				f.quiet <- struct{}{}
			}
		}
	}
	f.member.StartTLS()
	t.Cleanup(f.member.Close)
	cluster := &v1beta1.KubeFedCluster{
		ObjectMeta: metav1.ObjectMeta{Name: "m1", Namespace: system, UID: "u"},
		Spec:       v1beta1.KubeFedClusterSpec{APIEndpoint: f.member.URL, SecretRef: v1beta1.LocalSecretReference{Name: "m1"}},
	}
	cell := &v1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{Name: "a.shop", Namespace: system, Labels: map[string]string{v1alpha1.TopologyLabel: "cell"}}}
	f.api, f.host = fake.NewSimpleClientset(cluster, cell), kubefake.NewSimpleClientset(f.secret("one", "1"))
	var err error
	if f.links, err = newLinks(f.api, f.host, system, nil); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { // ends with stop
		defer close(ended)
		f.links.Run(ctx)
	}()
	t.Cleanup(func() { stop(); <-ended })
	return f
}

func (f *fleet) secret(token, version string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "m1", Namespace: system, ResourceVersion: version, Annotations: map[string]string{
			v1beta1.CredentialsForAnnotation: "m1", v1beta1.APIEndpointAnnotation: f.member.URL,
		}},
		Data: map[string][]byte{
			v1beta1.TokenKey: []byte(token),
			v1beta1.CAKey:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.member.Certificate().Raw}),
		},
	}
}

// update replaces the Secret.
func (f *fleet) update(secret *corev1.Secret) {
	f.Helper()
	if _, err := f.host.CoreV1().Secrets(system).Update(f.Context(), secret, metav1.UpdateOptions{}); err != nil {
		f.Fatal(err)
	}
}

func (f *fleet) to(member string) *Link {
	f.Helper()
	link, err := f.links.To(f.Context(), member)
	if err != nil {
		f.Fatal(err)
	}
	return link
}

// ask asks the member over a link, and returns what it has seen of the credential.
func (f *fleet) ask(link *Link) string {
	f.Helper()
	url, err := link.URL("/version", "")
	if err != nil {
		f.Fatal(err)
	}
	request, err := http.NewRequestWithContext(f.Context(), http.MethodGet, url.String(), nil)
	if err != nil {
		f.Fatal(err)
	}
	answer, err := link.As(&user.DefaultInfo{Name: "alice"}, false).RoundTrip(request)
	if err != nil {
		f.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		f.Fatal(err)
	}
	return string(body)
}

// ends waits until a context ends, and returns its cause.
func (f *fleet) ends(ctx context.Context) error {
	f.Helper()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(time.Minute):
		f.Fatal("it goes on")
		return nil
	}
}

func TestAWayIsKeptAsLongAsItsCredential(t *testing.T) {
	f := newFleet(t)
	first := f.to("m1")
	if got := f.ask(first); got != "Bearer one" {
		t.Errorf("the member got %q", got)
	}
	f.update(f.secret("one", "2")) // says the same
	if second := f.to("m1"); second != first || first.Replaced().Err() != nil {
		t.Error("a Secret that says the same made another way")
	}
	f.update(f.secret("two", "3"))
	if cause := f.ends(first.Replaced()); !errors.Is(cause, ErrRotated) {
		t.Errorf("the way ended with %v", cause)
	}
	if got := f.ask(f.to("m1")); got != "Bearer two" {
		t.Errorf("the member got %q", got)
	}
}

func TestAWayEndsWithItsMemberAlthoughNobodyAsks(t *testing.T) {
	for name, remove := range map[string]func(f *fleet) error{
		"the KubeFedCluster is deleted": func(f *fleet) error {
			return f.api.KubeFedCoreV1beta1().KubeFedClusters(system).Delete(f.Context(), "m1", metav1.DeleteOptions{})
		},
		"the KubeFedCluster is another of that name": func(f *fleet) error {
			clusters := f.api.KubeFedCoreV1beta1().KubeFedClusters(system)
			cluster, err := clusters.Get(f.Context(), "m1", metav1.GetOptions{})
			if err != nil {
				return err
			}
			cluster.UID = "another" // as informers see one that was deleted and made again
			_, err = clusters.Update(f.Context(), cluster, metav1.UpdateOptions{})
			return err
		},
		"the Secret is deleted": func(f *fleet) error {
			return f.host.CoreV1().Secrets(system).Delete(f.Context(), "m1", metav1.DeleteOptions{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			link := f.to("m1")
			f.ask(link)
			if err := remove(f); err != nil {
				t.Fatal(err)
			}
			if cause := f.ends(link.Dead()); !errors.Is(cause, ErrMemberGone) {
				t.Errorf("the way ended with %v", cause)
			}
			<-f.quiet
		})
	}
}

func TestAWayEndsWithItsCertificateAlthoughNobodyAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		certificate, key, err := cert.GenerateSelfSignedCertKey("m1", nil, nil) // for a year
		if err != nil {
			t.Fatal(err)
		}
		const kubeconfig = "{current-context: c, contexts: [{name: c, context: {cluster: k, user: u}}], clusters: [{name: k, cluster: {server: https://m1}}], " +
			"users: [{name: u, user: {client-certificate-data: %s, client-key-data: %s}}]}"
		encode := base64.StdEncoding.EncodeToString
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: "m1", Namespace: system, Annotations: map[string]string{v1beta1.CredentialsForAnnotation: "m1"}},
			Data:       map[string][]byte{v1beta1.KubeconfigKey: fmt.Appendf(nil, kubeconfig, encode(certificate), encode(key))},
		}
		cluster := &v1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{Name: "m1", Namespace: system, UID: "u"}, Spec: v1beta1.KubeFedClusterSpec{SecretRef: v1beta1.LocalSecretReference{Name: "m1"}}}
		links, err := newLinks(fake.NewSimpleClientset(cluster), kubefake.NewSimpleClientset(secret), system, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { links.Run(ctx) })
		defer running.Wait()
		defer stop()
		link, err := links.To(ctx, "m1")
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-link.Replaced().Done():
		case <-time.After(2 * 365 * 24 * time.Hour):
			t.Fatal("it goes on")
		}
		if _, err := links.To(ctx, "m1"); !apierrors.IsServiceUnavailable(err) || !strings.Contains(err.Error(), "expired") {
			t.Errorf("got %v", err)
		}
	})
}

func TestCredentialsThatNobodyAsksForMakeNoWays(t *testing.T) {
	f := newFleet(t)
	asked := f.to("m1")
	ctx, stop := context.WithCancel(t.Context())
	changed := f.links.Watch(ctx)
	for i := range 90 { // what the fake host holds
		f.update(f.secret(fmt.Sprintf("token-%d", i), strconv.Itoa(i+2)))
	}
	if cause := f.ends(asked.Replaced()); !errors.Is(cause, ErrRotated) {
		t.Errorf("the way ended with %v", cause)
	}
	<-changed
	for version := ""; version != "91"; {
		object, _, _ := f.links.secrets.GetStore().GetByKey(system + "/m1")
		if version = object.(*corev1.Secret).ResourceVersion; version != "91" {
			<-changed
		}
	}
	f.links.mu.Lock()
	ways := len(f.links.ways)
	f.links.mu.Unlock()
	if ways > 0 {
		t.Errorf("there are %d ways", ways)
	}
	if got := f.ask(f.to("m1")); got != "Bearer token-89" {
		t.Errorf("the member got %q", got)
	}
	stop()
}

func TestTheStateOfAMemberWakesNobody(t *testing.T) {
	before := &v1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{UID: "u", Generation: 1, ResourceVersion: "1"}}
	for name, test := range map[string]struct {
		change func(*v1beta1.KubeFedCluster)
		want   bool
	}{
		"its status":          {func(c *v1beta1.KubeFedCluster) { c.ResourceVersion, c.Status.Zones = "2", []string{"z"} }, false},
		"its spec":            {func(c *v1beta1.KubeFedCluster) { c.Generation = 2 }, true},
		"another of its name": {func(c *v1beta1.KubeFedCluster) { c.UID = "v" }, true},
		"it stands for a cell": {func(c *v1beta1.KubeFedCluster) {
			c.Labels = map[string]string{v1alpha1.TopologyLabel: "cell"}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			after := before.DeepCopy()
			test.change(after)
			if got := saysOther(before, after); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestWhatMakesNoWayIsASentence(t *testing.T) {
	f := newFleet(t)
	for name, test := range map[string]struct {
		member string
		change func()
		is     func(error) bool
		want   string
	}{
		"no such cluster":  {"nosuch", nil, apierrors.IsNotFound, `clusters.federation.koinon.io "nosuch" not found`},
		"a cell's cluster": {"a.shop", nil, apierrors.IsNotFound, `clusters.federation.koinon.io "a.shop" not found`},
		"a Secret for others": {"m1", func() {
			f.update(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "m1", Namespace: system, ResourceVersion: "9"}})
		}, apierrors.IsServiceUnavailable, `cluster "m1" cannot be reached as its KubeFedCluster and Secret are: Secret "m1" does not say that it is for this cluster`},
	} {
		t.Run(name, func(t *testing.T) {
			if test.change != nil {
				link := f.to(test.member)
				test.change()
				f.ends(link.Replaced())
			}
			_, err := f.links.To(t.Context(), test.member)
			if !test.is(err) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestADialerIsAskedByTheMembersName(t *testing.T) {
	f := newFleet(t)
	asked := make(chan string, 1)
	f.links.dial = func(ctx context.Context, member, network, address string) (net.Conn, error) {
		asked <- member
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	f.ask(f.to("m1"))
	if got := <-asked; got != "m1" {
		t.Errorf("asked for %q", got)
	}
}
