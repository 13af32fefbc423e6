package scheduler

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/replicas"
)

// verdict is what the condition Scheduled says.
type verdict struct {
	status          metav1.ConditionStatus
	reason, message string
}

func verdictOf(decision replicas.Decision) verdict {
	v := verdict{metav1.ConditionFalse, decision.Reason, decision.Message}
	switch {
	case decision.Write == nil:
		v.status = metav1.ConditionUnknown
	case decision.Complete:
		v.status = metav1.ConditionTrue
	}
	return v
}

// write makes an object what an outcome says, if nobody changed it meanwhile.
func (c *Controller) write(ctx context.Context, k key, kind string, federated *v1beta2.FederatedObject, record *replicas.Record, outcome *replicas.Outcome) error {
	change, err := replicas.Write(federated, record, *outcome)
	if err != nil || change == nil {
		return err
	}
	if err := c.patch(ctx, k, kind, federated, change); err != nil {
		return fmt.Errorf("write placement and replicas: %w", err)
	}
	klog.FromContext(ctx).V(2).Info("Placed replicas", "item", k, "targets", len(outcome.Placed), "away", len(outcome.Away))
	return nil
}

// withdraw takes back what was written into an object. gone says that there is no preference for it: that is
// asked for past the cache, since what a cache does not show may be there.
func (c *Controller) withdraw(ctx context.Context, k key, kind string, federated *v1beta2.FederatedObject, gone bool) error {
	change := replicas.Withdraw(federated)
	if change == nil {
		return nil
	}
	if gone {
		call, cancel := context.WithTimeout(ctx, hostTimeout)
		preference, err := c.Client.ReplicaSchedulingPreferences(k.namespace).Get(call, k.name, metav1.GetOptions{})
		cancel()
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return fmt.Errorf("look whether the preference is gone: %w", err)
		case isFor(preference, k):
			c.queue.AddAfter(k, notYet)
			return nil
		}
	}
	if err := c.patch(ctx, k, kind, federated, change); err != nil {
		return fmt.Errorf("take back replicas: %w", err)
	}
	klog.FromContext(ctx).V(2).Info("Took replicas back", "item", k)
	return nil
}

// patch sends nothing of an object but what changes. It is conditional on what was seen.
func (c *Controller) patch(ctx context.Context, k key, kind string, federated *v1beta2.FederatedObject, change *replicas.Change) error {
	spec := map[string]any{"overrides": nil}
	if len(change.Overrides) > 0 {
		spec["overrides"] = change.Overrides
	}
	if change.Placement != nil {
		spec["placement"] = map[string]any{"topologies": change.Placement}
	}
	annotations := map[string]any{v1alpha1.ReplicaSchedulingAnnotation: nil}
	if change.Record != "" {
		annotations[v1alpha1.ReplicaSchedulingAnnotation] = change.Record
	}
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false) // values of others stay as they are written
	if err := encoder.Encode(map[string]any{
		"metadata": map[string]any{"resourceVersion": federated.ResourceVersion, "uid": federated.UID, "annotations": annotations},
		"spec":     spec,
	}); err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	err := c.Objects.Patch(ctx, kind, k.namespace, k.name, fieldManager, body.Bytes())
	return utilerrors.FilterOut(err, apierrors.IsNotFound)
}

// say writes the condition Scheduled if it says anything new. What is only waited for leaves what was
// said of the same spec.
func (c *Controller) say(ctx context.Context, preference *v1alpha1.ReplicaSchedulingPreference, v verdict) error {
	if preference == nil {
		return nil
	}
	old := meta.FindStatusCondition(preference.Status.Conditions, v1alpha1.ConditionScheduled)
	if v.reason == v1alpha1.ReasonWaiting && old != nil && old.ObservedGeneration == preference.Generation {
		return nil
	}
	conditions := slices.Clone(preference.Status.Conditions)
	meta.SetStatusCondition(&conditions, metav1.Condition{
		Type: v1alpha1.ConditionScheduled, Status: v.status, ObservedGeneration: preference.Generation, Reason: v.reason, Message: v.message,
	})
	if equality.Semantic.DeepEqual(conditions, preference.Status.Conditions) {
		return nil
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": preference.UID},
		"status":   map[string]any{"conditions": conditions},
	})
	if err != nil {
		return fmt.Errorf("encode conditions: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	_, err = c.Client.ReplicaSchedulingPreferences(preference.Namespace).
		Patch(ctx, preference.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	if err = utilerrors.FilterOut(err, apierrors.IsNotFound); err != nil {
		return fmt.Errorf("write the condition of the preference: %w", err)
	}
	return nil
}
