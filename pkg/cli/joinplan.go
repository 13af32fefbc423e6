package cli

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/koinon-io/koinon/pkg/apis/federation/rights"
	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/validation"
	"github.com/koinon-io/koinon/pkg/memberaccess"
)

// managedByLabel is on what a join makes, with managedBy.
const managedByLabel, managedBy = "app.kubernetes.io/managed-by", "kubectl-koinon"

// joinNames are what objects of a join are called in the member. Those that are in no namespace
// tell accounts apart, and are not called as what runs Koinon is: a host may be its own member.
type joinNames struct{ namespace, account string }

func (n joinNames) role() string  { return "koinon:join:" + n.namespace + ":" + n.account }
func (n joinNames) admin() string { return n.role() + ":cluster-admin" }

// renewal is the Role, in the account's namespace, by which it makes tokens of itself.
func (n joinNames) renewal() string { return n.role() + ":token" }

// accountObjects are what a join makes in a member.
type accountObjects struct {
	namespace *corev1.Namespace
	account   *corev1.ServiceAccount
	// role is nil, and binding is of cluster-admin, if the account may do everything.
	role    *rbacv1.ClusterRole
	binding *rbacv1.ClusterRoleBinding
	token   *corev1.Secret
	// renewal lets the account make tokens of itself, if its token ends.
	renewal        *rbacv1.Role
	renewalBinding *rbacv1.RoleBinding
}

// newAccountObjects makes them. federation is empty if it is not known what it is called. roleRules is nil for cluster-admin.
func newAccountObjects(n joinNames, federation string, roleRules []rbacv1.PolicyRule) *accountObjects {
	meta := func(namespace, name string) metav1.ObjectMeta {
		m := metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{managedByLabel: managedBy}}
		if federation != "" {
			m.Annotations = map[string]string{v1beta1.JoinedByAnnotation: federation}
		}
		return m
	}
	objects := &accountObjects{
		namespace: &corev1.Namespace{TypeMeta: typeMeta("v1", "Namespace"), ObjectMeta: meta("", n.namespace)},
		account:   &corev1.ServiceAccount{TypeMeta: typeMeta("v1", "ServiceAccount"), ObjectMeta: meta(n.namespace, n.account)},
		token: &corev1.Secret{
			TypeMeta: typeMeta("v1", "Secret"), ObjectMeta: meta(n.namespace, n.account), Type: corev1.SecretTypeServiceAccountToken,
		},
	}
	metav1.SetMetaDataAnnotation(&objects.token.ObjectMeta, corev1.ServiceAccountNameKey, n.account)
	subjects := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: n.namespace, Name: n.account}}
	objects.renewal = &rbacv1.Role{
		TypeMeta: typeMeta(rbacv1.SchemeGroupVersion.String(), "Role"), ObjectMeta: meta(n.namespace, n.renewal()), Rules: rights.Renewal(n.account),
	}
	objects.renewalBinding = &rbacv1.RoleBinding{
		TypeMeta: typeMeta(rbacv1.SchemeGroupVersion.String(), "RoleBinding"), ObjectMeta: meta(n.namespace, n.renewal()),
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: n.renewal()}, Subjects: subjects,
	}
	binding, role := n.admin(), "cluster-admin"
	if roleRules != nil {
		binding, role = n.role(), n.role()
		objects.role = &rbacv1.ClusterRole{TypeMeta: typeMeta(rbacv1.SchemeGroupVersion.String(), "ClusterRole"), ObjectMeta: meta("", role), Rules: roleRules}
	}
	objects.binding = &rbacv1.ClusterRoleBinding{
		TypeMeta: typeMeta(rbacv1.SchemeGroupVersion.String(), "ClusterRoleBinding"), ObjectMeta: meta("", binding),
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects: subjects,
	}
	return objects
}

func typeMeta(apiVersion, kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: apiVersion, Kind: kind}
}

// wantedRules are the rules of the account's role; nil if it is to be cluster-admin. What nobody
// said stays as it is: hasAdmin and has are what there is.
func (o *joinOptions) wantedRules(types []v1beta1.FederatedTypeConfig, hasAdmin bool, has *rbacv1.ClusterRole) []rbacv1.PolicyRule {
	admin := hasAdmin
	if o.ClusterAdmin != nil {
		admin = *o.ClusterAdmin
	}
	if admin {
		return nil
	}
	proxy := has != nil && impersonates(has.Rules)
	if o.Proxy != nil {
		proxy = *o.Proxy
	}
	return rights.Rules(types, proxy)
}

func impersonates(rules []rbacv1.PolicyRule) bool {
	return slices.ContainsFunc(rights.Impersonation(), func(wanted rbacv1.PolicyRule) bool {
		return slices.ContainsFunc(rules, func(has rbacv1.PolicyRule) bool { return equality.Semantic.DeepEqual(has, wanted) })
	})
}

// givingRights are the types that the account can only read, since its rights are computed.
func givingRights(types []v1beta1.FederatedTypeConfig) (names []string) {
	for i := range types {
		if rights.Enabled(&types[i]) && rights.GivesRights(&types[i]) {
			names = append(names, rights.Target(&types[i]).String())
		}
	}
	return names
}

// checkCopied refuses what cannot be given to Koinon, before anything is made.
func (s *memberSource) checkCopied(credential bool) error {
	switch {
	case s.cluster.InsecureSkipTLSVerify:
		return errors.New("the member's context has insecure-skip-tls-verify: no token is sent to a server that was not checked; --ca-file names the authority of its certificate")
	case credential && (s.user.Exec != nil || s.user.AuthProvider != nil):
		return errors.New("--copy-credential: the user of the member's context runs a program (exec or auth-provider), which Koinon does not: leave --copy-credential out, so that an account is made in the member")
	case credential && s.user.Token == "" && s.user.TokenFile == "" && len(s.user.ClientCertificateData) == 0 && s.user.ClientCertificate == "":
		return errors.New("--copy-credential: the user of the member's context has neither a token nor a certificate: leave --copy-credential out, so that an account is made in the member")
	}
	if proxy, err := url.Parse(s.cluster.ProxyURL); err != nil || proxy.User != nil {
		return errors.New("the proxy-url of the member's context has a user in it, which everybody could read in spec.proxyURL: use a context with a proxy that needs none, or without a proxy")
	}
	return nil
}

// memberCredential is what goes into the Secret in Koinon.
type memberCredential struct {
	// token is a bearer token, or user one that has a certificate.
	token string
	user  *clientcmdapi.AuthInfo
	// authority is in PEM; nil for the system's.
	authority     []byte
	tlsServerName string
}

// copied is the credential of the context's user.
func (s *memberSource) copied() (memberCredential, error) {
	authority, err := s.authority()
	c := memberCredential{token: s.user.Token, authority: authority, tlsServerName: s.cluster.TLSServerName}
	if err != nil {
		return c, err
	}
	if s.user.TokenFile != "" {
		token, err := os.ReadFile(s.user.TokenFile)
		if err != nil {
			return c, fmt.Errorf("read the token of the member's user: %w", err)
		}
		c.token = strings.TrimSpace(string(token))
	}
	if c.token != "" {
		return c, nil
	}
	config := clientcmdapi.NewConfig()
	config.AuthInfos["member"] = s.user.DeepCopy()
	if err := clientcmdapi.FlattenConfig(config); err != nil {
		return c, fmt.Errorf("read the certificate of the member's user: %w", err)
	}
	flat := config.AuthInfos["member"]
	c.user = &clientcmdapi.AuthInfo{ClientCertificateData: flat.ClientCertificateData, ClientKeyData: flat.ClientKeyData}
	return c, nil
}

// data is how the Secret holds it: as a token, or as a kubeconfig if a token cannot say all.
func (c memberCredential) data(endpoint string) (map[string][]byte, error) {
	if c.user == nil && c.tlsServerName == "" {
		data := map[string][]byte{v1beta1.TokenKey: []byte(c.token)}
		if len(c.authority) > 0 {
			data[v1beta1.CAKey] = c.authority
		}
		return data, nil
	}
	user := c.user
	if user == nil {
		user = &clientcmdapi.AuthInfo{Token: c.token}
	}
	config := clientcmdapi.NewConfig()
	const name = "member"
	config.Clusters[name] = &clientcmdapi.Cluster{Server: endpoint, CertificateAuthorityData: c.authority, TLSServerName: c.tlsServerName}
	config.AuthInfos[name] = user
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	kubeconfig, err := clientcmd.Write(*config)
	if err != nil {
		return nil, fmt.Errorf("encode the kubeconfig: %w", err)
	}
	return map[string][]byte{v1beta1.KubeconfigKey: kubeconfig}, nil
}

// endpoint is where Koinon finds the member.
func (o *joinOptions) endpoint() string {
	if o.Tunnel == string(v1beta1.TunnelAlways) {
		return cmp.Or(o.APIEndpoint, tunnelEndpoint)
	}
	return cmp.Or(o.APIEndpoint, o.from.cluster.Server)
}

// wantedSecret is the Secret in Koinon.
func (o *joinOptions) wantedSecret(c memberCredential) (*corev1.Secret, error) {
	data, err := c.data(o.endpoint())
	if err != nil {
		return nil, err
	}
	secret := &corev1.Secret{
		TypeMeta: typeMeta("v1", "Secret"),
		ObjectMeta: metav1.ObjectMeta{
			Namespace: o.System, Name: o.name, Labels: map[string]string{managedByLabel: managedBy},
			Annotations: map[string]string{v1beta1.CredentialsForAnnotation: o.name},
		},
		Type: corev1.SecretTypeOpaque, Data: data,
	}
	if _, bare := data[v1beta1.TokenKey]; bare {
		secret.Annotations[v1beta1.APIEndpointAnnotation] = o.endpoint()
	}
	return secret, nil
}

// wantedCluster is the KubeFedCluster. uid is that of the member's namespace kube-system.
func (o *joinOptions) wantedCluster(uid string) *v1beta1.KubeFedCluster {
	cluster := &v1beta1.KubeFedCluster{
		TypeMeta: typeMeta(v1beta1.SchemeGroupVersion.String(), "KubeFedCluster"),
		ObjectMeta: metav1.ObjectMeta{
			Namespace: o.System, Name: o.name, Labels: o.labels, Annotations: map[string]string{v1beta1.ClusterUIDAnnotation: uid},
		},
		Spec: v1beta1.KubeFedClusterSpec{
			APIEndpoint: o.endpoint(), SecretRef: v1beta1.LocalSecretReference{Name: o.name}, Tunnel: v1beta1.TunnelUse(o.Tunnel),
		},
	}
	if cluster.Spec.Tunnel != v1beta1.TunnelAlways {
		cluster.Spec.ProxyURL = o.from.cluster.ProxyURL
	}
	return cluster
}

// check says before anything is written what the API, and who uses both objects, would say of them.
func checkPair(cluster *v1beta1.KubeFedCluster, secret *corev1.Secret, now time.Time) error {
	if err := validation.KubeFedCluster(cluster).ToAggregate(); err != nil {
		return fmt.Errorf("the KubeFedCluster %q would be refused: %w", cluster.Name, err)
	}
	if secret == nil {
		return nil
	}
	if _, err := memberaccess.Config(cluster, secret, now); err != nil {
		return fmt.Errorf("the KubeFedCluster %q would not be connected to: %w", cluster.Name, err)
	}
	return nil
}

// changeCluster makes an existing one what it should be, and reports whether that was a change. What
// nobody said, such as labels that others set and a tunnel, stays.
func changeCluster(have, wanted *v1beta1.KubeFedCluster) bool {
	before := have.DeepCopy()
	for key, value := range wanted.Labels {
		metav1.SetMetaDataLabel(&have.ObjectMeta, key, value)
	}
	metav1.SetMetaDataAnnotation(&have.ObjectMeta, v1beta1.ClusterUIDAnnotation, wanted.Annotations[v1beta1.ClusterUIDAnnotation])
	have.Spec.APIEndpoint, have.Spec.SecretRef, have.Spec.ProxyURL = wanted.Spec.APIEndpoint, wanted.Spec.SecretRef, wanted.Spec.ProxyURL
	have.Spec.CABundle, have.Spec.DisabledTLSValidations = nil, nil // the Secret says it
	have.Spec.Tunnel = cmp.Or(wanted.Spec.Tunnel, have.Spec.Tunnel)
	return !equality.Semantic.DeepEqual(before, have)
}

// changeSecret is the same of a Secret.
func changeSecret(have, wanted *corev1.Secret) bool {
	before := have.DeepCopy()
	for key, value := range wanted.Annotations {
		if key == v1beta1.CredentialsForAnnotation && slices.Contains(strings.Split(have.Annotations[key], ","), value) {
			continue // it is for others, too
		}
		metav1.SetMetaDataAnnotation(&have.ObjectMeta, key, value)
	}
	have.Data = maps.Clone(wanted.Data)
	return !equality.Semantic.DeepEqual(before, have)
}

// sameName says why a KubeFedCluster of the name is not the cluster that is joined; nil if it may be.
func sameName(have, wanted *v1beta1.KubeFedCluster) error {
	if have == nil {
		return nil
	}
	uid, wantedUID := have.Annotations[v1beta1.ClusterUIDAnnotation], wanted.Annotations[v1beta1.ClusterUIDAnnotation]
	switch {
	case have.DeletionTimestamp != nil:
		return fmt.Errorf("the KubeFedCluster %q is being deleted: join when it is gone", have.Name)
	case uid != "" && uid != wantedUID:
		return fmt.Errorf("%q is joined already, and is another cluster: its namespace kube-system has the UID %s, and that of this one %s; choose another name, or unjoin it first", have.Name, uid, wantedUID)
	case uid == "" && !sameEndpoint(have, wanted):
		return fmt.Errorf("%q is joined already, at %s, and it is not known whether that is this cluster: if it is, say so with kubectl -n %s annotate kubefedcluster %s %s=%s",
			have.Name, have.Spec.APIEndpoint, have.Namespace, have.Name, v1beta1.ClusterUIDAnnotation, wantedUID)
	}
	return nil
}

func sameEndpoint(a, b *v1beta1.KubeFedCluster) bool {
	bare := func(endpoint string) string {
		return strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(strings.ToLower(endpoint), "https://"), "/"), ":443")
	}
	return bare(a.Spec.APIEndpoint) == bare(b.Spec.APIEndpoint) && a.Spec.Tunnel == b.Spec.Tunnel
}

// otherNames are the KubeFedClusters of other names that are of the same cluster: by its UID, or,
// where nobody wrote that down, by its address.
func otherNames(all []v1beta1.KubeFedCluster, wanted *v1beta1.KubeFedCluster) (names []string) {
	for i := range all {
		other := &all[i]
		if other.Name == wanted.Name || other.Labels[v1alpha1.TopologyLabel] != "" {
			continue
		}
		uid := other.Annotations[v1beta1.ClusterUIDAnnotation]
		byAddress := uid == "" && wanted.Spec.Tunnel != v1beta1.TunnelAlways && sameEndpoint(other, wanted)
		if byAddress || uid != "" && uid == wanted.Annotations[v1beta1.ClusterUIDAnnotation] {
			names = append(names, other.Name)
		}
	}
	slices.Sort(names)
	return names
}
