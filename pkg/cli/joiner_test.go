package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ofFederation marks what is in the member as made by a join of a federation; "" takes the mark away.
func (b *bench) ofFederation(federation string) {
	for _, path := range b.member.paths() {
		metadata := b.member.object(path)["metadata"].(tree)
		metadata["annotations"] = tree{"federation.koinon.io/joined-by": federation}
		if federation == "" {
			delete(metadata, "annotations")
		}
	}
}

// withoutConfig takes from the caller how the federation is called.
func (b *bench) withoutConfig() {
	b.koinon.denied = append(b.koinon.denied, "get "+koinonNamespace+"/kubefedconfigs/kubefed")
}

const configDenied = `read the KubeFedConfig "kubefed": you may not get ` + koinonNamespace + `/kubefedconfigs/kubefed`

// TestUnjoinLeavesAnAccountOfWhichItIsNotKnownWhoseItIs: it may be another federation's.
func TestUnjoinLeavesAnAccountOfWhichItIsNotKnownWhoseItIs(t *testing.T) {
	cases := map[string]struct {
		change func(b *bench)
		code   int
		stays  bool
		want   []string
	}{
		"another federation's, and ours is not read": {
			change: func(b *bench) { b.ofFederation("f2"); b.withoutConfig() }, code: exitPartial, stays: true,
			want: []string{
				"Warning: it is not known which federation this is, so that objects of others are counted, and what a join of a named one made stays: " + configDenied,
				"serviceaccount koinon-system/koinon in the member, which is that of the federation f2, and it is not known whether that is this one: " + configDenied,
				"namespace koinon-system in the member, which is that of the federation f2",
			},
		},
		"another federation's, and ours has no name yet": {
			change: func(b *bench) {
				b.ofFederation("f2")
				b.koinon.put(koinonNamespace+"/kubefedconfigs/kubefed", tree{})
			}, code: exitPartial, stays: true,
			want: []string{`it is not known whether that is this one: the KubeFedConfig "kubefed" has no annotation federation.koinon.io/federation yet`},
		},
		"what names no federation goes": {change: func(b *bench) { b.ofFederation(""); b.withoutConfig() }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			b := joinedBench(t)
			tc.change(b)
			before := b.member.paths()
			stdout, stderr, err := b.run(t, "unjoin", "m1")
			if ExitCode(err) != tc.code {
				t.Errorf("got %v with the exit code %d, want %d", err, ExitCode(err), tc.code)
			}
			for _, want := range tc.want {
				if !strings.Contains(stderr+stdout, want) {
					t.Errorf("it said %s%s, want %q", stderr, stdout, want)
				}
			}
			if !tc.stays {
				before = []string{}
			}
			if diff := cmp.Diff(before, b.member.paths()); diff != "" {
				t.Errorf("in the member (-want +got):\n%s", diff)
			}
		})
	}
}

// TestJoinDoesNotTakeARoleOfWhichItIsNotKnownWhoseItIs, nor one that was made by hand.
func TestJoinDoesNotTakeARoleOfWhichItIsNotKnownWhoseItIs(t *testing.T) {
	role := func(labels tree, by string) func(b *bench) {
		return func(b *bench) {
			b.member.put(memberRoles+joinRole, tree{"metadata": tree{"labels": labels, "annotations": tree{"federation.koinon.io/joined-by": by}}, "rules": []any{}})
		}
	}
	ours := tree{"app.kubernetes.io/managed-by": "kubectl-koinon"}
	unnamed := func(b *bench) { b.koinon.put(koinonNamespace+"/kubefedconfigs/kubefed", tree{}) }
	cases := map[string]struct {
		change []func(b *bench)
		want   string
	}{
		"the KubeFedConfig may not be read": {
			[]func(b *bench){func(b *bench) { b.koinon.denied = []string{"get kubefedconfigs.core.kubefed.io"} }},
			"in Koinon you may not get kubefedconfigs.core.kubefed.io in namespace kube-federation-system: a join needs that",
		},
		"the KubeFedConfig is not read": {[]func(b *bench){(*bench).withoutConfig}, "it is not known which federation this is: " + configDenied},
		"the role of another federation": {
			[]func(b *bench){role(ours, "f2")},
			`the ClusterRole "koinon:join:koinon-system:koinon" in the member is that of another federation, f2: --account NAME makes another one`,
		},
		"the role of a federation, where ours has no name yet": {
			[]func(b *bench){role(ours, "f2"), unnamed},
			`is that of the federation f2, and it is not known whether that is this one: the KubeFedConfig "kubefed" has no annotation federation.koinon.io/federation yet: --account NAME makes another one`,
		},
		"the cluster-admin of another federation": {
			[]func(b *bench){func(b *bench) {
				b.member.put(memberBindings+joinRole+":cluster-admin", tree{"metadata": tree{"labels": ours, "annotations": tree{"federation.koinon.io/joined-by": "f2"}}})
			}},
			`the ClusterRoleBinding "koinon:join:koinon-system:koinon:cluster-admin" in the member is that of another federation, f2: --account NAME makes another one`,
		},
		"a role that was made by hand": {
			[]func(b *bench){role(tree{}, "")},
			`the ClusterRole "koinon:join:koinon-system:koinon" in the member was made by no join, and is not as it must be: delete it, or choose another --account`,
		},
		"a binding that was made by hand": {
			[]func(b *bench){func(b *bench) {
				b.member.put(memberBindings+joinRole, tree{"roleRef": tree{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": joinRole}})
			}},
			`the ClusterRoleBinding "koinon:join:koinon-system:koinon" in the member was made by no join, and is not as it must be: delete it, or choose another --account`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			for _, change := range tc.change {
				change(b)
			}
			before := map[string]any{}
			for _, path := range b.member.paths() {
				before[path] = b.member.object(path)
			}
			_, _, err := b.run(t, "join", "m1")
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
			for path, object := range before {
				if diff := cmp.Diff(object, any(b.member.object(path))); diff != "" {
					t.Errorf("%s was changed (-want +got):\n%s", path, diff)
				}
			}
			if b.koinon.object(koinonNamespace+"/kubefedclusters/m1") != nil {
				t.Error("it is joined")
			}
		})
	}
}

func TestAJoinWhoseFederationHasNoNameYetWarns(t *testing.T) {
	b := newBench(t)
	b.koinon.put(koinonNamespace+"/kubefedconfigs/kubefed", tree{})
	_, stderr := b.mustRun(t, "join", "m1")
	if want := `Warning: it is not known which federation this is: the KubeFedConfig "kubefed" has no annotation`; !strings.Contains(stderr, want) {
		t.Errorf("it said %q, want %q", stderr, want)
	}
}
