package conditions_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conditions"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// told are conditions as one line each; those that are False and have no reason are left out.
func told(all []v1alpha1.TargetCondition) []string {
	var out []string
	for _, c := range all {
		if c.Status != metav1.ConditionFalse || c.Reason != "" {
			out = append(out, strings.TrimSpace(strings.Join([]string{c.Type, string(c.Status), c.Reason, c.Message}, " ")))
		}
	}
	return out
}

func TestWhatAStateMeans(t *testing.T) {
	for state, want := range map[v1beta2.TargetState][]string{
		v1beta2.TargetOK:                    {"Applied True UpToDate"},
		v1beta2.TargetEnded:                 {"Applied True Ended"},
		v1beta2.TargetPending:               {"Applied False Pending"},
		v1beta2.TargetMasked:                {"Applied False Masked", "Masked True Masked"},
		v1beta2.TargetNotFound:              {"Applied False TargetNotFound"},
		v1beta2.TargetNamespaceForbidden:    {"Applied False NamespaceForbidden", "Forbidden True NamespaceForbidden"},
		v1beta2.TargetConflict:              {"Applied False Conflict", "Conflict True Conflict"},
		v1beta2.TargetNamespaceNotFederated: {"Applied False NamespaceNotFederated", "Forbidden True NamespaceNotFederated"},
		v1beta2.TargetAbandoned:             {"Applied Unknown Abandoned", "Removing True Abandoned"},
		v1beta2.TargetContested:             {"Applied False Contested", "Conflict True Contested"},
		v1beta2.TargetTypeNotServed:         {"Applied False TypeNotServed"},
		v1beta2.TargetWaitingForRemoval:     {"Applied False WaitingForRemoval", "Removing True WaitingForRemoval"},
		v1beta2.TargetClusterNotReady:       {"Applied Unknown ClusterNotReady", "Unreachable True ClusterNotReady"},
		v1beta2.TargetCachedRetrievalError:  {"Applied Unknown CachedRetrievalFailed"},
		v1beta2.TargetRetrievalFailed:       {"Applied Unknown RetrievalFailed"},
		v1beta2.TargetComputeFailed:         {"Applied False ComputeResourceFailed"},
		v1beta2.TargetOverridesFailed:       {"Applied False ApplyOverridesFailed"},
		v1beta2.TargetCreationFailed:        {"Applied False CreationFailed"},
		v1beta2.TargetUpdateFailed:          {"Applied False UpdateFailed"},
		v1beta2.TargetDeletionFailed:        {"Applied False DeletionFailed", "Removing True DeletionFailed"},
		v1beta2.TargetLabelRemovalFailed:    {"Applied False LabelRemovalFailed", "Removing True LabelRemovalFailed"},
		v1beta2.TargetAlreadyExists:         {"Applied False AlreadyExists", "Conflict True AlreadyExists"},
		v1beta2.TargetManagedLabelFalse:     {"Applied False ManagedLabelFalse", "Conflict True ManagedLabelFalse"},
	} {
		if diff := cmp.Diff(want, told(conditions.Of(&v1beta2.TargetStatus{State: state}, conditions.Seen{}))); diff != "" {
			t.Errorf("state %q (-want +got):\n%s", state, diff)
		}
		delete(unseen(t), string(state))
	}
	if left := unseen(t); len(left) > 0 {
		t.Errorf("nobody has said what these states mean: %v", left)
	}
}

var notSeen map[string]bool

// unseen are the states that the API has, and no case above.
func unseen(t *testing.T) map[string]bool {
	t.Helper()
	if notSeen != nil {
		return notSeen
	}
	notSeen = map[string]bool{}
	file, err := parser.ParseFile(token.NewFileSet(), "../v1beta2/types.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if named, ok := spec.Type.(*ast.Ident); ok && named.Name == "TargetState" {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			notSeen[value] = true
		}
		return true
	})
	if len(notSeen) < 15 {
		t.Fatalf("found only the states %v", notSeen)
	}
	return notSeen
}

func TestWhatTheMemberSaysNowCounts(t *testing.T) {
	for name, test := range map[string]struct {
		state v1beta2.TargetState
		seen  conditions.Seen
		want  []string
	}{
		"a member that answers is reachable, whatever the record says": {
			v1beta2.TargetClusterNotReady, conditions.Seen{Answer: conditions.Found},
			[]string{"Applied Unknown ClusterNotReady it was away", "Healthy True Healthy", "Unreachable False Answered"},
		},
		"what is not known is not said to be healthy, nor absent": {
			v1beta2.TargetOK, conditions.Seen{Answer: conditions.Unknown, Why: "it does not answer"},
			[]string{"Applied True UpToDate it was away", "Healthy Unknown NoAnswer it does not answer", "Unreachable True NoAnswer it does not answer"},
		},
		"the member has none": {
			v1beta2.TargetOK, conditions.Seen{Answer: conditions.NotFound, Why: "there is none"},
			[]string{"Applied True UpToDate it was away", "Healthy Unknown NotThere there is none", "Unreachable False Answered"},
		},
		"the object there is another's": {
			v1beta2.TargetOK, conditions.Seen{Answer: conditions.NotOurs, Why: "it is another's"},
			[]string{"Applied True UpToDate it was away", "Conflict True NotOurs it is another's", "Healthy Unknown NotOurs it is another's", "Unreachable False Answered"},
		},
		"the member may not be asked": {
			v1beta2.TargetOK, conditions.Seen{Answer: conditions.Refused, Why: "another tenant"},
			[]string{"Applied True UpToDate it was away", "Forbidden True NotAsked another tenant", "Healthy Unknown NotAsked another tenant"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := conditions.Of(&v1beta2.TargetStatus{State: test.state, Message: "it was away", Health: v1beta2.HealthHealthy}, test.seen)
			if diff := cmp.Diff(test.want, told(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestAMaskedTargetSaysWhatItRuns(t *testing.T) {
	got := told(conditions.Of(&v1beta2.TargetStatus{State: v1beta2.TargetMasked, Generation: 4}, conditions.Seen{}))
	if want := "Applied False Masked the mask leaves the target as it is; it runs generation 4"; got[0] != want {
		t.Errorf("got %q, want %q", got[0], want)
	}
}

func TestHowTheObjectIs(t *testing.T) {
	for health, want := range map[v1beta2.Health][]string{
		"":                        {"Applied True UpToDate"},
		v1beta2.HealthHealthy:     {"Applied True UpToDate", "Healthy True Healthy"},
		v1beta2.HealthSuspended:   {"Applied True UpToDate", "Healthy True Suspended"},
		v1beta2.HealthProgressing: {"Applied True UpToDate", "Healthy False Progressing why"},
		v1beta2.HealthDegraded:    {"Applied True UpToDate", "Healthy False Degraded why"},
		v1beta2.HealthUnknown:     {"Applied True UpToDate", "Healthy Unknown Unknown"},
	} {
		record := v1beta2.TargetStatus{Health: health}
		if health == v1beta2.HealthProgressing || health == v1beta2.HealthDegraded {
			record.HealthMessage = "why"
		}
		if diff := cmp.Diff(want, told(conditions.Of(&record, conditions.Seen{}))); diff != "" {
			t.Errorf("health %q (-want +got):\n%s", health, diff)
		}
	}
}
