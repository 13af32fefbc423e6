package simulated_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/test/simulation"
)

// soon is how long it takes at most until a member is used again that can be.
const soon = 5 * time.Second

// renew gives the member's door another certificate and restarts its server.
func (r *realm) renew(name string, from *authority) {
	r.Helper()
	d := r.doors[name]
	d.mu.Lock()
	d.authority = from
	d.mu.Unlock()
	d.renew(r.T)
	d.restart()
}

// expect checks what a member has of ConfigMaps, and that nothing else is there.
func (r *realm) expect(name string, want map[string]string) {
	r.Helper()
	m := r.members[slices.IndexFunc(r.members, func(m *simulation.Member) bool { return m.Name() == name })]
	for object, value := range want {
		if got := valueOf(m.Object(simulation.ConfigMaps, "shop", object)); got != value {
			r.Errorf("%s has %q of %s, want %q; it says %s", name, got, object, value, r.says(name))
		}
	}
}

// state is what the status of a federated ConfigMap says of a target.
func (r *realm) state(object, target string) string {
	r.Helper()
	status, _ := r.host.Object(simulation.FederatedConfigMaps, "shop", object)["status"].(map[string]any)
	targets, _ := status["targets"].([]any)
	for _, t := range targets {
		if entry := t.(map[string]any); entry["name"] == target {
			state, _ := entry["state"].(string)
			message, _ := entry["message"].(string)
			return strings.TrimSuffix(state+": "+message, ": ")
		}
	}
	return string(none)
}

func (r *realm) unfederate(name string) {
	r.Helper()
	if err := r.client.Resource(simulation.FederatedConfigMaps).Namespace("shop").Delete(r.Context(), name, metav1.DeleteOptions{}); err != nil {
		r.Fatal(err)
	}
}

// A member's certificate is renewed by the same authority while watches run, and the member is
// restarted with it: watches go on where they were, and nothing is written.
func TestARenewedCertificateOfAMemberChangesNothing(t *testing.T) {
	inRealm(t, 2, func(r *realm) {
		r.federate("settings", "1")
		r.pass(time.Minute)
		before := r.members[0].Counts()
		r.renew("m1", r.doors["m1"].authority)
		r.pass(time.Minute)
		if after := r.members[0].Counts(); after.Writes() != before.Writes() || after.Requests["list"] != before.Requests["list"] {
			t.Errorf("the member was asked %v before, and %v after", before.Requests, after.Requests)
		}
		r.federate("settings", "2")
		r.pass(soon)
		r.expect("m1", map[string]string{"settings": "2"})
	})
}

// A member has another authority from one moment to the next. What happens until somebody says so in
// its Secret is found then, without a restart, and nothing else is written.
func TestAMemberWithANewAuthorityIsCaughtUpOnceItsSecretHasIt(t *testing.T) {
	inRealm(t, 2, func(r *realm) {
		for _, name := range []string{"changed", "drifted", "removed", "deleted", "left"} {
			r.federate(name, "1")
		}
		r.pass(time.Minute)
		m1 := r.members[0]
		r.renew("m1", newAuthority(t))
		drifted := m1.Object(simulation.ConfigMaps, "shop", "drifted")
		drifted["data"] = map[string]any{"key": "by hand"}
		if err := m1.Put(simulation.ConfigMaps, drifted); err != nil {
			t.Fatal(err)
		}
		m1.Remove(simulation.ConfigMaps, "shop", "removed")
		r.federate("changed", "2")
		r.unfederate("deleted")
		r.pass(3 * time.Minute)

		const sentence = "ConfigMalformed=True: the member's certificate is not from the given authorities: they are for another cluster, or were replaced"
		if got := r.says("m1"); got != sentence {
			t.Errorf("the KubeFedCluster says %q", got)
		}
		if got := r.state("changed", "m1"); !strings.HasPrefix(got, string(v1beta2.TargetClusterNotReady)+": the member's certificate is not from the given authorities") {
			t.Errorf("the target says %q", got)
		}
		if got := r.state("deleted", "m1"); !strings.HasPrefix(got, string(v1beta2.TargetWaitingForRemoval)) {
			t.Errorf("the target of what is being deleted says %q", got)
		}
		r.expect("m1", map[string]string{"changed": "1", "drifted": "by hand", "removed": "", "deleted": "1", "left": "1"})
		r.expect("m2", map[string]string{"changed": "2", "drifted": "1", "removed": "1", "deleted": "", "left": "1"})

		before, m2 := m1.Counts(), r.members[1].Counts()
		r.lend("m1", "m1")
		r.pass(soon)
		if got := r.says("m1"); !strings.HasPrefix(got, "Ready=True") {
			t.Errorf("the KubeFedCluster says %q", got)
		}
		r.expect("m1", map[string]string{"changed": "2", "drifted": "1", "removed": "1", "deleted": "", "left": "1"})
		r.pass(15 * time.Minute)
		if n := m1.Counts().Writes() - before.Writes(); n != 4 {
			t.Errorf("the member was written to %d times, want once for each of what was changed, drifted, removed and deleted", n)
		}
		if n := r.members[1].Counts().Writes() - m2.Writes(); n != 0 {
			t.Errorf("the other member was written to %d times", n)
		}
		if r.host.Object(simulation.FederatedConfigMaps, "shop", "deleted") != nil || r.state("changed", "m1") != "" {
			t.Errorf("what was deleted is there, or the target says %q", r.state("changed", "m1"))
		}
	})
}

// An administrator first has the Secret name both authorities, then moves the member, then takes the
// old one out: nothing is interrupted, and what was connected with the old Secret is closed.
func TestAnAuthorityThatIsReplacedStepByStepInterruptsNothing(t *testing.T) {
	inRealm(t, 1, func(r *realm) {
		r.federate("settings", "1")
		r.pass(time.Minute)
		d, before := r.doors["m1"], r.members[0].Counts()
		connections, watches := d.counts(d.token)
		if connections == 0 || watches == 0 {
			t.Fatalf("there are %d connections, and %d watches", connections, watches)
		}
		first, second := d.authority, newAuthority(t)
		for _, step := range []struct {
			name string
			do   func()
		}{
			{"the Secret has both", func() {
				d.authority = &authority{first.certificate, first.key, slices.Concat(first.pem, second.pem)}
				r.lend("m1", "m1")
			}},
			{"the member has the second", func() { r.renew("m1", second) }},
			{"the Secret has the second", func() { r.lend("m1", "m1") }},
		} {
			step.do()
			r.pass(soon)
			if got := r.says("m1"); !strings.HasPrefix(got, "Ready=True") {
				t.Errorf("%s: the KubeFedCluster says %q", step.name, got)
			}
			if c, w := d.counts(d.token); c > connections || w != watches {
				t.Errorf("%s: there are %d connections and %d requests, there were %d and %d", step.name, c, w, connections, watches)
			}
		}
		if n := r.members[0].Counts().Writes() - before.Writes(); n != 0 {
			t.Errorf("the member was written to %d times", n)
		}
	})
}

// A token is revoked: watches and writes are refused. One sentence says so, nothing is forgotten, and
// with another token in the Secret it goes on at once.
func TestAMemberThatRefusesItsTokenIsUsedAgainAtOnceWithANewOne(t *testing.T) {
	inRealm(t, 2, func(r *realm) {
		r.federate("changed", "1")
		r.federate("deleted", "1")
		r.pass(time.Minute)
		d, m1 := r.doors["m1"], r.members[0]
		old := d.token
		d.revoke()
		m1.CloseWatches()
		r.federate("changed", "2")
		r.unfederate("deleted")
		r.pass(10 * time.Minute)
		const sentence = `the member refuses the credentials in Secret "m1" (401 Unauthorized): they have expired, or are for another cluster`
		if got := r.says("m1"); got != "ConfigMalformed=True: "+sentence {
			t.Errorf("the KubeFedCluster says %q", got)
		}
		if got := r.state("changed", "m1"); got != string(v1beta2.TargetClusterNotReady)+": "+sentence {
			t.Errorf("the target says %q", got)
		}
		if got := r.state("deleted", "m1"); !strings.HasPrefix(got, string(v1beta2.TargetWaitingForRemoval)) {
			t.Errorf("the target of what is being deleted says %q", got)
		}
		r.expect("m1", map[string]string{"changed": "1", "deleted": "1"})
		r.expect("m2", map[string]string{"changed": "2", "deleted": ""})
		if n := d.refusals(); n > 1000 { // 300 of them are checks of its health
			t.Errorf("the member was asked %d times in ten minutes", n)
		}

		before := m1.Counts()
		r.lend("m1", "m1")
		r.pass(soon)
		r.expect("m1", map[string]string{"changed": "2", "deleted": ""})
		if n := m1.Counts().Writes() - before.Writes(); n != 2 {
			t.Errorf("the member was written to %d times, want once for each object", n)
		}
		if got := r.says("m1"); !strings.HasPrefix(got, "Ready=True") {
			t.Errorf("the KubeFedCluster says %q", got)
		}
		if _, n := d.counts(old); n != 0 {
			t.Errorf("%d requests with the old token are under way", n)
		}
	})
}

// While the Secret of a member is gone nothing is connected to it, and nothing is forgotten.
func TestASecretThatIsMadeAgainGoesOnWithItsMember(t *testing.T) {
	inRealm(t, 2, func(r *realm) {
		r.federate("settings", "1")
		r.pass(time.Minute)
		d, before := r.doors["m1"], r.members[0].Counts()
		r.host.Remove(simulation.Secrets, v1beta1.DefaultNamespace, "m1")
		r.pass(soon)
		if connections, requests := d.counts(d.token); connections != 0 || requests != 0 {
			t.Errorf("there are %d connections and %d requests", connections, requests)
		}
		if got := r.says("m1"); got != `ConfigMalformed=True: spec.secretRef: there is no Secret "m1" in namespace "kube-federation-system"` {
			t.Errorf("the KubeFedCluster says %q", got)
		}
		r.pass(10 * time.Minute)
		r.expect("m1", map[string]string{"settings": "1"})
		r.lend("m1", "m1")
		r.pass(soon)
		if got := r.state("settings", "m1"); got != "" {
			t.Errorf("the target says %q", got)
		}
		if n := r.members[0].Counts().Writes() - before.Writes(); n != 0 {
			t.Errorf("the member was written to %d times", n)
		}
		r.federate("settings", "2")
		r.pass(soon)
		r.expect("m1", map[string]string{"settings": "2"})
	})
}

// pointAt has the KubeFedCluster of a member, and its Secret, say that it is behind a door.
func (r *realm) pointAt(name, door string) {
	r.Helper()
	if _, err := r.host.Change(clusters, v1beta1.DefaultNamespace, name, func(cluster map[string]any) {
		cluster["spec"].(map[string]any)["apiEndpoint"] = "https://" + door
	}); err != nil {
		r.Fatal(err)
	}
	r.lend(name, door)
}

// A KubeFedCluster and its Secret are pointed at another member by mistake, and objects leave the
// member meanwhile: what the other member has of them stays.
func TestAMemberThatIsPointedAtAnotherByMistakeDeletesNothingThere(t *testing.T) {
	inRealm(t, 2, func(r *realm) {
		for _, name := range []string{"left", "unplaced"} {
			r.federate(name, "1")
		}
		r.pass(time.Minute)
		r.pointAt("m1", "m2")
		r.pass(time.Minute)
		uid := r.members[1].Object(simulation.ConfigMaps, "shop", "unplaced")["metadata"].(map[string]any)["uid"]
		r.change("unplaced", func(spec map[string]any) {
			spec["placement"] = map[string]any{"topologies": []any{map[string]any{"name": "m2"}}}
		})
		r.pass(10 * time.Minute)
		const sentence = `the object there is the one that target "m2" has, which stays: the KubeFedClusters "m1" and "m2" are of one cluster; one of them has to be corrected, or unjoined`
		if got := r.state("unplaced", "m1"); got != string(v1beta2.TargetWaitingForRemoval)+": "+sentence {
			t.Errorf("the target says %q", got)
		}
		r.expect("m2", map[string]string{"left": "1", "unplaced": "1"})
		if got := r.members[1].Object(simulation.ConfigMaps, "shop", "unplaced")["metadata"].(map[string]any)["uid"]; got != uid {
			t.Error("the object was deleted in the other member, and made anew")
		}
		r.pointAt("m1", "m1")
		r.pass(time.Minute)
		r.expect("m1", map[string]string{"left": "1", "unplaced": ""})
		r.expect("m2", map[string]string{"left": "1", "unplaced": "1"})
		if got := r.state("left", "m1"); got != "" {
			t.Errorf("the target says %q", got)
		}
	})
}

// change changes the spec of a federated ConfigMap.
func (r *realm) change(name string, change func(spec map[string]any)) {
	r.Helper()
	if _, err := r.host.Change(simulation.FederatedConfigMaps, "shop", name, func(object map[string]any) {
		change(object["spec"].(map[string]any))
	}); err != nil {
		r.Fatal(err)
	}
}

// Whoever wins and loses the lease over and over, before the caches are filled, runs no more
// goroutines for that: the bubble ends only if all of them have.
func TestControllersThatAreStoppedAsTheyStartLeaveNothingRunning(t *testing.T) {
	inRealm(t, 1, func(r *realm) {
		for wait := range 20 {
			r.stop()
			r.run()
			r.pass(time.Duration(wait) * 10 * time.Millisecond)
		}
	})
}
