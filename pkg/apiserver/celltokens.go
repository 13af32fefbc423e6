package apiserver

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/koinon-io/koinon/pkg/apis/federation/accounts"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

const (
	// credentialID is what an API server notes of a caller with a token of a service account.
	credentialID = "authentication.kubernetes.io/credential-id"
	credentialOf = "JTI="
)

// cellTokens know which tokens of cells' accounts were taken back. Whoever comes with one is refused
// where he is authenticated; this is for what goes on, such as watches. Nothing is followed before an
// account is used.
type cellTokens struct {
	systemNamespace string
	secrets         cache.SharedIndexInformer
	wanted          chan struct{} // closed when an account is used
	once            sync.Once     // closes wanted

	mu sync.Mutex
	// gone are the IDs of tokens whose Secrets went or have another, with when they expire. Guarded by mu.
	gone map[string]time.Time
}

func newCellTokens(host kubernetes.Interface, systemNamespace string) (*cellTokens, error) {
	selected := func(o *metav1.ListOptions) { o.LabelSelector = federationv1alpha1.AccountLabel }
	t := &cellTokens{systemNamespace: systemNamespace, wanted: make(chan struct{}), gone: map[string]time.Time{}}
	t.secrets = informers.NewSharedInformerFactoryWithOptions(host, 0, informers.WithNamespace(systemNamespace), informers.WithTweakListOptions(selected), informers.WithTransform(onlyToken)).
		Core().V1().Secrets().Informer()
	_, err := t.secrets.AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(old, object any) {
			if tokenOf(old) != tokenOf(object) {
				t.goes(tokenOf(old))
			}
		},
		DeleteFunc: func(object any) {
			if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = last.Obj
			}
			t.goes(tokenOf(object))
		},
	})
	if err != nil {
		return nil, fmt.Errorf("follow the tokens of cells' accounts: %w", err)
	}
	return t, nil
}

// onlyToken drops what nobody reads, so that many cells cost little.
func onlyToken(object any) (any, error) {
	secret, ok := object.(*corev1.Secret)
	if !ok {
		return object, nil
	}
	kept := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: secret.Name, Namespace: secret.Namespace, UID: secret.UID, ResourceVersion: secret.ResourceVersion}}
	if token := secret.Data[corev1beta1.TokenKey]; len(token) > 0 {
		kept.Data = map[string][]byte{corev1beta1.TokenKey: token}
	}
	return kept, nil
}

func tokenOf(object any) string {
	secret, ok := object.(*corev1.Secret)
	if !ok {
		return ""
	}
	return string(secret.Data[corev1beta1.TokenKey])
}

// goes notes that a token is good no more.
func (t *cellTokens) goes(token string) {
	claims, ok := accounts.ReadClaims(token)
	if !ok || claims.ID == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for id, expires := range t.gone {
		if now.After(expires) {
			delete(t.gone, id)
		}
	}
	t.gone[claims.ID] = claims.Expires
}

// run follows the Secrets, once an account is used, until ctx ends.
func (t *cellTokens) run(ctx context.Context) {
	select {
	case <-t.wanted:
		t.secrets.RunWithContext(ctx)
	case <-ctx.Done():
	}
}

// Account implements proxy.Cells.
func (t *cellTokens) Account(caller user.Info) (namespace, cell string, is bool) {
	if namespace, cell, is = accounts.CellOf(t.systemNamespace, caller.GetName()); is {
		t.once.Do(func() { close(t.wanted) })
	}
	return namespace, cell, is
}

// Revoked implements proxy.Cells. A host before Kubernetes 1.30 does not say which token a caller has.
func (t *cellTokens) Revoked(namespace, cell string, caller user.Info) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range caller.GetExtra()[credentialID] {
		if _, gone := t.gone[strings.TrimPrefix(id, credentialOf)]; gone {
			return apierrors.NewUnauthorized(fmt.Sprintf("the token of the account of cell %q of namespace %q was taken back", cell, namespace))
		}
	}
	return nil
}
