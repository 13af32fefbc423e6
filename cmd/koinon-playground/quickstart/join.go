package quickstart

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/koinon-io/koinon/cmd/koinon-playground/member"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/generated/clientset/versioned"
	fleetclient "github.com/koinon-io/koinon/pkg/generated/clientset/versioned/typed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/pki"
)

const (
	// memberNamespace and accountName are what Koinon has in a member.
	memberNamespace = "koinon-system"
	accountName     = "koinon"
	// administratorsName is the ClusterRoleBinding of Koinon's administrators in a member.
	administratorsName = "koinon-administrators"

	// memberLabel is on the KubeFedCluster of every member, for selectors to try.
	memberLabel = "playground.koinon.io/member"

	joinTimeout = 30 * time.Second
	poll        = 100 * time.Millisecond
)

// joinAll makes every cluster a member, and waits until Koinon finds it ready.
func (q *quickstart) joinAll(ctx context.Context) error {
	cfg, err := q.koinon.RESTConfig()
	if err != nil {
		return err
	}
	hostClient, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("make a client of koinon: %w", err)
	}
	fleet, err := versioned.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("make a client of koinon: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, m := range q.members {
		group.Go(func() error {
			return q.steps.Do(m.Name+": joined", func() (string, error) { return "", q.join(ctx, hostClient, fleet, m) })
		})
	}
	return group.Wait()
}

// join gives Koinon an account in the member and says where the member is.
func (q *quickstart) join(ctx context.Context, hostClient kubernetes.Interface, fleet versioned.Interface, m *member.Cluster) error {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	cfg, err := m.RESTConfig()
	if err != nil {
		return err
	}
	memberClient, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("make a client of %s: %w", m.Name, err)
	}
	token, err := makeAccount(ctx, memberClient)
	if err != nil {
		return fmt.Errorf("make an account in %s: %w", m.Name, err)
	}
	if err := bindAdministrators(ctx, memberClient); err != nil {
		return fmt.Errorf("give Koinon's administrators their rights in %s: %w", m.Name, err)
	}
	access, err := tokenKubeconfig(m, cfg.CAData, token)
	if err != nil {
		return err
	}
	if err := keepSecret(ctx, hostClient, m.Name, access); err != nil {
		return fmt.Errorf("keep the credentials of %s: %w", m.Name, err)
	}
	clusters := fleet.KubeFedCoreV1beta1().KubeFedClusters(corev1beta1.DefaultNamespace)
	if err := keepCluster(ctx, clusters, m.Name, corev1beta1.KubeFedClusterSpec{
		APIEndpoint: m.Server(),
		CABundle:    cfg.CAData,
		SecretRef:   corev1beta1.LocalSecretReference{Name: m.Name},
	}); err != nil {
		return fmt.Errorf("make KubeFedCluster %s: %w%s", m.Name, err, q.logHint())
	}
	return q.awaitReady(ctx, clusters, m.Name)
}

// keepCluster makes the KubeFedCluster of a member, or corrects where the member is.
func keepCluster(ctx context.Context, clusters fleetclient.KubeFedClusterInterface, name string, spec corev1beta1.KubeFedClusterSpec) error {
	old, err := clusters.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err := clusters.Create(ctx, &corev1beta1.KubeFedCluster{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{memberLabel: name}},
			Spec:       spec,
		}, metav1.CreateOptions{})
		return err
	}
	if err != nil || (old.Spec.APIEndpoint == spec.APIEndpoint && bytes.Equal(old.Spec.CABundle, spec.CABundle)) {
		return err
	}
	old.Spec.APIEndpoint, old.Spec.CABundle = spec.APIEndpoint, spec.CABundle
	_, err = clusters.Update(ctx, old, metav1.UpdateOptions{})
	return err
}

// awaitReady waits until Koinon finds a member ready.
func (q *quickstart) awaitReady(ctx context.Context, clusters fleetclient.KubeFedClusterInterface, name string) error {
	var last string
	err := wait.PollUntilContextCancel(ctx, poll, true, func(ctx context.Context) (bool, error) {
		cluster, err := clusters.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		var ready bool
		ready, last = clusterReady(cluster)
		return ready, nil
	})
	if err != nil {
		return fmt.Errorf("KubeFedCluster %s did not become ready within %s: %s%s", name, joinTimeout, cmp.Or(last, err.Error()), q.logHint())
	}
	return nil
}

// clusterReady tells whether a member is ready, or else what its conditions say.
func clusterReady(cluster *corev1beta1.KubeFedCluster) (bool, string) {
	said := "it has no conditions: no controller looked at it"
	for _, c := range cluster.Status.Conditions {
		if c.Type == corev1beta1.ClusterReady && c.Status == corev1.ConditionTrue {
			return true, ""
		}
		if c.Type == corev1beta1.ClusterCredentialsExpiring {
			continue // it says nothing of that
		}
		said = fmt.Sprintf("%s is %s", c.Type, c.Status)
		if c.Message != nil {
			said += ": " + *c.Message
		}
	}
	return false, said
}

// makeAccount makes a ServiceAccount that may do everything, and returns its token. The
// token is one that does not expire, and dies with its Secret.
func makeAccount(ctx context.Context, memberClient kubernetes.Interface) ([]byte, error) {
	core := memberClient.CoreV1()
	meta := metav1.ObjectMeta{Namespace: memberNamespace, Name: accountName}
	_, namespaceErr := core.Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: memberNamespace}}, metav1.CreateOptions{})
	_, accountErr := core.ServiceAccounts(memberNamespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{})
	_, bindingErr := memberClient.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: accountName},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: memberNamespace, Name: accountName}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
	}, metav1.CreateOptions{})
	_, secretErr := core.Secrets(memberNamespace).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: memberNamespace, Name: accountName,
			Annotations: map[string]string{corev1.ServiceAccountNameKey: accountName},
		},
		Type: corev1.SecretTypeServiceAccountToken,
	}, metav1.CreateOptions{})
	for _, err := range []error{namespaceErr, accountErr, bindingErr, secretErr} {
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return nil, err
		}
	}
	var token []byte
	err := wait.PollUntilContextCancel(ctx, poll, true, func(ctx context.Context) (bool, error) {
		secret, err := core.Secrets(memberNamespace).Get(ctx, accountName, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		token = secret.Data[corev1.ServiceAccountTokenKey]
		return len(token) > 0, nil
	})
	if err != nil {
		return nil, fmt.Errorf("wait for the token: %w", err)
	}
	return token, nil
}

// bindAdministrators lets those who administer Koinon do everything in the member: through Koinon
// they come as themselves, and the member decides.
func bindAdministrators(ctx context.Context, memberClient kubernetes.Interface) error {
	_, err := memberClient.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: administratorsName},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: pki.AdministratorsGroup}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
	}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func tokenKubeconfig(m *member.Cluster, ca, token []byte) ([]byte, error) {
	if len(ca) == 0 {
		return nil, errors.New("the kubeconfig of " + m.Name + " has no authority")
	}
	c := clientcmdapi.NewConfig()
	c.Clusters[m.Name] = &clientcmdapi.Cluster{Server: m.Server(), CertificateAuthorityData: ca}
	c.AuthInfos[accountName] = &clientcmdapi.AuthInfo{Token: string(token)}
	c.Contexts[m.Name] = &clientcmdapi.Context{Cluster: m.Name, AuthInfo: accountName}
	c.CurrentContext = m.Name
	external, err := clientcmd.Write(*c)
	if err != nil {
		return nil, fmt.Errorf("encode the kubeconfig for %s: %w", m.Name, err)
	}
	return external, nil
}

// keepSecret writes the credentials of a member, if they are not there as they should be.
func keepSecret(ctx context.Context, hostClient kubernetes.Interface, name string, access []byte) error {
	secrets := hostClient.CoreV1().Secrets(corev1beta1.DefaultNamespace)
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{corev1beta1.CredentialsForAnnotation: name}},
		Data:       map[string][]byte{corev1beta1.KubeconfigKey: access},
	}
	old, err := secrets.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err := secrets.Create(ctx, secret, metav1.CreateOptions{})
		return err
	}
	if err != nil || bytes.Equal(old.Data[corev1beta1.KubeconfigKey], access) && maps.Equal(old.Annotations, secret.Annotations) {
		return err
	}
	old.Annotations, old.Data = secret.Annotations, secret.Data
	_, err = secrets.Update(ctx, old, metav1.UpdateOptions{})
	return err
}
