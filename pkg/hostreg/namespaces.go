package hostreg

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"maps"
	"net/http"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
)

// The host serves its namespaces itself, so that nobody asks the server what becomes of federated objects when a namespace changes its
// tenant, which its labels say. A webhook does. It is called for such changes alone, and what it does not answer passes: while no replica runs, the host
// goes on as if there were none.

// NamespacesWebhook is the name of the ValidatingWebhookConfiguration.
const NamespacesWebhook = "koinon-namespaces"

// namespacesPath begins the path of the webhook. API servers present no credentials to a webhook, and its answers name objects: what
// follows is a secret of those who may read the configuration.
const namespacesPath = "/namespaces/"

// webhookSeconds is how long the host waits for an answer.
const webhookSeconds int32 = 5

// asked reports whether the host is to ask.
func (r *Registration) asked() bool { return len(r.config.TenantLabels) > 0 }

// ServeNamespaces gives requests that the host sends to the webhook to namespaces, and all others to api.
func (r *Registration) ServeNamespaces(namespaces, api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		path := r.webhookPath.Load()
		if path != nil && subtle.ConstantTimeCompare([]byte(req.URL.Path), []byte(*path)) == 1 && req.Method == http.MethodPost {
			namespaces.ServeHTTP(w, req)
			return
		}
		api.ServeHTTP(w, req)
	})
}

// ensureWebhook keeps the configuration. The host can do without, so that an error is logged, once, and not returned.
func (r *Registration) ensureWebhook(ctx context.Context, trust []byte) {
	err := r.keepWebhook(ctx, trust)
	if apierrors.IsConflict(err) {
		return // somebody was first, perhaps another replica: the change is looked at when it is seen
	}
	problem := ""
	if err != nil {
		problem = err.Error()
	}
	if problem != "" && problem != r.webhookProblem {
		klog.FromContext(ctx).Error(err, "Namespaces of the host can change their tenant without a word on what that strands", "validatingWebhookConfiguration", NamespacesWebhook)
	}
	r.webhookProblem = problem
}

func (r *Registration) keepWebhook(ctx context.Context, trust []byte) error {
	configurations := r.config.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	current, err := configurations.Get(ctx, NamespacesWebhook, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		if err := r.loop.MayWrite(ctx); err != nil {
			return err
		}
		path := r.webhookPath.Load()
		if path == nil {
			made := namespacesPath + newSecret()
			path = &made
		}
		r.webhookPath.Store(path)
		_, err := configurations.Create(ctx, r.wantedWebhook(*path, trust), metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) { // by another replica, whose path counts
			return r.adoptPath(ctx)
		}
		return err
	}
	if err != nil {
		return err
	}
	if !managed(current.Labels) {
		return fmt.Errorf("it is not labelled %v: delete it, or label it to hand it over", managedBy)
	}
	path := pathOf(current)
	r.webhookPath.Store(&path)
	wanted := r.wantedWebhook(path, trust)
	keepSelectors(wanted, current)
	if equality.Semantic.DeepEqual(current.Webhooks, wanted.Webhooks) {
		return nil
	}
	if err := r.loop.MayWrite(ctx); err != nil {
		return err
	}
	corrected := current.DeepCopy()
	maps.Copy(corrected.Labels, wanted.Labels)
	corrected.Webhooks = wanted.Webhooks
	_, err = configurations.Update(ctx, corrected, metav1.UpdateOptions{})
	return err
}

// keepSelectors has wanted select what current does. Some hosts, such as AKS, narrow the selectors of every webhook, after each write of it:
// nobody wins against them.
func keepSelectors(wanted, current *admissionregistrationv1.ValidatingWebhookConfiguration) {
	for i := range wanted.Webhooks {
		webhook := &wanted.Webhooks[i]
		for _, is := range current.Webhooks {
			if is.Name == webhook.Name {
				webhook.NamespaceSelector, webhook.ObjectSelector = is.NamespaceSelector, is.ObjectSelector
			}
		}
	}
}

// pathOf is the path that a configuration has, which all replicas serve, or a new one if that is none of ours.
func pathOf(current *admissionregistrationv1.ValidatingWebhookConfiguration) string {
	for _, webhook := range current.Webhooks {
		if service := webhook.ClientConfig.Service; service != nil && service.Path != nil {
			if secret, ours := strings.CutPrefix(*service.Path, namespacesPath); ours && len(secret) >= secretBytes {
				return *service.Path
			}
		}
	}
	return namespacesPath + newSecret()
}

// secretBytes is how long the secret part of the path is: 26 characters of base32, which hold more than 128 bits.
const secretBytes = 26

// newSecret makes one. Each part of the path has to be the name of a DNS domain, in lower case.
func newSecret() string { return strings.ToLower(rand.Text()) }

// adoptPath serves the path that the configuration has, if there is one: a replica knows it before it is registered.
func (r *Registration) adoptPath(ctx context.Context) error {
	current, err := r.config.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(ctx, NamespacesWebhook, metav1.GetOptions{})
	if err != nil || !managed(current.Labels) {
		return err
	}
	path := pathOf(current)
	r.webhookPath.Store(&path)
	return nil
}

// changesLabels is an expression that holds for an update that changes one of the labels, or takes it away.
func changesLabels(labels []string) string {
	var differ []string
	for _, label := range labels {
		differ = append(differ, fmt.Sprintf("object.metadata.?labels[?%[1]q].orValue('') != oldObject.metadata.?labels[?%[1]q].orValue('')", label))
	}
	return strings.Join(differ, " || ")
}

// wantedWebhook has every field that the host would give a default.
func (r *Registration) wantedWebhook(path string, trust []byte) *admissionregistrationv1.ValidatingWebhookConfiguration {
	scope, failure, match, effects := admissionregistrationv1.ClusterScope, admissionregistrationv1.Ignore, admissionregistrationv1.Equivalent, admissionregistrationv1.SideEffectClassNone
	seconds := webhookSeconds
	return &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: NamespacesWebhook, Labels: maps.Clone(managedBy)},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: "namespaces.federation.koinon.io",
			ClientConfig: admissionregistrationv1.WebhookClientConfig{CABundle: trust, Service: &admissionregistrationv1.ServiceReference{
				Namespace: r.config.Namespace, Name: r.config.ServiceName, Port: &r.config.ServicePort, Path: &path,
			}},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Update},
				Rule: admissionregistrationv1.Rule{
					APIGroups: []string{""}, APIVersions: []string{"v1"}, Scope: &scope,
					// Labels may change with any of them.
					Resources: []string{"namespaces", "namespaces/status", "namespaces/finalize"},
				},
			}},
			MatchConditions:         []admissionregistrationv1.MatchCondition{{Name: "tenant-changes", Expression: changesLabels(r.config.TenantLabels)}},
			FailurePolicy:           &failure,
			MatchPolicy:             &match,
			NamespaceSelector:       &metav1.LabelSelector{},
			ObjectSelector:          &metav1.LabelSelector{},
			SideEffects:             &effects,
			TimeoutSeconds:          &seconds,
			AdmissionReviewVersions: []string{"v1"},
		}},
	}
}
