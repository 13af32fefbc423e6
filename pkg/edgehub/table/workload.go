package table

import (
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/duration"
)

var (
	deploymentStatusDoc = appsv1.DeploymentStatus{}.SwaggerDoc()
	daemonSetStatusDoc  = appsv1.DaemonSetStatus{}.SwaggerDoc()
	replicaSetStatusDoc = appsv1.ReplicaSetStatus{}.SwaggerDoc()
	cronJobSpecDoc      = batchv1.CronJobSpec{}.SwaggerDoc()
	cronJobStatusDoc    = batchv1.CronJobStatus{}.SwaggerDoc()
	jobSelectorDoc      = batchv1.JobSpec{}.SwaggerDoc()["selector"]

	deploymentColumns = slices.Concat([]column{
		name,
		text("Ready", "Number of the pod with ready state", func(d *appsv1.Deployment) any { return ratio(d.Status.ReadyReplicas, d.Spec.Replicas) }),
		text("Up-to-date", deploymentStatusDoc["updatedReplicas"], func(d *appsv1.Deployment) any { return int64(d.Status.UpdatedReplicas) }),
		text("Available", deploymentStatusDoc["availableReplicas"], func(d *appsv1.Deployment) any { return int64(d.Status.AvailableReplicas) }),
		age,
	}, allWide(containersOf(func(d *appsv1.Deployment) *corev1.PodTemplateSpec { return &d.Spec.Template })...), allWide(
		text("Selector", appsv1.DeploymentSpec{}.SwaggerDoc()["selector"], func(d *appsv1.Deployment) any {
			selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
			if err != nil {
				return "<invalid>"
			}
			return selector.String()
		}),
	))

	daemonSetColumns = slices.Concat([]column{
		name,
		integer("Desired", daemonSetStatusDoc["desiredNumberScheduled"], func(d *appsv1.DaemonSet) any { return int64(d.Status.DesiredNumberScheduled) }),
		integer("Current", daemonSetStatusDoc["currentNumberScheduled"], func(d *appsv1.DaemonSet) any { return int64(d.Status.CurrentNumberScheduled) }),
		integer("Ready", daemonSetStatusDoc["numberReady"], func(d *appsv1.DaemonSet) any { return int64(d.Status.NumberReady) }),
		integer("Up-to-date", daemonSetStatusDoc["updatedNumberScheduled"], func(d *appsv1.DaemonSet) any { return int64(d.Status.UpdatedNumberScheduled) }),
		integer("Available", daemonSetStatusDoc["numberAvailable"], func(d *appsv1.DaemonSet) any { return int64(d.Status.NumberAvailable) }),
		text("Node Selector", podSpecDoc["nodeSelector"], func(d *appsv1.DaemonSet) any { return labels.FormatLabels(d.Spec.Template.Spec.NodeSelector) }),
		age,
	}, allWide(containersOf(func(d *appsv1.DaemonSet) *corev1.PodTemplateSpec { return &d.Spec.Template })...), allWide(
		text("Selector", appsv1.DaemonSetSpec{}.SwaggerDoc()["selector"], func(d *appsv1.DaemonSet) any { return metav1.FormatLabelSelector(d.Spec.Selector) }),
	))

	replicaSetColumns = slices.Concat([]column{
		name,
		integer("Desired", appsv1.ReplicaSetSpec{}.SwaggerDoc()["replicas"], func(r *appsv1.ReplicaSet) any { return int64(or(r.Spec.Replicas, 0)) }),
		integer("Current", replicaSetStatusDoc["replicas"], func(r *appsv1.ReplicaSet) any { return int64(r.Status.Replicas) }),
		integer("Ready", replicaSetStatusDoc["readyReplicas"], func(r *appsv1.ReplicaSet) any { return int64(r.Status.ReadyReplicas) }),
		age,
	}, allWide(containersOf(func(r *appsv1.ReplicaSet) *corev1.PodTemplateSpec { return &r.Spec.Template })...), allWide(
		text("Selector", appsv1.ReplicaSetSpec{}.SwaggerDoc()["selector"], func(r *appsv1.ReplicaSet) any { return metav1.FormatLabelSelector(r.Spec.Selector) }),
	))

	statefulSetColumns = slices.Concat([]column{
		name,
		text("Ready", "Number of the pod with ready state", func(s *appsv1.StatefulSet) any { return ratio(s.Status.ReadyReplicas, s.Spec.Replicas) }),
		age,
	}, allWide(containersOf(func(s *appsv1.StatefulSet) *corev1.PodTemplateSpec { return &s.Spec.Template })...))

	controllerRevisionColumns = []column{
		name,
		text("Controller", "Controller of the object", controllerOf),
		text("Revision", appsv1.ControllerRevision{}.SwaggerDoc()["revision"], func(r *appsv1.ControllerRevision) any { return r.Revision }),
		age,
	}

	jobColumns = slices.Concat([]column{
		name,
		text("Status", "Status of the job.", jobStatus),
		text("Completions", batchv1.JobStatus{}.SwaggerDoc()["succeeded"], completions),
		timed("Duration", "Time required to complete the job.", jobDuration),
		age,
	}, allWide(containersOf(func(j *batchv1.Job) *corev1.PodTemplateSpec { return &j.Spec.Template })...), allWide(
		text("Selector", jobSelectorDoc, func(j *batchv1.Job) any { return metav1.FormatLabelSelector(j.Spec.Selector) }),
	))

	cronJobColumns = slices.Concat([]column{
		name,
		text("Schedule", cronJobSpecDoc["schedule"], func(c *batchv1.CronJob) any { return c.Spec.Schedule }),
		text("Timezone", cronJobSpecDoc["timeZone"], func(c *batchv1.CronJob) any { return or(c.Spec.TimeZone, none) }),
		boolean("Suspend", cronJobSpecDoc["suspend"], suspended),
		integer("Active", cronJobStatusDoc["active"], func(c *batchv1.CronJob) any { return int64(len(c.Status.Active)) }),
		timed("Last Schedule", cronJobStatusDoc["lastScheduleTime"], func(c *batchv1.CronJob, now time.Time) any {
			if c.Status.LastScheduleTime == nil {
				return none
			}
			return since(c.Status.LastScheduleTime.Time, now)
		}),
		age,
	}, allWide(containersOf(func(c *batchv1.CronJob) *corev1.PodTemplateSpec { return &c.Spec.JobTemplate.Spec.Template })...), allWide(
		text("Selector", jobSelectorDoc, func(c *batchv1.CronJob) any { return metav1.FormatLabelSelector(c.Spec.JobTemplate.Spec.Selector) }),
	))
)

// ratio is how many are ready of those that are wanted.
func ratio(ready int32, wanted *int32) string { return fmt.Sprintf("%d/%d", ready, or(wanted, 0)) }

func controllerOf(r *appsv1.ControllerRevision) any {
	controller := metav1.GetControllerOf(r)
	if controller == nil {
		return none
	}
	kind := schema.FromAPIVersionAndKind(controller.APIVersion, controller.Kind).GroupKind()
	return strings.ToLower(kind.String()) + "/" + controller.Name
}

func jobStatus(j *batchv1.Job) any {
	is := func(condition batchv1.JobConditionType) bool {
		at := slices.IndexFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool { return c.Type == condition })
		return at >= 0 && j.Status.Conditions[at].Status == corev1.ConditionTrue
	}
	switch {
	case is(batchv1.JobComplete):
		return "Complete"
	case is(batchv1.JobFailed):
		return "Failed"
	case j.DeletionTimestamp != nil:
		return "Terminating"
	case is(batchv1.JobSuspended):
		return "Suspended"
	case is(batchv1.JobFailureTarget):
		return "FailureTarget"
	case is(batchv1.JobSuccessCriteriaMet):
		return "SuccessCriteriaMet"
	}
	return "Running"
}

func completions(j *batchv1.Job) any {
	switch parallel := or(j.Spec.Parallelism, 0); {
	case j.Spec.Completions != nil:
		return ratio(j.Status.Succeeded, j.Spec.Completions)
	case parallel > 1: // any one will do
		return fmt.Sprintf("%d/1 of %d", j.Status.Succeeded, parallel)
	}
	return fmt.Sprintf("%d/1", j.Status.Succeeded)
}

func jobDuration(j *batchv1.Job, now time.Time) any {
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
func suspended(c *batchv1.CronJob) any {
	switch {
	case c.Spec.Suspend == nil:
		return unset
	case *c.Spec.Suspend:
		return "True"
	}
	return "False"
}
