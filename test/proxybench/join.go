package main

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// administrators of our server, by the name that they have in members.
const administrators = "koinon:administrators"

// joinMember joins the real member as docs/members.md says, and returns the access of somebody who
// has the same rights in it, by RBAC and with a token, as who comes through us.
func (w *world) joinMember(ctx context.Context) (*rest.Config, error) {
	if err := w.bind(ctx, administrators, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: administrators}); err != nil {
		return nil, err
	}
	ours, err := w.account(ctx, "koinon")
	if err != nil {
		return nil, err
	}
	theirs, err := w.account(ctx, "reader")
	if err != nil {
		return nil, err
	}
	authority, err := w.authority()
	if err != nil {
		return nil, err
	}
	err = w.join(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: memberName, Namespace: system, Annotations: map[string]string{
			v1beta1.CredentialsForAnnotation: memberName, v1beta1.APIEndpointAnnotation: w.member.Server(),
		}},
		Data: map[string][]byte{v1beta1.TokenKey: []byte(ours), v1beta1.CAKey: authority},
	}, &v1beta1.KubeFedCluster{
		ObjectMeta: metav1.ObjectMeta{Name: memberName, Namespace: system},
		Spec:       v1beta1.KubeFedClusterSpec{APIEndpoint: w.member.Server(), SecretRef: v1beta1.LocalSecretReference{Name: memberName}},
	})
	return &rest.Config{Host: w.member.Server(), BearerToken: theirs, TLSClientConfig: rest.TLSClientConfig{CAData: authority}, QPS: -1}, err
}

// account makes an account of the member that may do everything there, and returns its token, which
// is good for four hours.
func (w *world) account(ctx context.Context, name string) (token string, err error) {
	const namespace = metav1.NamespaceDefault
	accounts := w.direct.CoreV1().ServiceAccounts(namespace)
	if _, err := accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		return "", fmt.Errorf("make account %s in the member: %w", name, err)
	}
	if err := w.bind(ctx, name, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}); err != nil {
		return "", err
	}
	lasts := int64(4 * 60 * 60)
	request, err := accounts.CreateToken(ctx, name, &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &lasts}}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("make a token of account %s in the member: %w", name, err)
	}
	return request.Status.Token, nil
}

// bind gives somebody all rights in the member.
func (w *world) bind(ctx context.Context, name string, subject rbacv1.Subject) error {
	_, err := w.direct.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Subjects: []rbacv1.Subject{subject},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("give %s rights in the member: %w", name, err)
	}
	return nil
}

// join makes a member of what a Secret and a KubeFedCluster describe.
func (w *world) join(ctx context.Context, secret *corev1.Secret, cluster *v1beta1.KubeFedCluster) error {
	if _, err := w.kube.CoreV1().Secrets(system).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make Secret %s: %w", secret.Name, err)
	}
	if _, err := w.fed.KubeFedCoreV1beta1().KubeFedClusters(system).Create(ctx, cluster, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make KubeFedCluster %s: %w", cluster.Name, err)
	}
	return nil
}
