package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
)

const (
	// administratorsName is the name of the binding and of the flow schema of administrators.
	administratorsName = "koinon-administrators"
	// administratorsPrecedence comes after upstream's schema for system:masters, which is 1.
	administratorsPrecedence = 2
	// bootstrapRetry is how long to wait for the store, and for RBAC to have read a binding.
	bootstrapRetry = 50 * time.Millisecond
)

// addAdministrators gives a group all rights, and the server is not ready before. It makes
// what is absent and leaves what is there: rights can be taken away by emptying the subjects
// of the ClusterRoleBinding, and are there again when it is deleted and the server started.
func addAdministrators(server *genericapiserver.GenericAPIServer, group string) error {
	client, err := kubernetes.NewForConfig(server.LoopbackClientConfig)
	if err != nil {
		return fmt.Errorf("make a client for the rights of administrators: %w", err)
	}
	return server.AddPostStartHook("koinon-host-administrators", func(hook genericapiserver.PostStartHookContext) error {
		var last error
		err := wait.PollUntilContextCancel(hook, bootstrapRetry, true, func(ctx context.Context) (bool, error) {
			last = ensureAdministrators(ctx, client, group)
			return last == nil, nil
		})
		if err != nil {
			klog.FromContext(hook).V(2).Info("Administrators did not get their rights before the server ended", "err", last)
		}
		return nil
	})
}

// errNotYet says that RBAC has not read the binding.
var errNotYet = errors.New("the binding of administrators is not in force yet")

// ensureAdministrators writes only what is absent: a store that refuses writes still has what
// was made before.
func ensureAdministrators(ctx context.Context, client kubernetes.Interface, group string) error {
	bindings := client.RbacV1().ClusterRoleBindings()
	binding, err := bindings.Get(ctx, administratorsName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		binding, err = bindings.Create(ctx, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: administratorsName},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: group}},
		}, metav1.CreateOptions{})
	}
	if err != nil {
		return err
	}
	// As for system:masters: who has to repair an overloaded server must get in.
	schemas := client.FlowcontrolV1().FlowSchemas()
	_, err = schemas.Get(ctx, administratorsName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = schemas.Create(ctx, administratorsFlow(group), metav1.CreateOptions{})
	}
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	if len(binding.Subjects) == 0 {
		return nil // taken away
	}
	return awaitRights(ctx, client, binding.Subjects[0])
}

// awaitRights returns nil once a subject may do everything, if it is a group.
func awaitRights(ctx context.Context, client kubernetes.Interface, subject rbacv1.Subject) error {
	if subject.Kind != rbacv1.GroupKind {
		return nil
	}
	review, err := client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: administratorsName, Groups: []string{subject.Name},
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "*", Group: "*", Resource: "*"},
		},
	}, metav1.CreateOptions{})
	if err == nil && !review.Status.Allowed {
		err = errNotYet
	}
	return err
}

func administratorsFlow(group string) *flowcontrolv1.FlowSchema {
	return &flowcontrolv1.FlowSchema{
		ObjectMeta: metav1.ObjectMeta{Name: administratorsName},
		Spec: flowcontrolv1.FlowSchemaSpec{
			PriorityLevelConfiguration: flowcontrolv1.PriorityLevelConfigurationReference{Name: flowcontrolv1.PriorityLevelConfigurationNameExempt},
			MatchingPrecedence:         administratorsPrecedence,
			Rules: []flowcontrolv1.PolicyRulesWithSubjects{{
				Subjects: []flowcontrolv1.Subject{{Kind: flowcontrolv1.SubjectKindGroup, Group: &flowcontrolv1.GroupSubject{Name: group}}},
				ResourceRules: []flowcontrolv1.ResourcePolicyRule{{
					Verbs: []string{flowcontrolv1.VerbAll}, APIGroups: []string{flowcontrolv1.APIGroupAll}, Resources: []string{flowcontrolv1.ResourceAll},
					ClusterScope: true, Namespaces: []string{flowcontrolv1.NamespaceEvery},
				}},
				NonResourceRules: []flowcontrolv1.NonResourcePolicyRule{{Verbs: []string{flowcontrolv1.VerbAll}, NonResourceURLs: []string{flowcontrolv1.NonResourceAll}}},
			}},
		},
	}
}
