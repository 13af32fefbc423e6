package membership

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
)

func TestThresholds(t *testing.T) {
	thresholds := Thresholds{Failure: 3, Success: 2}
	for name, test := range map[string]struct {
		found, want []Health
	}{
		"the first check counts at once":             {[]Health{Offline}, []Health{Offline}},
		"a member goes down after three failures":    {[]Health{Ready, Offline, Offline, Offline}, []Health{Ready, Ready, Ready, Offline}},
		"failures in between are forgiven":           {[]Health{Ready, Offline, Offline, Ready, Offline}, []Health{Ready, Ready, Ready, Ready, Ready}},
		"a member comes back after two successes":    {[]Health{Offline, Ready, Ready}, []Health{Offline, Offline, Ready}},
		"different failures add up":                  {[]Health{Ready, Offline, NotReady, Malformed}, []Health{Ready, Ready, Ready, Malformed}},
		"another problem of an unready member shows": {[]Health{Offline, Malformed}, []Health{Offline, Malformed}},
	} {
		t.Run(name, func(t *testing.T) {
			var j judgement
			var got []Health
			for _, health := range test.found {
				j = j.next(finding{health: health}, thresholds)
				got = append(got, j.health)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("health (-want +got):\n%s", diff)
			}
		})
	}
}

func TestThresholdsOf(t *testing.T) {
	defaults := Thresholds{Period: 10 * time.Second, Timeout: 3 * time.Second, Failure: 3, Success: 1}
	if diff := cmp.Diff(defaults, ThresholdsOf(nil)); diff != "" {
		t.Errorf("without a KubeFedConfig (-want +got):\n%s", diff)
	}
	five := int64(5)
	config := &v1beta1.KubeFedConfig{Spec: v1beta1.KubeFedConfigSpec{ClusterHealthCheck: &v1beta1.ClusterHealthCheckConfig{
		Period: &metav1.Duration{Duration: time.Second}, FailureThreshold: &five,
	}}}
	want := defaults
	want.Period, want.Failure = time.Second, 5
	if diff := cmp.Diff(want, ThresholdsOf(config)); diff != "" {
		t.Errorf("with a KubeFedConfig (-want +got):\n%s", diff)
	}
}

func TestExplain(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		health Health
		want   string
	}{
		"refused credentials": {apierrors.NewUnauthorized("no"), Malformed,
			`the member refuses the credentials in Secret "s" (401 Unauthorized): they have expired, or are for another cluster`},
		"forbidden health": {apierrors.NewForbidden(schema.GroupResource{}, "", errors.New("no")), Malformed,
			`the member does not let the credentials in Secret "s" read /healthz (403 Forbidden)`},
		"foreign authority": {fmt.Errorf("get: %w", x509.UnknownAuthorityError{}), Malformed,
			"the member's certificate is not from the given authorities: they are for another cluster, or were replaced"},
		"a redirect":                         {fmt.Errorf("get: %w", &memberclient.AnswerError{Problem: "the member redirects", Misdirected: true}), Malformed, "the member redirects"},
		"an answer that no API server gives": {fmt.Errorf("get: %w", &memberclient.AnswerError{Problem: "the answer is longer"}), NotReady, "the answer is longer"},
		"a long answer":                      {errors.New(strings.Repeat("E", 2<<20)), Offline, "the member does not answer: " + strings.Repeat("E", 1015) + "... (cut)"},
		"nobody there":                       {errors.New("connection refused"), Offline, "the member does not answer: connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			got := explain(test.err, "s")
			if got.health != test.health || got.problem != test.want {
				t.Errorf("got %v %q, want %v %q", got.health, got.problem, test.health, test.want)
			}
		})
	}
}

func TestConditionsAreThoseOfKubeFedAndBehindThemThatOfTheCredential(t *testing.T) {
	for name, test := range map[string]struct {
		finding finding
		ending  ending
		want    []string
	}{
		"ready":     {finding{health: Ready}, ending{}, []string{"Ready=True ClusterReady: /healthz responded with ok"}},
		"not ready": {finding{health: NotReady, problem: "p"}, ending{}, []string{"Ready=False ClusterNotReady: p", "Offline=False ClusterReachable: cluster is reachable"}},
		"offline":   {finding{health: Offline, problem: "p"}, ending{}, []string{"Offline=True ClusterNotReachable: p"}},
		"ready, and a credential ends": {finding{health: Ready}, ending{"CredentialsEnd", "e"},
			[]string{"Ready=True ClusterReady: /healthz responded with ok", "CredentialsExpiring=True CredentialsEnd: e"}},
		"malformed": {finding{health: Malformed, problem: "p"}, ending{}, []string{"ConfigMalformed=True ClusterConfigMalformed: p"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, c := range test.finding.conditions(test.ending, metav1.Now()) {
				got = append(got, fmt.Sprintf("%s=%s %s: %s", c.Type, c.Status, *c.Reason, *c.Message))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStatusIsWrittenOnlyIfItSaysSomething(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	ready := finding{health: Ready, version: "v1.36.3"}
	first := ready.status(&v1beta1.KubeFedClusterStatus{}, "join", ending{}, start)
	for name, test := range map[string]struct {
		finding finding
		ending  ending
		after   time.Duration
		want    bool
	}{
		"the same ten seconds later is not": {ready, ending{}, 10 * time.Second, false},
		"the same a minute later is not":    {ready, ending{}, time.Minute, false},
		"the same five minutes later is":    {ready, ending{}, 5 * time.Minute, true},
		"another state is at once":          {finding{health: Offline, problem: "p"}, ending{}, time.Second, true},
		"another version is at once":        {finding{health: Ready, version: "v1.36.4"}, ending{}, time.Second, true},
		"a credential that ends is at once": {ready, ending{"CredentialsEnd", "e"}, time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			got := test.finding.status(first, "join", test.ending, start.Add(test.after))
			if (got != nil) != test.want {
				t.Fatalf("got status %v, want one: %v", got, test.want)
			}
			if got == nil {
				return
			}
			c := got.Conditions[0]
			if kept := c.LastTransitionTime.Time.Equal(start); kept != (c.Type == v1beta1.ClusterReady && c.Status == corev1.ConditionTrue) {
				t.Errorf("got lastTransitionTime %s for %s", c.LastTransitionTime, c.Type)
			}
		})
	}
}

func TestAMemberThatIsNotReadyIsCheckedMoreOften(t *testing.T) {
	thresholds := Thresholds{Period: 10 * time.Second}
	if got := thresholds.pause(Ready); got != thresholds.Period {
		t.Errorf("a ready member is checked every %s, want %s", got, thresholds.Period)
	}
	if got := thresholds.pause(Offline); got != recoveryPeriod {
		t.Errorf("a member that is away is checked every %s, want %s", got, recoveryPeriod)
	}
	thresholds.Period = time.Second
	if got := thresholds.pause(Offline); got != time.Second {
		t.Errorf("a member that is away is checked every %s, want no less often than a ready one", got)
	}
}
