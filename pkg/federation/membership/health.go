package membership

import (
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/memberaccess"
)

// Health of a member.
type Health int

const (
	// Unknown: not checked since this process began.
	Unknown Health = iota
	// Ready: answers, and says that it is well.
	Ready
	// NotReady: answers, and says that it is not well.
	NotReady
	// Offline: does not answer.
	Offline
	// Malformed: the KubeFedCluster and its Secret make no connection, or the member
	// refuses them.
	Malformed
)

// lastProbeInterval is how old a written lastProbeTime may get while nothing changes: as the
// status of a Node. A write costs as much as a hundred checks.
const lastProbeInterval = 5 * time.Minute

// finding is the result of one check.
type finding struct {
	health  Health
	problem string // a sentence, empty if ready
	version string // of Kubernetes, if ready
}

// ending is why somebody has to see to a credential; its reason is empty if nobody has to.
type ending struct{ reason, message string }

// Thresholds are how many checks in a row it takes to change a member's health.
type Thresholds struct {
	Period, Timeout  time.Duration
	Failure, Success int64
}

// ThresholdsOf reads a KubeFedConfig; what is missing, or the whole of it, has KubeFed's
// defaults.
func ThresholdsOf(config *v1beta1.KubeFedConfig) Thresholds {
	t := Thresholds{Period: 10 * time.Second, Timeout: 3 * time.Second, Failure: 3, Success: 1}
	if config == nil || config.Spec.ClusterHealthCheck == nil {
		return t
	}
	check := config.Spec.ClusterHealthCheck
	setDuration(&t.Period, check.Period)
	setDuration(&t.Timeout, check.Timeout)
	setCount(&t.Failure, check.FailureThreshold)
	setCount(&t.Success, check.SuccessThreshold)
	return t
}

// recoveryPeriod is how often a member that is not ready is checked, so that it is caught
// up soon after it is back.
const recoveryPeriod = 2 * time.Second

// pause is the time between two checks of a member of this health.
func (t Thresholds) pause(health Health) time.Duration {
	if health == Ready {
		return t.Period
	}
	return min(t.Period, recoveryPeriod)
}

func setDuration(d *time.Duration, value *metav1.Duration) {
	if value != nil && value.Duration > 0 {
		*d = value.Duration
	}
}

func setCount(n *int64, value *int64) {
	if value != nil && *value > 0 {
		*n = *value
	}
}

// judgement is what is held true of a member, and how many checks in a row spoke
// against it.
type judgement struct {
	finding
	against int64
}

// next takes a new finding into account. The first one counts at once.
func (j judgement) next(f finding, t Thresholds) judgement {
	if j.health == Unknown || (f.health == Ready) == (j.health == Ready) {
		return judgement{finding: f}
	}
	needed := t.Failure
	if f.health == Ready {
		needed = t.Success
	}
	if j.against+1 >= needed {
		return judgement{finding: f}
	}
	j.against++
	return j
}

// explain turns the error of a check into a finding with one sentence.
func explain(err error, secret string) finding {
	var answer *memberclient.AnswerError
	switch {
	case errors.As(err, &answer) && answer.Misdirected:
		return finding{health: Malformed, problem: answer.Problem}
	case errors.As(err, &answer):
		return finding{health: NotReady, problem: answer.Problem}
	case apierrors.IsUnauthorized(err):
		return finding{health: Malformed, problem: fmt.Sprintf(
			"the member refuses the credentials in Secret %q (401 Unauthorized): they have expired, or are for another cluster", secret)}
	case apierrors.IsForbidden(err):
		return finding{health: Malformed, problem: fmt.Sprintf(
			"the member does not let the credentials in Secret %q read /healthz (403 Forbidden)", secret)}
	}
	problem, detail := memberaccess.CertificateProblem(err)
	switch {
	case problem != "" && detail != nil:
		return finding{health: Malformed, problem: problem + ": " + memberclient.Problem(detail)}
	case problem != "":
		return finding{health: Malformed, problem: problem}
	}
	return finding{health: Offline, problem: "the member does not answer: " + memberclient.Problem(err)}
}

// conditions says a finding the way KubeFed does: only the conditions that it sets in
// that state, and behind them, if it has to be said, that of the credential.
func (f finding) conditions(credential ending, now metav1.Time) []v1beta1.ClusterCondition {
	condition := func(kind v1beta1.ClusterConditionType, status corev1.ConditionStatus, reason, message string) v1beta1.ClusterCondition {
		return v1beta1.ClusterCondition{
			Type: kind, Status: status, Reason: &reason, Message: &message,
			LastProbeTime: now, LastTransitionTime: &now,
		}
	}
	var credentials []v1beta1.ClusterCondition
	if credential.reason != "" {
		credentials = append(credentials, condition(v1beta1.ClusterCredentialsExpiring, corev1.ConditionTrue, credential.reason, credential.message))
	}
	return append(f.health.conditions(f.problem, condition), credentials...)
}

// conditions are KubeFed's.
func (h Health) conditions(problem string, condition func(v1beta1.ClusterConditionType, corev1.ConditionStatus, string, string) v1beta1.ClusterCondition) []v1beta1.ClusterCondition {
	switch h {
	case Ready:
		return []v1beta1.ClusterCondition{condition(v1beta1.ClusterReady, corev1.ConditionTrue, v1beta1.ReasonClusterReady, "/healthz responded with ok")}
	case NotReady:
		return []v1beta1.ClusterCondition{
			condition(v1beta1.ClusterReady, corev1.ConditionFalse, v1beta1.ReasonClusterNotReady, problem),
			condition(v1beta1.ClusterOffline, corev1.ConditionFalse, v1beta1.ReasonClusterReachable, "cluster is reachable"),
		}
	case Offline:
		return []v1beta1.ClusterCondition{condition(v1beta1.ClusterOffline, corev1.ConditionTrue, v1beta1.ReasonClusterNotReachable, problem)}
	default:
		return []v1beta1.ClusterCondition{condition(v1beta1.ClusterConfigMalformed, corev1.ConditionTrue, v1beta1.ReasonClusterConfigMalformed, problem)}
	}
}

// status returns the status to write, or nil if old says it all. account is the namespace
// of the join account.
func (f finding) status(old *v1beta1.KubeFedClusterStatus, account string, credential ending, now time.Time) *v1beta1.KubeFedClusterStatus {
	updated := old.DeepCopy()
	updated.Conditions = f.conditions(credential, metav1.NewTime(now.Truncate(time.Second)))
	if f.version != "" {
		updated.KubernetesVersion = f.version
	}
	updated.JoinNamespace = account
	same := len(updated.Conditions) == len(old.Conditions) && updated.KubernetesVersion == old.KubernetesVersion && account == old.JoinNamespace
	for i := range updated.Conditions {
		condition := &updated.Conditions[i]
		previous := find(old.Conditions, condition.Type)
		if previous == nil {
			same = false
			continue
		}
		if previous.Status == condition.Status && previous.LastTransitionTime != nil {
			condition.LastTransitionTime = previous.LastTransitionTime
		}
		same = same && saysTheSame(previous, condition) && now.Sub(previous.LastProbeTime.Time) < lastProbeInterval
	}
	if same {
		return nil
	}
	return updated
}

// unprobed is a status without the times of its checks, beside which every finding is new.
func unprobed(status *v1beta1.KubeFedClusterStatus) *v1beta1.KubeFedClusterStatus {
	status = status.DeepCopy()
	for i := range status.Conditions {
		status.Conditions[i].LastProbeTime = metav1.Time{}
	}
	return status
}

// probedLater reports whether a status that was written differs from the old one in a condition, or when it was checked.
func probedLater(old, written *v1beta1.KubeFedClusterStatus) bool {
	for i := range written.Conditions {
		previous := find(old.Conditions, written.Conditions[i].Type)
		if previous == nil || !saysTheSame(previous, &written.Conditions[i]) || !previous.LastProbeTime.Equal(&written.Conditions[i].LastProbeTime) {
			return true
		}
	}
	return len(old.Conditions) != len(written.Conditions)
}

func find(conditions []v1beta1.ClusterCondition, kind v1beta1.ClusterConditionType) *v1beta1.ClusterCondition {
	for i := range conditions {
		if conditions[i].Type == kind {
			return &conditions[i]
		}
	}
	return nil
}

func saysTheSame(a, b *v1beta1.ClusterCondition) bool {
	return a.Status == b.Status && deref(a.Reason) == deref(b.Reason) && deref(a.Message) == deref(b.Message)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
