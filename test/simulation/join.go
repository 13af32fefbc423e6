package simulation

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// Cluster returns the KubeFedCluster of the member, for the system namespace; see Secret.
func (m *Member) Cluster(labels map[string]string) *v1beta1.KubeFedCluster {
	return &v1beta1.KubeFedCluster{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1beta1.SchemeGroupVersion.String(), Kind: "KubeFedCluster"},
		ObjectMeta: metav1.ObjectMeta{Name: m.name, Namespace: v1beta1.DefaultNamespace, Labels: labels},
		Spec: v1beta1.KubeFedClusterSpec{
			APIEndpoint: m.URL(),
			SecretRef:   v1beta1.LocalSecretReference{Name: m.name},
		},
	}
}

// Secret returns the Secret that the KubeFedCluster names.
func (m *Member) Secret() *corev1.Secret {
	return &corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Name: m.name, Namespace: v1beta1.DefaultNamespace, Annotations: map[string]string{
			v1beta1.CredentialsForAnnotation: m.name, v1beta1.APIEndpointAnnotation: m.URL(),
		}},
		Data: map[string][]byte{v1beta1.TokenKey: []byte(m.token), v1beta1.CAKey: m.CA()},
	}
}
