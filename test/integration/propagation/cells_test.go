package propagation_test

import (
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/test/testbed"
)

// setCell merges into the spec of a cell, and returns what kubectl says.
func (f *fixture) setCell(name, spec string) string {
	f.Helper()
	said := testbed.RunKubectl(f.T, f.kubeconfig, "", "patch", "cell", name, "-n", f.namespace, "--type=merge", "-p", `{"spec": `+spec+`}`)
	return said.Stdout + said.Stderr
}

// TestACellMovesAndIsDrained: there are no nodes in members, so that a pod is never ready there, and a Deployment
// is healthy only without replicas. The server runs the controllers itself: it says what a deletion would leave behind only
// where no other engine propagates.
func TestACellMovesAndIsDrained(t *testing.T) {
	f := connect(t, testbed.StartKoinon(t, testbed.KoinonOptions{}))
	f.prepare()
	f.cells("rz00a", "m1", "rz01a", "m2")
	f.deployment(1, `{topologies: [{name: rz00a}]}`, "")
	f.states("federateddeployments", "web", "rz00a", "")

	for spec, want := range map[string]string{
		`{"clusterName": "m2", "memberNamespace": "` + f.in("rz01a") + `"}`: fmt.Sprintf(
			`spec.memberNamespace: Invalid value: %q: namespace %[1]q of member "m2" belongs to cell %s/rz01a`, f.in("rz01a"), f.namespace),
		`{"clusterName": "m2.shop"}`:      `spec.clusterName: Invalid value: "m2.shop": must be the name of a KubeFedCluster that is a member`,
		`{"deletionPolicy": "Orphan"}`:    `spec.deletionPolicy: Unsupported value: "Orphan": supported values: "Refuse", "Drain"`,
		`{"memberNamespace": "kube-dns"}`: `spec.memberNamespace: Invalid value: "kube-dns"`,
	} {
		if said := f.setCell("rz00a", spec); !strings.Contains(said, want) {
			t.Errorf("of %s kubectl says %q, want %q", spec, said, want)
		}
	}

	f.setCell("rz00a", `{"clusterName": "m2"}`)
	object := f.states("federateddeployments", "web", "rz00a", string(v1beta2.TargetWaitingForRemoval))
	if target := f.target(object, "rz00a"); target.Cluster != "m2" || len(target.Former) != 1 || target.Former[0].Cluster != "m1" ||
		!strings.Contains(target.Message, `of member "m1" stays until the one in`) {
		t.Errorf("got target %s", asJSON(target))
	}
	f.object("m1", deployments, f.in("rz00a"), "web")
	f.object("m2", deployments, f.in("rz00a"), "web")
	f.eventually("the table shows the cell", func() error {
		table := testbed.Kubectl(t, f.kubeconfig, "get", "cells", "-n", f.namespace)
		rows := strings.Split(table, "\n")
		want := []string{"NAME MEMBER NAMESPACE HEALTH OBJECTS OUT-OF-DATE AGE", "rz00a m2 " + f.in("rz00a") + " Progressing 1 1 "}
		for i := range want {
			if len(rows) < 2 || !strings.HasPrefix(strings.Join(strings.Fields(rows[i]), " ")+" ", want[i]) {
				return fmt.Errorf("it is:\n%s", table)
			}
		}
		return nil
	})

	f.deployment(0, `{topologies: [{name: rz00a}]}`, "")
	f.states("federateddeployments", "web", "rz00a", "")
	f.absent("m1", deployments, f.in("rz00a"), "web")

	for _, which := range []string{"rz00a", "--all"} {
		said := testbed.RunKubectl(t, f.kubeconfig, "", "delete", "cells", which, "-n", f.namespace)
		want := `the federated object federateddeployments/web is in it: take the cell out of their placement, or set spec.deletionPolicy to Drain, which has them removed from member "m2" first`
		if said.Err == nil || !strings.Contains(said.Stderr, want) {
			t.Errorf("of a deletion kubectl says %q, want %q", said.Stderr, want)
		}
	}
	f.setCell("rz00a", `{"deletionPolicy": "Drain"}`)
	testbed.Kubectl(t, f.kubeconfig, "delete", "cell", "rz00a", "-n", f.namespace, "--timeout=60s")
	f.absent("m2", deployments, f.in("rz00a"), "web")
	f.states("federateddeployments", "web", "rz00a", string(v1beta2.TargetNotFound))

	// The cells of a namespace go with it, whatever is in them.
	f.cells("rz02a", "m1")
	f.deployment(0, `{topologies: [{name: rz02a}]}`, "")
	f.states("federateddeployments", "web", "rz02a", "")
	testbed.Kubectl(t, f.kubeconfig, "delete", "namespace", f.namespace, "--wait=false")
	f.eventually("the namespace is gone", func() error {
		namespace, err := f.kube.CoreV1().Namespaces().Get(t.Context(), f.namespace, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("got %s, error %v", asJSON(namespace.Status), err)
	})
	f.absent("m1", deployments, f.in("rz02a"), "web")
}
