package cellaccess

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"

	"github.com/koinon-io/koinon/pkg/apis/federation/accounts"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// labelsOf is how what was made for a cell is known.
func labelsOf(name cellName) map[string]string {
	return map[string]string{
		federationv1alpha1.AccountLabel:           v1beta2.TopologyCell,
		federationv1alpha1.TopologyNamespaceLabel: name.Namespace,
		federationv1alpha1.TopologyNameLabel:      name.Name,
	}
}

// isOf reports whether an object was made for a cell.
func isOf(object metav1.Object, name cellName) bool {
	for key, value := range labelsOf(name) {
		if object.GetLabels()[key] != value {
			return false
		}
	}
	return true
}

// errInTheWay says that something has a name that we need, and is not ours.
type errInTheWay struct{ what string }

func (e errInTheWay) Error() string {
	return e.what + " is in the way: it was not made for this cell; somebody has to delete it"
}

// errShortLived says that tokens were of no use soon after they were made.
type errShortLived struct{ next time.Time }

func (e errShortLived) Error() string {
	return fmt.Sprintf("the last ones were revoked, changed or expired soon after they were made, as where the clocks of host and federation differ, or somebody else writes the Secrets: another is made at %s", e.next.UTC().Format(time.RFC3339))
}

// ensureHost makes what is missing in the host, and returns which Secret is to be named and when to
// look again.
func (k *Keeper) ensureHost(ctx context.Context, a *account) (again time.Time, err error) {
	serviceAccount, err := k.ensureServiceAccount(ctx, a)
	if err != nil {
		return again, err
	}
	names, now := accounts.SecretNames(a.cell.Namespace, a.cell.Name), time.Now()
	var both [2]credential
	for i, name := range names {
		secret, err := k.secret(a, name)
		if err != nil {
			return again, err
		}
		both[i] = credentialOf(secret, serviceAccount, now)
	}
	named := slices.Index(names[:], a.secret)
	p := decide(both, named, now)
	if next := a.pace.next(); p.replace && now.Before(next) {
		if named < 0 || !both[named].good {
			return next, errShortLived{next}
		}
		p = plan{use: named, again: next}
	}
	if p.replace || k.checks(a, now) {
		if err := k.ensureRole(ctx, a.cell); err != nil {
			return again, err
		}
	}
	if p.replace {
		if err := k.makeSecret(ctx, a, names[p.use], both[p.use].secret); err != nil {
			return again, err
		}
		a.pace.made(time.Now())
		p.again = time.Time{} // the event of what was made has it looked at
	} else if err := k.correctSecret(ctx, a, both[p.use].secret); err != nil {
		return again, err
	}
	a.secret = names[p.use]
	if other := both[1-p.use].secret; p.drop && other != nil {
		if err := k.deleteSecret(ctx, a, other); err != nil {
			return again, err
		}
	}
	return p.again, nil
}

// ensureServiceAccount returns the UID of the account.
func (k *Keeper) ensureServiceAccount(ctx context.Context, a *account) (types.UID, error) {
	name := accounts.Name(a.cell.Namespace, a.cell.Name)
	have, err := k.ServiceAccounts.Get(name)
	if apierrors.IsNotFound(err) {
		client := k.Client.CoreV1().ServiceAccounts(k.SystemNamespace)
		mounted := false
		have, err = client.Create(ctx, &corev1.ServiceAccount{
			ObjectMeta:                   metav1.ObjectMeta{Name: name, Labels: labelsOf(a.cell.cellName)},
			AutomountServiceAccountToken: &mounted,
		}, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) { // the cache is behind
			have, err = client.Get(ctx, name, metav1.GetOptions{})
		}
	}
	if err != nil {
		return "", fmt.Errorf("make the service account %q: %w", name, err)
	}
	if !isOf(have, a.cell.cellName) {
		return "", errInTheWay{fmt.Sprintf("service account %q of namespace %q", name, k.SystemNamespace)}
	}
	if have.DeletionTimestamp != nil {
		return "", fmt.Errorf("the service account %q is being deleted", name) // its tokens are good no more
	}
	return have.UID, nil
}

// ensureRole lets the account use the endpoint of its cell.
func (k *Keeper) ensureRole(ctx context.Context, cell Cell) error {
	meta := metav1.ObjectMeta{Name: accounts.RoleName(cell.Name), Namespace: cell.Namespace, Labels: labelsOf(cell.cellName)}
	role := &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{federationv1alpha1.SchemeGroupVersion.Group}, Resources: []string{"cells/proxy"}, ResourceNames: []string{cell.Name},
		Verbs: []string{"get", "create", "update", "patch", "delete"},
	}}}
	binding := &rbacv1.RoleBinding{ObjectMeta: meta,
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: k.SystemNamespace, Name: accounts.Name(cell.Namespace, cell.Name)}},
	}
	roles, bindings := k.Client.RbacV1().Roles(cell.Namespace), k.Client.RbacV1().RoleBindings(cell.Namespace)
	err := ensure(ctx, roles, role, cell.cellName, func(have *rbacv1.Role) (same, fixed bool) {
		return equality.Semantic.DeepEqual(have.Rules, role.Rules), false
	})
	if err != nil {
		return fmt.Errorf("role %q of namespace %q: %w", role.Name, cell.Namespace, err)
	}
	err = ensure(ctx, bindings, binding, cell.cellName, func(have *rbacv1.RoleBinding) (same, fixed bool) {
		return have.RoleRef == binding.RoleRef && equality.Semantic.DeepEqual(have.Subjects, binding.Subjects), have.RoleRef != binding.RoleRef
	})
	if err != nil {
		return fmt.Errorf("role binding %q of namespace %q: %w", binding.Name, cell.Namespace, err)
	}
	return nil
}

// objects are a client of one kind.
type objects[T metav1.Object] interface {
	Get(ctx context.Context, name string, options metav1.GetOptions) (T, error)
	Create(ctx context.Context, object T, options metav1.CreateOptions) (T, error)
	Update(ctx context.Context, object T, options metav1.UpdateOptions) (T, error)
	Delete(ctx context.Context, name string, options metav1.DeleteOptions) error
}

// ensure makes an object as it is wanted. compare says whether what is there is the same and, if not,
// whether it cannot be changed.
func ensure[T metav1.Object](ctx context.Context, client objects[T], wanted T, of cellName, compare func(have T) (same, fixed bool)) error {
	have, err := client.Get(ctx, wanted.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = client.Create(ctx, wanted, metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	if !isOf(have, of) {
		return errInTheWay{"another object of that name"}
	}
	same, fixed := compare(have)
	switch {
	case same:
		return nil
	case fixed:
		if err := client.Delete(ctx, have.GetName(), theOne(have)); err != nil {
			return err
		}
		_, err = client.Create(ctx, wanted, metav1.CreateOptions{})
		return err
	}
	wanted.SetResourceVersion(have.GetResourceVersion())
	_, err = client.Update(ctx, wanted, metav1.UpdateOptions{})
	return err
}

// theOne deletes an object only if it is still the same.
func theOne(object metav1.Object) metav1.DeleteOptions {
	uid := object.GetUID()
	return metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}
}

// remove deletes an object that was made for a cell, if it is there.
func remove[T metav1.Object](ctx context.Context, client objects[T], name string, of cellName) error {
	have, err := client.Get(ctx, name, metav1.GetOptions{})
	if err == nil && isOf(have, of) {
		err = client.Delete(ctx, name, theOne(have))
	}
	return utilerrors.FilterOut(err, apierrors.IsNotFound)
}

// secretOf is the Secret of a cell without its token.
func (k *Keeper) secretOf(cell Cell, name string) *corev1.Secret {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: labelsOf(cell.cellName),
			Annotations: map[string]string{
				v1beta1.CredentialsForAnnotation: topology.ClusterName(v1beta2.TopologyCell, cell.Namespace, cell.Name),
				v1beta1.APIEndpointAnnotation:    k.endpoint(cell.cellName),
			},
		},
		Type: corev1.SecretTypeOpaque,
		Data: map[string][]byte{},
	}
	if authority := k.authority.PEM(); len(authority) > 0 {
		secret.Data[v1beta1.CAKey] = authority
	}
	return secret
}

// makeSecret makes a Secret with a token that is bound to it. old has its name already; nil if
// there is none.
func (k *Keeper) makeSecret(ctx context.Context, a *account, name string, old *corev1.Secret) error {
	if old != nil {
		if err := k.deleteSecret(ctx, a, old); err != nil {
			return err
		}
	}
	client := k.Client.CoreV1().Secrets(k.SystemNamespace)
	secret, err := client.Create(ctx, k.secretOf(a.cell, name), metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) { // the cache is behind, or it is somebody else's
		if secret, err = client.Get(ctx, name, metav1.GetOptions{}); err == nil && !isOf(secret, a.cell.cellName) {
			return errInTheWay{fmt.Sprintf("Secret %q of namespace %q", name, k.SystemNamespace)}
		}
	}
	if err != nil {
		return fmt.Errorf("make the Secret %q: %w", name, err)
	}
	seconds := int64(lifetime / time.Second)
	account := accounts.Name(a.cell.Namespace, a.cell.Name)
	request, err := k.Client.CoreV1().ServiceAccounts(k.SystemNamespace).CreateToken(ctx, account, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{
			ExpirationSeconds: &seconds,
			BoundObjectRef:    &authenticationv1.BoundObjectReference{Kind: "Secret", APIVersion: "v1", Name: name, UID: secret.UID},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("request a token of the service account %q: %w", account, err)
	}
	if _, ok := accounts.ReadClaims(request.Status.Token); !ok {
		return errors.New("the host gives tokens of service accounts that do not say when they expire")
	}
	complete := k.secretOf(a.cell, name)
	complete.ResourceVersion, complete.UID = secret.ResourceVersion, secret.UID
	complete.Data[v1beta1.TokenKey] = []byte(request.Status.Token)
	if secret, err = client.Update(ctx, complete, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("write the token into the Secret %q: %w", name, err)
	}
	a.wrote(name, secret)
	return nil
}

// correctSecret writes what else is in a Secret, if it is something else.
func (k *Keeper) correctSecret(ctx context.Context, a *account, have *corev1.Secret) error {
	wanted := k.secretOf(a.cell, have.Name)
	same := bytes.Equal(have.Data[v1beta1.CAKey], wanted.Data[v1beta1.CAKey])
	for key, value := range wanted.Annotations {
		same = same && have.Annotations[key] == value
	}
	if same {
		return nil
	}
	corrected := have.DeepCopy()
	if corrected.Annotations == nil {
		corrected.Annotations = map[string]string{}
	}
	maps.Copy(corrected.Annotations, wanted.Annotations)
	delete(corrected.Data, v1beta1.CAKey)
	maps.Copy(corrected.Data, wanted.Data)
	written, err := k.Client.CoreV1().Secrets(k.SystemNamespace).Update(ctx, corrected, metav1.UpdateOptions{})
	if err != nil {
		return fmt.Errorf("correct the Secret %q: %w", have.Name, err)
	}
	a.wrote(have.Name, written)
	return nil
}

func (k *Keeper) deleteSecret(ctx context.Context, a *account, secret *corev1.Secret) error {
	err := k.Client.CoreV1().Secrets(k.SystemNamespace).Delete(ctx, secret.Name, theOne(secret))
	if err = utilerrors.FilterOut(err, apierrors.IsNotFound, apierrors.IsConflict); err != nil { // a conflict: it is another by now
		return fmt.Errorf("delete the Secret %q: %w", secret.Name, err)
	}
	a.deleted(secret)
	return nil
}

// secret returns a Secret of the account, as we wrote it if the cache does not show that yet; nil if
// there is none. It is an error if it is not ours.
func (k *Keeper) secret(a *account, name string) (*corev1.Secret, error) {
	cached, err := k.Secrets.Get(name)
	if apierrors.IsNotFound(err) {
		cached, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	if cached != nil && !isOf(cached, a.cell.cellName) {
		return nil, errInTheWay{fmt.Sprintf("Secret %q of namespace %q", name, k.SystemNamespace)}
	}
	return a.newer(name, cached), nil
}

// removeHost removes everything of a cell from the host: the tokens first, and the service account
// last, by which what is left would be found. A host that does not let us see roles holds no cell:
// they are nobody's then.
func (k *Keeper) removeHost(ctx context.Context, name cellName) error {
	secrets := k.Client.CoreV1().Secrets(k.SystemNamespace)
	for _, secret := range accounts.SecretNames(name.Namespace, name.Name) {
		if err := remove(ctx, secrets, secret, name); err != nil {
			return fmt.Errorf("remove the Secret %q: %w", secret, err)
		}
	}
	role := accounts.RoleName(name.Name)
	if err := utilerrors.FilterOut(remove(ctx, k.Client.RbacV1().RoleBindings(name.Namespace), role, name), apierrors.IsForbidden); err != nil {
		return fmt.Errorf("remove the role binding %q of namespace %q: %w", role, name.Namespace, err)
	}
	if err := utilerrors.FilterOut(remove(ctx, k.Client.RbacV1().Roles(name.Namespace), role, name), apierrors.IsForbidden); err != nil {
		return fmt.Errorf("remove the role %q of namespace %q: %w", role, name.Namespace, err)
	}
	account := accounts.Name(name.Namespace, name.Name)
	if err := remove(ctx, k.Client.CoreV1().ServiceAccounts(k.SystemNamespace), account, name); err != nil {
		return fmt.Errorf("remove the service account %q: %w", account, err)
	}
	return nil
}
