package autonomy

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	notReady, unreachable = corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable
	noExecute             = corev1.TaintEffectNoExecute
)

// tol is a toleration with the operator Exists; no seconds is without end.
func tol(key string, effect corev1.TaintEffect, seconds ...int64) corev1.Toleration {
	t := corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: effect}
	if len(seconds) > 0 {
		t.TolerationSeconds = &seconds[0]
	}
	return t
}

// cluster is an API server with one pod, a node, and what looks at it.
type cluster struct {
	t       *testing.T
	pod     *corev1.Pod
	policy  Policy
	taints  []string
	records *records
	writes  int
}

func newCluster(t *testing.T, tolerations ...corev1.Toleration) *cluster {
	t.Helper()
	c := &cluster{t: t, pod: &corev1.Pod{Spec: corev1.PodSpec{NodeName: "n", Tolerations: tolerations}}}
	c.pod.UID, c.pod.ResourceVersion = "uid", "1"
	c.restart()
	return c
}

// restart has the process forget what it has read.
func (c *cluster) restart() { c.records = &records{last: map[types.UID][]original{}} }

// step looks at the pod once; false if nothing was to be done.
func (c *cluster) step() bool {
	c.t.Helper()
	slim, err := slimPod(c.pod.DeepCopy())
	if err != nil {
		c.t.Fatal(err)
	}
	pod := slim.(*corev1.Pod)
	record, _ := c.records.of(pod)
	to := decideTolerations(pod.Spec.Tolerations, record, c.policy, func(key string) bool { return slices.Contains(c.taints, key) })
	operations, err := tolerationsPatch(pod, to)
	if err != nil {
		c.t.Fatal(err)
	}
	if operations == nil {
		return false
	}
	c.apply(operations, to.manager())
	return true
}

// apply is what an API server does with a patch.
func (c *cluster) apply(operations []operation, manager string) {
	c.t.Helper()
	body, err := json.Marshal(operations)
	if err != nil {
		c.t.Fatal(err)
	}
	decoded, err := jsonpatch.DecodePatch(body)
	if err != nil {
		c.t.Fatal(err)
	}
	before, err := json.Marshal(c.pod)
	if err != nil {
		c.t.Fatal(err)
	}
	after, err := decoded.Apply(before)
	if err != nil {
		c.t.Fatalf("%s: %v", body, err)
	}
	var pod corev1.Pod
	if err := json.Unmarshal(after, &pod); err != nil {
		c.t.Fatal(err)
	}
	if pod.ResourceVersion != c.pod.ResourceVersion {
		c.t.Fatal("the patch is not for the version that was looked at")
	}
	c.update(pod.Spec.Tolerations, manager)
	c.pod.Annotations = pod.Annotations
}

// update writes tolerations, of which an API server lets nobody remove one.
func (c *cluster) update(tolerations []corev1.Toleration, manager string) {
	c.t.Helper()
	for _, old := range c.pod.Spec.Tolerations {
		if !slices.ContainsFunc(tolerations, func(t corev1.Toleration) bool { return t.MatchToleration(&old) }) {
			c.t.Fatalf("%v was removed", old)
		}
	}
	for _, t := range tolerations {
		if t.TolerationSeconds != nil && t.Effect != noExecute {
			c.t.Fatalf("%v has seconds and not the effect NoExecute", t)
		}
	}
	if !cmp.Equal(c.pod.Spec.Tolerations, tolerations) {
		c.pod.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: manager, FieldsV1: &metav1.FieldsV1{Raw: []byte(`{"f:spec":{"f:tolerations":{}}}`)}}}
	}
	c.pod.Spec.Tolerations = tolerations
	c.writes++
	c.pod.ResourceVersion = strconv.Itoa(c.writes + 1)
}

// settle looks at the pod until nothing is to be done.
func (c *cluster) settle() {
	c.t.Helper()
	for range 5 {
		if !c.step() {
			return
		}
	}
	c.t.Fatalf("there is always something to be done: %v, %s", c.pod.Spec.Tolerations, c.pod.Annotations[Originals])
}

// has checks the tolerations, and whether there is an annotation.
func (c *cluster) has(when string, annotated bool, want ...corev1.Toleration) {
	c.t.Helper()
	if diff := cmp.Diff(want, c.pod.Spec.Tolerations); diff != "" {
		c.t.Errorf("%s (-want +got):\n%s", when, diff)
	}
	if _, is := c.pod.Annotations[Originals]; is != annotated {
		c.t.Errorf("%s the annotation is %q", when, c.pod.Annotations[Originals])
	}
}

func TestTolerationsAndBack(t *testing.T) {
	type list = []corev1.Toleration
	usual := list{tol(notReady, noExecute, 300), tol(unreachable, noExecute, 300)}
	without, minutes := Policy{On: true}, Policy{true, 500 * time.Second}
	equalOperator := corev1.Toleration{Key: unreachable, Operator: corev1.TolerationOpEqual, Effect: noExecute, TolerationSeconds: new(int64(60))}
	for name, test := range map[string]struct {
		before    list
		policy    Policy
		want      list
		unchanged bool
		after     list // nil: as before
	}{
		"those that Kubernetes gives get none":   {usual, without, list{tol(notReady, noExecute), tol(unreachable, noExecute)}, false, nil},
		"they get the seconds of the duration":   {usual, minutes, list{tol(notReady, noExecute, 500), tol(unreachable, noExecute, 500)}, false, nil},
		"those that have more keep them":         {list{tol(notReady, noExecute, 3600), tol(unreachable, noExecute, 500)}, minutes, nil, true, nil},
		"one without seconds is left alone":      {list{tol(notReady, noExecute), tol(unreachable, noExecute, 10)}, minutes, list{tol(notReady, noExecute), tol(unreachable, noExecute, 500)}, false, nil},
		"one for everything is enough":           {list{tol("", "")}, minutes, nil, true, nil},
		"one for all that evicts is enough":      {list{tol("", noExecute), tol(unreachable, noExecute, 5)}, without, nil, true, nil},
		"one for a key and all effects":          {list{tol(notReady, ""), tol(unreachable, "")}, without, nil, true, nil},
		"only the first that decides is changed": {list{tol(unreachable, noExecute, 10), tol(unreachable, noExecute, 20), tol(notReady, noExecute)}, minutes, list{tol(unreachable, noExecute, 500), tol(unreachable, noExecute, 20), tol(notReady, noExecute)}, false, nil},
		"one with Equal decides, too":            {list{equalOperator, tol(notReady, "")}, without, list{{Key: unreachable, Operator: corev1.TolerationOpEqual, Effect: noExecute}, tol(notReady, "")}, false, nil},
		"other tolerations are left alone":       {append(list{tol("disk", noExecute, 7), tol(unreachable, corev1.TaintEffectNoSchedule)}, usual...), without, append(list{tol("disk", noExecute, 7), tol(unreachable, corev1.TaintEffectNoSchedule)}, tol(notReady, noExecute), tol(unreachable, noExecute)), false, nil},
		"one for all keys with seconds has one for the key before it": {list{tol("", noExecute, 30)}, minutes, list{tol(notReady, noExecute, 500), tol(unreachable, noExecute, 500), tol("", noExecute, 30)}, false,
			list{tol(notReady, noExecute, 30), tol(unreachable, noExecute, 30), tol("", noExecute, 30)}},
		"one for all keys with enough is left alone":                           {list{tol("", noExecute, 3000)}, minutes, nil, true, nil},
		"a pod without any gets them, which would evict it at once in the end": {nil, minutes, list{tol(notReady, noExecute, 500), tol(unreachable, noExecute, 500)}, false, list{tol(notReady, noExecute, 0), tol(unreachable, noExecute, 0)}},
		"no time to stay is little":                                            {list{tol(notReady, noExecute, -5), tol(unreachable, noExecute, 0)}, minutes, list{tol(notReady, noExecute, 500), tol(unreachable, noExecute, 500)}, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, slices.Clone(test.before)...)
			c.settle()
			c.has("before", false, test.before...)
			c.policy = test.policy
			c.settle()
			if test.unchanged {
				test.want = test.before
			}
			c.has("with autonomy", !test.unchanged, test.want...)
			c.restart()
			if c.step() {
				t.Error("there is something to be done after a restart")
			}
			c.policy = Policy{}
			c.settle()
			if test.after == nil {
				test.after = test.before
			}
			added := len(test.after) > len(test.before)
			c.has("after autonomy", added, test.after...)
			c.policy = test.policy
			c.settle()
			c.policy = Policy{}
			c.settle()
			c.has("after autonomy once more", added, test.after...)
		})
	}
}

func TestADurationThatChangesGoesFromTheOriginals(t *testing.T) {
	c := newCluster(t, tol(notReady, noExecute, 300), tol(unreachable, noExecute, 400))
	for _, step := range []struct {
		policy Policy
		want   []corev1.Toleration
	}{
		{Policy{true, 500 * time.Second}, []corev1.Toleration{tol(notReady, noExecute, 500), tol(unreachable, noExecute, 500)}},
		{Policy{On: true}, []corev1.Toleration{tol(notReady, noExecute), tol(unreachable, noExecute)}},
		{Policy{true, 350 * time.Second}, []corev1.Toleration{tol(notReady, noExecute, 350), tol(unreachable, noExecute, 400)}},
	} {
		c.policy = step.policy
		c.settle()
		c.has(fmt.Sprint(step.policy), true, step.want...)
	}
	c.policy = Policy{true, time.Second}
	c.settle()
	c.has("a duration that is less than all have", false, tol(notReady, noExecute, 300), tol(unreachable, noExecute, 400))
}

// An eviction that is scheduled is not moved by seconds: they are removed first.
func TestOnATaintedNodeSecondsAreRemovedFirst(t *testing.T) {
	c := newCluster(t, tol(notReady, noExecute, 300), tol(unreachable, noExecute, 300))
	c.taints, c.policy = []string{unreachable}, Policy{true, 500 * time.Second}
	c.step()
	c.has("first", true, tol(notReady, noExecute, 500), tol(unreachable, noExecute))
	c.restart()
	c.step()
	c.has("then", true, tol(notReady, noExecute, 500), tol(unreachable, noExecute, 500))
	c.policy = Policy{}
	c.step()
	c.has("back, first", true, tol(notReady, noExecute, 300), tol(unreachable, noExecute))
	c.restart()
	c.settle()
	c.has("back, then", false, tol(notReady, noExecute, 300), tol(unreachable, noExecute, 300))
}

func TestWhatAUserDoesMeanwhile(t *testing.T) {
	raised := func(t *testing.T) *cluster {
		t.Helper()
		c := newCluster(t, tol(notReady, noExecute, 60), tol(unreachable, noExecute, 60))
		c.policy = Policy{true, 500 * time.Second}
		c.settle()
		return c
	}
	damages := map[string]string{
		"no JSON": "{", "another kind": `{"key":"x"}`, "fields that it does not have": `[{"key":"x","more":1}]`, "more behind it": `[] []`, "seconds that are no number": `[{"key":"x","was":"1","set":null}]`,
	}
	for name, text := range damages {
		t.Run("the annotation is "+name+" while nobody runs", func(t *testing.T) {
			c := raised(t)
			c.pod.Annotations[Originals] = text
			c.restart()
			c.settle()
			c.has("repaired", true, tol(notReady, noExecute, 500), tol(unreachable, noExecute, 500))
			c.policy = Policy{}
			c.settle()
			c.has("what Kubernetes gives", false, tol(notReady, noExecute, 300), tol(unreachable, noExecute, 300))
		})
		t.Run("the annotation is "+name+" while it is known", func(t *testing.T) {
			c := raised(t)
			c.pod.Annotations[Originals] = text
			c.policy = Policy{}
			c.settle()
			c.has("what it had", false, tol(notReady, noExecute, 60), tol(unreachable, noExecute, 60))
		})
	}
	t.Run("the annotation is removed while nobody runs", func(t *testing.T) {
		c := raised(t)
		c.pod.Annotations = nil
		c.policy = Policy{}
		c.restart()
		c.settle()
		c.has("what Kubernetes gives", false, tol(notReady, noExecute, 300), tol(unreachable, noExecute, 300))
		c.restart()
		c.settle()
		c.has("and no more", false, tol(notReady, noExecute, 300), tol(unreachable, noExecute, 300))
	})
	t.Run("what was put back is not taken for raised", func(t *testing.T) {
		c := raised(t)
		c.policy = Policy{}
		c.settle()
		c.restart()
		c.settle()
		c.has("what it had", false, tol(notReady, noExecute, 60), tol(unreachable, noExecute, 60))
	})
	t.Run("an annotation is written on a pod that has nothing of it", func(t *testing.T) {
		c := newCluster(t, tol(notReady, noExecute, 60), tol(unreachable, noExecute, 60))
		c.pod.Annotations = map[string]string{Originals: "{"}
		c.settle()
		c.has("as it was", false, tol(notReady, noExecute, 60), tol(unreachable, noExecute, 60))
	})
	t.Run("the seconds are changed", func(t *testing.T) {
		c := raised(t)
		c.update([]corev1.Toleration{tol(notReady, noExecute, 90), tol(unreachable, noExecute, 500)}, "kubectl")
		c.settle()
		c.has("raised again", true, tol(notReady, noExecute, 500), tol(unreachable, noExecute, 500))
		c.policy = Policy{}
		c.settle()
		c.has("what the user wrote", false, tol(notReady, noExecute, 90), tol(unreachable, noExecute, 60))
	})
	t.Run("tolerations are put before", func(t *testing.T) {
		c := raised(t)
		c.update(append([]corev1.Toleration{tol("disk", noExecute, 1), tol(unreachable, noExecute, 5)}, c.pod.Spec.Tolerations...), "kubectl")
		c.settle()
		c.has("the first is raised, the other put back", true, tol("disk", noExecute, 1), tol(unreachable, noExecute, 500), tol(notReady, noExecute, 500), tol(unreachable, noExecute, 60))
		c.policy = Policy{}
		c.settle()
		c.has("all put back", false, tol("disk", noExecute, 1), tol(unreachable, noExecute, 5), tol(notReady, noExecute, 60), tol(unreachable, noExecute, 60))
	})
}

// Whatever nodes and users do, in the end a pod has what users wrote, and on an autonomous node it stays as long as the node says.
func TestInTheEndAPodHasWhatUsersWrote(t *testing.T) {
	start := rand.Uint64()
	if text := os.Getenv("KOINON_SEED"); text != "" {
		var err error
		if start, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("KOINON_SEED=%d", start)
	for run := range 300 {
		if history(t, rand.New(rand.NewPCG(start, uint64(run)))); t.Failed() {
			t.Logf("run %d", run)
			return
		}
	}
}

// history is a random one, with a shadow: what the pod would have without autonomy.
func history(t *testing.T, random *rand.Rand) {
	t.Helper()
	pool := []corev1.Toleration{
		tol(notReady, noExecute, 300), tol(unreachable, noExecute, 300), tol(unreachable, noExecute), tol("", noExecute, 30), tol("", noExecute), tol("disk", noExecute, 5), tol(notReady, ""),
	}
	var own []corev1.Toleration
	for _, i := range random.Perm(len(pool))[:random.IntN(4)] {
		if !slices.ContainsFunc(own, func(t corev1.Toleration) bool { return t.MatchToleration(&pool[i]) }) { // which of two is meant nobody could say
			own = append(own, pool[i])
		}
	}
	c := newCluster(t, slices.Clone(own)...)
	var log []string
	for range 30 {
		switch random.IntN(7) {
		case 0:
			c.policy = Policy{random.IntN(3) > 0, time.Duration(random.IntN(4)) * 200 * time.Second}
			log = append(log, fmt.Sprint(c.policy))
		case 1:
			c.taints = [][]string{nil, {unreachable}, {notReady}}[random.IntN(3)]
		case 2:
			c.restart()
		case 3:
			if i := random.IntN(8); i < len(own) && own[i].Effect == noExecute {
				seconds := random.Int64N(1000) + 1001 // nothing that autonomy writes
				changed := slices.Clone(c.pod.Spec.Tolerations)
				at := len(changed) - 1 // one that was put before is like his, and is not
				for !changed[at].MatchToleration(&own[i]) {
					at--
				}
				own[i].TolerationSeconds, changed[at].TolerationSeconds = &seconds, &seconds
				c.update(changed, "kubectl")
				log = append(log, fmt.Sprint("user: ", changed))
			}
		default:
			c.step()
		}
	}
	c.policy.On = true
	c.settle()
	for _, key := range taints {
		got, want := c.pod.Spec.Tolerations[deciding(c.pod.Spec.Tolerations, key)].TolerationSeconds, c.policy.seconds()
		if got != nil && (want == nil || *got < *want) {
			t.Errorf("%s is tolerated for %d s", key, *got)
		}
	}
	c.policy.On = false
	c.settle()
	added := len(c.pod.Spec.Tolerations) - len(own)
	if diff := cmp.Diff(own, c.pod.Spec.Tolerations[added:]); diff != "" && len(own) > 0 {
		t.Errorf("in the end (-want +got):\n%s\nafter: %s", diff, strings.Join(log, "\n"))
	}
	for _, key := range taints {
		if got, want := effective(c.pod.Spec.Tolerations, key), effective(own, key); got != want {
			t.Errorf("in the end %s is tolerated for %d s, and not for %d: %v", key, got, want, c.pod.Spec.Tolerations)
		}
	}
	if record, err := parseOriginals(c.pod.Annotations[Originals]); err != nil || len(record) != added {
		t.Errorf("in the end the annotation is %s, %v", c.pod.Annotations[Originals], err)
	}
}

// effective is for how long a taint is tolerated; -1 is without end.
func effective(tolerations []corev1.Toleration, key string) int64 {
	i := deciding(tolerations, key)
	switch {
	case i < 0:
		return 0
	case tolerations[i].TolerationSeconds == nil:
		return -1
	}
	return max(*tolerations[i].TolerationSeconds, 0)
}
