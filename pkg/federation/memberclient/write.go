package memberclient

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// Written is what a member answers to a write.
type Written struct {
	// Live is what caches keep of the object. The cache has it at once.
	Live *Live
	// Object is the whole of it, as the member has stored it.
	Object *unstructured.Unstructured
	// Warnings are what the member says about what it was sent, such as fields that it
	// dropped: a few sentences, sorted, each once; they may be shown and stored.
	Warnings []string
}

// Create creates an object, which is not modified; gvr has the version that it is in. Its
// namespace must be held: if it is not there, although it was a moment ago, it is held anew,
// once. An object that is there already is the AlreadyExists of the API server, and a version that
// the member does not serve is ErrTypeNotServed.
func (c *Conn) Create(ctx context.Context, gvr schema.GroupVersionResource, namespace, name string, object map[string]any, hold Hold) (Written, error) {
	return inHeldNamespace(ctx, c, namespace, hold, func() (Written, error) {
		return c.write(ctx, gvr, namespace, name, "", func(ctx context.Context) (*unstructured.Unstructured, error) {
			return c.resource(gvr, namespace).Create(ctx, &unstructured.Unstructured{Object: object},
				metav1.CreateOptions{FieldManager: FieldManager, FieldValidation: fieldValidation(ctx)})
		})
	})
}

// Update replaces an object, if it is still in the version that metadata.resourceVersion of
// object says; gvr has the API version that it is in. A Conflict of the API server says
// that somebody wrote it since: it is to be read again. ErrTypeNotServed is as for Create.
func (c *Conn) Update(ctx context.Context, gvr schema.GroupVersionResource, namespace, name string, object map[string]any) (Written, error) {
	sent := &unstructured.Unstructured{Object: object}
	if sent.GetResourceVersion() == "" {
		return Written{}, fmt.Errorf("update %s %s/%s: metadata.resourceVersion must be set", gvr.Resource, namespace, name)
	}
	return c.write(ctx, gvr, namespace, name, sent.GetUID(), func(ctx context.Context) (*unstructured.Unstructured, error) {
		return c.resource(gvr, namespace).Update(ctx, sent,
			metav1.UpdateOptions{FieldManager: FieldManager, FieldValidation: fieldValidation(ctx)})
	})
}

// TryUpdate asks what Update would make of an object, by a dry run: admission and defaults of the
// member take part, and nothing is stored or remembered. A member whose webhooks have side
// effects refuses dry runs. ErrTypeNotServed is as for Create.
func (c *Conn) TryUpdate(ctx context.Context, gvr schema.GroupVersionResource, namespace, name string, object map[string]any) (*unstructured.Unstructured, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ctx, _ = collectWarnings(ctx) // those of the write are told
	answered, err := c.resource(gvr, namespace).Update(ctx, &unstructured.Unstructured{Object: object}, metav1.UpdateOptions{
		FieldManager: FieldManager, FieldValidation: fieldValidation(ctx), DryRun: []string{metav1.DryRunAll},
	})
	switch {
	case isUnknownPath(err):
		return nil, fmt.Errorf("%w (404 Not Found)", ErrTypeNotServed)
	case err != nil:
		return nil, err
	}
	if answered.GetName() != name || answered.GetNamespace() != namespace {
		return nil, &AnswerError{Problem: "the member answers another object than the one that was to be tried"}
	}
	return answered, nil
}

// inHeldNamespace writes, and once more if the namespace has to be made anew.
func inHeldNamespace[T any](ctx context.Context, c *Conn, namespace string, hold Hold, write func() (T, error)) (T, error) {
	written, err := write()
	if namespace == "" || !isNamespaceMissing(err) {
		return written, err
	}
	c.forgetHeld(hold.Name)
	if err := c.Hold(ctx, hold); err != nil {
		return written, err
	}
	return write()
}

// write sends a write, checks that the answer is the object that was written, and tells the
// cache. uid is empty if the object is new.
func (c *Conn) write(ctx context.Context, gvr schema.GroupVersionResource, namespace, name string, uid types.UID,
	send func(context.Context) (*unstructured.Unstructured, error)) (Written, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ctx, collected := collectWarnings(ctx)
	object, err := send(ctx)
	if isUnknownPath(err) {
		err = fmt.Errorf("%w (404 Not Found)", ErrTypeNotServed)
	}
	if err != nil {
		return Written{}, err
	}
	if object.GetName() != name || object.GetNamespace() != namespace || (uid != "" && object.GetUID() != uid) {
		return Written{}, &AnswerError{Problem: "the member answers another object than the one that was written"}
	}
	live, err := c.remember(gvr, object)
	if err != nil {
		return Written{}, err
	}
	return Written{Live: live, Object: object, Warnings: collected.list()}, nil
}

// remember tells the caches of the type of an answer to a write, and returns what they keep.
func (c *Conn) remember(gvr schema.GroupVersionResource, object *unstructured.Unstructured) (live *Live, err error) {
	caches := c.cachesOf(gvr)
	if len(caches) == 0 {
		return NewLive(object, Keep{})
	}
	for _, cache := range caches {
		if live, err = cache.answered(gvr, object); err != nil {
			return nil, err
		}
	}
	return live, nil
}

// Read tells the caches of the type of an object that Get has returned, and returns what they keep. They
// have it at once, as they have what was written.
func (c *Conn) Read(gvr schema.GroupVersionResource, namespace, name string, object *unstructured.Unstructured) (*Live, error) {
	if object.GetName() != name || object.GetNamespace() != namespace {
		return nil, &AnswerError{Problem: "the member answers another object than the one that was asked for"}
	}
	return c.remember(c.Served(gvr), object)
}

// Gone tells the cache that the object with that UID is not there any more, or not ours,
// ahead of the watch.
func (c *Conn) Gone(gvr schema.GroupVersionResource, namespace, name string, uid types.UID) {
	for _, cache := range c.cachesOf(gvr) {
		cache.wrote(namespace, name, write{gone: uid})
	}
}

// isUnknownPath reports whether an API server has nothing at the path of a write, the type in that
// version. It answers that in plain text; a webhook that says "not found" does not.
func isUnknownPath(err error) bool {
	return apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}

// isNamespaceMissing tells "no such namespace" from "no such object" and "no such type".
func isNamespaceMissing(err error) bool {
	if !apierrors.IsNotFound(err) {
		return false
	}
	status, ok := err.(apierrors.APIStatus)
	return ok && status.Status().Details != nil && status.Status().Details.Kind == "namespaces"
}
