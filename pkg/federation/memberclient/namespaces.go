package memberclient

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation/render"
)

const (
	// holdMemory is how long a namespace that was seen to be held is not looked at again.
	holdMemory = time.Minute
	// holdAttempts bounds how often a namespace is looked at again since somebody else
	// wrote it.
	holdAttempts = 4
	// manyHeld is from how many namespaces on those are forgotten that have to be looked at again.
	manyHeld = 1024
)

// namespaces is the resource.
var namespaces = corev1.SchemeGroupVersion.WithResource("namespaces")

// Hold says whose a namespace of the member must be before anything is done in it.
type Hold struct {
	// Name of the namespace; empty for objects that have none, which need no hold.
	Name string
	// Labels and Annotations of a namespace that is made because there is none.
	Labels, Annotations map[string]string
	// Marks are the annotations that say whose the namespace is. One without any marks gets
	// them, unless its label kubefed.io/managed=false says hands off.
	Marks map[string]string
	// LeaveUnmarked leaves one without marks as it is: what is sent next is the namespace
	// itself, with its marks, if it may be adopted.
	LeaveUnmarked bool
	// Marked tells from a namespace's annotations whether it carries the marks; refusal says
	// why it must be left alone.
	Marked func(annotations map[string]string) (marked bool, refusal string)
}

// HoldFor is the hold of an owner's namespace, by the marks that a federation writes.
func HoldFor(name, federation string, owner ownership.Owner) Hold {
	return Hold{
		Name:  name,
		Marks: ownership.Marks(federation, owner),
		Marked: func(annotations map[string]string) (bool, string) {
			return ownership.Marked(annotations, federation, owner)
		},
	}
}

// Managed returns the hold of a namespace that, if it is made because something is placed in it,
// carries our label, and no federated object's name: no FederatedNamespace made it, and none deletes
// it by not being placed there.
func (h Hold) Managed() Hold {
	h.Labels = map[string]string{v1beta1.ManagedLabel: "true"}
	h.Annotations = map[string]string{render.SourceAnnotation: render.NoSource}
	return h
}

// ForeignNamespaceError says that a namespace of the member is somebody else's.
type ForeignNamespaceError struct{ Namespace, Problem string }

func (e *ForeignNamespaceError) Error() string {
	return fmt.Sprintf("namespace %q of the member is left alone: %s", e.Namespace, e.Problem)
}

// Namespace reads a namespace from the member, past caches; nil if there is none.
func (c *Conn) Namespace(ctx context.Context, name string) (*metav1.PartialObjectMetadata, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	namespace, err := c.metadata.Resource(namespaces).Get(ctx, name, metav1.GetOptions{})
	if IsMissing(err, name) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read namespace %q: %w", name, err)
	}
	return namespace, nil
}

// Hold makes sure that the namespace is there, and carries the marks. It returns a
// *ForeignNamespaceError if it is somebody else's. Within a minute it does not look again.
func (c *Conn) Hold(ctx context.Context, hold Hold) error {
	if hold.Name == "" || c.remembers(hold.Name, hold.Marks) {
		return nil
	}
	for range holdAttempts {
		done, err := c.holdOnce(ctx, hold)
		if err != nil {
			return err
		}
		if done {
			c.rememberHeld(hold.Name, hold.Marks)
			return nil
		}
	}
	return fmt.Errorf("mark namespace %q: somebody else writes it all the time", hold.Name)
}

// CheckHold is Hold without writing: a namespace that is not there, or carries no marks, is
// nobody else's.
func (c *Conn) CheckHold(ctx context.Context, hold Hold) error {
	if hold.Name == "" || c.remembers(hold.Name, hold.Marks) {
		return nil
	}
	namespace, err := c.Namespace(ctx, hold.Name)
	if err != nil || namespace == nil {
		return err
	}
	if _, refusal := hold.Marked(namespace.Annotations); refusal != "" {
		return &ForeignNamespaceError{hold.Name, refusal}
	}
	return nil
}

// holdOnce looks once and makes one write at most. It is not done if somebody else wrote in
// between.
func (c *Conn) holdOnce(ctx context.Context, hold Hold) (done bool, err error) {
	namespace, err := c.Namespace(ctx, hold.Name)
	if err != nil {
		return false, err
	}
	if namespace == nil {
		return c.createNamespace(ctx, hold)
	}
	marked, refusal := hold.Marked(namespace.Annotations)
	switch {
	case refusal != "":
		return false, &ForeignNamespaceError{hold.Name, refusal}
	case marked, hold.LeaveUnmarked, namespace.Labels[v1beta1.ManagedLabel] == "false":
		return true, nil
	}
	return c.markNamespace(ctx, hold, namespace.ResourceVersion)
}

func (c *Conn) createNamespace(ctx context.Context, hold Hold) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	object := &unstructured.Unstructured{Object: map[string]any{}}
	object.SetAPIVersion("v1")
	object.SetKind("Namespace")
	object.SetName(hold.Name)
	object.SetLabels(hold.Labels)
	annotations := map[string]string{}
	for _, from := range []map[string]string{hold.Annotations, hold.Marks} {
		for key, value := range from {
			annotations[key] = value
		}
	}
	object.SetAnnotations(annotations)
	_, err = c.dynamic.Resource(namespaces).Create(ctx, object, metav1.CreateOptions{FieldManager: FieldManager})
	if apierrors.IsAlreadyExists(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("create namespace %q: %w", hold.Name, err)
	}
	return true, nil
}

// markNamespace adds the marks to a namespace that has none, if nobody wrote it meanwhile.
func (c *Conn) markNamespace(ctx context.Context, hold Hold, resourceVersion string) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"annotations": hold.Marks, "resourceVersion": resourceVersion,
	}})
	if err != nil {
		return false, err
	}
	_, err = c.metadata.Resource(namespaces).Patch(ctx, hold.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: FieldManager})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("mark namespace %q: %w", hold.Name, err)
	}
	return true, nil
}

// held is when a namespace was last seen to carry marks.
type held struct {
	marks string
	at    time.Time
}

func (c *Conn) remembers(name string, marks map[string]string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, ok := c.held[name]
	return ok && h.marks == fmt.Sprint(marks) && time.Since(h.at) < holdMemory
}

func (c *Conn) rememberHeld(name string, marks map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.held) >= manyHeld && len(c.held) >= 2*c.heldOnce {
		maps.DeleteFunc(c.held, func(_ string, h held) bool { return time.Since(h.at) >= holdMemory })
		c.heldOnce = len(c.held)
	}
	c.held[name] = held{fmt.Sprint(marks), time.Now()}
}

func (c *Conn) forgetHeld(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.held, name)
}
