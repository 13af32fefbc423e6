package members_test

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"

	"github.com/koinon-io/koinon/test/testbed"
)

// joinsByCommand joins, examines and unjoins a member, with no more rights than the types take.
func (p *person) joinsByCommand() {
	p.Helper()
	said := p.plugin(0, "join", "m1", "--label", "region=east", "--proxy")
	if said.stdout != "kubefedcluster.core.kubefed.io/m1 joined\n" || !strings.Contains(said.stderr, "KubeFedCluster m1 in Koinon: Ready\n") {
		p.Errorf("join said %+v", said)
	}
	p.Logf("join said:\n%s", said.stderr)
	p.propagates("joined")

	again := p.plugin(0, "join", "m1")
	for line := range strings.Lines(again.stderr) {
		if strings.HasSuffix(line, ": made\n") || strings.HasSuffix(line, ": changed\n") {
			p.Errorf("a join of what is joined said %q", line)
		}
	}
	renewed := p.plugin(0, "join", "m1", "--token-lifetime", "1h", "--timeout", "30s")
	if want := "secret m1 in Koinon: changed\n"; !strings.Contains(renewed.stderr, want) || !strings.Contains(renewed.stderr, "KubeFedCluster m1 in Koinon: Ready\n") {
		p.Errorf("a join with another credential said %q, want %q and that it is Ready", renewed.stderr, want)
	}
	p.Logf("a join with another credential said:\n%s", renewed.stderr)
	if said := p.plugin(0, "join", "m1"); strings.Contains(said.stderr, ": changed\n") {
		p.Errorf("a join that has nothing to change said %q", said.stderr)
	}
	p.plugin(0, "join", "m1", "--token-lifetime", "0s") // and without the right to make others
	twice := p.plugin(1, "join", "m2", "--cluster-context", "m1")
	if want := "this cluster is joined already, as m1"; !strings.Contains(twice.stderr, want) {
		p.Errorf("a join under another name said %q, want %q", twice.stderr, want)
	}

	p.examine()
	p.unjoin()
}

// examine has the doctor look at a member that is well, and at one whose account lost a right.
func (p *person) examine() {
	p.Helper()
	p.kubectl("--context", "m1", "create", "clusterrolebinding", "administrators", "--clusterrole", "cluster-admin", "--group", "koinon:administrators")
	if said := p.plugin(0, "doctor"); said.stdout != "Nothing was found; members: 1\n" {
		p.Errorf("of a member that is well the doctor said %+v", said)
	}
	const role = "koinon:join:koinon-system:koinon"
	p.kubectl("--context", "m1", "patch", "clusterrole", role, "--type", "json", "-p", `[{"op": "remove", "path": "/rules/0"}]`)
	said := p.plugin(1, "doctor", "m1")
	for _, want := range []string{"member m1", "the account system:serviceaccount:koinon-system:koinon may not get, list, watch, create, update, patch, delete configmaps", "kubectl koinon join m1"} {
		if !strings.Contains(said.stdout, want) {
			p.Errorf("of an account without rights the doctor said %q, want %q", said.stdout, want)
		}
	}
	if said := p.plugin(0, "join", "m1"); !strings.Contains(said.stderr, "clusterrole "+role+" in the member: changed\n") {
		p.Errorf("a join that mends said %q", said.stderr)
	}
	p.plugin(0, "doctor", "m1")
}

// unjoin unjoins a member with a cell and objects.
func (p *person) unjoin() {
	p.Helper()
	p.apply(`{"apiVersion": "federation.koinon.io/v1alpha1", "kind": "Cell", "metadata": {"name": "rz00a", "namespace": "joined"}, "spec": {"clusterName": "m1"}}`)
	if said := p.plugin(1, "unjoin", "m1"); !strings.Contains(said.stderr, `1 cells and edge units are in "m1": cell joined/rz00a`) {
		p.Errorf("with a cell, unjoin said %q", said.stderr)
	}
	p.kubectl("-n", "joined", "delete", "cell", "rz00a")
	if said := p.plugin(1, "unjoin", "m1"); !strings.Contains(said.stderr, `objects that Koinon made: 1 configmaps (joined/greeting), `) {
		p.Errorf("with objects, unjoin said %q", said.stderr)
	}
	said := p.plugin(0, "unjoin", "m1", "--keep-objects")
	p.Logf("unjoin said:\n%s%s", said.stderr, said.stdout)
	for _, want := range []string{"m1 unjoined\n", "  1 configmaps: joined/greeting\n", "  1 namespaces: joined\n", "-A -l kubefed.io/managed=true\n"} {
		if !strings.Contains(said.stdout, want) {
			p.Errorf("unjoin said %q, want %q", said.stdout, want)
		}
	}
	p.kubectl("--context", "m1", "wait", "namespace", "koinon-system", "--for=delete", "--timeout=60s")
	if left := p.kubectl("--context", "m1", "get", "clusterrole,clusterrolebinding", "-l", "app.kubernetes.io/managed-by=kubectl-koinon", "-o", "name"); left != "" {
		p.Errorf("in the member there is still %s", left)
	}
	if left := p.kubectl("-n", system, "get", "kubefedcluster,secret", "-o", "name"); strings.Contains(left, "/m1") {
		p.Errorf("in Koinon there is still %s", left)
	}
	if got := p.kubectl("--context", "m1", "-n", "joined", "get", "configmap", "greeting", "-o", "jsonpath={.data.hello}"); got != "joined" {
		p.Errorf("what was to stay is %q", got)
	}
}

// output is what a command said.
type output struct{ stdout, stderr string }

// plugin runs kubectl koinon, which is to exit with a code.
func (p *person) plugin(code int, args ...string) output {
	p.Helper()
	binary, err := testbed.Binary("kubectl-koinon")
	if err != nil {
		p.Fatal(err)
	}
	cmd := exec.CommandContext(p.Context(), binary, append(args, "--kubeconfig", p.kubeconfig)...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		p.Fatalf("kubectl koinon %s exits with %d, want %d:\n%s%s", strings.Join(args, " "), got, code, &said, &out)
	}
	return output{out.String(), said.String()}
}
