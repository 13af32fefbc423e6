package host

import (
	"context"
	"fmt"
	"slices"
	"time"

	apiextensionshelpers "k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsapiserver "k8s.io/apiextensions-apiserver/pkg/apiserver"
	apiextensionsclient "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset/typed/apiextensions/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/reconcile"
)

// conditionTimeout bounds one write of a condition.
const conditionTimeout = 15 * time.Second

// addReservedCRDs hides the CRDs of reserved groups from the server of custom resources, and
// has their conditions say why they are not served.
//
// The conditions are more than news. To servers of an earlier release on the same store, as
// there are during a rolling upgrade, a CRD that is not established is one without custom
// resources: they end its deletion without deleting what is not its own.
func addReservedCRDs(server *apiextensionsapiserver.CustomResourceDefinitions, reserved reservedGroups) error {
	informer := server.Informers.Apiextensions().V1().CustomResourceDefinitions().Informer()
	if err := informer.SetTransform(reserved.hide); err != nil {
		return fmt.Errorf("hide CRDs of the groups that are served already: %w", err)
	}
	client, err := apiextensionsclient.NewForConfig(server.GenericAPIServer.LoopbackClientConfig)
	if err != nil {
		return fmt.Errorf("make a client of CRDs: %w", err)
	}
	reporter := &refusedCRDs{
		client: client.CustomResourceDefinitions(),
		queue:  reconcile.NewQueue[string]("refused-crds", 200*time.Millisecond, time.Minute),
	}
	enqueue := func(object any) {
		if crd, ok := object.(*apiextensionsv1.CustomResourceDefinition); ok && reserved.names.Has(crd.Spec.Group) {
			reporter.queue.Add(crd.Name)
		}
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: enqueue, UpdateFunc: func(_, object any) { enqueue(object) },
	}); err != nil {
		return fmt.Errorf("watch CRDs of the groups that are served already: %w", err)
	}
	return server.GenericAPIServer.AddPostStartHook("koinon-refused-crds", func(hook genericapiserver.PostStartHookContext) error {
		// Ends with the server.
		go reporter.run(hook)
		return nil
	})
}

// refusedCRDs writes the conditions of CRDs that the store has and that are not served.
type refusedCRDs struct {
	client apiextensionsclient.CustomResourceDefinitionInterface
	queue  workqueue.TypedRateLimitingInterface[string]
}

func (r *refusedCRDs) run(ctx context.Context) {
	reconcile.Work[string]{Queue: r.queue, Do: r.sync, Timeout: conditionTimeout, Failed: "Failed to say in a CustomResourceDefinition that it is not served"}.Run(ctx, 1)
}

// sync writes the conditions, unless they are there. It asks for the CRD, since what the
// informer has is not what is stored.
func (r *refusedCRDs) sync(ctx context.Context, name string) error {
	crd, err := r.client.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if !setRefused(crd) {
		return nil
	}
	_, err = r.client.UpdateStatus(ctx, crd, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // it is gone, or its change has an event of its own
	}
	if err == nil {
		klog.FromContext(ctx).Info("Left a stored CustomResourceDefinition unserved, as this server serves its group itself; it can be deleted, which deletes nothing else",
			"customResourceDefinition", name, "group", crd.Spec.Group)
	}
	return err
}

// setRefused sets what the status of a CRD of a reserved group says, and returns whether that
// is a change. The names are the accepted ones, or the controller that accepts names would
// look at them again.
func setRefused(crd *apiextensionsv1.CustomResourceDefinition) bool {
	before := crd.Status.DeepCopy()
	crd.Status.AcceptedNames = *crd.Spec.Names.DeepCopy()
	for _, condition := range []apiextensionsv1.CustomResourceDefinitionConditionType{apiextensionsv1.NamesAccepted, apiextensionsv1.Established} {
		apiextensionshelpers.SetCRDCondition(crd, apiextensionsv1.CustomResourceDefinitionCondition{
			Type: condition, Status: apiextensionsv1.ConditionFalse, Reason: reasonServedByServer, Message: refusal(crd.Spec.Group),
		})
	}
	return !sameStatus(before, &crd.Status)
}

// sameStatus compares what setRefused sets.
func sameStatus(a, b *apiextensionsv1.CustomResourceDefinitionStatus) bool {
	same := func(x, y apiextensionsv1.CustomResourceDefinitionCondition) bool {
		return x.Type == y.Type && x.Status == y.Status && x.Reason == y.Reason && x.Message == y.Message
	}
	return slices.EqualFunc(a.Conditions, b.Conditions, same) && apiequality.Semantic.DeepEqual(a.AcceptedNames, b.AcceptedNames)
}
