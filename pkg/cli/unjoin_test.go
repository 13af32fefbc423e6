package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// place puts objects into the member, as Koinon makes them.
func (b *bench) place(n int) {
	for i := range n {
		b.member.put(fmt.Sprintf("/api/v1/namespaces/shop/configmaps/settings-%d", i), tree{"metadata": tree{"labels": tree{"kubefed.io/managed": "true"}}})
	}
	b.member.put("/apis/apps/v1/namespaces/shop/deployments/web", tree{"metadata": tree{"labels": tree{"kubefed.io/managed": "true"}}})
	b.member.put("/apis/apps/v1/namespaces/shop/deployments/theirs", tree{"metadata": tree{
		"labels": tree{"kubefed.io/managed": "true"}, "annotations": tree{"federation.koinon.io/federation": "f2"}}})
	b.member.put("/apis/apps/v1/namespaces/shop/deployments/own", tree{})
}

// putOther has the cluster of a UID joined under another name.
func (b *bench) putOther(uid string) {
	b.koinon.put(koinonNamespace+"/kubefedclusters/other", tree{
		"metadata": tree{"annotations": tree{"federation.koinon.io/cluster-uid": uid}}, "spec": tree{"apiEndpoint": "https://x"}})
}

func joinedBench(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	b.mustRun(t, "join", "m1")
	return b
}

func TestUnjoinTakesAwayWhatJoinMade(t *testing.T) {
	b := joinedBench(t)
	stdout, stderr := b.mustRun(t, "unjoin", "m1")
	golden(t, "unjoin", stderr+stdout)
	if got := b.member.paths(); len(got) > 0 {
		t.Errorf("in the member there is still %v", got)
	}
	if got := b.koinon.paths(); slices.ContainsFunc(got, func(path string) bool { return strings.HasSuffix(path, "/m1") }) {
		t.Errorf("in Koinon there is still %v", got)
	}
	if _, _, err := b.run(t, "unjoin", "m1"); err != nil {
		t.Errorf("an unjoin that was done is done again: %v", err)
	}
}

func TestUnjoinListsWhatStays(t *testing.T) {
	b := joinedBench(t)
	b.place(5)
	before := b.member.paths()
	_, _, err := b.run(t, "unjoin", "m1")
	want := `"m1" has 6 objects that Koinon made: 5 configmaps (shop/settings-0, shop/settings-1, shop/settings-2, ...), 1 deployments.apps (shop/web); take it out of their placements first, or leave them there with --keep-objects`
	if err == nil || err.Error() != want {
		t.Fatalf("got %v, want %s", err, want)
	}
	if got := b.member.paths(); !slices.Equal(got, before) || b.koinon.object(koinonNamespace+"/kubefedclusters/m1") == nil {
		t.Error("what was refused was begun")
	}
	stdout, stderr := b.mustRun(t, "unjoin", "m1", "--keep-objects")
	golden(t, "unjoin-keep-objects", stderr+stdout)
}

// TestWhatKeepsAMemberFromBeingUnjoined: one sentence each, and nothing is deleted.
func TestWhatKeepsAMemberFromBeingUnjoined(t *testing.T) {
	cases := map[string]struct {
		args   string
		change func(b *bench)
		want   string
	}{
		"no name":            {args: "unjoin", want: "the name of one KubeFedCluster is needed: kubectl koinon unjoin NAME"},
		"no such member":     {args: "unjoin m9", want: `there is no KubeFedCluster "m9" in namespace "kube-federation-system"`},
		"another name of it": {args: "unjoin m9 --cluster-context m1", want: `there is no KubeFedCluster "m9", and the cluster at `},
		"cells and edge units": {
			args: "unjoin m1",
			change: func(b *bench) {
				b.koinon.put("/apis/federation.koinon.io/v1alpha1/namespaces/shop/cells/rz00a", tree{"spec": tree{"clusterName": "m1"}})
				b.koinon.put("/apis/federation.koinon.io/v1alpha1/namespaces/shop/cells/rz01a", tree{"spec": tree{"clusterName": "m2"}})
				b.koinon.put("/apis/edge.koinon.io/v1alpha1/namespaces/shop/edgeunits/store", tree{"spec": tree{"clusterName": "m1"}})
			},
			want: `2 cells and edge units are in "m1": cell shop/rz00a, edge unit shop/store; delete them first, or unjoin it all the same with --force`,
		},
		"cells that may not be listed": {
			args:   "unjoin m1",
			change: func(b *bench) { b.koinon.denied = []string{"list /apis/federation.koinon.io/v1alpha1/cells"} },
			want:   `it is not known which cells and edge units are in "m1": you may not list /apis/federation.koinon.io/v1alpha1/cells; delete them first, or unjoin it all the same with --force`,
		},
		"a member that does not answer": {
			args: "unjoin m1", change: func(b *bench) { b.member.silent = true },
			want: `the server is starting; so it is not known what Koinon has made there: --force unjoins "m1" all the same, and leaves that there`,
		},
		"a type that may not be listed": {
			args: "unjoin m1", change: func(b *bench) { b.member.denied = []string{"list /api/v1/configmaps"} },
			want: `it is not known what there is of configmaps: you may not list /api/v1/configmaps; so it is not known what Koinon has made there: --force unjoins "m1" all the same, and leaves that there`,
		},
		"a context of another cluster": {
			args: "unjoin m1",
			change: func(b *bench) {
				b.member.put("/api/v1/namespaces/kube-system", tree{"metadata": tree{"uid": "uid-other"}})
			},
			want: `is not "m1": its namespace kube-system has the UID uid-other, and that of "m1" has uid-m1; --cluster-context names the right one`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			b := joinedBench(t)
			if tc.change != nil {
				tc.change(b)
			}
			_, _, err := b.run(t, strings.Fields(tc.args)...)
			if err == nil || !strings.Contains(err.Error(), tc.want) || ExitCode(err) != 1 {
				t.Errorf("got %v with the exit code %d, want %s", err, ExitCode(err), tc.want)
			}
			if b.koinon.object(koinonNamespace+"/kubefedclusters/m1") == nil || b.member.object(memberAccounts+"koinon") == nil {
				t.Error("something was deleted")
			}
		})
	}
}

func TestAMemberThatIsGoneIsUnjoinedByForce(t *testing.T) {
	b := joinedBench(t)
	b.member.silent = true
	stdout, stderr, err := b.run(t, "unjoin", "m1", "--force")
	if want := `"m1" is unjoined, and something stays: the account koinon-system/koinon in the member and its rights, since that was not reached past Koinon`; err == nil || err.Error() != want || ExitCode(err) != exitPartial {
		t.Errorf("got %v with the exit code %d, want %s", err, ExitCode(err), want)
	}
	golden(t, "unjoin-force", stderr+stdout)
	if b.koinon.object(koinonNamespace+"/kubefedclusters/m1") != nil || b.koinon.object(koinonSecrets+"m1") != nil {
		t.Error("it is joined still")
	}
}

func TestAMemberWithoutAContextIsLookedAtThroughKoinon(t *testing.T) {
	b := joinedBench(t)
	b.place(1)
	delete(b.config.Contexts, "m1")
	if _, _, err := b.run(t, "unjoin", "m1"); err == nil || !strings.HasPrefix(err.Error(), `"m1" has 2 objects that Koinon made`) {
		t.Errorf("got %v", err)
	}
	stdout, _, err := b.run(t, "unjoin", "m1", "--keep-objects")
	if ExitCode(err) != exitPartial || !strings.Contains(stdout, "This stays, and should have gone:\n  the account koinon-system/koinon in the member") {
		t.Errorf("got %v, and it said %s", err, stdout)
	}
}

// TestUnjoinLeavesWhatIsOthers in the member and in Koinon.
func TestUnjoinLeavesWhatIsOthers(t *testing.T) {
	cases := map[string]struct {
		change func(b *bench)
		code   int
		stays  string // a path in the member
		said   string
	}{
		"a namespace that holds something else": {
			func(b *bench) { b.member.put("/api/v1/namespaces/koinon-system/pods/agent", tree{}) },
			0, "/api/v1/namespaces/koinon-system", "namespace koinon-system in the member: stays, there is more in it: pods/agent\n",
		},
		"a namespace of which it is not known what it holds": {
			func(b *bench) { b.member.denied = []string{"list /api/v1/namespaces/koinon-system/pods"} },
			exitPartial, "/api/v1/namespaces/koinon-system", "namespace koinon-system in the member, since it is not known what else is in it",
		},
		"an account that was made by hand": {
			func(b *bench) { b.member.put(memberAccounts+"koinon", tree{}) },
			exitPartial, memberAccounts + "koinon", "serviceaccount koinon-system/koinon in the member, which no join of this federation made\n    kubectl --context m1 -n koinon-system delete serviceaccount koinon\n",
		},
		"the account of another federation": {
			func(b *bench) {
				b.member.put(memberRoles+joinRole, tree{"metadata": tree{
					"labels": tree{"app.kubernetes.io/managed-by": "kubectl-koinon"}, "annotations": tree{"federation.koinon.io/joined-by": "f2"}}})
			},
			exitPartial, memberRoles + joinRole, "clusterrole koinon:join:koinon-system:koinon in the member, which no join of this federation made\n",
		},
		"the account of a cluster that is joined twice": {
			func(b *bench) {
				b.koinon.put(koinonNamespace+"/kubefedclusters/other", tree{
					"metadata": tree{"annotations": tree{"federation.koinon.io/cluster-uid": "uid-m1"}}, "spec": tree{"apiEndpoint": "https://x"}})
			},
			0, memberAccounts + "koinon", "account koinon-system/koinon in the member: stays, for other\n",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			b := joinedBench(t)
			tc.change(b)
			stdout, stderr, err := b.run(t, "unjoin", "m1")
			if ExitCode(err) != tc.code || !strings.Contains(stderr+stdout, tc.said) {
				t.Errorf("got %v with the exit code %d, want %d and %q; it said %s%s", err, ExitCode(err), tc.code, tc.said, stderr, stdout)
			}
			if b.member.object(tc.stays) == nil {
				t.Errorf("%s is gone", tc.stays)
			}
		})
	}
}

// TestAKubeFedClusterThatIsHeldKeepsItsCredential: Koinon works in the member until it is gone.
func TestAKubeFedClusterThatIsHeldKeepsItsCredential(t *testing.T) {
	b := joinedBench(t)
	cluster := b.koinon.object(koinonNamespace + "/kubefedclusters/m1")
	cluster["metadata"].(tree)["finalizers"] = []any{"example.org/hold"}
	before := b.member.paths()
	stdout, _, err := b.run(t, "unjoin", "m1", "--timeout", "150ms")
	if ExitCode(err) != exitPartial {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{
		"kubefedcluster m1 in Koinon, which the finalizers example.org/hold hold\n",
		"secret m1 in Koinon, since the KubeFedCluster is not gone\n    kubectl -n kube-federation-system delete secret m1\n",
		"the account koinon-system/koinon in the member and its rights, since the KubeFedCluster is not gone\n    kubectl --context m1 delete",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("it said %s, want %q", stdout, want)
		}
	}
	if got := b.member.paths(); !slices.Equal(got, before) || b.koinon.object(koinonSecrets+"m1") == nil {
		t.Errorf("in the member there is %v, and the Secret is %v", got, b.koinon.object(koinonSecrets+"m1"))
	}
	delete(cluster["metadata"].(tree), "finalizers")
	b.mustRun(t, "unjoin", "m1")
	if got := b.member.paths(); len(got) > 0 || b.koinon.object(koinonSecrets+"m1") != nil {
		t.Errorf("once it is let go there is still %v", got)
	}
}

// TestAnUnjoinThatWasInterruptedIsFinished with the Secrets of the member alone, whatever they are called.
func TestAnUnjoinThatWasInterruptedIsFinished(t *testing.T) {
	cases := map[string]struct {
		change func(b *bench)
		code   int
		want   string
		keeps  bool // the account in the member
	}{
		"with a context": {func(*bench) {}, 0, "secret credential in Koinon: deleted\n", false},
		"without one": {
			func(b *bench) { delete(b.config.Contexts, "m1") },
			exitPartial, "the account koinon-system/koinon in the member and its rights, since that was not reached past Koinon\n", true,
		},
		"of a cluster that is joined under another name too": {
			func(b *bench) { b.putOther("uid-m1") },
			0, "account koinon-system/koinon in the member: stays, for other\n", true,
		},
		"of another cluster than others": {func(b *bench) { b.putOther("uid-m2") }, 0, "serviceaccount koinon-system/koinon in the member: deleted\n", false},
		"without a context, where others may be the same cluster": {
			func(b *bench) { b.putOther("uid-m1"); delete(b.config.Contexts, "m1") },
			exitPartial, "it is not known whether the cluster is joined under another name too, and needs them: compare it with other\n", true,
		},
		"where the member does not answer, and others may be the same cluster": {
			func(b *bench) { b.putOther("uid-m1"); b.member.silent = true },
			exitPartial, "it is not known whether the cluster is joined under another name too, and needs them: compare it with other\n", true,
		},
		"where Secrets may not be listed": {
			func(b *bench) { b.koinon.denied = []string{"list " + strings.TrimSuffix(koinonSecrets, "/")} },
			1, "", true,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			b := joinedBench(t)
			put := func(name, users string) {
				b.koinon.put(koinonSecrets+name, tree{"metadata": tree{"annotations": tree{"federation.koinon.io/credentials-for": users}}})
			}
			delete(b.koinon.objects, koinonNamespace+"/kubefedclusters/m1")
			delete(b.koinon.objects, koinonSecrets+"m1")
			put("credential", "m1")
			put("shared", "m1, m2")
			put("other", "m10")
			tc.change(b)
			args := []string{"unjoin", "m1"}
			if b.member.silent {
				args = append(args, "--force")
			}
			stdout, stderr, err := b.run(t, args...)
			if strings.Contains(stdout, "compare it with") && strings.Contains(stdout, "delete --ignore-not-found") {
				t.Errorf("it said %s", stdout)
			}
			if gone := b.member.object(memberAccounts+"koinon") == nil; gone && tc.keeps {
				t.Error("the account is gone")
			}
			if ExitCode(err) != tc.code || !strings.Contains(stderr+stdout, tc.want) {
				t.Errorf("got %v with the exit code %d, want %d and %q; it said %s%s", err, ExitCode(err), tc.code, tc.want, stderr, stdout)
			}
			wantGone := tc.code != 1
			if gone := b.koinon.object(koinonSecrets+"credential") == nil; gone != wantGone {
				t.Errorf("the Secret is gone: %v", gone)
			}
			if b.koinon.object(koinonSecrets+"shared") == nil || b.koinon.object(koinonSecrets+"other") == nil {
				t.Error("a Secret of another member is gone")
			}
		})
	}
}

// TestObjectsAreFoundInAnotherVersion than that of the type: a member may serve only that.
func TestObjectsAreFoundInAnotherVersion(t *testing.T) {
	b := joinedBench(t)
	b.member.absent = []string{"/apis/apps/v1/deployments", "/api/v1/configmaps"}
	b.member.put("/apis/apps/v2/namespaces/shop/deployments/web", tree{"metadata": tree{"labels": tree{"kubefed.io/managed": "true"}}})
	_, _, err := b.run(t, "unjoin", "m1")
	if want := `"m1" has 1 objects that Koinon made: 1 deployments.apps (shop/web); `; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestNoTokenIsInAPrintedCommand: whoever runs it would show the token in the list of processes.
func TestNoTokenIsInAPrintedCommand(t *testing.T) {
	b := joinedBench(t)
	dir := t.TempDir()
	token, authority := filepath.Join(dir, "token"), filepath.Join(dir, "ca.crt")
	for file, data := range map[string][]byte{token: []byte("of-m1"), authority: pemOf(b.member.Certificate().Raw)} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.member.put(memberAccounts+"koinon", tree{})
	stdout, _, err := b.run(t, "unjoin", "m1", "--server", b.member.URL, "--token-file", token, "--ca-file", authority)
	if want := "    kubectl --kubeconfig MEMBER-KUBECONFIG -n koinon-system delete serviceaccount koinon\n"; ExitCode(err) != exitPartial || !strings.Contains(stdout, want) {
		t.Errorf("got %v; it said %s, want %q", err, stdout, want)
	}
	if strings.Contains(stdout, "token") {
		t.Errorf("it said %s", stdout)
	}
}
