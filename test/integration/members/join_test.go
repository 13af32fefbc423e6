package members_test

import (
	"strings"
	"testing"

	"github.com/koinon-io/koinon/test/testbed"
)

// TestJoinDoctorUnjoin is the life of a member by the commands for it.
func TestJoinDoctorUnjoin(t *testing.T) {
	member := testbed.StartCluster(t, testbed.ClusterOptions{Name: "m1"})
	koinon := testbed.StartKoinon(t, testbed.KoinonOptions{})
	p := &person{T: t, kubeconfig: merged(t, koinon.Kubeconfig(), member)}

	stdout, stderr := testbed.Plugin(t, p.kubeconfig, "join", "m1", "--label", "region=east", "--proxy")
	if stdout != "kubefedcluster.core.kubefed.io/m1 joined\n" {
		t.Errorf("join printed %q", stdout)
	}
	t.Logf("join said:\n%s", stderr)
	p.propagates("joined")
	_, stderr = testbed.Plugin(t, p.kubeconfig, "join", "m1")
	for _, line := range strings.Split(strings.TrimSpace(stderr), "\n") {
		if strings.HasSuffix(line, ": made") || strings.HasSuffix(line, ": changed") {
			t.Errorf("a join of what is joined said %q", line)
		}
	}
}
