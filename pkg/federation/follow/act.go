package follow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/events"
	"github.com/koinon-io/koinon/pkg/federation/fedclient"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/federation/status"
)

// maxMessageBytes is how long what is said in an Event may be: the API server takes 1024 bytes.
const maxMessageBytes = 900

// act does what was decided.
func (c *Controller) act(ctx context.Context, k key, o observation, d decision) error {
	switch {
	case d.wait:
		return nil // a change tells when it is gone
	case d.refused != "":
		c.refuse(k, o.config, o.object.GetUID(), d.refused)
		if o.federated != nil {
			c.isSeen(k, o.object.GetResourceVersion(), o.federated)
		}
		return nil
	case d.create != nil:
		return c.create(ctx, k, o, d.create)
	case d.update != nil:
		err := c.patch(ctx, o.config, o.federated, d.update)
		if err == nil {
			klog.FromContext(ctx).V(2).Info("Changed a federated object as its native one", "item", k, "template", d.update.template != nil)
		}
		return c.answered(k, o, err)
	}
	c.isSeen(k, o.object.GetResourceVersion(), o.federated)
	c.mu.Lock()
	delete(c.told, k)
	c.mu.Unlock()
	return nil
}

func (c *Controller) create(ctx context.Context, k key, o observation, federated *v1beta2.FederatedObject) error {
	client, err := c.client(o.config, federated.Namespace)
	if err != nil {
		return err
	}
	spec := o.config.Spec.FederatedType
	federated.APIVersion = schema.GroupVersion{Group: spec.Group, Version: v1beta2.SchemeGroupVersion.Version}.String()
	federated.Kind = spec.Kind
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	made, err := client.Create(ctx, federated, metav1.CreateOptions{FieldManager: fieldManager})
	if err == nil {
		klog.FromContext(ctx).V(2).Info("Made a federated object of a native one", "item", k)
		c.Record(aboutFederated(o.config, made), events.Event{Type: corev1.EventTypeNormal, Reason: v1beta2.EventFollowing,
			Message: fmt.Sprintf("made from the %s of that name in the host, whose changes it follows", o.config.Spec.TargetType.Kind)})
	}
	return c.answered(k, o, err)
}

// answered looks at the answer to a write. What the API server refuses is told, and tried again some time later, or when one of the
// objects has changed.
func (c *Controller) answered(k key, o observation, err error) error {
	switch {
	case err == nil:
		return nil // the change tells, and is looked at
	case apierrors.IsAlreadyExists(err), apierrors.IsConflict(err):
		c.queue.AddAfter(k, notYet)
		return nil
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return nil // the native object goes, too
	case apierrors.IsInvalid(err), apierrors.IsForbidden(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		c.refuse(k, o.config, o.object.GetUID(), sayable(o.config, err))
		return nil
	}
	return fmt.Errorf("write the federated object: %w", err)
}

// sayable is what an Event says of a refusal. That of a Secret says which fields are refused, and not what they hold.
func sayable(config *v1beta1.FederatedTypeConfig, err error) string {
	var refusal apierrors.APIStatus
	if config.Spec.TargetType.Kind != "Secret" || !errors.As(err, &refusal) {
		return err.Error()
	}
	said := fmt.Sprintf("the API server refuses the %s: %s", config.Spec.FederatedType.Kind, refusal.Status().Reason)
	if details := refusal.Status().Details; details != nil {
		for _, cause := range details.Causes {
			said += ", " + cause.Field
		}
	}
	return said
}

// refuse tells, once, why an object is not followed, and has it looked at again some time later.
func (c *Controller) refuse(k key, config *v1beta1.FederatedTypeConfig, uid types.UID, why string) {
	c.mu.Lock()
	said := c.told[k] == why
	c.told[k] = why
	delete(c.seen, k)
	c.mu.Unlock()
	if !said {
		target := config.Spec.TargetType
		c.Record(&corev1.ObjectReference{
			APIVersion: schema.GroupVersion{Group: target.Group, Version: target.Version}.String(), Kind: target.Kind,
			Namespace: k.namespace, Name: k.name, UID: uid,
		}, events.Event{Type: corev1.EventTypeWarning, Reason: v1beta2.EventNotFollowed, Message: status.Cut("no federated object follows it: "+why, maxMessageBytes)})
	}
	c.queue.AddAfter(k, refusedAgain)
}

// end has a federated object follow no longer. It stays as it is.
func (c *Controller) end(ctx context.Context, k key, config *v1beta1.FederatedTypeConfig, federated *v1beta2.FederatedObject, why string) error {
	c.forget(k)
	mark := markOf(federated)
	if mark == nil || federated.DeletionTimestamp != nil {
		return nil
	}
	mark.Ended = true
	if err := c.patch(ctx, config, federated, &update{mark: *mark}); c.isLate(k, err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("end to follow: %w", err)
	}
	c.Record(aboutFederated(config, federated), events.Event{Type: corev1.EventTypeNormal, Reason: v1beta2.EventFollowEnded,
		Message: "it stays as it is and follows nothing any more: " + why})
	return nil
}

// isLate reports whether a write of a federated object has failed since that is another by now, or gone. Another one is looked at
// once the cache shows it.
func (c *Controller) isLate(k key, err error) bool {
	if apierrors.IsConflict(err) {
		c.queue.AddAfter(k, notYet)
		return true
	}
	return apierrors.IsNotFound(err)
}

// delete deletes a federated object whose native one is gone, if that is sure.
func (c *Controller) delete(ctx context.Context, k key, config *v1beta1.FederatedTypeConfig, t *nativeType, federated *v1beta2.FederatedObject) error {
	doubt, err := c.doubt(ctx, config, t, federated)
	if err != nil {
		return err
	}
	if doubt != "" {
		return c.end(ctx, k, config, federated, doubt)
	}
	client, err := c.client(config, federated.Namespace)
	if err != nil {
		return err
	}
	call, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	err = client.Delete(call, federated.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &federated.UID, ResourceVersion: &federated.ResourceVersion}})
	if c.isLate(k, err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("delete the federated object: %w", err)
	}
	klog.FromContext(ctx).V(2).Info("Deleted a federated object, as its native one was", "item", k)
	c.Record(aboutFederated(config, federated), events.Event{Type: corev1.EventTypeNormal, Reason: v1beta2.EventFollowEnded,
		Message: "deleted, since the native object that it follows was"})
	return nil
}

// customResources are the types of types.
var customResources = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// definition is the CustomResourceDefinition of a type, nil if it has none.
func (c *Controller) definition(ctx context.Context, config *v1beta1.FederatedTypeConfig) (*metav1.PartialObjectMetadata, error) {
	target := config.Spec.TargetType
	if !strings.Contains(target.Group, ".") {
		return nil, nil
	}
	name := target.PluralName + "." + target.Group
	definition, err := c.host.look(ctx, customResources, "", name)
	switch {
	case err == nil:
		return definition, nil
	case memberclient.IsMissing(err, name):
		return nil, nil
	}
	return nil, err
}

// doubt says why a federated object is not deleted although there is no native one, empty if it is: its native object went
// with its type, or it was not made here.
func (c *Controller) doubt(ctx context.Context, config *v1beta1.FederatedTypeConfig, t *nativeType, federated *v1beta2.FederatedObject) (string, error) {
	definition, err := c.definition(ctx, config)
	switch {
	case err != nil:
		return "", fmt.Errorf("look at the CustomResourceDefinition: %w", err)
	case definition != nil && definition.DeletionTimestamp != nil:
		return "the CustomResourceDefinition of the native object is being deleted, and it with that", nil
	case definition != nil && !definition.CreationTimestamp.Before(&federated.CreationTimestamp), definition == nil && t.custom.Load():
		return "the CustomResourceDefinition of the native object was deleted, and it with that", nil
	}
	client, err := c.client(config, federated.Namespace)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	stored, err := client.Get(ctx, federated.Name, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("read the federated object: %w", err)
	}
	if !slices.ContainsFunc(stored.ManagedFields, func(m metav1.ManagedFieldsEntry) bool { return m.Manager == fieldManager }) {
		return "its mark was written by somebody else, as when it is restored from a backup, and there is no native object", nil
	}
	return "", nil
}

// patch changes a federated object, if it is still as it was seen.
func (c *Controller) patch(ctx context.Context, config *v1beta1.FederatedTypeConfig, federated *v1beta2.FederatedObject, u *update) error {
	type operation struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value"`
	}
	// The version is not tested, but set: the server then refuses the change with a conflict.
	operations := []operation{{"replace", "/metadata/resourceVersion", federated.ResourceVersion}}
	if len(federated.Annotations) == 0 {
		operations = append(operations, operation{"add", "/metadata/annotations", map[string]string{}})
	}
	operations = append(operations, operation{"add", "/metadata/annotations/" + strings.ReplaceAll(v1beta1.FollowsAnnotation, "/", "~1"), u.mark.String()})
	if u.template != nil {
		operations = append(operations, operation{"add", "/spec/template", json.RawMessage(u.template)})
	}
	body, err := json.Marshal(operations)
	if err != nil {
		return fmt.Errorf("encode the patch: %w", err)
	}
	client, err := c.client(config, federated.Namespace)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	_, err = client.Patch(ctx, federated.Name, types.JSONPatchType, body, metav1.PatchOptions{FieldManager: fieldManager})
	return err
}

// client returns a client of a federated kind in a namespace.
func (c *Controller) client(config *v1beta1.FederatedTypeConfig, namespace string) (*fedclient.Client, error) {
	federated := config.Spec.FederatedType
	c.mu.Lock()
	defer c.mu.Unlock()
	factory := c.factories[federated.Group]
	if factory == nil {
		var err error
		if factory, err = fedclient.New(c.HostConfig, federated.Group); err != nil {
			return nil, err
		}
		c.factories[federated.Group] = factory
	}
	return factory.Resource(federated.PluralName, namespace), nil
}

func aboutFederated(config *v1beta1.FederatedTypeConfig, federated *v1beta2.FederatedObject) *corev1.ObjectReference {
	spec := config.Spec.FederatedType
	return &corev1.ObjectReference{
		APIVersion: schema.GroupVersion{Group: spec.Group, Version: v1beta2.SchemeGroupVersion.Version}.String(), Kind: spec.Kind,
		Namespace: federated.Namespace, Name: federated.Name, UID: federated.UID,
	}
}
