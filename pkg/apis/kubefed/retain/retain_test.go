package retain

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

func object(spec map[string]any) map[string]any { return map[string]any{"spec": spec} }

func TestAFieldIsTheMembersWhereItsConditionIsNotFalse(t *testing.T) {
	many := make([]any, 1000)
	for i := range many {
		many[i] = int64(i)
	}
	for sentence, test := range map[string]struct {
		when    string
		want    bool
		problem string
	}{
		"without a condition":         {"", true, ""},
		"if the member says so":       {"member.spec.mode == 'Auto'", true, ""},
		"not if it says otherwise":    {"member.spec.mode == 'Manual'", false, ""},
		"if the manifest says so":     {"template.spec.a == 1", true, ""},
		"if both differ":              {"template.spec.a != member.spec.a", true, ""},
		"if a field can be asked for": {"has(member.spec.b) && member.spec.b == 'x'", false, ""},
		"if it cannot be told":        {"member.spec.b == 'x'", true, "/spec/a stays as the member has it, since spec.retainFields[0].when of the type cannot be computed: no such key: b"},
		"if it is no truth":           {"member.spec.mode", true, "/spec/a stays as the member has it, since spec.retainFields[0].when of the type cannot be computed: it must be true or false, and is of type string"},
		"if it costs too much":        {"member.spec.many.all(x, member.spec.many.all(y, x + y >= 0))", true, "cost limit exceeded"},
	} {
		t.Run(sentence, func(t *testing.T) {
			fields, err := Parse([]v1beta1.RetainedField{{Path: "/spec/a", When: test.when}})
			if err != nil {
				t.Fatal(err)
			}
			got, problems := fields.Of(object(map[string]any{"a": int64(1)}), object(map[string]any{"a": int64(2), "mode": "Auto", "many": many}))
			if (len(got) == 1) != test.want {
				t.Errorf("got %v", got)
			}
			if said := strings.Join(problems, ";"); !strings.Contains(said, test.problem) || test.problem == "" && said != "" {
				t.Errorf("got %q, want %q", said, test.problem)
			}
		})
	}
}

// To compare what is deep costs no more than what is not, and an error may quote all that a member has.
func TestAMemberDoesNotDecideHowLongAConditionIs(t *testing.T) {
	deep := make([]any, 50_000)
	for i := range deep {
		deep[i] = map[string]any{"name": fmt.Sprint(i)}
	}
	hostile := object(map[string]any{"deep": map[string]any{"a": deep}, "many": slices.Repeat([]any{int64(1)}, 10_000), "text": strings.Repeat("x", 1<<20)})
	for when, want := range map[string]string{
		"member.spec.many.all(x, member.spec.deep == template.spec.deep)": "interrupt",
		"template[member.spec.text] == 1":                                 "xxx",
	} {
		fields, err := Parse([]v1beta1.RetainedField{{Path: "/spec/a", When: when}})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		got, problems := fields.Of(runtime.DeepCopyJSON(hostile), hostile)
		if len(got) != 1 || len(problems) != 1 || !strings.Contains(problems[0], want) || len(problems[0]) > 1<<10 {
			t.Errorf("%s: got %v, %.1024q", when, got, problems)
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("%s took %v", when, took)
		}
	}
}

// What is stored may be older than admission: nothing is propagated by half of the rules.
func TestWhatIsWrongIsNamed(t *testing.T) {
	for want, wrong := range map[string]v1beta1.RetainedField{
		`spec.retainFields[1].path: "spec" must be a JSON pointer`:                     {Path: "spec"},
		`spec.retainFields[1].when: line 1, column 1: undeclared reference to 'self' `: {Path: "/spec/b", When: "self.spec.x"},
	} {
		_, err := Parse([]v1beta1.RetainedField{{Path: "/spec/a"}, wrong})
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// Admission refuses what the engine would not take, and beyond that only what finds nothing in any list: earlier releases took that, which is no
// reason to propagate nothing of a type.
func TestAdmissionAndTheEngineTakeTheSamePathsButForTheStepAfterTheLast(t *testing.T) {
	const taken, stored, refused = "by both", "by the engine", "by nobody"
	for path, want := range map[string]string{
		"/spec/a": taken, "/spec/*/a": taken, "/spec/l/*": taken, "/spec/l/0": taken, "/data/*": taken, "/rules": taken,
		"/spec/l/-": stored, "/spec/-/a": stored, "/rules/-": stored,
		"/spec": refused, "/spec/*": refused, "/spec/*/*": refused, "/metadata/labels": refused, "/-/a/": refused, "spec": refused, "": refused,
	} {
		fields := []v1beta1.RetainedField{{Path: path}}
		_, err := Parse(fields)
		errs := Validate(fields, nil, field.NewPath("spec", "retainFields"))
		if (err == nil) != (want != refused) || (len(errs) == 0) != (want == taken) {
			t.Errorf("%q: the engine says %v, admission %v, want that it is taken %s", path, err, errs, want)
		}
	}
}

// Who writes a label, a finalizer or another field is not told of what somebody else has stored under another rule.
func TestFieldsThatStayAsTheyAreAreNotRefused(t *testing.T) {
	path := field.NewPath("spec", "retainFields")
	stored := []v1beta1.RetainedField{{Path: "/spec/*"}, {Path: "/spec/l/-", When: "self.spec.x"}}
	if errs := Validate(slices.Clone(stored), stored, path); len(errs) > 0 {
		t.Errorf("fields that are as they were are refused: %v", errs)
	}
	for name, changed := range map[string][]v1beta1.RetainedField{
		"one more": append(slices.Clone(stored), v1beta1.RetainedField{Path: "/spec/a"}), "one less": stored[:1], "another order": {stored[1], stored[0]},
	} {
		if errs := Validate(changed, stored, path); len(errs) == 0 {
			t.Errorf("%s: what is wrong is taken", name)
		}
	}
}

func BenchmarkOf(b *testing.B) {
	fields, err := Parse([]v1beta1.RetainedField{{Path: "/spec/a", When: "member.spec.mode == 'Auto' && template.spec.a == 1"}})
	if err != nil {
		b.Fatal(err)
	}
	template, member := object(map[string]any{"a": int64(1)}), object(map[string]any{"mode": "Auto"})
	for b.Loop() {
		if got, _ := fields.Of(template, member); len(got) != 1 {
			b.Fatal(fmt.Sprint(got))
		}
	}
}
