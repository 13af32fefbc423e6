package table

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/duration"
)

var (
	deploymentColumns = slices.Concat([]column{
		name,
		text("Ready", "Number of the pod with ready state", func(w *workload) any { return ratio(w.Status.ReadyReplicas, w.Spec.Replicas) }),
		text("Up-to-date", doc("apps/v1.DeploymentStatus", "updatedReplicas"), func(w *workload) any { return int64(w.Status.UpdatedReplicas) }),
		text("Available", doc("apps/v1.DeploymentStatus", "availableReplicas"), func(w *workload) any { return int64(w.Status.AvailableReplicas) }),
		age,
	}, allWide(containersOf(templateOf)...), allWide(
		text("Selector", doc("apps/v1.DeploymentSpec", "selector"), func(w *workload) any {
			selector, err := metav1.LabelSelectorAsSelector(w.Spec.Selector)
			if err != nil {
				return "<invalid>"
			}
			return selector.String()
		}),
	))

	daemonSetColumns = slices.Concat([]column{
		name,
		integer("Desired", doc("apps/v1.DaemonSetStatus", "desiredNumberScheduled"), func(w *workload) any { return int64(w.Status.DesiredNumberScheduled) }),
		integer("Current", doc("apps/v1.DaemonSetStatus", "currentNumberScheduled"), func(w *workload) any { return int64(w.Status.CurrentNumberScheduled) }),
		integer("Ready", doc("apps/v1.DaemonSetStatus", "numberReady"), func(w *workload) any { return int64(w.Status.NumberReady) }),
		integer("Up-to-date", doc("apps/v1.DaemonSetStatus", "updatedNumberScheduled"), func(w *workload) any { return int64(w.Status.UpdatedNumberScheduled) }),
		integer("Available", doc("apps/v1.DaemonSetStatus", "numberAvailable"), func(w *workload) any { return int64(w.Status.NumberAvailable) }),
		text("Node Selector", podSpecDoc["nodeSelector"], func(w *workload) any { return labels.FormatLabels(w.Spec.Template.Spec.NodeSelector) }),
		age,
	}, allWide(containersOf(templateOf)...), allWide(
		text("Selector", doc("apps/v1.DaemonSetSpec", "selector"), selectorOf),
	))

	replicaSetColumns = slices.Concat([]column{
		name,
		integer("Desired", doc("apps/v1.ReplicaSetSpec", "replicas"), func(w *workload) any { return int64(or(w.Spec.Replicas, 0)) }),
		integer("Current", doc("apps/v1.ReplicaSetStatus", "replicas"), func(w *workload) any { return int64(w.Status.Replicas) }),
		integer("Ready", doc("apps/v1.ReplicaSetStatus", "readyReplicas"), func(w *workload) any { return int64(w.Status.ReadyReplicas) }),
		age,
	}, allWide(containersOf(templateOf)...), allWide(
		text("Selector", doc("apps/v1.ReplicaSetSpec", "selector"), selectorOf),
	))

	statefulSetColumns = slices.Concat([]column{
		name,
		text("Ready", "Number of the pod with ready state", func(w *workload) any { return ratio(w.Status.ReadyReplicas, w.Spec.Replicas) }),
		age,
	}, allWide(containersOf(templateOf)...))

	controllerRevisionColumns = []column{
		name,
		text("Controller", "Controller of the object", controllerOf),
		text("Revision", doc("apps/v1.ControllerRevision", "revision"), func(r *controllerRevision) any { return r.Revision }),
		age,
	}

	jobColumns = slices.Concat([]column{
		name,
		text("Status", "Status of the job.", jobStatus),
		text("Completions", doc("batch/v1.JobStatus", "succeeded"), completions),
		timed("Duration", "Time required to complete the job.", jobDuration),
		age,
	}, allWide(containersOf(func(j *job) *corev1.PodTemplateSpec { return &j.Spec.Template })...), allWide(
		text("Selector", doc("batch/v1.JobSpec", "selector"), func(j *job) any { return metav1.FormatLabelSelector(j.Spec.Selector) }),
	))

	cronJobColumns = slices.Concat([]column{
		name,
		text("Schedule", doc("batch/v1.CronJobSpec", "schedule"), func(c *cronJob) any { return c.Spec.Schedule }),
		text("Timezone", doc("batch/v1.CronJobSpec", "timeZone"), func(c *cronJob) any { return or(c.Spec.TimeZone, none) }),
		boolean("Suspend", doc("batch/v1.CronJobSpec", "suspend"), suspended),
		integer("Active", doc("batch/v1.CronJobStatus", "active"), func(c *cronJob) any { return int64(len(c.Status.Active)) }),
		timed("Last Schedule", doc("batch/v1.CronJobStatus", "lastScheduleTime"), func(c *cronJob, now time.Time) any {
			if c.Status.LastScheduleTime == nil {
				return none
			}
			return since(c.Status.LastScheduleTime.Time, now)
		}),
		age,
	}, allWide(containersOf(func(c *cronJob) *corev1.PodTemplateSpec { return &c.Spec.JobTemplate.Spec.Template })...), allWide(
		text("Selector", doc("batch/v1.JobSpec", "selector"), func(c *cronJob) any { return metav1.FormatLabelSelector(c.Spec.JobTemplate.Spec.Selector) }),
	))
)

// workload is what is read of a Deployment, DaemonSet, ReplicaSet or StatefulSet: each has some of its fields.
type workload struct {
	metav1.PartialObjectMetadata
	Spec struct {
		Replicas *int32                 `json:"replicas"`
		Selector *metav1.LabelSelector  `json:"selector"`
		Template corev1.PodTemplateSpec `json:"template"`
	} `json:"spec"`
	Status struct {
		Replicas          int32 `json:"replicas"`
		ReadyReplicas     int32 `json:"readyReplicas"`
		UpdatedReplicas   int32 `json:"updatedReplicas"`
		AvailableReplicas int32 `json:"availableReplicas"`

		DesiredNumberScheduled int32 `json:"desiredNumberScheduled"`
		CurrentNumberScheduled int32 `json:"currentNumberScheduled"`
		NumberReady            int32 `json:"numberReady"`
		UpdatedNumberScheduled int32 `json:"updatedNumberScheduled"`
		NumberAvailable        int32 `json:"numberAvailable"`
	} `json:"status"`
}

type controllerRevision struct {
	metav1.PartialObjectMetadata
	Revision int64 `json:"revision"`
}

type job struct {
	metav1.PartialObjectMetadata
	Spec   jobSpec `json:"spec"`
	Status struct {
		StartTime      *metav1.Time   `json:"startTime"`
		CompletionTime *metav1.Time   `json:"completionTime"`
		Succeeded      int32          `json:"succeeded"`
		Conditions     []jobCondition `json:"conditions"`
	} `json:"status"`
}

type jobSpec struct {
	Parallelism *int32                 `json:"parallelism"`
	Completions *int32                 `json:"completions"`
	Selector    *metav1.LabelSelector  `json:"selector"`
	Template    corev1.PodTemplateSpec `json:"template"`
}

type jobCondition struct {
	Type   string                 `json:"type"`
	Status metav1.ConditionStatus `json:"status"`
}

type cronJob struct {
	metav1.PartialObjectMetadata
	Spec struct {
		Schedule    string  `json:"schedule"`
		TimeZone    *string `json:"timeZone"`
		Suspend     *bool   `json:"suspend"`
		JobTemplate struct {
			Spec jobSpec `json:"spec"`
		} `json:"jobTemplate"`
	} `json:"spec"`
	Status struct {
		Active           []corev1.ObjectReference `json:"active"`
		LastScheduleTime *metav1.Time             `json:"lastScheduleTime"`
	} `json:"status"`
}

func templateOf(w *workload) *corev1.PodTemplateSpec { return &w.Spec.Template }

func selectorOf(w *workload) any { return metav1.FormatLabelSelector(w.Spec.Selector) }

// ratio is how many are ready of those that are wanted.
func ratio(ready int32, wanted *int32) string { return fmt.Sprintf("%d/%d", ready, or(wanted, 0)) }

func controllerOf(r *controllerRevision) any {
	controller := metav1.GetControllerOf(r)
	if controller == nil {
		return none
	}
	kind := schema.FromAPIVersionAndKind(controller.APIVersion, controller.Kind).GroupKind()
	return strings.ToLower(kind.String()) + "/" + controller.Name
}

func jobStatus(j *job) any {
	is := func(condition string) bool {
		at := slices.IndexFunc(j.Status.Conditions, func(c jobCondition) bool { return c.Type == condition })
		return at >= 0 && j.Status.Conditions[at].Status == metav1.ConditionTrue
	}
	switch {
	case is("Complete"):
		return "Complete"
	case is("Failed"):
		return "Failed"
	case j.DeletionTimestamp != nil:
		return "Terminating"
	case is("Suspended"):
		return "Suspended"
	case is("FailureTarget"):
		return "FailureTarget"
	case is("SuccessCriteriaMet"):
		return "SuccessCriteriaMet"
	}
	return "Running"
}

func completions(j *job) any {
	switch parallel := or(j.Spec.Parallelism, 0); {
	case j.Spec.Completions != nil:
		return ratio(j.Status.Succeeded, j.Spec.Completions)
	case parallel > 1: // any one will do
		return fmt.Sprintf("%d/1 of %d", j.Status.Succeeded, parallel)
	}
	return fmt.Sprintf("%d/1", j.Status.Succeeded)
}

func jobDuration(j *job, now time.Time) any {
	if j.Status.StartTime == nil {
		return ""
	}
	end := now
	if j.Status.CompletionTime != nil {
		end = j.Status.CompletionTime.Time
	}
	return duration.HumanDuration(end.Sub(j.Status.StartTime.Time))
}

// suspended is text, though the column is a boolean.
func suspended(c *cronJob) any {
	switch {
	case c.Spec.Suspend == nil:
		return unset
	case *c.Spec.Suspend:
		return "True"
	}
	return "False"
}
