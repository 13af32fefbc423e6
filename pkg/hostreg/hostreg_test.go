package hostreg

import (
	"context"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregatorfake "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset/fake"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/koinon-io/koinon/pkg/keypair"
	"github.com/koinon-io/koinon/pkg/servingcert"
)

const (
	system = "system"
)

var (
	begin   = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	v1beta1 = schema.GroupVersion{Group: "types.example.io", Version: "v1beta1"}
	v1beta2 = schema.GroupVersion{Group: "types.example.io", Version: "v1beta2"}
	core    = schema.GroupVersion{Group: "core.example.io", Version: "v1"}
)

// fakeHost is a host and a clock for some replicas.
type fakeHost struct {
	*testing.T
	kube       *fake.Clientset
	aggregator *aggregatorfake.Clientset
	clock      *testingclock.FakeClock
}

func newHost(t *testing.T) *fakeHost {
	return &fakeHost{T: t, kube: fake.NewClientset(), aggregator: aggregatorfake.NewSimpleClientset(), clock: testingclock.NewFakeClock(begin)}
}

// bundle is what the Secret says is to be trusted.
func (h *fakeHost) bundle() []byte {
	h.Helper()
	secret, err := h.kube.CoreV1().Secrets(system).Get(h.Context(), SecretName, metav1.GetOptions{})
	if err != nil {
		h.Fatal(err)
	}
	return secret.Data["ca.crt"]
}

// replica is a prepared registration.
func (h *fakeHost) replica(change ...func(*Config)) *Registration {
	h.Helper()
	certificate, err := servingcert.New(servingcert.Config{
		Client: h.kube, Namespace: system, SecretName: SecretName, Hosts: servingcert.ServiceHosts(system, "koinon"), Clock: h.clock,
	})
	if err != nil {
		h.Fatal(err)
	}
	config := Config{
		Certificate:   certificate,
		Client:        h.kube,
		APIServices:   h.aggregator.ApiregistrationV1().APIServices(),
		Namespace:     system,
		ServiceName:   "koinon",
		ServicePort:   443,
		GroupVersions: map[schema.GroupVersion]Priority{v1beta1: {1500, 99}, v1beta2: {1500, 100}, core: {1500, 100}},
		KindsGroup:    v1beta1.Group,
		TenantLabels:  []string{"example.io/tenant", "example.io/group"},
		Clock:         h.clock,
	}
	for _, f := range change {
		f(&config)
	}
	r, err := New(config)
	if err != nil {
		h.Fatal(err)
	}
	if err := r.Prepare(h.Context()); err != nil {
		h.Fatal(err)
	}
	return r
}

func (h *fakeHost) register(r *Registration) {
	h.Helper()
	if err := r.Register(h.Context()); err != nil {
		h.Fatal(err)
	}
}

func (h *fakeHost) apiService(gv schema.GroupVersion) *apiregistrationv1.APIService {
	h.Helper()
	service, err := h.aggregator.ApiregistrationV1().APIServices().Get(h.Context(), apiServiceName(gv), metav1.GetOptions{})
	if err != nil {
		h.Fatal(err)
	}
	return service
}

// writes counts what was sent to the aggregator since it was last called.
func (h *fakeHost) writes() int {
	count := 0
	for _, action := range h.aggregator.Actions() {
		if action.GetVerb() != "get" {
			count++
		}
	}
	h.aggregator.ClearActions()
	return count
}

// trusted says whether the host trusts what a replica serves with, now.
func (h *fakeHost) trusted(r *Registration) error {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(h.apiService(core).Spec.CABundle)
	certificate, _ := r.config.Certificate.Certificate().CurrentCertKeyContent()
	parsed, err := keypair.ParseCertificate(certificate)
	if err != nil {
		return err
	}
	_, err = parsed.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: h.clock.Now(), DNSName: "koinon.system.svc"})
	return err
}

func TestRegistersEveryGroupVersionOnce(t *testing.T) {
	host := newHost(t)
	first, second := host.replica(), host.replica()
	host.register(first)
	if got := host.writes(); got != 3 {
		t.Errorf("writes of the first replica: got %d, want 3", got)
	}
	host.register(second)
	host.register(first)
	if got := host.writes(); got != 0 {
		t.Errorf("writes when all is right: got %d, want none", got)
	}
	port := int32(443)
	want := apiregistrationv1.APIServiceSpec{
		Service: &apiregistrationv1.ServiceReference{Namespace: system, Name: "koinon", Port: &port},
		Group:   v1beta2.Group, Version: v1beta2.Version, CABundle: host.bundle(),
		GroupPriorityMinimum: 1500, VersionPriority: 100,
	}
	if diff := cmp.Diff(want, host.apiService(v1beta2).Spec); diff != "" {
		t.Errorf("APIService (-want +got):\n%s", diff)
	}
	for name, r := range map[string]*Registration{"first": first, "second": second} {
		if err := host.trusted(r); err != nil {
			t.Errorf("certificate of the %s replica: %v", name, err)
		}
	}
}

func TestRepairs(t *testing.T) {
	for name, damage := range map[string]func(*fakeHost, context.Context) error{
		"a deleted APIService": func(h *fakeHost, ctx context.Context) error {
			return h.aggregator.ApiregistrationV1().APIServices().Delete(ctx, apiServiceName(core), metav1.DeleteOptions{})
		},
		"an edited APIService": func(h *fakeHost, ctx context.Context) error {
			service := h.apiService(core)
			service.Spec.InsecureSkipTLSVerify, service.Spec.CABundle = true, nil
			_, err := h.aggregator.ApiregistrationV1().APIServices().Update(ctx, service, metav1.UpdateOptions{})
			return err
		},
		"a deleted Secret": func(h *fakeHost, ctx context.Context) error {
			return h.kube.CoreV1().Secrets(system).Delete(ctx, SecretName, metav1.DeleteOptions{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			host := newHost(t)
			r := host.replica()
			host.register(r)
			before := host.apiService(core).Spec
			if err := damage(host, t.Context()); err != nil {
				t.Fatal(err)
			}
			host.register(r)
			if diff := cmp.Diff(before, host.apiService(core).Spec); diff != "" {
				t.Errorf("after the repair (-before +after):\n%s", diff)
			}
			// A replica that comes later finds the same authority.
			if err := host.trusted(host.replica()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A server whose authority cannot be read leaves the registration as it is. What is an
// authority that cannot be read is tested in package servingcert.
func TestADamagedAuthorityLeavesTheRegistration(t *testing.T) {
	host := newHost(t)
	running := host.replica()
	host.register(running)
	before := host.apiService(core).Spec
	secrets := host.kube.CoreV1().Secrets(system)
	damaged := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: SecretName, Namespace: system}}
	if _, err := secrets.Update(t.Context(), damaged, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := running.Register(t.Context()); err == nil || !strings.Contains(err.Error(), "the Secret system/koinon-serving-ca") {
		t.Errorf("got %v, want a sentence about the Secret", err)
	}
	if diff := cmp.Diff(before, host.apiService(core).Spec); diff != "" {
		t.Errorf("the registration was changed (-before +after):\n%s", diff)
	}
}

func TestTwoReplicasStayTrustedOverYears(t *testing.T) {
	// In a bubble, since writes are rate limited.
	synctest.Test(t, twoReplicasStayTrustedOverYears)
}

func twoReplicasStayTrustedOverYears(t *testing.T) {
	host := newHost(t)
	replicas := []*Registration{host.replica(), host.replica()}
	bundles := map[string]bool{}
	for day := range 3 * 365 {
		// One looks every other day only.
		for i, r := range replicas {
			host.clock.Step(12 * time.Hour)
			if i == 1 && day%2 == 1 {
				continue
			}
			host.register(r)
		}
		for i, r := range replicas {
			if err := host.trusted(r); err != nil {
				t.Fatalf("replica %d on %s: %v", i, host.clock.Now(), err)
			}
		}
		bundle := string(host.apiService(core).Spec.CABundle)
		if count := strings.Count(bundle, "BEGIN CERTIFICATE"); count > 2 {
			t.Fatalf("there are %d authorities", count)
		}
		bundles[bundle] = true
	}
	if len(bundles) < 5 {
		t.Errorf("the authority was not renewed: %d bundles in three years", len(bundles))
	}
}

func TestKindsAreAnnouncedByEachReplicaOnce(t *testing.T) {
	host := newHost(t)
	first, second := host.replica(), host.replica()
	host.register(first)
	host.writes()

	first.KindsChanged("a")
	host.register(first)
	if got := host.writes(); got != 2 {
		t.Errorf("writes of the first: got %d, want one for each version", got)
	}
	announced := host.apiService(v1beta2).Annotations[KindsAnnotation]
	if !strings.HasPrefix(announced, "a ") {
		t.Errorf("annotation: got %q", announced)
	}
	if got := host.apiService(core).Annotations[KindsAnnotation]; got != "" {
		t.Errorf("annotation of another group: got %q", got)
	}
	host.clock.Step(time.Second)
	second.KindsChanged("a")
	host.register(second)
	if got := host.apiService(v1beta2).Annotations[KindsAnnotation]; got == announced {
		t.Error("the second replica did not say that it has the kinds too")
	}
	host.writes()
	first.KindsChanged("a")
	for _, r := range []*Registration{first, second, first} {
		host.register(r)
	}
	if got := host.writes(); got != 0 {
		t.Errorf("writes without a change: got %d, want none", got)
	}
}

func TestAReplicaThatComesBackMakesTheHostLookOnce(t *testing.T) {
	host := newHost(t)
	host.register(host.replica())
	service := host.apiService(core)
	service.Status.Conditions = []apiregistrationv1.APIServiceCondition{{Type: apiregistrationv1.Available, Status: apiregistrationv1.ConditionFalse}}
	if _, err := host.aggregator.ApiregistrationV1().APIServices().UpdateStatus(t.Context(), service, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	host.writes()
	back := host.replica()
	for range 2 {
		host.register(back)
	}
	if got := host.writes(); got != 1 {
		t.Errorf("writes: got %d, want one, to the APIService that is not available", got)
	}
	if host.apiService(core).Annotations[ServedAnnotation] == "" {
		t.Error("there is no annotation")
	}
}

func TestAnAnnouncementThatFailedIsMadeAgain(t *testing.T) {
	host := newHost(t)
	r := host.replica()
	host.register(r)
	fails := true
	host.aggregator.PrependReactor("update", "apiservices", func(clienttesting.Action) (bool, runtime.Object, error) {
		return fails, nil, errors.New("not now")
	})
	r.KindsChanged("a")
	if err := r.Register(t.Context()); err == nil {
		t.Fatal("got no error")
	}
	fails = false
	host.register(r)
	if got := host.apiService(v1beta1).Annotations[KindsAnnotation]; !strings.HasPrefix(got, "a ") {
		t.Errorf("annotation: got %q", got)
	}
}

func TestWhatIsSomebodyElsesStays(t *testing.T) {
	for name, test := range map[string]struct {
		labels map[string]string
		spec   apiregistrationv1.APIServiceSpec
		want   string
	}{
		"an APIService for CRDs": {map[string]string{automanagedLabel: "true"}, apiregistrationv1.APIServiceSpec{}, "from CRDs"},
		"another server's APIService": {nil, apiregistrationv1.APIServiceSpec{
			Service: &apiregistrationv1.ServiceReference{Namespace: "other", Name: "server"},
		}, "names the Service other/server"},
	} {
		t.Run(name, func(t *testing.T) {
			host := newHost(t)
			test.spec.Group, test.spec.Version = core.Group, core.Version
			theirs := &apiregistrationv1.APIService{ObjectMeta: metav1.ObjectMeta{Name: apiServiceName(core), Labels: test.labels}, Spec: test.spec}
			if _, err := host.aggregator.ApiregistrationV1().APIServices().Create(t.Context(), theirs, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			err := host.replica().Register(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got the error %v, want one with %q", err, test.want)
			}
			if diff := cmp.Diff(test.spec, host.apiService(core).Spec); diff != "" {
				t.Errorf("it was changed (-before +after):\n%s", diff)
			}
			// The others are registered nevertheless.
			host.apiService(v1beta2)
		})
	}
}

func TestAServerOutsideOfTheHostHasAService(t *testing.T) {
	host := newHost(t)
	outside := func(c *Config) { c.ExternalName = "koinon.example" }
	host.register(host.replica(outside))
	services := host.kube.CoreV1().Services(system)
	service, err := services.Get(t.Context(), "koinon", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if service.Spec.Type != corev1.ServiceTypeExternalName || service.Spec.ExternalName != "koinon.example" {
		t.Errorf("got the Service %+v", service.Spec)
	}
	host.register(host.replica(func(c *Config) { c.ExternalName = "moved.example" }))
	if service, err = services.Get(t.Context(), "koinon", metav1.GetOptions{}); err != nil || service.Spec.ExternalName != "moved.example" {
		t.Errorf("after a move: got %q, %v", service.Spec.ExternalName, err)
	}
	own := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "own", Namespace: system}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP}}
	if _, err := services.Create(t.Context(), own, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	host.register(host.replica(outside, func(c *Config) { c.ServiceName = "own"; c.GroupVersions = nil }))
	if service, err = services.Get(t.Context(), "own", metav1.GetOptions{}); err != nil || service.Spec.Type != corev1.ServiceTypeClusterIP {
		t.Errorf("somebody's own Service: got %+v, %v; want it as it was", service.Spec, err)
	}
}

func TestRunRegistersAndEnds(t *testing.T) {
	host := newHost(t)
	r := host.replica()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { // ends with ctx
		defer close(ended)
		r.Run(ctx, cancel)
	}()
	<-ended
	host.apiService(core)
}
