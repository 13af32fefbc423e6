package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/memberaccess"
)

const (
	// tokenPatience is how long the member may take to fill in a token.
	tokenPatience = 30 * time.Second
	// writeAttempts bounds how often an object is looked at again since somebody else wrote it.
	writeAttempts = 5
)

// joining is one run of a join: what it has found out, and what it is to make.
type joining struct {
	*joinOptions
	steps  *steps
	koinon *koinonClients
	member *memberClients
	names  joinNames

	joiner
	// uid is that of the member's namespace kube-system.
	uid      string
	types    []v1beta1.FederatedTypeConfig
	clusters []v1beta1.KubeFedCluster
	// have is the KubeFedCluster of the name, and haveConfig what it and its Secret say; nil if there is none.
	have       *v1beta1.KubeFedCluster
	haveConfig *rest.Config
	// probed is when the KubeFedCluster had last been found Ready before its connection was changed; zero if it never was.
	probed metav1.Time
	// changed is that the connection was changed.
	changed bool
	// keeps is that the KubeFedCluster leads elsewhere than the context, and stays so.
	keeps    bool
	wanted   *v1beta1.KubeFedCluster
	objects  *accountObjects
	wasAdmin *rbacv1.ClusterRoleBinding
}

func (o *joinOptions) run(ctx context.Context) error {
	j := &joining{joinOptions: o, steps: newSteps(o.ErrOut, o.now), names: joinNames{o.AccountNamespace, o.Account}}
	if err := j.prepare(ctx); err != nil {
		return err
	}
	if o.DryRun == "client" {
		return j.show()
	}
	credential, err := j.makeAccount(ctx)
	if err != nil {
		return j.again(err)
	}
	cluster, err := j.register(ctx, credential)
	if err != nil {
		return j.again(err)
	}
	waitErr := error(nil)
	if o.Wait && cluster.Spec.Tunnel != v1beta1.TunnelAlways {
		cluster, waitErr = j.await(ctx, cluster)
	}
	if err := j.print(cluster); err != nil {
		return err
	}
	if waitErr != nil {
		return &exitError{exitPartial, waitErr.Error()}
	}
	j.next(cluster)
	return nil
}

// again is an error after which what was made stays.
func (j *joining) again(err error) error {
	return fmt.Errorf("%w; what was made so far stays, and the same command goes on from there", err)
}

// prepare looks at both sides, and decides what is to be made. It writes nothing.
func (j *joining) prepare(ctx context.Context) (err error) {
	if j.koinon, err = j.source.newKoinonClients(); err != nil {
		return err
	}
	if err := j.lookAtKoinon(ctx); err != nil {
		return err
	}
	config, err := j.from.restConfig()
	if err != nil {
		return err
	}
	if j.member, err = newMemberClients(config); err != nil {
		return err
	}
	if err := j.lookAtMember(ctx); err != nil {
		return err
	}
	j.keep()
	j.wanted = j.wantedCluster(j.uid)
	if err := sameName(j.have, j.wanted); err != nil {
		return err
	}
	if err := checkPair(j.wanted, nil, j.now()); err != nil {
		return err
	}
	if err := j.checkOthers(); err != nil {
		return err
	}
	if j.CopyCredential {
		return nil
	}
	return j.planAccount(ctx)
}

// lookAtKoinon reads types and KubeFedClusters, and asks for the rights to write.
func (j *joining) lookAtKoinon(ctx context.Context) error {
	types, err := j.koinon.kubefed.FederatedTypeConfigs(j.System).List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("the server at %s does not serve %s: it is not Koinon's; choose its context with --context", j.source.server, v1beta1.SchemeGroupVersion)
	}
	if err != nil {
		return fmt.Errorf("list the federated types of Koinon: %s", sentence(err))
	}
	clusters, err := j.koinon.kubefed.KubeFedClusters(j.System).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the KubeFedClusters: %s", sentence(err))
	}
	j.types, j.clusters = types.Items, clusters.Items
	if i := slices.IndexFunc(j.clusters, func(c v1beta1.KubeFedCluster) bool { return c.Name == j.name }); i >= 0 {
		j.have = &j.clusters[i]
	}
	if j.have != nil {
		secret, err := j.koinon.core.Secrets(j.System).Get(ctx, j.have.Spec.SecretRef.Name, metav1.GetOptions{})
		if err == nil {
			j.haveConfig, _ = memberaccess.Config(j.have, secret, j.now()) // what makes no connection has nothing to keep
		}
	}
	needed := []right{{"get", j.System, schema.GroupResource{Group: v1beta1.GroupName, Resource: "kubefedconfigs"}}}
	for _, resource := range []schema.GroupResource{{Resource: "secrets"}, {Group: v1beta1.GroupName, Resource: "kubefedclusters"}} {
		for _, verb := range []string{"get", "create", "update"} {
			needed = append(needed, right{verb, j.System, resource})
		}
	}
	not, err := missing(ctx, j.koinon.authorization.SelfSubjectAccessReviews(), needed)
	if err != nil {
		return fmt.Errorf("ask Koinon for your rights: %s", sentence(err))
	}
	if len(not) > 0 && j.DryRun == "none" {
		return fmt.Errorf("in Koinon you may not %s: a join needs that", strings.Join(not, ", "))
	}
	if err := j.lookWhoJoins(ctx); err != nil {
		return err
	}
	j.steps.say("Koinon at %s: answers, %d types are federated", j.source.server, len(j.types))
	return nil
}

// lookWhoJoins reads which federation this is: what a join makes says so.
func (j *joining) lookWhoJoins(ctx context.Context) (err error) {
	j.joiner, err = j.koinon.joiner(ctx, j.System)
	switch {
	case err != nil && !apierrors.IsNotFound(err) && j.DryRun == "none":
		return fmt.Errorf("it is not known which federation this is: %s", j.unread)
	case j.federation == "":
		j.steps.warn("it is not known which federation this is: %s", j.unread)
	}
	return nil
}

// lookAtMember asks which cluster it is, and for the rights to make an account.
func (j *joining) lookAtMember(ctx context.Context) error {
	version, err := j.member.version(ctx)
	if err != nil {
		return fmt.Errorf("the member at %s is not reached: %s", j.from.cluster.Server, sentence(err))
	}
	system, err := j.member.core.Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read the namespace %s of the member, whose UID says which cluster it is: %s", metav1.NamespaceSystem, sentence(err))
	}
	j.uid = string(system.UID)
	if !j.CopyCredential && j.DryRun == "none" {
		not, err := missing(ctx, j.member.authorization.SelfSubjectAccessReviews(), j.neededInMember())
		if err != nil {
			return fmt.Errorf("ask the member for your rights: %s", sentence(err))
		}
		if len(not) > 0 {
			return fmt.Errorf("in the member you may not %s: a join needs that", strings.Join(not, ", "))
		}
	}
	j.steps.say("member at %s: answers, Kubernetes %s", j.from.cluster.Server, version.GitVersion)
	return nil
}

func (j *joining) neededInMember() (needed []right) {
	roles := func(resource string) schema.GroupResource {
		return schema.GroupResource{Group: rbacv1.GroupName, Resource: resource}
	}
	for _, verb := range []string{"get", "create"} {
		needed = append(needed,
			right{verb, "", schema.GroupResource{Resource: "namespaces"}},
			right{verb, j.AccountNamespace, schema.GroupResource{Resource: "serviceaccounts"}},
			right{verb, "", roles("clusterroles")}, right{verb, "", roles("clusterrolebindings")})
		if j.lifetime() == 0 {
			needed = append(needed, right{verb, j.AccountNamespace, schema.GroupResource{Resource: "secrets"}})
		} else {
			needed = append(needed, right{verb, j.AccountNamespace, roles("roles")}, right{verb, j.AccountNamespace, roles("rolebindings")})
		}
	}
	if j.lifetime() != 0 {
		needed = append(needed, right{"create", j.AccountNamespace, schema.GroupResource{Resource: "serviceaccounts/token"}})
	}
	return needed
}

// renewed is the token in Koinon, if it is one of the account that ends.
func (j *joining) renewed() (memberaccess.Renewal, bool) {
	if j.haveConfig == nil {
		return memberaccess.Renewal{}, false
	}
	renewal, err := memberaccess.RenewalOf(j.haveConfig)
	return renewal, err == nil && renewal.Namespace == j.AccountNamespace && renewal.Account == j.Account
}

// lifetime is that of the token that Koinon is to have; 0 if it does not end.
func (j *joining) lifetime() time.Duration {
	if j.TokenLifetime != nil {
		return *j.TokenLifetime
	}
	if renewal, ok := j.renewed(); ok {
		return renewal.Lifetime()
	}
	return 0
}

// keep takes from the KubeFedCluster that there is where it leads and how, if nobody said otherwise
// now: what a context is for may be another address than Koinon's.
func (j *joining) keep() {
	if j.have == nil || j.have.Annotations[v1beta1.ClusterUIDAnnotation] != j.uid || j.APIEndpoint != "" || j.Tunnel != "" {
		return
	}
	if j.from.cluster.Server == j.have.Spec.APIEndpoint && j.have.Spec.Tunnel != v1beta1.TunnelAlways {
		return
	}
	j.keeps = true
	j.APIEndpoint, j.Tunnel = j.have.Spec.APIEndpoint, string(j.have.Spec.Tunnel)
	j.from.cluster.ProxyURL = j.have.Spec.ProxyURL
	j.steps.say("KubeFedCluster %s in Koinon: leads to %s, and stays so; --api-endpoint says otherwise", j.name, j.APIEndpoint)
}

// checkOthers refuses a cluster that is joined under another name, or warns.
func (j *joining) checkOthers() error {
	others := otherNames(j.clusters, j.wanted)
	if len(others) == 0 {
		return nil
	}
	const why = "this cluster is joined already, as %s: what is placed under one name would be deleted under the other"
	if !j.AllowDuplicate {
		return fmt.Errorf(why+"; unjoin that first, or join it all the same with --allow-duplicate", strings.Join(others, ", "))
	}
	j.steps.warn(why, strings.Join(others, ", "))
	return nil
}

// planAccount decides on the account's rights, by those that it has.
func (j *joining) planAccount(ctx context.Context) error {
	role, err := j.member.rbac.ClusterRoles().Get(ctx, j.names.role(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		role, err = nil, nil
	}
	if err != nil {
		return fmt.Errorf("read the ClusterRole %q of the member: %s", j.names.role(), sentence(err))
	}
	admin, err := j.member.rbac.ClusterRoleBindings().Get(ctx, j.names.admin(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		admin, err = nil, nil
	}
	if err != nil {
		return fmt.Errorf("read the ClusterRoleBinding %q of the member: %s", j.names.admin(), sentence(err))
	}
	j.wasAdmin = admin
	j.objects = newAccountObjects(j.names, j.federation, j.wantedRules(j.types, admin != nil, role))
	if role != nil && j.others(role) != "" {
		return j.mayChange(fmt.Sprintf("ClusterRole %q", role.Name), role)
	}
	if admin != nil && (j.others(admin) != "" || j.objects.role != nil) { // which is then deleted
		if err := j.mayChange(fmt.Sprintf("ClusterRoleBinding %q", admin.Name), admin); err != nil {
			return err
		}
	}
	if giving := givingRights(j.types); j.objects.role != nil && len(giving) > 0 {
		j.steps.say("note: the account can read %s and not write them: federated objects that give rights take --cluster-admin", strings.Join(giving, ", "))
	}
	return nil
}

// makeAccount makes what is missing in the member, and returns what Koinon gets.
func (j *joining) makeAccount(ctx context.Context) (c memberCredential, err error) {
	if j.CopyCredential {
		return j.from.copied()
	}
	o := j.objects
	if err := j.ensureNamespace(ctx); err != nil {
		return c, err
	}
	account, err := ensure(ctx, j, j.member.core.ServiceAccounts(j.AccountNamespace), o.account, "the member", j.ownAccount)
	if err != nil {
		return c, err
	}
	if err := j.ensureRights(ctx); err != nil {
		return c, err
	}
	token, own, err := j.token(ctx, account)
	if err != nil {
		return c, err
	}
	return j.credential(token, own)
}

// ensureNamespace makes the account's namespace, if there is none.
func (j *joining) ensureNamespace(ctx context.Context) error {
	namespace, err := ensure(ctx, j, j.member.core.Namespaces(), j.objects.namespace, "the member", nil)
	if err == nil && namespace.DeletionTimestamp != nil {
		err = fmt.Errorf("the namespace %s of the member is being deleted: wait until it is gone", namespace.Name)
	}
	return err
}

// ownAccount refuses the account of another federation: what one takes away the other would miss.
func (j *joining) ownAccount(have *corev1.ServiceAccount) (bool, error) {
	if whose := j.others(have); whose != "" {
		return false, fmt.Errorf("the account %s/%s in the member is %s: --account NAME makes another one", have.Namespace, have.Name, whose)
	}
	return false, nil
}

// ensureRights gives the account its rights before it takes away those that it shall not have any more.
func (j *joining) ensureRights(ctx context.Context) error {
	o := j.objects
	if o.role != nil {
		if _, err := ensure(ctx, j, j.member.rbac.ClusterRoles(), o.role, "the member", func(have *rbacv1.ClusterRole) (bool, error) {
			if equality.Semantic.DeepEqual(have.Rules, o.role.Rules) {
				return false, nil
			}
			have.Rules = o.role.Rules
			return true, j.mayChange(fmt.Sprintf("ClusterRole %q", have.Name), have)
		}); err != nil {
			return err
		}
	}
	if _, err := ensure(ctx, j, j.member.rbac.ClusterRoleBindings(), o.binding, "the member", func(have *rbacv1.ClusterRoleBinding) (bool, error) {
		if have.RoleRef != o.binding.RoleRef {
			return false, fmt.Errorf("the ClusterRoleBinding %q of the member is of %q, and cannot be changed: delete it", have.Name, have.RoleRef.Name)
		}
		if equality.Semantic.DeepEqual(have.Subjects, o.binding.Subjects) {
			return false, nil
		}
		have.Subjects = o.binding.Subjects
		return true, j.mayChange(fmt.Sprintf("ClusterRoleBinding %q", have.Name), have)
	}); err != nil {
		return err
	}
	if err := j.ensureRenewal(ctx); err != nil {
		return err
	}
	if j.wasAdmin == nil || o.role == nil {
		return nil
	}
	if err := j.member.rbac.ClusterRoleBindings().Delete(ctx, j.names.admin(), metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(j.wasAdmin.UID))}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete the ClusterRoleBinding %q of the member: %s", j.names.admin(), sentence(err))
	}
	j.steps.say("clusterrolebinding %s in the member: deleted, the account is not cluster-admin any more", j.names.admin())
	return nil
}

// ensureRenewal lets the account make tokens of itself, or takes that away if its token was one that ends, and is none now.
func (j *joining) ensureRenewal(ctx context.Context) error {
	roles, bindings, name := j.member.rbac.Roles(j.AccountNamespace), j.member.rbac.RoleBindings(j.AccountNamespace), j.names.renewal()
	if j.lifetime() == 0 {
		if _, had := j.renewed(); !had {
			return nil
		}
		if err := takeAway(ctx, j, bindings, "rolebinding", name); err != nil {
			return err
		}
		return takeAway(ctx, j, roles, "role", name)
	}
	role, binding := j.objects.renewal, j.objects.renewalBinding
	if _, err := ensure(ctx, j, roles, role, "the member", func(have *rbacv1.Role) (bool, error) {
		if equality.Semantic.DeepEqual(have.Rules, role.Rules) {
			return false, nil
		}
		have.Rules = role.Rules
		return true, j.mayChange(fmt.Sprintf("Role %q", have.Name), have)
	}); err != nil {
		return err
	}
	_, err := ensure(ctx, j, bindings, binding, "the member", func(have *rbacv1.RoleBinding) (bool, error) {
		if have.RoleRef != binding.RoleRef {
			return false, fmt.Errorf("the RoleBinding %q of the member is of %q, and cannot be changed: delete it", have.Name, have.RoleRef.Name)
		}
		if equality.Semantic.DeepEqual(have.Subjects, binding.Subjects) {
			return false, nil
		}
		have.Subjects = binding.Subjects
		return true, j.mayChange(fmt.Sprintf("RoleBinding %q", have.Name), have)
	})
	return err
}

// takeAway deletes what lets the account make tokens.
func takeAway[T object](ctx context.Context, j *joining, client deleter[T], kind, name string) error {
	what := fmt.Sprintf("%s %s/%s in the member", kind, j.AccountNamespace, name)
	have, err := client.Get(ctx, name, metav1.GetOptions{})
	if err == nil {
		if err := j.mayChange(fmt.Sprintf("%s %q", kind, name), have); err != nil {
			return err
		}
		err = client.Delete(ctx, name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(have.GetUID()))})
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete the %s: %s", what, sentence(err))
	}
	j.steps.say("%s: deleted, the token does not end any more", what)
	return nil
}

// token returns one for the account, and the authorities that the member itself says it has.
func (j *joining) token(ctx context.Context, account *corev1.ServiceAccount) (token string, authority []byte, err error) {
	if j.lifetime() != 0 {
		return j.boundToken(ctx, account)
	}
	secrets := j.member.core.Secrets(j.AccountNamespace)
	if _, err := ensure(ctx, j, secrets, j.objects.token, "the member", func(have *corev1.Secret) (bool, error) {
		if have.Type != corev1.SecretTypeServiceAccountToken || have.Annotations[corev1.ServiceAccountNameKey] != j.Account {
			return false, fmt.Errorf("the Secret %s/%s in the member is no token of the account %q: delete it, or choose another --account", have.Namespace, have.Name, j.Account)
		}
		return false, nil
	}); err != nil {
		return "", nil, err
	}
	err = j.poll(ctx, tokenPatience, func(ctx context.Context) (bool, error) {
		secret, err := secrets.Get(ctx, j.Account, metav1.GetOptions{})
		if err != nil {
			return false, fmt.Errorf("read the token of the account: %s", sentence(err))
		}
		token, authority = string(secret.Data[corev1.ServiceAccountTokenKey]), secret.Data[corev1.ServiceAccountRootCAKey]
		return token != "", nil
	})
	if errors.Is(err, errTimeout) {
		err = fmt.Errorf("the member has not filled in the token of the Secret %s/%s within %s: its kube-controller-manager does that", j.AccountNamespace, j.Account, tokenPatience)
	}
	return token, authority, err
}

// keepsToken reports whether the token in Koinon stays: it is one of the account as it is now, with which Koinon reaches the
// member, and is not to be renewed yet.
func (j *joining) keepsToken(account *corev1.ServiceAccount) bool {
	renewal, ok := j.renewed()
	if !ok || j.TokenLifetime != nil || renewal.AccountUID() != account.UID || !j.now().Before(renewal.Due(j.name)) {
		return false
	}
	ready, _ := readiness(&j.have.Status)
	return ready
}

func (j *joining) boundToken(ctx context.Context, account *corev1.ServiceAccount) (token string, authority []byte, err error) {
	if j.keepsToken(account) {
		j.steps.say("token of %s/%s in Koinon: is there, and renewed before it ends", j.AccountNamespace, j.Account)
		return j.haveConfig.BearerToken, j.haveConfig.CAData, nil
	}
	seconds := int64(j.lifetime().Seconds())
	request, err := j.member.core.ServiceAccounts(j.AccountNamespace).CreateToken(ctx, j.Account,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}, metav1.CreateOptions{})
	if err != nil {
		return "", nil, fmt.Errorf("ask the member for a token of the account: %s", sentence(err))
	}
	j.steps.say("token of %s/%s in the member: made, ends at %s, and is renewed before", j.AccountNamespace, j.Account, stamp(request.Status.ExpirationTimestamp))
	roots, err := j.member.core.ConfigMaps(j.AccountNamespace).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
	if err == nil {
		authority = []byte(roots.Data["ca.crt"])
	}
	return request.Status.Token, authority, nil
}

// credential is the token, with the authority by which the member is known at the address that Koinon
// uses. own is what the member says itself.
func (j *joining) credential(token string, own []byte) (c memberCredential, err error) {
	c = memberCredential{token: token, tlsServerName: j.from.cluster.TLSServerName}
	switch {
	case j.kept() != nil:
		c.authority, c.tlsServerName = j.haveConfig.CAData, j.haveConfig.ServerName
	case j.Tunnel == string(v1beta1.TunnelAlways) && len(own) > 0 && j.joinOptions.member.CAFile == "":
		c.authority, c.tlsServerName = own, ""
	default:
		c.authority, err = j.from.authority()
	}
	return c, err
}

// kept is what the KubeFedCluster says of the address that it keeps; nil if that is said anew.
func (j *joining) kept() *rest.Config {
	if !j.keeps || j.joinOptions.member.CAFile != "" {
		return nil
	}
	return j.haveConfig
}

// register makes the Secret, and then the KubeFedCluster, which is looked at once it is there.
func (j *joining) register(ctx context.Context, c memberCredential) (*v1beta1.KubeFedCluster, error) {
	wanted, err := j.wantedSecret(c)
	if err != nil {
		return nil, err
	}
	if err := checkPair(j.wanted, wanted, j.now()); err != nil {
		return nil, err
	}
	if err := j.noteProbe(ctx); err != nil {
		return nil, err
	}
	var before *corev1.Secret // what it held
	secret, err := ensure(ctx, j, j.koinon.core.Secrets(j.System), wanted, "Koinon", func(have *corev1.Secret) (bool, error) {
		before = have.DeepCopy()
		for _, name := range strings.Split(have.Annotations[v1beta1.CredentialsForAnnotation], ",") {
			if strings.TrimSpace(name) == j.name && have.Type == wanted.Type {
				return changeSecret(have, wanted), nil
			}
		}
		return false, fmt.Errorf("there is a Secret %q in Koinon that is not the credential of this member: delete it, or choose another name", have.Name)
	})
	if err != nil {
		return nil, err
	}
	j.changed = before == nil || !equality.Semantic.DeepEqual(before.Data, secret.Data)
	return ensure(ctx, j, j.koinon.kubefed.KubeFedClusters(j.System), j.wanted, "Koinon", func(have *v1beta1.KubeFedCluster) (bool, error) {
		if err := sameName(have, j.wanted); err != nil {
			return false, err
		}
		spec := have.Spec.DeepCopy()
		changed := changeCluster(have, j.wanted)
		if !equality.Semantic.DeepEqual(*spec, have.Spec) { // what was found since the Secret changed is of neither
			j.changed, j.probed = true, readyProbe(&have.Status)
		}
		return changed, nil
	})
}

// noteProbe notes when the member was last found Ready, before anything of its connection is changed.
func (j *joining) noteProbe(ctx context.Context) error {
	have, err := j.koinon.kubefed.KubeFedClusters(j.System).Get(ctx, j.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the KubeFedCluster %q: %s", j.name, sentence(err))
	}
	j.probed = readyProbe(&have.Status)
	return nil
}

// readyProbe is when a member that is Ready was last found so; zero if it is not.
func readyProbe(status *v1beta1.KubeFedClusterStatus) metav1.Time {
	for _, condition := range status.Conditions {
		if condition.Type == v1beta1.ClusterReady && condition.Status == corev1.ConditionTrue {
			return condition.LastProbeTime
		}
	}
	return metav1.Time{}
}

// ofBefore reports whether a status was found before the connection was changed: it then says nothing of the new one.
// No clocks are compared.
func (j *joining) ofBefore(status *v1beta1.KubeFedClusterStatus) bool {
	now := readyProbe(status)
	return j.changed && !j.probed.IsZero() && now.Equal(&j.probed)
}

// await waits until the member is Ready, with what its connection is made of now, and says what is in the way meanwhile.
func (j *joining) await(ctx context.Context, cluster *v1beta1.KubeFedCluster) (*v1beta1.KubeFedCluster, error) {
	said := ""
	err := j.poll(ctx, j.Timeout, func(ctx context.Context) (bool, error) {
		found, err := j.koinon.kubefed.KubeFedClusters(j.System).Get(ctx, j.name, metav1.GetOptions{})
		if err != nil {
			return false, fmt.Errorf("look whether the KubeFedCluster %q is Ready: %s", j.name, sentence(err))
		}
		cluster = found
		ready, problem := readiness(&found.Status)
		if ready && j.ofBefore(&found.Status) {
			ready, problem = false, "it was found Ready before its connection changed, and was not looked at since"
		}
		if problem != "" && problem != said && !ready {
			said = problem
			j.steps.say("KubeFedCluster %s in Koinon: not Ready: %s", j.name, problem)
		}
		return ready, nil
	})
	if errors.Is(err, errTimeout) {
		if said == "" {
			said = "no controller has looked at it"
		}
		err = fmt.Errorf("%q is joined, and not Ready after %s: %s", j.name, j.Timeout, said)
	}
	if err == nil {
		j.steps.say("KubeFedCluster %s in Koinon: Ready", j.name)
	}
	return cluster, err
}

// readiness is whether a member is Ready, and a sentence on why not; empty if nobody said.
func readiness(status *v1beta1.KubeFedClusterStatus) (ready bool, problem string) {
	for _, condition := range status.Conditions {
		switch {
		case condition.Type == v1beta1.ClusterReady && condition.Status == corev1.ConditionTrue:
			return true, ""
		case condition.Type == v1beta1.ClusterCredentialsExpiring: // it says nothing of that
		case condition.Message != nil && (condition.Type == v1beta1.ClusterReady || condition.Status == corev1.ConditionTrue) && problem == "":
			problem = *condition.Message
		}
	}
	return false, problem
}

// errTimeout says that something did not come about in time.
var errTimeout = errors.New("it did not come about in time")

// poll looks until something has come about. It returns errTimeout if it has not.
func (o *joinOptions) poll(ctx context.Context, limit time.Duration, done func(context.Context) (bool, error)) error {
	return poll(ctx, o.every, limit, done)
}

func poll(ctx context.Context, every, limit time.Duration, done func(context.Context) (bool, error)) error {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if ok, err := done(ctx); err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timeout.C:
			return errTimeout
		case <-ticker.C:
		}
	}
}

// object is one that clients make.
type object interface {
	comparable
	metav1.Object
	GetObjectKind() schema.ObjectKind
}

// objects is a client of one kind.
type objects[T object] interface {
	Get(ctx context.Context, name string, options metav1.GetOptions) (T, error)
	Create(ctx context.Context, object T, options metav1.CreateOptions) (T, error)
	Update(ctx context.Context, object T, options metav1.UpdateOptions) (T, error)
}

// ensure makes an object that is not there, and says so. change is given what is there, makes it what
// it should be, and reports whether that was a change; nil if nothing is changed.
func ensure[T object](ctx context.Context, j *joining, client objects[T], wanted T, where string, change func(have T) (bool, error)) (there T, err error) {
	what := strings.ToLower(wanted.GetObjectKind().GroupVersionKind().Kind) + " " + wanted.GetName() + " in " + where
	if namespace := wanted.GetNamespace(); namespace != "" && where == "the member" {
		what = strings.Replace(what, " "+wanted.GetName(), " "+namespace+"/"+wanted.GetName(), 1)
	}
	for range writeAttempts {
		var outcome string
		if there, outcome, err = ensureOnce(ctx, client, wanted, change); err == nil {
			j.steps.say("%s: %s", what, outcome)
			return there, nil
		}
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
			break
		}
	}
	var answered apierrors.APIStatus
	if errors.As(err, &answered) {
		err = fmt.Errorf("%s: %s", what, sentence(err))
	}
	return there, err
}

func ensureOnce[T object](ctx context.Context, client objects[T], wanted T, change func(have T) (bool, error)) (there T, outcome string, err error) {
	there, err = client.Get(ctx, wanted.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		there, err = client.Create(ctx, wanted, metav1.CreateOptions{})
		return there, "made", err
	}
	if err != nil || change == nil {
		return there, "is there", err
	}
	changed, err := change(there)
	if err != nil || !changed {
		return there, "is there", err
	}
	there, err = client.Update(ctx, there, metav1.UpdateOptions{})
	return there, "changed", err
}

// show prints what would be made.
func (j *joining) show() error {
	type part struct {
		where  string
		object any
	}
	var parts []part
	if o := j.objects; o != nil {
		parts = append(parts, part{"in the member", o.namespace}, part{"in the member", o.account})
		if o.role != nil {
			parts = append(parts, part{"in the member", o.role})
		}
		parts = append(parts, part{"in the member", o.binding})
		if j.lifetime() == 0 {
			parts = append(parts, part{"in the member, which fills in the token", o.token})
		} else {
			parts = append(parts, part{"in the member", o.renewal}, part{"in the member", o.renewalBinding})
		}
	}
	credential, err := j.credential("", nil)
	if err != nil {
		return err
	}
	secret, err := j.wantedSecret(credential)
	if err != nil {
		return err
	}
	for key := range secret.Data { // no credential is printed
		if key != v1beta1.CAKey {
			delete(secret.Data, key)
		}
	}
	parts = append(parts, part{"in Koinon, with the credential", secret}, part{"in Koinon", j.wanted})
	for i, p := range parts {
		data, err := marshal(p.object)
		if err != nil {
			return err
		}
		separator := "---\n"
		if i == 0 {
			separator = ""
		}
		if _, err := fmt.Fprintf(j.Out, "%s# %s\n%s", separator, p.where, data); err != nil {
			return err
		}
	}
	return nil
}

// marshal makes YAML of an object, without what is not set.
func marshal(object any) ([]byte, error) {
	data, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("encode an object: %w", err)
	}
	var tree map[string]any
	if err := json.Unmarshal(data, &tree); err != nil {
		return nil, fmt.Errorf("encode an object: %w", err)
	}
	delete(tree, "status")
	if metadata, ok := tree["metadata"].(map[string]any); ok && metadata["creationTimestamp"] == nil {
		delete(metadata, "creationTimestamp")
	}
	if data, err = yaml.Marshal(tree); err != nil {
		return nil, fmt.Errorf("encode an object: %w", err)
	}
	return data, nil
}

// print prints the KubeFedCluster.
func (j *joining) print(cluster *v1beta1.KubeFedCluster) (err error) {
	cluster.TypeMeta = typeMeta(v1beta1.SchemeGroupVersion.String(), "KubeFedCluster")
	name := "kubefedcluster." + v1beta1.GroupName + "/" + cluster.Name
	var data []byte
	switch j.Output {
	case "name":
		data = []byte(name + "\n")
	case "json":
		data, err = json.MarshalIndent(cluster, "", "  ")
		data = append(data, '\n')
	case "yaml":
		data, err = yaml.Marshal(cluster)
	default:
		data = []byte(name + " joined\n")
	}
	if err != nil {
		return fmt.Errorf("encode the KubeFedCluster: %w", err)
	}
	_, err = j.Out.Write(data)
	return err
}

// next says what may be done now.
func (j *joining) next(cluster *v1beta1.KubeFedCluster) {
	commands := []string{}
	if cluster.Spec.Tunnel == v1beta1.TunnelAlways {
		commands = append(commands, "kubectl koinon agent "+j.name+j.flags.givenIn(j.System)+" --image IMAGE --wait | "+j.from.shown+" apply -f -")
	}
	commands = append(commands,
		"kubectl koinon doctor "+j.name+j.flags.givenIn(j.System),
		"kubectl koinon kubeconfig "+j.name+j.flags.given()+" --merge")
	fmt.Fprintln(j.ErrOut, "Next:")
	for _, command := range commands {
		fmt.Fprintf(j.ErrOut, "  %s\n", command)
	}
}
