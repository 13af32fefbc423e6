package propagation

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/membership"
)

// ledger is a book with given owners, by namespace and member.
type ledger map[string]map[string]ownership.Owner

func (l ledger) Holder(namespace, member string) (ownership.Owner, bool) {
	owner, held := l[namespace][member]
	return owner, held
}

func (l ledger) Claim(context.Context, ownership.Owner, string, []string) (map[string]ownership.Owner, error) {
	return nil, nil
}

// viewOf an object of a kind of that target in a namespace.
func viewOf(namespace, topologyType string, target v1beta1.APIResource) *view {
	kind, err := newKind(&v1beta1.FederatedTypeConfig{Spec: v1beta1.FederatedTypeConfigSpec{TargetType: target}})
	if err != nil {
		panic(err) // the configurations here have no rules
	}
	return &view{
		key:       objectKey{kind: target.PluralName, namespace: namespace, name: "web"},
		kind:      kind,
		federated: &v1beta2.FederatedObject{Spec: v1beta2.FederatedObjectSpec{TopologyType: topologyType}},
	}
}

var (
	configMaps   = v1beta1.APIResource{Version: "v1", Kind: "ConfigMap", PluralName: "configmaps", Scope: v1beta1.NamespaceScoped}
	namespaces   = v1beta1.APIResource{Version: "v1", Kind: "Namespace", PluralName: "namespaces", Scope: v1beta1.ClusterScoped}
	clusterRoles = v1beta1.APIResource{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole", PluralName: "clusterroles", Scope: v1beta1.ClusterScoped}
)

func TestTheHomeOfATarget(t *testing.T) {
	cell := ownership.UnitOwner("cell", "shop", "rz00a")
	tenant := tenancy.Tenant{Name: "a"}
	for name, test := range map[string]struct {
		view      *view
		candidate placement.Candidate
		member    membership.Member
		tenant    tenancy.Tenant
		book      ledger
		recorded  bool
		scope     v1beta1.ResourceScope

		home            string
		refused         string
		claimed, wanted bool
	}{
		"a namespace that is nobody's is claimed": {
			view: viewOf("shop", "cluster", configMaps), candidate: placement.Candidate{Name: "m1"}, home: "shop", wanted: true},
		"a namespace that is ours": {
			view: viewOf("shop", "cluster", configMaps), candidate: placement.Candidate{Name: "m1"}, home: "shop", claimed: true,
			book: ledger{"shop": {"m1": ownership.NamespaceOwner("shop")}}},
		"a namespace that is a cell's": {
			view: viewOf("shop-rz00a", "cluster", configMaps), candidate: placement.Candidate{Name: "m1"}, home: "shop-rz00a",
			book:    ledger{"shop-rz00a": {"m1": cell}},
			refused: `namespace "shop-rz00a" of member "m1" belongs to cell shop/rz00a`},
		"a FederatedNamespace of that name": {
			view: viewOf("shop-rz00a", "cluster", namespaces), candidate: placement.Candidate{Name: "m1"}, home: "shop-rz00a",
			book:    ledger{"shop-rz00a": {"m1": cell}},
			refused: `namespace "shop-rz00a" of member "m1" belongs to cell shop/rz00a`},
		"the cell's own": {
			view: viewOf("shop", "cell", configMaps), candidate: placement.Candidate{Name: "rz00a", Namespace: "shop-rz00a"}, home: "shop-rz00a", claimed: true,
			book: ledger{"shop-rz00a": {"m1": cell}}},
		"the cell's own, under its name as a cluster": {
			view: viewOf("shop", "cluster", configMaps), candidate: placement.Candidate{Name: "rz00a.shop", Namespace: "shop-rz00a"}, home: "shop-rz00a", claimed: true,
			book: ledger{"shop-rz00a": {"m1": cell}}},
		"an edge unit of the cell's name is another one": {
			view: viewOf("shop", "edgeunit", configMaps), candidate: placement.Candidate{Name: "rz00a", Namespace: "shop-rz00a"}, home: "shop-rz00a",
			book:    ledger{"shop-rz00a": {"m1": cell}},
			refused: `namespace "shop-rz00a" of member "m1" belongs to cell shop/rz00a`},
		"a namespace of the member itself": {
			view: viewOf("kube-system", "cluster", configMaps), candidate: placement.Candidate{Name: "m1"}, home: "kube-system",
			refused: `namespace "kube-system" of member "m1" belongs to the member itself; nothing is placed there unless spec.allowedSystemNamespaces of KubeFedCluster "m1" names it`},
		"one that is ours in the book is the member's all the same": {
			view: viewOf("fleet", "cluster", configMaps), candidate: placement.Candidate{Name: "m1"}, home: "fleet",
			member:  membership.Member{System: ownership.SystemNamespaces{Join: []string{"fleet"}}},
			book:    ledger{"fleet": {"m1": ownership.NamespaceOwner("fleet")}},
			refused: `namespace "fleet" of member "m1" holds the account with which the member was joined; nothing is placed there unless spec.allowedSystemNamespaces of KubeFedCluster "m1" names it`},
		"an object that has no namespace needs none": {
			view: viewOf("", "cluster", clusterRoles), candidate: placement.Candidate{Name: "m1"}, claimed: true},
		"a record names a namespace in which the object may not be": {
			view: viewOf("shop", "cluster", configMaps), candidate: placement.Candidate{Name: "m1", Namespace: "bank"}, recorded: true, home: "bank",
			refused: `the record of the target names namespace "bank" of member "m1", where it has no place`},
		"a record names the namespace of a cell that is gone": {
			view: viewOf("shop", "cell", configMaps), candidate: placement.Candidate{Name: "rz00a", Namespace: "shop-rz00a"}, recorded: true, home: "shop-rz00a", wanted: true},
		"a record names another one, which the book has for the cell": {
			view: viewOf("shop", "cell", configMaps), candidate: placement.Candidate{Name: "rz00a", Namespace: "own"}, recorded: true, home: "own", claimed: true,
			book: ledger{"own": {"m1": cell}}},
		"a record names another one, which nobody has": {
			view: viewOf("shop", "cell", configMaps), candidate: placement.Candidate{Name: "rz00a", Namespace: "bank"}, recorded: true, home: "bank",
			refused: `the record of the target names namespace "bank" of member "m1", where it has no place`},
		"a member of nobody, for an object in the whole cluster": {
			view: viewOf("shop", "cluster", configMaps), candidate: placement.Candidate{Name: "m1"}, tenant: tenant, home: "shop",
			refused: `member "m1" has no label federation.koinon.io/tenant, and namespace "shop" has a: both must be the same`},
		"a member of nobody, for an object in a cell": {
			view: viewOf("shop", "cell", configMaps), candidate: placement.Candidate{Name: "rz00a", Namespace: "shop-rz00a"}, tenant: tenant, home: "shop-rz00a", wanted: true},
		"in one namespace, that one": {
			view: viewOf("federation", "cluster", configMaps), candidate: placement.Candidate{Name: "m1"}, scope: v1beta1.NamespaceScoped, home: "federation", wanted: true},
		"in one namespace, a cell, which has another one that nobody watches": {
			view: viewOf("federation", "cell", configMaps), candidate: placement.Candidate{Name: "rz00a", Namespace: "federation-rz00a"}, scope: v1beta1.NamespaceScoped, home: "federation-rz00a",
			refused: `in the scope Namespaced of the KubeFedConfig nothing is in any namespace of members but "federation"`},
	} {
		t.Run(name, func(t *testing.T) {
			e := &Engine{Config: Config{Book: test.book, Federation: "f1", SystemNamespace: "federation", Scope: test.scope}}
			test.view.tenant = test.tenant
			test.candidate.Member = "m1"
			test.candidate.Owner = test.view.ownerOf(test.candidate.Name)
			test.member.System.Member = "m1"
			o := observation{member: &test.member}
			e.observeHome(test.view, viewTarget{Candidate: test.candidate, recorded: test.recorded}, &o)
			refused := o.homeRefusal
			if o.memberRefusal != "" {
				refused = o.memberRefusal
			}
			if diff := cmp.Diff(test.refused, refused); diff != "" || o.home != test.home {
				t.Errorf("home %q, want %q; refusal (-want +got):\n%s", o.home, test.home, diff)
			}
			if refused == "" && o.claimed != test.claimed {
				t.Errorf("claimed: %v, want %v", o.claimed, test.claimed)
			}
			if got := o.wantsHome(decision{action: applyManifest}); got != test.wanted {
				t.Errorf("wants to claim: %v, want %v", got, test.wanted)
			}
			if o.wantsHome(decision{}) {
				t.Error("a target in which nothing is claims a namespace")
			}
			if mayAct := test.view.mayAct(o, decision{action: deleteObject}); mayAct != (test.claimed && refused == "") {
				t.Errorf("may act: %v", mayAct)
			}
		})
	}
}
