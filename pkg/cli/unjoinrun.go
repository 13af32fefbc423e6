package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/federation/rights"
	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// unjoining is one run of an unjoin.
type unjoining struct {
	*unjoinOptions
	steps  *steps
	koinon *koinonClients
	// member is the member itself, or as Koinon's proxy shows it; nil if it is not asked.
	member *memberClients
	names  joinNames

	joiner
	types []v1beta1.FederatedTypeConfig
	// have is the KubeFedCluster; nil if there is none any more.
	have *v1beta1.KubeFedCluster
	// held is that the KubeFedCluster is not gone: Koinon uses its credential until it is.
	held bool
	// left are the Secrets of an unjoin that ended before they were deleted.
	left []string
	// clusters are all KubeFedClusters.
	clusters []v1beta1.KubeFedCluster
	// sharing are other KubeFedClusters of the same cluster: they need the account.
	sharing []string
	// identified: it was looked which cluster the member is, so that sharing is known although there is no KubeFedCluster.
	identified bool
	objects    []typeObjects
	// notLooked is why the member was not looked at; empty if it was.
	notLooked string
	// stays are what should have gone, each with the command that deletes it.
	stays []remainder
}

// remainder is something that stays in the member or in Koinon, and the command that deletes it; empty if nobody should before he has looked.
type remainder struct{ what, command string }

func (o *unjoinOptions) run(ctx context.Context) (err error) {
	u := &unjoining{unjoinOptions: o, steps: newSteps(o.ErrOut, o.now), names: joinNames{o.AccountNamespace, o.Account}}
	if u.koinon, err = o.source.newKoinonClients(); err != nil {
		return err
	}
	if err := u.lookAtKoinon(ctx); err != nil {
		return err
	}
	if err := u.checkUnits(ctx); err != nil {
		return err
	}
	if u.have != nil || u.from != nil { // else there is no way to the member any more
		if err := u.lookAtMember(ctx); err != nil {
			return err
		}
		if err := u.checkObjects(); err != nil {
			return err
		}
	}
	if err := u.forget(ctx); err != nil {
		return err
	}
	u.cleanMember(ctx)
	return u.report()
}

// lookAtKoinon reads the KubeFedCluster.
func (u *unjoining) lookAtKoinon(ctx context.Context) error {
	clusters, err := u.koinon.kubefed.KubeFedClusters(u.System).List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("the server at %s does not serve %s: it is not Koinon's; choose its context with --context", u.source.server, v1beta1.SchemeGroupVersion)
	}
	if err != nil {
		return fmt.Errorf("list the KubeFedClusters: %s", sentence(err))
	}
	u.clusters = clusters.Items
	types, err := u.koinon.kubefed.FederatedTypeConfigs(u.System).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the federated types of Koinon: %s", sentence(err))
	}
	u.types = types.Items
	if u.joiner, _ = u.koinon.joiner(ctx, u.System); u.federation == "" {
		u.steps.warn("it is not known which federation this is, so that objects of others are counted, and what a join of a named one made stays: %s", u.unread)
	}
	if i := slices.IndexFunc(clusters.Items, func(c v1beta1.KubeFedCluster) bool { return c.Name == u.name }); i >= 0 {
		u.have = &clusters.Items[i]
		u.sharing = otherNames(clusters.Items, u.have)
	}
	if u.have == nil {
		if u.left, err = u.secretsLeft(ctx); err != nil {
			return err
		}
	}
	switch {
	case u.have == nil && u.from == nil && len(u.left) == 0:
		return fmt.Errorf("there is no KubeFedCluster %q in namespace %q", u.name, u.System)
	case u.have == nil: // an earlier unjoin may have been interrupted
		u.steps.say("kubefedcluster %s in Koinon: is not there", u.name)
	case u.have.Labels[v1alpha1.TopologyLabel] != "":
		return fmt.Errorf("the KubeFedCluster %q stands for a cell or an edge unit, and goes with it", u.name)
	}
	return nil
}

// secretsLeft are the Secrets that say they are the credential of the member, of which there is no KubeFedCluster
// any more.
func (u *unjoining) secretsLeft(ctx context.Context) (names []string, err error) {
	client := u.koinon.metadata.Resource(corev1.SchemeGroupVersion.WithResource("secrets")).Namespace(u.System)
	options := metav1.ListOptions{Limit: pageSize}
	for {
		page, err := client.List(ctx, options)
		if err != nil {
			return nil, fmt.Errorf("there is no KubeFedCluster %q in namespace %q, and it is not known whether its Secret is left there: %s", u.name, u.System, sentence(err))
		}
		for i := range page.Items {
			if mine, _ := u.usersOf(&page.Items[i]); mine {
				names = append(names, page.Items[i].Name)
			}
		}
		if options.Continue = page.Continue; options.Continue == "" {
			return names, nil
		}
	}
}

// usersOf reports whether a Secret says that it is the credential of the member, and of which others it says so.
func (u *unjoining) usersOf(secret metav1.Object) (mine bool, others []string) {
	for user := range strings.SplitSeq(secret.GetAnnotations()[v1beta1.CredentialsForAnnotation], ",") {
		if user = strings.TrimSpace(user); user == u.name {
			mine = true
		} else if user != "" {
			others = append(others, user)
		}
	}
	return mine, others
}

// checkUnits refuses a member that cells and edge units are in.
func (u *unjoining) checkUnits(ctx context.Context) error {
	names, err := u.unitsIn(ctx)
	problem := ""
	switch {
	case err != nil:
		problem = fmt.Sprintf("it is not known which cells and edge units are in %q: %s", u.name, sentence(err))
	case len(names) > 0:
		problem = fmt.Sprintf("%d cells and edge units are in %q: %s", len(names), u.name, some(names))
	default:
		return nil
	}
	if !u.Force {
		return fmt.Errorf("%s; delete them first, or unjoin it all the same with --force", problem)
	}
	u.steps.warn("%s", problem)
	return nil
}

func (u *unjoining) unitsIn(ctx context.Context) (names []string, err error) {
	cells, err := u.koinon.federation.Cells("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for i := range cells.Items {
		if cell := &cells.Items[i]; cell.Spec.ClusterName == u.name {
			names = append(names, "cell "+cell.Namespace+"/"+cell.Name)
		}
	}
	units, err := u.koinon.edge.EdgeUnits("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for i := range units.Items {
		if unit := &units.Items[i]; unit.Spec.ClusterName == u.name {
			names = append(names, "edge unit "+unit.Namespace+"/"+unit.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// some are the first of many names.
func some(names []string) string {
	said := strings.Join(names[:min(len(names), namesShown)], ", ")
	if more := len(names) - namesShown; more > 0 {
		said += fmt.Sprintf(" and %d more", more)
	}
	return said
}

// lookAtMember makes sure that it is the right cluster, and lists what Koinon made there.
func (u *unjoining) lookAtMember(ctx context.Context) error {
	config, through, err := u.memberConfig()
	if err != nil {
		return err
	}
	if u.member, err = newMemberClients(config); err != nil {
		return err
	}
	version, err := u.member.version(ctx)
	if err != nil {
		u.notLooked, u.member = "the member"+through+" is not reached: "+sentence(err), nil
		return nil
	}
	u.steps.say("member%s: answers, Kubernetes %s", through, version.GitVersion)
	if u.from != nil {
		if err := u.checkIdentity(ctx); err != nil {
			return err
		}
	}
	u.objects = findObjects(ctx, u.member, u.types, u.federation)
	u.notLooked = notListed(u.objects)
	return nil
}

// memberConfig is how the member is reached: as somebody said, or through Koinon.
func (u *unjoining) memberConfig() (config *rest.Config, through string, err error) {
	if u.from != nil {
		config, err = u.from.restConfig()
		return config, " at " + u.from.cluster.Server, err
	}
	config, err = u.source.restConfig(u.source.server + target{kind: cluster, name: u.name}.path())
	if err != nil {
		return nil, "", fmt.Errorf("read the kubeconfig: %w", err)
	}
	config.Timeout = u.source.timeout
	return config, " through Koinon", nil
}

// checkIdentity refuses a context that is of another cluster: what is deleted there would be another's.
func (u *unjoining) checkIdentity(ctx context.Context) error {
	system, err := u.member.core.Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read the namespace %s of the member, whose UID says which cluster it is: %s", metav1.NamespaceSystem, sentence(err))
	}
	if u.have == nil {
		return u.checkLeft(string(system.UID))
	}
	uid := u.have.Annotations[v1beta1.ClusterUIDAnnotation]
	here := &v1beta1.KubeFedCluster{Spec: v1beta1.KubeFedClusterSpec{APIEndpoint: u.from.cluster.Server, Tunnel: u.have.Spec.Tunnel}}
	switch {
	case uid != "" && uid != string(system.UID):
		return fmt.Errorf("the cluster at %s is not %q: its namespace kube-system has the UID %s, and that of %q has %s; --cluster-context names the right one",
			u.from.cluster.Server, u.name, system.UID, u.name, uid)
	case uid == "" && !sameEndpoint(u.have, here):
		return fmt.Errorf("it is not known whether the cluster at %s is %q, which is joined at %s: if it is, say so with kubectl -n %s annotate kubefedcluster %s %s=%s",
			u.from.cluster.Server, u.name, u.have.Spec.APIEndpoint, u.System, u.name, v1beta1.ClusterUIDAnnotation, system.UID)
	}
	return nil
}

// checkLeft finds other KubeFedClusters of the cluster, although there is none of the name: they need the account. Where no Secret is left
// either, nothing says that the cluster was ever joined by that name, and it is refused.
func (u *unjoining) checkLeft(uid string) error {
	here := &v1beta1.KubeFedCluster{
		ObjectMeta: metav1.ObjectMeta{Name: u.name, Annotations: map[string]string{v1beta1.ClusterUIDAnnotation: uid}},
		Spec:       v1beta1.KubeFedClusterSpec{APIEndpoint: u.from.cluster.Server},
	}
	u.sharing, u.identified = otherNames(u.clusters, here), true
	if len(u.left) == 0 && len(u.sharing) > 0 {
		return fmt.Errorf("there is no KubeFedCluster %q, and the cluster at %s is joined as %q", u.name, u.from.cluster.Server, u.sharing[0])
	}
	return nil
}

// mayShare are other KubeFedClusters that may be of the same cluster: all, where nothing says any more which cluster it was.
func (u *unjoining) mayShare() (names []string) {
	if u.have != nil || u.identified {
		return nil // then those that are have been found
	}
	for i := range u.clusters {
		if c := &u.clusters[i]; c.Name != u.name && c.Labels[v1alpha1.TopologyLabel] == "" {
			names = append(names, c.Name)
		}
	}
	return names
}

// checkObjects refuses to leave behind what nobody said shall stay.
func (u *unjoining) checkObjects() error {
	if u.notLooked != "" && !u.Force {
		return fmt.Errorf("%s; so it is not known what Koinon has made there: --force unjoins %q all the same, and leaves that there", u.notLooked, u.name)
	}
	if u.notLooked != "" {
		u.steps.warn("%s", u.notLooked)
	}
	if said, sum := countObjects(u.objects); sum > 0 && !u.KeepObjects {
		return fmt.Errorf("%q has %d objects that Koinon made: %s; take it out of their placements first, or leave them there with --keep-objects", u.name, sum, said)
	}
	return nil
}

// forget deletes the KubeFedCluster, and then its Secret, or those of one that is gone. Both stay together.
func (u *unjoining) forget(ctx context.Context) error {
	secrets := u.left
	if u.have != nil {
		secrets = []string{u.have.Spec.SecretRef.Name}
		if err := u.deleteCluster(ctx); err != nil {
			return err
		}
	}
	for _, name := range secrets {
		if u.held {
			u.stay("secret "+name+" in Koinon, since the KubeFedCluster is not gone", u.secretCommand(name))
			continue
		}
		u.deleteSecret(ctx, name)
	}
	return nil
}

func (u *unjoining) secretCommand(name string) string {
	return fmt.Sprintf("kubectl%s -n %s delete secret %s", u.flags.given(), u.System, name)
}

func (u *unjoining) deleteCluster(ctx context.Context) error {
	clusters := u.koinon.kubefed.KubeFedClusters(u.System)
	err := clusters.Delete(ctx, u.name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(u.have.UID))})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete the KubeFedCluster %q: %s", u.name, sentence(err))
	}
	var held []string
	err = poll(ctx, u.every, u.Timeout, func(ctx context.Context) (bool, error) {
		found, err := clusters.Get(ctx, u.name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && found.UID != u.have.UID {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("look whether the KubeFedCluster %q is gone: %s", u.name, sentence(err))
		}
		held = found.Finalizers
		return false, nil
	})
	if errors.Is(err, errTimeout) {
		u.held = true
		u.stay("kubefedcluster "+u.name+" in Koinon, which the finalizers "+strings.Join(held, ", ")+" hold",
			fmt.Sprintf(`kubectl%s -n %s patch kubefedcluster %s --type merge -p '{"metadata":{"finalizers":null}}'`, u.flags.given(), u.System, u.name))
		return nil
	}
	if err == nil {
		u.steps.say("kubefedcluster %s in Koinon: deleted", u.name)
	}
	return err
}

// deleteSecret deletes the credential, unless it is another's too.
func (u *unjoining) deleteSecret(ctx context.Context, name string) {
	secrets := u.koinon.core.Secrets(u.System)
	command := u.secretCommand(name)
	secret, err := secrets.Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return
	case err != nil:
		u.stay("secret "+name+" in Koinon: "+sentence(err), command)
		return
	}
	ours, others := u.usersOf(secret)
	switch {
	case !ours:
		u.stay("secret "+name+" in Koinon, which does not say that it is the credential of this member", command)
		return
	case len(others) > 0:
		secret.Annotations[v1beta1.CredentialsForAnnotation] = strings.Join(others, ",")
		_, err = secrets.Update(ctx, secret, metav1.UpdateOptions{})
	default:
		err = secrets.Delete(ctx, name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(secret.UID))})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		u.stay("secret "+name+" in Koinon: "+sentence(err), command)
		return
	}
	if len(others) > 0 {
		u.steps.say("secret %s in Koinon: stays, for %s", name, strings.Join(others, ", "))
	} else {
		u.steps.say("secret %s in Koinon: deleted", name)
	}
}

func (u *unjoining) stay(what, command string) { u.stays = append(u.stays, remainder{what, command}) }

// cleanMember deletes what a join made in the member, as far as it is reached.
func (u *unjoining) cleanMember(ctx context.Context) {
	if len(u.sharing) > 0 {
		u.steps.say("account %s/%s in the member: stays, for %s", u.AccountNamespace, u.Account, strings.Join(u.sharing, ", "))
		return
	}
	if u.held || u.from == nil || u.member == nil {
		why := "since that was not reached past Koinon"
		if u.held {
			why = "since the KubeFedCluster is not gone"
		}
		kubectl := "kubectl --context MEMBER"
		if u.from != nil {
			kubectl = u.from.shown
		}
		what := fmt.Sprintf("the account %s/%s in the member and its rights, %s", u.AccountNamespace, u.Account, why)
		if others := u.mayShare(); len(others) > 0 {
			u.stay(what+"; it is not known whether the cluster is joined under another name too, and needs them: compare it with "+some(others), "")
			return
		}
		u.stay(what,
			fmt.Sprintf("%s delete --ignore-not-found clusterrolebinding,clusterrole %s %s && %s -n %s delete --ignore-not-found secret,serviceaccount %s && %s -n %s delete --ignore-not-found rolebinding,role %s",
				kubectl, u.names.role(), u.names.admin(), kubectl, u.AccountNamespace, u.Account, kubectl, u.AccountNamespace, u.names.renewal()))
		return
	}
	rbac, core := u.member.rbac, u.member.core
	for _, name := range []string{u.names.role(), u.names.admin()} {
		remove(ctx, u, rbac.ClusterRoleBindings(), "clusterrolebinding", "", name)
	}
	remove(ctx, u, rbac.ClusterRoles(), "clusterrole", "", u.names.role())
	remove(ctx, u, rbac.RoleBindings(u.AccountNamespace), "rolebinding", u.AccountNamespace, u.names.renewal())
	remove(ctx, u, rbac.Roles(u.AccountNamespace), "role", u.AccountNamespace, u.names.renewal())
	remove(ctx, u, core.Secrets(u.AccountNamespace), "secret", u.AccountNamespace, u.Account)
	remove(ctx, u, core.ServiceAccounts(u.AccountNamespace), "serviceaccount", u.AccountNamespace, u.Account)
	u.cleanNamespace(ctx)
}

// deleter is a client of one kind.
type deleter[T object] interface {
	Get(ctx context.Context, name string, options metav1.GetOptions) (T, error)
	Delete(ctx context.Context, name string, options metav1.DeleteOptions) error
}

// remove deletes an object of the member that a join of this federation made.
func remove[T object](ctx context.Context, u *unjoining, client deleter[T], kind, namespace, name string) {
	what := kind + " " + strings.TrimPrefix(namespace+"/"+name, "/") + " in the member"
	command := u.from.shown + " delete " + kind + " " + name
	if namespace != "" {
		command = u.from.shown + " -n " + namespace + " delete " + kind + " " + name
	}
	have, err := client.Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return
	case err != nil:
		u.stay(what+": "+sentence(err), command)
		return
	case u.notOurs(have) != "":
		u.stay(what+", "+u.notOurs(have), command)
		return
	}
	err = client.Delete(ctx, name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(have.GetUID()))})
	if err != nil && !apierrors.IsNotFound(err) {
		u.stay(what+": "+sentence(err), command)
		return
	}
	u.steps.say("%s: deleted", what)
}

// notOurs says why an object is not known to be made by a join of this federation; empty if it is.
func (u *unjoining) notOurs(have metav1.Object) string {
	switch whose := u.others(have); {
	case !madeByJoin(have) || whose != "" && u.federation != "":
		return "which no join of this federation made"
	case whose != "":
		return "which is " + whose
	}
	return ""
}

// cleanNamespace deletes the account's namespace, if a join made it and nothing else is in it.
func (u *unjoining) cleanNamespace(ctx context.Context) {
	namespace, err := u.member.core.Namespaces().Get(ctx, u.AccountNamespace, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return
	}
	what, command := "namespace "+u.AccountNamespace+" in the member", u.from.shown+" delete namespace "+u.AccountNamespace
	if err != nil {
		u.stay(what+": "+sentence(err), command)
		return
	}
	switch {
	case !madeByJoin(namespace) || u.federation != "" && u.others(namespace) != "":
		u.steps.say("%s: stays, no join of this federation made it", what)
		return
	case u.others(namespace) != "":
		u.stay(what+", "+u.notOurs(namespace), command)
		return
	}
	others, err := contents(ctx, u.member, u.AccountNamespace, map[string]bool{
		"secrets/" + u.Account: true, "serviceaccounts/" + u.Account: true, "rolebindings/" + u.names.renewal(): true, "roles/" + u.names.renewal(): true,
	})
	switch {
	case err != nil:
		u.stay(what+", since it is not known what else is in it: "+err.Error(), command)
	case len(others) > 0:
		u.steps.say("%s: stays, there is more in it: %s", what, some(others))
	default:
		u.deleteNamespace(ctx, namespace, what, command)
	}
}

func (u *unjoining) deleteNamespace(ctx context.Context, namespace *corev1.Namespace, what, command string) {
	uid, version := namespace.UID, namespace.ResourceVersion
	err := u.member.core.Namespaces().Delete(ctx, namespace.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}})
	if err != nil && !apierrors.IsNotFound(err) {
		u.stay(what+": "+sentence(err), command)
		return
	}
	u.steps.say("%s: deleted, nothing else was in it", what)
}

// report says what stays: first what is meant to, then what is not.
func (u *unjoining) report() error {
	fmt.Fprintf(u.Out, "kubefedcluster.%s/%s unjoined\n", v1beta1.GroupName, u.name)
	kubectl := "kubectl --context MEMBER"
	if u.from != nil {
		kubectl = u.from.shown
	}
	list := kubectl + " get " + resourcesOf(u.objects) + " -A -l " + v1beta1.ManagedLabel + "=true"
	switch _, sum := countObjects(u.objects); {
	case sum > 0:
		fmt.Fprintf(u.Out, "\n%d objects stay in the member, with the label %s=true, and nobody changes them any more:\n", sum, v1beta1.ManagedLabel)
		for _, o := range u.objects {
			if o.Count > 0 {
				fmt.Fprintf(u.Out, "  %s\n", o)
			}
		}
		fmt.Fprintf(u.Out, "List them:\n  %s\n", list)
	case u.notLooked != "":
		fmt.Fprintf(u.Out, "\nWhat Koinon made in the member stays there, with the label %s=true. What that is is not known: %s\nList it:\n  %s\n",
			v1beta1.ManagedLabel, u.notLooked, kubectl+" get "+strings.Join(u.allResources(), ",")+" -A -l "+v1beta1.ManagedLabel+"=true")
	}
	if len(u.stays) == 0 {
		return nil
	}
	fmt.Fprintln(u.Out, "\nThis stays, and should have gone:")
	for _, r := range u.stays {
		fmt.Fprintf(u.Out, "  %s\n", r.what)
		if r.command != "" {
			fmt.Fprintf(u.Out, "    %s\n", r.command)
		}
	}
	return &exitError{exitPartial, fmt.Sprintf("%q is unjoined, and something stays: %s", u.name, u.stays[0].what)}
}

func (u *unjoining) allResources() (names []string) {
	for i := range u.types {
		names = append(names, rights.Target(&u.types[i]).String())
	}
	slices.Sort(names)
	return names
}
