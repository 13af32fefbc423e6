package health

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

var (
	deployment = schema.GroupKind{Group: "apps", Kind: "Deployment"}
	replicaSet = schema.GroupKind{Group: "apps", Kind: "ReplicaSet"}
	daemonSet  = schema.GroupKind{Group: "apps", Kind: "DaemonSet"}
	job        = schema.GroupKind{Group: "batch", Kind: "Job"}
	pod        = schema.GroupKind{Kind: "Pod"}
	custom     = schema.GroupKind{Group: "example.com", Kind: "Database"}
)

// object reads an object as clients decode it: numbers are int64 or float64.
func object(t *testing.T, text string) map[string]any {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	tree, err := rawjson.Value(data).Tree()
	if err != nil {
		t.Fatal(err)
	}
	return tree.(map[string]any)
}

const fine = `conditions: [{type: Progressing, status: "True", reason: NewReplicaSetAvailable}, {type: Available, status: "True"}]`

func TestHealthOfObjects(t *testing.T) {
	phases := &v1beta1.HealthRule{Healthy: `self.status.phase == 'Up'`, Degraded: `self.status.phase == 'Lost'`, Message: `self.status.why`}
	for sentence, test := range map[string]struct {
		kind   schema.GroupKind
		rule   *v1beta1.HealthRule
		object string
		want   Summary
	}{
		"a Deployment that is rolled out is healthy": {deployment, nil,
			`{apiVersion: apps/v1, kind: Deployment, metadata: {generation: 2}, spec: {replicas: 3, progressDeadlineSeconds: 600}, status: {observedGeneration: 2, replicas: 3, updatedReplicas: 3, readyReplicas: 3, availableReplicas: 3, ` + fine + `}}`,
			Summary{"Healthy", "", &v1beta2.WorkloadStatus{DesiredReplicas: 3, Replicas: 3, UpdatedReplicas: 3, ReadyReplicas: 3, AvailableReplicas: 3}}},
		"one whose pods are not ready progresses": {deployment, nil,
			`{apiVersion: apps/v1, kind: Deployment, metadata: {generation: 2}, spec: {replicas: 3}, status: {observedGeneration: 2, replicas: 3, updatedReplicas: 3, readyReplicas: 1, availableReplicas: 1, ` + fine + `}}`,
			Summary{"Progressing", "Available: 1/3", &v1beta2.WorkloadStatus{DesiredReplicas: 3, Replicas: 3, UpdatedReplicas: 3, ReadyReplicas: 1, AvailableReplicas: 1}}},
		"one that ran out of time is degraded": {deployment, nil,
			`{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 1, progressDeadlineSeconds: 600}, status: {conditions: [{type: Progressing, status: "False", reason: ProgressDeadlineExceeded}]}}`,
			Summary{"Degraded", "Progress deadline exceeded", &v1beta2.WorkloadStatus{DesiredReplicas: 1}}},
		"one that was not looked at since it changed progresses, however well it was": {deployment, nil,
			`{apiVersion: apps/v1, kind: Deployment, metadata: {generation: 3}, spec: {replicas: 1}, status: {observedGeneration: 2, replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1, ` + fine + `}}`,
			Summary{"Progressing", "the controller there has not seen the newest spec yet", &v1beta2.WorkloadStatus{DesiredReplicas: 1, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1}}},
		"a paused one waits": {deployment, nil,
			`{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 1, paused: true}, status: {replicas: 1}}`,
			Summary{"Suspended", "spec has the object there wait", &v1beta2.WorkloadStatus{DesiredReplicas: 1, Replicas: 1}}},
		"a ReplicaSet is of one template": {replicaSet, nil,
			`{apiVersion: apps/v1, kind: ReplicaSet, spec: {replicas: 2}, status: {replicas: 2, fullyLabeledReplicas: 2, readyReplicas: 2, availableReplicas: 2}}`,
			Summary{"Healthy", "", &v1beta2.WorkloadStatus{DesiredReplicas: 2, Replicas: 2, UpdatedReplicas: 2, ReadyReplicas: 2, AvailableReplicas: 2}}},
		"a DaemonSet counts nodes": {daemonSet, nil,
			`{apiVersion: apps/v1, kind: DaemonSet, metadata: {generation: 1}, status: {observedGeneration: 1, desiredNumberScheduled: 4, currentNumberScheduled: 4, updatedNumberScheduled: 3, numberReady: 4, numberAvailable: 4}}`,
			Summary{"Progressing", "Updated: 3/4", &v1beta2.WorkloadStatus{DesiredReplicas: 4, Replicas: 4, UpdatedReplicas: 3, ReadyReplicas: 4, AvailableReplicas: 4}}},
		"a Job that runs is healthy": {job, nil, `{apiVersion: batch/v1, kind: Job, status: {active: 1, startTime: "2026-01-01T00:00:00Z"}}`, Summary{Health: "Healthy"}},
		"one that failed is degraded": {job, nil, `{apiVersion: batch/v1, kind: Job, status: {failed: 2, conditions: [{type: Failed, status: "True"}]}}`,
			Summary{Health: "Degraded", Message: "Job Failed. failed: 2/1"}},
		"one that is suspended waits": {job, nil, `{apiVersion: batch/v1, kind: Job, spec: {suspend: true}, status: {conditions: [{type: Suspended, status: "True"}]}}`,
			Summary{Health: "Suspended", Message: "spec has the object there wait"}},
		"one that ended does not":                 {job, nil, `{apiVersion: batch/v1, kind: Job, spec: {suspend: true}, status: {succeeded: 1, conditions: [{type: Complete, status: "True"}]}}`, Summary{Health: "Healthy"}},
		"a Pod that failed is degraded":           {pod, nil, `{apiVersion: v1, kind: Pod, status: {phase: Failed}}`, Summary{Health: "Degraded", Message: "Pod has completed, but not successfully"}},
		"a custom object is healthy without more": {custom, nil, `{apiVersion: example.com/v1, kind: Database, spec: {}}`, Summary{Health: "Healthy"}},
		"its condition Ready counts": {custom, nil, `{apiVersion: example.com/v1, kind: Database, status: {conditions: [{type: Ready, status: "False", message: "no disk"}]}}`,
			Summary{Health: "Progressing", Message: "no disk"}},
		"its condition Stalled counts": {custom, nil, `{apiVersion: example.com/v1, kind: Database, status: {conditions: [{type: Stalled, status: "True", message: "no disk"}]}}`,
			Summary{Health: "Degraded", Message: "no disk"}},
		"its replicas count": {custom, nil, `{apiVersion: example.com/v1, kind: Database, spec: {replicas: 2}, status: {replicas: 2, readyReplicas: 1, updatedReplicas: -1}}`,
			Summary{"Healthy", "", &v1beta2.WorkloadStatus{DesiredReplicas: 2, Replicas: 2, ReadyReplicas: 1}}},
		"what is being deleted progresses": {custom, phases, `{apiVersion: example.com/v1, kind: Database, metadata: {deletionTimestamp: "2026-01-01T00:00:00Z"}, status: {phase: Up}}`,
			Summary{Health: "Progressing", Message: "the object there is being deleted"}},

		"a rule says what is healthy":         {custom, phases, `{status: {phase: Up, why: "x"}}`, Summary{Health: "Healthy"}},
		"a rule says what is degraded":        {custom, phases, `{status: {phase: Lost, why: "disk\n full"}}`, Summary{Health: "Degraded", Message: "disk full"}},
		"neither is on its way":               {custom, phases, `{status: {phase: Starting}}`, Summary{Health: "Progressing", Message: "the object there is not healthy yet"}},
		"what cannot be computed is not true": {custom, phases, `{spec: {}}`, Summary{Health: "Progressing", Message: "the object there is not healthy yet"}},
		"a rule speaks of what the controller has seen": {custom, phases, `{metadata: {generation: 2}, status: {observedGeneration: 1, phase: Up, why: "it rolls"}}`,
			Summary{Health: "Progressing", Message: "it rolls"}},
		"with degraded alone the rest is as for all": {custom, &v1beta1.HealthRule{Degraded: `self.status.phase == 'Lost'`}, `{apiVersion: example.com/v1, kind: Database, status: {phase: Up}}`,
			Summary{Health: "Healthy"}},

		"what no API server would send is unknown": {pod, nil,
			`{apiVersion: v1, kind: Pod, status: {phase: Running, containerStatuses: ["x"]}}`, Summary{Health: "Unknown", Message: "the object there is not as objects of its kind are"}},
		"nor is a status that is a text": {custom, nil, `{apiVersion: example.com/v1, kind: Database, status: {conditions: "x"}}`,
			Summary{Health: "Unknown", Message: "the object there is not as objects of its kind are"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			rule, err := For(test.kind, test.rule)
			if err != nil {
				t.Fatal(err)
			}
			read := object(t, test.object)
			got := rule.Of(read)
			if diff := cmp.Diff(&test.want, got); diff != "" {
				t.Errorf("summary (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(object(t, test.object), read); diff != "" {
				t.Errorf("the object was modified (-want +got):\n%s", diff)
			}
		})
	}
}

// kstatus waits 15 s for a Pod to be scheduled, and nobody would look at it then.
func TestHealthDoesNotDependOnTheTime(t *testing.T) {
	rule, err := For(pod, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := rule.Of(object(t, `{apiVersion: v1, kind: Pod, metadata: {creationTimestamp: "`+time.Now().UTC().Format(time.RFC3339)+`"},
		status: {phase: Pending, conditions: [{type: PodScheduled, status: "False", reason: Unschedulable}]}}`))
	if got.Health != v1beta2.HealthDegraded {
		t.Errorf("got %s, want Degraded", got.Health)
	}
}

func TestAMessageOfAMemberIsCut(t *testing.T) {
	rule, err := For(custom, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := rule.Of(object(t, `{apiVersion: example.com/v1, kind: Database, status: {conditions: [{type: Ready, status: "False", message: "`+strings.Repeat("ü", 5000)+`"}]}}`))
	if n := len(got.Message); n > v1beta2.MaxHealthMessageBytes || n < v1beta2.MaxHealthMessageBytes-1 || !strings.HasSuffix(got.Message, "ü...") {
		t.Errorf("got %d bytes: %s", n, got.Message)
	}
}

// A member decides what its objects hold, and so how long an expression runs.
func TestADearRuleIsGivenUp(t *testing.T) {
	rule, err := For(custom, &v1beta1.HealthRule{Healthy: `!self.items.exists(a, self.items.exists(b, self.items.exists(c, a + b + c < 0)))`})
	if err != nil {
		t.Fatal(err)
	}
	many := make([]any, 10_000)
	for i := range many {
		many[i] = int64(i)
	}
	if got := rule.Of(map[string]any{"items": many}); got.Health != v1beta2.HealthProgressing {
		t.Errorf("got %s of what would take 10^12 steps", got.Health)
	}
}

func TestRulesThatAreRefused(t *testing.T) {
	for sentence, test := range map[string]struct {
		rule v1beta1.HealthRule
		want string
	}{
		"one that says nothing":     {v1beta1.HealthRule{Message: `self.status.why`}, `spec.health.healthy: Required value: must be an expression in CEL that is true of a healthy object, such as self.status.phase == 'Bound'; or degraded must be given`},
		"one that is no CEL":        {v1beta1.HealthRule{Healthy: `self.`}, `spec.health.healthy: Invalid value: "self.": must be an expression in CEL that is true of a healthy object`},
		"one that is a text":        {v1beta1.HealthRule{Degraded: `'x'`}, `spec.health.degraded: Invalid value: "'x'": must be an expression in CEL that is true of an object that failed, such as self.status.phase == 'Failed': must be true or false, and is of type string`},
		"a message that is no text": {v1beta1.HealthRule{Healthy: `true`, Message: `1`}, `must be a string, and is of type int`},
		"one that is too long":      {v1beta1.HealthRule{Healthy: strings.Repeat(" ", v1beta1.MaxHealthBytes) + "true"}, `must be at most 4096 bytes`},
	} {
		errs := Validate(&test.rule, nil)
		if len(errs) != 1 || !strings.Contains(errs[0].Error(), test.want) {
			t.Errorf("%s: got %v, want %q in it", sentence, errs, test.want)
		}
		if _, err := For(custom, &test.rule); err == nil {
			t.Errorf("%s: a rule was made of it", sentence)
		}
	}
}
