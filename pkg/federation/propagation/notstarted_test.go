package propagation

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation/events"
	clientv1beta1 "github.com/koinon-io/koinon/pkg/generated/clientset/versioned/typed/core/v1beta1"
	listersv1beta1 "github.com/koinon-io/koinon/pkg/generated/listers/core/v1beta1"
)

// patched takes patches of FederatedTypeConfigs, and keeps them.
type patched struct {
	clientv1beta1.FederatedTypeConfigInterface
	bodies []string // the subresource, and the patch
}

func (p *patched) Patch(_ context.Context, name string, _ types.PatchType, data []byte, _ metav1.PatchOptions, subresources ...string) (*v1beta1.FederatedTypeConfig, error) {
	p.bodies = append(p.bodies, strings.Join(append(subresources, string(data)), " "))
	return &v1beta1.FederatedTypeConfig{ObjectMeta: metav1.ObjectMeta{Name: name}}, nil
}

// engineOf is an engine of one FederatedTypeConfig, what it patches, and the Events that it writes.
func engineOf(t *testing.T, ftc *v1beta1.FederatedTypeConfig) (e *Engine, client *patched, told *[]string) {
	t.Helper()
	known := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	if err := known.Add(ftc); err != nil {
		t.Fatal(err)
	}
	client, told = &patched{}, &[]string{}
	return &Engine{
		Config: Config{
			Types: listersv1beta1.NewFederatedTypeConfigLister(known).FederatedTypeConfigs(ftc.Namespace), TypeClient: client,
			Record: func(about *corev1.ObjectReference, happened ...events.Event) {
				for _, event := range happened {
					*told = append(*told, about.Name+" "+event.Reason+": "+event.Message)
				}
			},
		},
		kinds: map[string]*kind{}, looked: map[string]bool{}, failed: map[string]error{},
	}, client, told
}

// refusedConfig was stored by a release that took its retainFields, and runs there.
func refusedConfig() *v1beta1.FederatedTypeConfig {
	target := v1beta1.APIResource{Group: "apps", Version: "v1", Kind: "Deployment", PluralName: "deployments", Scope: v1beta1.NamespaceScoped}
	served := v1beta1.APIResource{Group: v1beta1.FederatedGroup, Version: "v1beta1", Kind: "FederatedDeployment", PluralName: "federateddeployments", Scope: v1beta1.NamespaceScoped}
	return &v1beta1.FederatedTypeConfig{
		ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: "deployments.apps", Generation: 3},
		Spec: v1beta1.FederatedTypeConfigSpec{TargetType: target, FederatedType: served, Propagation: v1beta1.Enabled,
			RetainFields: []v1beta1.RetainedField{{Path: "/spec/*"}}},
		Status: v1beta1.FederatedTypeConfigStatus{ObservedGeneration: 3, PropagationController: v1beta1.ControllerRunning},
	}
}

// Nothing of such a type is propagated, since all specs would be the members' or all would be overwritten: its status does not
// go on saying that it runs, and an Event says why at once, and once.
func TestATypeWhoseStoredFieldsAreRefusedIsNotRunningAndSaysWhy(t *testing.T) {
	ftc := refusedConfig()
	e, client, told := engineOf(t, ftc)
	for range 2 { // it is tried again
		if err := e.syncType(t.Context(), "deployments.apps"); err == nil || !strings.Contains(err.Error(), `spec.retainFields[0].path: "/spec/*" must name a field`) {
			t.Fatalf("got %v", err)
		}
	}
	if want := `status {"status":{"observedGeneration":3,"propagationController":"NotRunning"}}`; len(client.bodies) == 0 || client.bodies[0] != want {
		t.Errorf("it was patched with %q, want %q", client.bodies, want)
	}
	const want = `deployments.apps NotStarted: nothing of the type "deployments.apps" is propagated, nor deleted in members: spec.retainFields[0].path: "/spec/*" must name a field`
	if len(*told) != 1 || !strings.HasPrefix((*told)[0], want) {
		t.Errorf("told %q, want once %q", *told, want)
	}
	if why := e.whyUnlisted(ftc); why == "" {
		t.Error("what is in cells of the type is said to be known")
	}
}

// Who deletes a FederatedTypeConfig that cannot be used is not held by the finalizer of a stock controller.
func TestATypeThatCannotBeStartedIsLetGo(t *testing.T) {
	ftc := refusedConfig()
	ftc.DeletionTimestamp, ftc.Finalizers = new(metav1.Now()), []string{v1beta1.TypeConfigFinalizer, "example.com/kept"}
	e, client, _ := engineOf(t, ftc)
	if err := e.syncType(t.Context(), "deployments.apps"); err == nil {
		t.Error("there is no error, as if it were known what is in cells of the type")
	}
	if len(client.bodies) != 1 || !strings.Contains(client.bodies[0], `"finalizers":["example.com/kept"]`) {
		t.Errorf("it was patched with %q", client.bodies)
	}
}

// A type that runs goes on by the rules that it has: the status speaks of their generation.
func TestATypeThatRunsIsNotStoppedByRulesThatAreRefused(t *testing.T) {
	e, client, told := engineOf(t, refusedConfig())
	e.kinds["deployments.apps"] = &kind{name: "deployments.apps"}
	if err := e.syncType(t.Context(), "deployments.apps"); err == nil {
		t.Error("there is no error")
	}
	if len(client.bodies)+len(*told) > 0 {
		t.Errorf("it was patched with %q, and told %q", client.bodies, *told)
	}
}
