package cli

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/federation/rights"
	"github.com/koinon-io/koinon/pkg/memberaccess"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func TestClocksThatDiffer(t *testing.T) {
	cases := map[string]struct {
		asked, took, date time.Duration // after noon, and how long it took
		want              string
	}{
		"the same":                           {date: 0},
		"whole seconds are no difference":    {asked: 900 * time.Millisecond, date: 0},
		"two seconds ahead is allowed":       {date: 2 * time.Second},
		"an answer that took long":           {took: 30 * time.Second, date: 20 * time.Second},
		"ahead":                              {date: 5 * time.Second, want: "5s or more ahead of"},
		"behind":                             {asked: 10 * time.Second, date: 0, want: "9s or more behind"},
		"ahead, of which the way is no part": {took: time.Second, date: 5 * time.Second, want: "4s or more ahead of"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			asked := noon.Add(tc.asked)
			a := &answered{asked: asked, came: asked.Add(tc.took), date: noon.Add(tc.date)}
			found := a.skew("member m1", "the member")
			if (len(found) > 0) != (tc.want != "") || len(found) > 0 && !strings.Contains(found[0].Problem, tc.want) {
				t.Errorf("got %+v, want %q", found, tc.want)
			}
		})
	}
	if found := (&answered{asked: noon, came: noon}).skew("host", "the host"); len(found) > 0 {
		t.Errorf("a server that does not say its time has %+v", found)
	}
}

func TestWhatEnds(t *testing.T) {
	cases := map[string]struct {
		at   time.Time
		want []finding
	}{
		"what does not end": {},
		"in a month":        {at: noon.AddDate(0, 1, 0)},
		"in a week":         {at: noon.AddDate(0, 0, 7), want: []finding{{severityWarning, "member m1", "its token ends at 2026-01-08T12:00:00Z", "mend"}}},
		"an hour ago":       {at: noon.Add(-time.Hour), want: []finding{{severityError, "member m1", "its token ended at 2026-01-01T11:00:00Z", "mend"}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, ends("member m1", "its token", tc.at, noon, "mend")); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

func accountToken(subject string, expires time.Time) string {
	payload, _ := json.Marshal(map[string]any{"sub": subject, "exp": expires.Unix()})
	return "e30." + base64.RawURLEncoding.EncodeToString(payload) + ".c2ln"
}

func TestACredentialSaysWhoItIsAndWhenItEnds(t *testing.T) {
	config := &rest.Config{BearerToken: accountToken("system:serviceaccount:koinon-system:koinon", noon.AddDate(0, 0, 1))}
	want := account{"system:serviceaccount:koinon-system:koinon", []string{"system:authenticated", "system:serviceaccounts", "system:serviceaccounts:koinon-system"}}
	if diff := cmp.Diff(want, accountOf(config), cmp.AllowUnexported(account{})); diff != "" {
		t.Errorf("account (-want +got):\n%s", diff)
	}
	if found := endings("member m1", memberaccess.Endings(config), noon, "mend"); len(found) != 1 || found[0].Severity != severityWarning {
		t.Errorf("got %+v", found)
	}
	if got := accountOf(&rest.Config{BearerToken: "opaque"}); got.user != "" {
		t.Errorf("a token that says nothing says %+v", got)
	}
}

func TestVersionsThatAreApart(t *testing.T) {
	for name, tc := range map[string]struct {
		member, host string
		want         bool
	}{
		"three minor releases":  {"v1.33.1", "v1.36.3", false},
		"four":                  {"v1.32.9", "v1.36.3", true},
		"four the other way":    {"v1.40.0", "v1.36.3", true},
		"a version of a vendor": {"v1.31.4-eks-2d5f260", "v1.36.3", true},
		"one that is not known": {"", "v1.36.3", false},
	} {
		if got := len(memberSkew("member m1", tc.member, tc.host)) > 0; got != tc.want {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
}

func TestLackingRightsAreSaidByResource(t *testing.T) {
	needs := rights.Needs(rights.Rules(nil, false))
	if got, want := lacking(needs[:2]), "get, list namespaces"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTheDoctorFindsNothingWhereAllIsWell(t *testing.T) {
	b := joinedBench(t)
	stdout, stderr := b.mustRun(t, "doctor")
	if stdout != "Nothing was found; members: 1\n" || stderr != "" {
		t.Errorf("it said %q and %q", stdout, stderr)
	}
}

// sick is a federation with one of each.
func sick(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	ago := "2020-01-01T00:00:00Z"
	b.mustRun(t, "join", "m1")
	b.koinon.put(koinonSecrets+"m1", tree{
		"metadata": tree{"annotations": tree{"federation.koinon.io/credentials-for": "m1", "federation.koinon.io/api-endpoint": b.member.URL}},
		"type":     "Opaque", "data": tree{
			"token":  base64.StdEncoding.EncodeToString([]byte(accountToken("system:serviceaccount:koinon-system:koinon", time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)))),
			"ca.crt": base64.StdEncoding.EncodeToString(pemOf(b.member.Certificate().Raw)),
		}})
	b.member.denied = []string{"delete deployments.apps", "create configmaps", "delete configmaps"}
	b.koinon.put(koinonNamespace+"/kubefedclusters/m2", tree{"spec": tree{"apiEndpoint": "https://m2", "secretRef": tree{"name": "m2"}, "tunnel": "Always"}, "status": tree{
		"kubernetesVersion": "v1.30.1", "conditions": []any{tree{"type": "Offline", "status": "True", "message": "no agent is connected"}}}})
	b.koinon.put(koinonNamespace+"/kubefedclusters/m3", tree{
		"metadata": tree{"annotations": tree{"federation.koinon.io/cluster-uid": "uid-m1"}}, "spec": tree{"apiEndpoint": "https://m3", "secretRef": tree{"name": "m3"}}, "status": tree{
			"conditions": []any{tree{"type": "ConfigMalformed", "status": "True", "message": "spec.secretRef: there is no Secret"}}}})
	b.koinon.put("/api/v1/namespaces/old", tree{"metadata": tree{"deletionTimestamp": ago}, "status": tree{
		"conditions": []any{tree{"type": "NamespaceDeletionDiscoveryFailure", "status": "True", "message": "an API is not there"}}}})
	b.koinon.put("/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io", tree{"status": tree{
		"conditions": []any{tree{"type": "Available", "status": "False", "message": "nobody answers"}}}})
	b.koinon.put("/apis/types.kubefed.io/v1beta2/namespaces/shop/federateddeployments/web", tree{
		"metadata": tree{"deletionTimestamp": ago, "finalizers": []any{"kubefed.io/sync-controller"}},
		"status":   tree{"targets": []any{tree{"name": "m2", "state": "ClusterNotReady", "message": "no agent is connected"}}}})
	b.koinon.put("/apis/types.kubefed.io/v1beta2/namespaces/shop/federateddeployments/api", tree{})
	moving := func(reason, since, message string) tree {
		return tree{"type": "Moving", "status": "True", "reason": reason, "lastTransitionTime": since, "message": message}
	}
	b.koinon.put(groupPath+"/namespaces/shop/cells/ends", tree{
		"metadata": tree{"deletionTimestamp": ago, "finalizers": []any{"federation.koinon.io/kubefedcluster"}},
		"status":   tree{"conditions": []any{tree{"type": "Ready", "status": "False", "reason": "Draining", "message": "it waits for FederatedDeployment shop/web (Masked)"}}}})
	b.koinon.put(groupPath+"/namespaces/shop/cells/moves", tree{"status": tree{"conditions": []any{moving("ObjectsMoving", ago, "it waits for FederatedDeployment shop/web (Progressing)")}}})
	b.koinon.put(groupPath+"/namespaces/shop/cells/moves-now", tree{"status": tree{"conditions": []any{moving("ObjectsMoving", "2222-01-01T00:00:00Z", "a moment ago")}}})
	b.koinon.put(groupPath+"/namespaces/shop/cells/stranded", tree{"status": tree{"conditions": []any{moving("ObjectsUnknown", "2222-01-01T00:00:00Z", "a type is not known")}}})
	b.koinon.denied = []string{"list /apis/types.kubefed.io/v1beta2/federatedconfigmaps"}
	return b
}

func TestTheDoctorSaysWhatIsWrongAndWhatMendsIt(t *testing.T) {
	b := sick(t)
	stdout, _, err := b.run(t, "doctor")
	if ExitCode(err) != 1 || err.Error() != "" {
		t.Errorf("got %v with the exit code %d", err, ExitCode(err))
	}
	golden(t, "doctor", stdout)
	stdout, _, err = b.run(t, "doctor", "m2", "-o", "json")
	if ExitCode(err) != 1 {
		t.Errorf("the exit code is %d", ExitCode(err))
	}
	golden(t, "doctor-json", stdout)
}

// TestTheDoctorsUnjoinIsOfTheKoinonThatWasAsked: without the flags it could be another one's member of that name.
func TestTheDoctorsUnjoinIsOfTheKoinonThatWasAsked(t *testing.T) {
	b := sick(t)
	b.config.CurrentContext = ""
	stdout, _, _ := b.run(t, "doctor", "--context", "koinon")
	if want := "kubectl koinon unjoin m3 --context koinon --keep-objects\n"; !strings.Contains(stdout, want) {
		t.Errorf("it said %s, want %q", stdout, want)
	}
}

// TestTheDoctorGoesOnWhereItMayNotLook, and says where.
func TestTheDoctorGoesOnWhereItMayNotLook(t *testing.T) {
	b := joinedBench(t)
	b.koinon.denied = []string{"get " + koinonSecrets + "m1", "list /api/v1/namespaces", "list /apis/apiregistration.k8s.io/v1/apiservices"}
	stdout, _, err := b.run(t, "doctor")
	if ExitCode(err) != exitPartial {
		t.Errorf("the exit code is %d", ExitCode(err))
	}
	golden(t, "doctor-partial", stdout)
}

func TestTheDoctorNeedsKoinon(t *testing.T) {
	for name, tc := range map[string]struct {
		args   []string
		change func(b *bench)
		want   string
	}{
		"a member that there is not": {[]string{"doctor", "m9"}, func(*bench) {}, `there is no KubeFedCluster "m9" in namespace "kube-federation-system"`},
		"a member that is a cell": {[]string{"doctor", "a.shop"}, func(b *bench) {
			b.koinon.put(koinonNamespace+"/kubefedclusters/a.shop", tree{"metadata": tree{"labels": tree{"federation.koinon.io/topology": "cell"}}})
		}, `the KubeFedCluster "a.shop" stands for a cell or an edge unit: ask about its member`},
		"a context that there is not": {[]string{"doctor", "--context", "none"}, func(*bench) {}, `there is no context "none" in `},
		"a kubeconfig that is broken": {[]string{"doctor"}, func(b *bench) { b.config.Contexts["koinon"].Cluster = "none" }, ""},
		"an option that there is not": {[]string{"doctor", "--all"}, func(*bench) {}, "unknown flag: --all"},
		"an output that there is not": {[]string{"doctor", "-o", "xml"}, func(*bench) {}, `--output is "xml": `},
		"KubeFedClusters of nobody's": {[]string{"doctor"}, func(b *bench) { b.koinon.denied = []string{"list " + koinonNamespace + "/kubefedclusters"} }, "list the KubeFedClusters: you may not list"},
	} {
		b := newBench(t)
		tc.change(b)
		_, _, err := b.run(t, tc.args...)
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) || ExitCode(err) != exitFailed {
			t.Errorf("%s: got %v with the exit code %d", name, err, ExitCode(err))
		}
	}
	if got := fmt.Sprint(ExitCode(nil)); got != "0" {
		t.Errorf("success exits with %s", got)
	}
}

// What servers said long ago of the datastore was mended since.
func TestTheDoctorSaysThatCredentialsAreInTheClear(t *testing.T) {
	const problem = "the EncryptionConfiguration /e.yaml has credentials stored in the clear"
	for name, test := range map[string]struct {
		age  time.Duration
		want bool
	}{"a minute ago": {time.Minute, true}, "an hour ago": {time.Hour, false}} {
		t.Run(name, func(t *testing.T) {
			b := joinedBench(t)
			b.koinon.put("/api/v1/namespaces/kube-federation-system/events/koinon-encryption", tree{
				"type": "Warning", "reason": "CredentialsNotEncrypted", "message": problem, "lastTimestamp": time.Now().Add(-test.age).UTC().Format(time.RFC3339)})
			stdout, _, err := b.run(t, "doctor")
			if got := strings.Contains(stdout, problem); got != test.want || (ExitCode(err) == 1) != test.want {
				t.Errorf("it exits with %d and said %s", ExitCode(err), stdout)
			}
		})
	}
}

// Tokens end by the clock of the member: one that is not near its end here may have ended there.
func TestTheDoctorGoesByTheClockOfTheMemberForItsToken(t *testing.T) {
	b := joinedBench(t)
	now := time.Now()
	b.koinon.put(koinonSecrets+"m1", tree{
		"metadata": tree{"annotations": tree{"federation.koinon.io/credentials-for": "m1", "federation.koinon.io/api-endpoint": b.member.URL}},
		"type":     "Opaque", "data": tree{
			"token":  base64.StdEncoding.EncodeToString([]byte(accountToken("system:serviceaccount:koinon-system:koinon", now.Add(30*24*time.Hour)))),
			"ca.crt": base64.StdEncoding.EncodeToString(pemOf(b.member.Certificate().Raw)),
		}})
	if stdout, _, _ := b.run(t, "doctor"); strings.Contains(stdout, "its token") {
		t.Errorf("while clocks agree it said %s", stdout)
	}
	b.member.ahead = 31 * 24 * time.Hour
	if stdout, _, _ := b.run(t, "doctor"); !strings.Contains(stdout, "its token ended at ") {
		t.Errorf("of a token that has ended in the member it said %s", stdout)
	}
}
