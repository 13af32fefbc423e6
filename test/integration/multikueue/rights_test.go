package multikueue_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

// auditPolicy is about who is impersonated by Koinon's account in the member.
const auditPolicy = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, users: ["system:serviceaccount:koinon-system:koinon"]}
- {level: None}
`

// audit is the log of a member.
type audit struct{ policy, log string }

func newAudit(t *testing.T) audit {
	t.Helper()
	a := audit{policy: filepath.Join(t.TempDir(), "policy.yaml"), log: filepath.Join(t.TempDir(), "audit.log")}
	write(t, a.policy, []byte(auditPolicy))
	return a
}

func (a audit) args() []string {
	return []string{"--audit-policy-file=" + a.policy, "--audit-log-path=" + a.log}
}

// rights are pairs of a verb and a resource.
type rights = sets.Set[string]

// used are the rights that a user has made use of, and those that he was refused.
func (a audit) used(user string) (used, refused rights, err error) {
	file, err := os.Open(a.log)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	used, refused = rights{}, rights{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event auditv1.Event
		if json.Unmarshal(lines.Bytes(), &event) != nil { // it may be written just now
			continue
		}
		if event.ImpersonatedUser == nil || event.ImpersonatedUser.Username != user || event.ObjectRef == nil || event.ResponseStatus == nil {
			continue
		}
		right := event.Verb + " " + strings.TrimSuffix(event.ObjectRef.Resource+"/"+event.ObjectRef.Subresource, "/")
		if event.ResponseStatus.Code == http.StatusForbidden {
			refused.Insert(right)
		} else {
			used.Insert(right)
		}
	}
	return used, refused, lines.Err()
}

// seldomUsed are for Workloads whose priority changes, and for those that are evicted in the host.
var seldomUsed = sets.New("update workloads", "patch workloads/status")

// usesAllItsRights waits until Kueue has made use of the rights that the document gives it in the member: there are no more than it takes.
// It has gone without none until then; rights may come a moment after they were given.
func (f *fleet) usesAllItsRights() {
	f.Helper()
	role, err := f.inMember.RbacV1().ClusterRoles().Get(f.Context(), "multikueue", metav1.GetOptions{})
	if err != nil {
		f.Fatal(err)
	}
	given := rights{}
	for _, rule := range role.Rules {
		for _, resource := range rule.Resources {
			for _, verb := range rule.Verbs {
				given.Insert(verb + " " + resource)
			}
		}
	}
	f.eventually("Kueue uses all its rights", func(context.Context) error {
		used, refused, err := f.audit.used(nameInMember)
		switch {
		case err != nil:
			return err
		case !used.IsSuperset(refused):
			f.Fatalf("Kueue goes without %q", sets.List(refused.Difference(used)))
		case !used.Union(seldomUsed).IsSuperset(given):
			return fmt.Errorf("it has no use for %q: used are %q", sets.List(given.Difference(used)), sets.List(used))
		}
		return nil
	})
}
