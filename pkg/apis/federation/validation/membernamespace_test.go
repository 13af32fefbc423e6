package validation_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/federation/validation"
)

func TestMemberNamespace(t *testing.T) {
	for name, test := range map[string]struct {
		owners []v1alpha1.MemberNamespaceOwner
		want   []string
	}{
		"nobody": {},
		"a namespace, a cell and an edge unit": {owners: []v1alpha1.MemberNamespaceOwner{
			{Kind: "Namespace", Namespace: "shop-rz00a", Members: []string{"m1", "m2"}},
			{Kind: "Cell", Namespace: "shop", Name: "rz00a", Members: []string{"m3"}},
			{Kind: "EdgeUnit", Namespace: "shop", Name: "rz00a", Members: []string{"m4"}},
		}},
		"two owners in one member": {
			owners: []v1alpha1.MemberNamespaceOwner{
				{Kind: "Namespace", Namespace: "shop-rz00a", Members: []string{"m1"}},
				{Kind: "Cell", Namespace: "shop", Name: "rz00a", Members: []string{"m1"}},
			},
			want: []string{`spec.owners[1].members[0]: Invalid value: "m1": is in spec.owners[0].members[0] already: a namespace of a member has one owner`}},
		"a namespace of another name": {
			owners: []v1alpha1.MemberNamespaceOwner{{Kind: "Namespace", Namespace: "shop", Members: []string{"m1"}}},
			want:   []string{`spec.owners[0].namespace: Invalid value: "shop": must be "shop-rz00a": a namespace of the host owns namespaces of its own name`}},
		"an owner without members": {
			owners: []v1alpha1.MemberNamespaceOwner{{Kind: "Namespace", Namespace: "shop-rz00a"}},
			want:   []string{`spec.owners[0].members: Required value: must name a member: an owner without one is left out`}},
		"another kind": {
			owners: []v1alpha1.MemberNamespaceOwner{{Kind: "Pod", Namespace: "shop", Members: []string{"m1"}}},
			want:   []string{`spec.owners[0].kind: Unsupported value: "Pod": supported values: "Namespace", "Cell", "EdgeUnit"`}},
	} {
		t.Run(name, func(t *testing.T) {
			page := &v1alpha1.MemberNamespace{ObjectMeta: metav1.ObjectMeta{Name: "shop-rz00a"}, Spec: v1alpha1.MemberNamespaceSpec{Owners: test.owners}}
			expect(t, validation.MemberNamespace(page), test.want...)
		})
	}
}
