package hostreg

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/util/webhook"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/klog/v2"
)

// webhook is what the host calls about its namespaces.
func (h *fakeHost) webhook() *admissionregistrationv1.ValidatingWebhookConfiguration {
	h.Helper()
	configuration, err := h.kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(h.Context(), NamespacesWebhook, metav1.GetOptions{})
	if err != nil {
		h.Fatal(err)
	}
	return configuration
}

// webhookWrites counts what was written of it since actions were last forgotten.
func (h *fakeHost) webhookWrites() int {
	count := 0
	for _, action := range h.kube.Actions() {
		if action.GetResource().Resource == "validatingwebhookconfigurations" && action.GetVerb() != "get" {
			count++
		}
	}
	return count
}

// serves reports whether a replica takes what the host sends to a path for reviews.
func serves(r *Registration, method, path string) bool {
	taken := false
	handler := r.ServeNamespaces(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { taken = true }), http.NotFoundHandler())
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(method, path, nil))
	return taken
}

func TestAllReplicasServeThePathThatTheHostCalls(t *testing.T) {
	host := newHost(t)
	first, second := host.replica(), host.replica()
	host.register(first)
	path := *host.webhook().Webhooks[0].ClientConfig.Service.Path
	if errs := webhook.ValidateWebhookService(field.NewPath("service"), system, "koinon", &path, 443); len(errs) > 0 {
		t.Errorf("the host would not take it: %v", errs)
	}
	if serves(second, http.MethodPost, path) {
		t.Error("a replica serves a path that it cannot know yet")
	}
	host.register(second)
	later := host.replica() // before it is registered
	for name, r := range map[string]*Registration{"first": first, "second": second, "later": later} {
		if !serves(r, http.MethodPost, path) {
			t.Errorf("the %s replica does not serve %s", name, path)
		}
		for _, other := range []string{namespacesPath, path + "x", "/namespaces"} {
			if serves(r, http.MethodPost, other) {
				t.Errorf("the %s replica serves %s", name, other)
			}
		}
		if serves(r, http.MethodGet, path) {
			t.Errorf("the %s replica takes a GET for a review", name)
		}
	}
	if got := host.webhook(); *got.Webhooks[0].FailurePolicy != admissionregistrationv1.Ignore || *got.Webhooks[0].ClientConfig.Service.Path != path {
		t.Errorf("got %+v", got.Webhooks)
	}
}

func TestOfTwoReplicasThatMakeTheWebhookOneDecidesItsPath(t *testing.T) {
	host := newHost(t)
	r := host.replica()
	theirs := r.wantedWebhook(namespacesPath+newSecret(), nil)
	host.kube.PrependReactor("create", "validatingwebhookconfigurations", func(action clienttesting.Action) (bool, runtime.Object, error) {
		// Another replica is first between the look and the creation.
		return true, nil, errors.Join(host.kube.Tracker().Add(theirs), apierrors.NewAlreadyExists(action.GetResource().GroupResource(), NamespacesWebhook))
	})
	host.register(r)
	if path := *theirs.Webhooks[0].ClientConfig.Service.Path; !serves(r, http.MethodPost, path) {
		t.Errorf("it does not serve %s", path)
	}
}

func TestTheWebhookIsPutRight(t *testing.T) {
	configurations := func(h *fakeHost) interface {
		Delete(context.Context, string, metav1.DeleteOptions) error
		Update(context.Context, *admissionregistrationv1.ValidatingWebhookConfiguration, metav1.UpdateOptions) (*admissionregistrationv1.ValidatingWebhookConfiguration, error)
	} {
		return h.kube.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	}
	for name, damage := range map[string]func(*fakeHost) error{
		"deleted": func(h *fakeHost) error {
			return configurations(h).Delete(t.Context(), NamespacesWebhook, metav1.DeleteOptions{})
		},
		"edited": func(h *fakeHost) error {
			edited, fail := h.webhook(), admissionregistrationv1.Fail
			edited.Webhooks[0].FailurePolicy, edited.Webhooks[0].ClientConfig.CABundle = &fail, nil
			_, err := configurations(h).Update(t.Context(), edited, metav1.UpdateOptions{})
			return err
		},
	} {
		host := newHost(t)
		r := host.replica()
		host.register(r)
		before := host.webhook().Webhooks
		if err := damage(host); err != nil {
			t.Fatal(err)
		}
		host.register(r)
		if diff := cmp.Diff(before, host.webhook().Webhooks); diff != "" {
			t.Errorf("%s (-before +after):\n%s", name, diff)
		}
	}
}

// Some hosts, AKS for one, add to the selectors of every webhook that it is not called in their own namespaces, and do so again
// whenever it is written.
func TestTheSelectorsThatTheHostGivesTheWebhookStay(t *testing.T) {
	host := newHost(t)
	first, second := host.replica(), host.replica()
	host.register(first)
	before := host.webhook().Webhooks[0]
	narrower := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "control-plane", Operator: metav1.LabelSelectorOpDoesNotExist}}}
	update := func(change func(*admissionregistrationv1.ValidatingWebhook)) {
		t.Helper()
		edited := host.webhook()
		change(&edited.Webhooks[0])
		if _, err := host.kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().Update(t.Context(), edited, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		host.kube.ClearActions()
	}
	update(func(w *admissionregistrationv1.ValidatingWebhook) {
		w.NamespaceSelector, w.ObjectSelector = narrower, narrower
	})
	host.register(first)
	host.register(second)
	if got := host.webhookWrites(); got != 0 {
		t.Errorf("the host narrowed the selectors, and the replicas wrote %d times", got)
	}
	fail := admissionregistrationv1.Fail
	update(func(w *admissionregistrationv1.ValidatingWebhook) { w.FailurePolicy = &fail })
	host.register(first)
	before.NamespaceSelector, before.ObjectSelector = narrower, narrower
	if diff := cmp.Diff([]admissionregistrationv1.ValidatingWebhook{before}, host.webhook().Webhooks); diff != "" {
		t.Errorf("put right (-want +got):\n%s", diff)
	}
	if got := host.webhookWrites(); got != 1 {
		t.Errorf("it was put right by %d writes", got)
	}
}

// Replicas that put the same right at the same time meet in a conflict, which says nothing of whether the webhook can be kept.
func TestAnotherReplicaThatIsFirstIsNoProblemOfTheWebhook(t *testing.T) {
	host := newHost(t)
	r := host.replica()
	host.register(r)
	resource := schema.GroupResource{Resource: "validatingwebhookconfigurations"}
	var answer error
	host.kube.PrependReactor("update", resource.Resource, func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, answer })
	damaged := host.webhook()
	damaged.Webhooks = nil
	if err := host.kube.Tracker().Update(admissionregistrationv1.SchemeGroupVersion.WithResource(resource.Resource), damaged, ""); err != nil {
		t.Fatal(err)
	}
	var logged []string
	logger := funcr.New(func(_, line string) { logged = append(logged, line) }, funcr.Options{})
	conflict := apierrors.NewConflict(resource, NamespacesWebhook, errors.New("it was changed"))
	forbidden := apierrors.NewForbidden(resource, NamespacesWebhook, errors.New("no"))
	for _, answer = range []error{conflict, forbidden, conflict, forbidden} {
		if err := r.Register(klog.NewContext(t.Context(), logger)); err != nil {
			t.Fatal(err)
		}
	}
	if len(logged) != 1 || !strings.Contains(logged[0], "forbidden") {
		t.Errorf("it logged %q, want the refusal, once", logged)
	}
}

// Manifests of an earlier release do not give the rights, and somebody else may have the name.
func TestTheServerIsRegisteredWithoutTheWebhook(t *testing.T) {
	host := newHost(t)
	r := host.replica()
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "validatingwebhookconfigurations"}, NamespacesWebhook, errors.New("no"))
	host.kube.PrependReactor("create", "validatingwebhookconfigurations", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, forbidden })
	host.register(r)
	if err := host.trusted(r); err != nil {
		t.Error(err)
	}

	host = newHost(t)
	theirs := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: NamespacesWebhook}}
	if err := host.kube.Tracker().Add(theirs); err != nil {
		t.Fatal(err)
	}
	host.register(host.replica())
	if got := host.webhook(); len(got.Webhooks) > 0 {
		t.Errorf("somebody else's was changed to %+v", got)
	}
}

// Who is not given the right to register webhooks needs none of the others for them.
func TestAServerThatKeepsNoWebhookNeitherAsksForItNorServesIt(t *testing.T) {
	host := newHost(t)
	asked := host.replica()
	host.register(asked)
	path := *host.webhook().Webhooks[0].ClientConfig.Service.Path
	host.kube.PrependReactor("*", "validatingwebhookconfigurations", func(action clienttesting.Action) (bool, runtime.Object, error) {
		t.Errorf("it sent %s of %s", action.GetVerb(), action.GetResource().Resource)
		return false, nil, nil
	})
	r := host.replica(func(c *Config) { c.TenantLabels = nil })
	host.register(r)
	if err := host.trusted(r); err != nil {
		t.Error(err)
	}
	if serves(r, http.MethodPost, path) {
		t.Error("it answers what the host asks")
	}
}
