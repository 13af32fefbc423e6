package cells

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/cellaccess"
)

// accountsBook is what a test says of the accounts of cells.
type accountsBook struct {
	access  cellaccess.Access
	wanted  cellaccess.Cell
	dropped int
	gone    bool
}

func (a *accountsBook) Of(cell cellaccess.Cell) cellaccess.Access {
	a.wanted = cell
	return a.access
}

func (a *accountsBook) Drop(cellaccess.Cell) bool {
	a.dropped++
	return a.gone
}

var (
	endpoint = v1beta1.KubeFedClusterSpec{APIEndpoint: "https://koinon/cells/rz00a/proxy", CABundle: []byte("koinon's"), SecretRef: v1beta1.LocalSecretReference{Name: "cell-rz00a.shop.a"}}
	ready    = metav1.Condition{Type: federationv1alpha1.CellAccountReady, Status: metav1.ConditionTrue, Reason: "AccountReady", Message: "it is"}
	refused  = metav1.Condition{Type: federationv1alpha1.CellAccountReady, Status: metav1.ConditionFalse, Reason: "RightsRefused", Message: "it refuses"}
)

// TestTheClusterOfACellLeadsToItsEndpoint also moves those over that an earlier release made.
func TestTheClusterOfACellLeadsToItsEndpoint(t *testing.T) {
	ofMember := member(corev1.ConditionTrue, nil).Spec
	for name, test := range map[string]struct {
		other   bool // engine
		current *v1beta1.KubeFedClusterSpec
		access  cellaccess.Access
		want    *v1beta1.KubeFedClusterSpec // nil: none
		twice   bool
		account *metav1.Condition
	}{
		"nothing is known, and our engine":       {access: cellaccess.Access{Spec: endpoint}, want: &endpoint},
		"refused, and our engine":                {access: cellaccess.Access{Spec: endpoint, Refused: true, Condition: &refused}, want: &endpoint, account: &refused},
		"nothing is known, and another engine":   {other: true, access: cellaccess.Access{Spec: endpoint}},
		"it can be used":                         {other: true, access: cellaccess.Access{Spec: endpoint, Usable: true, Condition: &ready}, want: &endpoint, account: &ready},
		"an earlier release's, nothing is known": {other: true, current: &ofMember, access: cellaccess.Access{Spec: endpoint}, want: &ofMember, twice: true},
		"an earlier release's, and it can be":    {other: true, current: &ofMember, access: cellaccess.Access{Spec: endpoint, Usable: true, Condition: &ready}, want: &endpoint, account: &ready},
		"an earlier release's, and our engine":   {current: &ofMember, access: cellaccess.Access{Spec: endpoint}, want: &endpoint},
		"after a restart":                        {other: true, current: &endpoint, access: cellaccess.Access{Spec: endpoint}, want: &endpoint},
		"its lists would be refused":             {other: true, current: &endpoint, access: cellaccess.Access{Spec: endpoint, Refused: true, Condition: &refused}, account: &refused},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.settled(t, "m1", 0)
			c, _ := h.controller(t)
			c.OtherEngine = test.other
			accounts := &accountsBook{access: test.access}
			c.Accounts = accounts
			h.store(newCell("rz00a", "m1"))
			if test.current != nil {
				cluster := observation{unit: cellOf(nil), member: h.clusters["m1"]}.cluster("sys")
				cluster.Spec = *test.current
				h.store(cluster)
			}
			for range 3 {
				h.show(t, c)
				c.drain(t)
			}
			var got *v1beta1.KubeFedClusterSpec
			if cluster := h.clusters["rz00a.shop"]; cluster != nil {
				got = &cluster.Spec
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("spec of the cluster (-want +got):\n%s", diff)
			}
			conditions := h.cells["rz00a"].Status.Conditions
			if got := meta.FindStatusCondition(conditions, federationv1alpha1.CellMemberSeenTwice) != nil; got != test.twice {
				t.Errorf("the member is seen twice: %v", got)
			}
			account := meta.FindStatusCondition(conditions, federationv1alpha1.CellAccountReady)
			if (account == nil) != (test.account == nil) || account != nil && (account.Status != test.account.Status || account.Message != test.account.Message) {
				t.Errorf("got the condition %v, want %v", account, test.account)
			}
			if accounts.wanted.Member != "m1" || accounts.wanted.MemberNamespace != "shop-rz00a" {
				t.Errorf("the account was wanted for %+v", accounts.wanted)
			}
		})
	}
}

func TestACellGoesAfterItsAccount(t *testing.T) {
	h := newHost(t)
	h.settled(t, "m1", 0)
	c, _ := h.controller(t)
	accounts := &accountsBook{access: cellaccess.Access{Spec: endpoint, Usable: true, Condition: &ready}}
	c.Accounts = accounts
	h.store(newCell("rz00a", "m1"))
	for range 3 {
		h.show(t, c)
		c.drain(t)
	}
	deleted := h.cells["rz00a"].DeepCopy()
	now := metav1.Now()
	deleted.DeletionTimestamp = &now
	h.store(deleted)
	for range 3 {
		h.show(t, c)
		c.drain(t)
	}
	if h.cells["rz00a"] == nil || h.clusters["rz00a.shop"] != nil || accounts.dropped == 0 {
		t.Fatalf("the cell is there: %v, its cluster: %v; its account was let go %d times", h.cells["rz00a"] != nil, h.clusters["rz00a.shop"] != nil, accounts.dropped)
	}
	if message := h.cells["rz00a"].Status.Conditions[0].Message; message != `the cell is being deleted, and waits until its account is removed from member "m1"` {
		t.Errorf("it says: %s", message)
	}
	accounts.gone = true
	c.Enqueue(v1beta2.TopologyCell, "shop", "rz00a")
	for range 3 {
		c.drain(t)
		h.show(t, c)
	}
	if h.cells["rz00a"] != nil {
		t.Error("the cell is held")
	}
}

func TestACellThatMayNotBeWhereItIsHasNoAccount(t *testing.T) {
	h := newHost(t)
	h.settled(t, "m1", 0)
	c, _ := h.controller(t)
	accounts := &accountsBook{access: cellaccess.Access{Spec: endpoint, Usable: true, Condition: &ready}}
	c.Accounts = accounts
	h.store(newCell("rz00a", "m2")) // there is no m2
	cell := h.cells["rz00a"]
	cell.Status.Conditions = []metav1.Condition{ready}
	for range 3 {
		h.show(t, c)
		c.drain(t)
	}
	if accounts.dropped == 0 || accounts.wanted.Member != "" || meta.FindStatusCondition(h.cells["rz00a"].Status.Conditions, federationv1alpha1.CellAccountReady) != nil {
		t.Errorf("let go %d times; wanted %+v; the cell says %v", accounts.dropped, accounts.wanted, h.cells["rz00a"].Status.Conditions)
	}
}
