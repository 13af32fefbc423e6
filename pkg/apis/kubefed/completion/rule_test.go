package completion

import (
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

var (
	job      = schema.GroupKind{Group: "batch", Kind: "Job"}
	pod      = schema.GroupKind{Kind: "Pod"}
	workflow = schema.GroupKind{Group: "argoproj.io", Kind: "Workflow"}
)

// object reads an object as clients decode it: numbers are int64 or float64.
func object(t *testing.T, text string) map[string]any {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	tree, err := rawjson.Value(data).Tree()
	if err != nil {
		t.Fatal(err)
	}
	return tree.(map[string]any)
}

func TestWhatHasEnded(t *testing.T) {
	for sentence, test := range map[string]struct {
		kind   schema.GroupKind
		spec   *v1beta1.RunToCompletion
		object string
		want   bool
	}{
		"a Job that runs has not":      {job, nil, `{status: {active: 1}}`, false},
		"a complete Job has":           {job, nil, `{status: {conditions: [{type: SuccessCriteriaMet, status: "True"}, {type: Complete, status: "True"}]}}`, true},
		"a failed Job has":             {job, nil, `{status: {conditions: [{type: Failed, status: "True"}]}}`, true},
		"a Job about to fail has not":  {job, nil, `{status: {conditions: [{type: FailureTarget, status: "True"}]}}`, false},
		"a suspended Job has not":      {job, nil, `{status: {conditions: [{type: Suspended, status: "True"}]}}`, false},
		"an untrue condition is none":  {job, nil, `{status: {conditions: [{type: Complete, status: "False"}]}}`, false},
		"a Job without sense has not":  {job, nil, `{status: {conditions: [7, {type: 7}]}}`, false},
		"a Job in another group is no": {schema.GroupKind{Group: "batch.volcano.sh", Kind: "Job"}, nil, `{status: {conditions: [{type: Complete, status: "True"}]}}`, false},

		"a Pod that runs has not":                 {pod, nil, `{spec: {restartPolicy: Never}, status: {phase: Running}}`, false},
		"a Pod that succeeded has":                {pod, nil, `{spec: {restartPolicy: OnFailure}, status: {phase: Succeeded}}`, true},
		"a Pod that failed has":                   {pod, nil, `{spec: {restartPolicy: Never}, status: {phase: Failed}}`, true},
		"a Pod for ever that was evicted has not": {pod, nil, `{spec: {restartPolicy: Always}, status: {phase: Failed, reason: Evicted}}`, false},
		"a Pod is for ever by default":            {pod, nil, `{status: {phase: Failed}}`, false},

		"a type without a rule does not end":     {workflow, nil, `{status: {phase: Succeeded}}`, false},
		"a type with a rule ends":                {workflow, ended(`self.status.phase in ['Succeeded', 'Failed']`), `{status: {phase: Succeeded}}`, true},
		"a type with a rule ends no sooner":      {workflow, ended(`self.status.phase in ['Succeeded', 'Failed']`), `{status: {phase: Running}}`, false},
		"a field that is not there is not ended": {workflow, ended(`self.status.phase == 'Succeeded'`), `{spec: {}}`, false},
		"nor is a value of another type":         {workflow, ended(`self.status.phase == 'Succeeded'`), `{status: [1]}`, false},
		"nor is a result that is no bool":        {workflow, ended(`self.status.phase`), `{status: {phase: "true"}}`, false},
		"a bool of the object is one":            {workflow, ended(`self.status.done`), `{status: {done: true}}`, true},
		"numbers compare whatever their type":    {workflow, ended(`self.status.runs >= 1`), `{status: {runs: 1.5}}`, true},
		"optional fields can be asked for":       {workflow, ended(`self.?status.phase.orValue('') == ''`), `{}`, true},
		"macros work": {workflow, ended(`self.status.conditions.exists(c, c.type == 'Done' && c.status == 'True')`),
			`{status: {conditions: [{type: Done, status: "True"}]}}`, true},
		"a rule takes the place of a built-in one": {job, ended(`false`), `{status: {conditions: [{type: Complete, status: "True"}]}}`, false},
	} {
		t.Run(sentence, func(t *testing.T) {
			rule, err := For(test.kind, test.spec)
			if err != nil {
				t.Fatal(err)
			}
			if got := rule.Ended(object(t, test.object)); got != test.want {
				t.Errorf("got ended %t, want %t", got, test.want)
			}
			if rule.Ended(nil) {
				t.Error("what is not there has ended")
			}
		})
	}
}

func ended(expression string) *v1beta1.RunToCompletion {
	return &v1beta1.RunToCompletion{Ended: expression}
}

func TestAChangedManifestRunsAgainUnlessTheTypeSaysNever(t *testing.T) {
	for rerun, want := range map[v1beta1.Rerun]bool{"": true, v1beta1.RerunOnChange: true, v1beta1.RerunNever: false} {
		rule, err := For(workflow, &v1beta1.RunToCompletion{Ended: "true", Rerun: rerun})
		if err != nil {
			t.Fatal(err)
		}
		if got := rule.RerunOnChange(); got != want {
			t.Errorf("rerun %q: got %t, want %t", rerun, got, want)
		}
	}
	if rule, _ := For(job, nil); !rule.RerunOnChange() {
		t.Error("a changed Job is not run again")
	}
}

// What is stored may be older than admission: the engine must be able to go on.
func TestAnExpressionThatDoesNotCompileLeavesTheBuiltInRule(t *testing.T) {
	rule, err := For(job, ended("self."))
	if err == nil {
		t.Error("got no error")
	}
	if !rule.Ended(object(t, `{status: {conditions: [{type: Complete, status: "True"}]}}`)) {
		t.Error("a complete Job has not ended")
	}
	if rule, err := For(workflow, ended("self.")); rule != nil || err == nil {
		t.Errorf("got rule %v and error %v of a type without a rule", rule, err)
	}
}

func TestWhatDoesNotCompile(t *testing.T) {
	for sentence, test := range map[string]struct{ expression, want string }{
		"nothing":                    {"", "Syntax error"},
		"no expression":              {"self.status.", "Syntax error"},
		"a name that is not there":   {"object.status.done", "undeclared reference to 'object'"},
		"a function that is no such": {"ended(self)", "undeclared reference to 'ended'"},
		"a string":                   {"'Succeeded'", "must be true or false, and is of type string"},
		"a bad regular expression":   {"'a'.matches('(')", "error parsing regexp"},
		"too long an expression":     {strings.Repeat(" ", v1beta1.MaxEndedBytes) + "true", "must be at most 4096 bytes"},
		"too deep an expression":     {strings.Repeat("(", 2000) + "true" + strings.Repeat(")", 2000), "recursion limit"},
	} {
		t.Run(sentence, func(t *testing.T) {
			err := Compile(test.expression)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
}

// A member decides what its objects hold, and so how long an expression runs.
func TestADearEvaluationIsGivenUp(t *testing.T) {
	rule, err := For(workflow, ended(`!self.items.exists(a, self.items.exists(b, self.items.exists(c, a + b + c < 0)))`))
	if err != nil {
		t.Fatal(err)
	}
	few, many := make([]any, 3), make([]any, 100_000)
	for i := range few {
		few[i] = int64(i)
	}
	for i := range many {
		many[i] = int64(i)
	}
	if !rule.Ended(map[string]any{"items": few}) {
		t.Error("a cheap evaluation has no result")
	}
	if rule.Ended(map[string]any{"items": many}) { // it would take 10^15 steps
		t.Error("a dear evaluation has a result")
	}
}

func TestARuleIsUsedConcurrently(t *testing.T) {
	rule, err := For(workflow, ended(`self.status.runs.all(r, r.phase == 'Succeeded')`))
	if err != nil {
		t.Fatal(err)
	}
	done, runs := object(t, `{status: {runs: [{phase: Succeeded}]}}`), object(t, `{status: {runs: [{phase: Running}]}}`)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 100 {
				if !rule.Ended(done) || rule.Ended(runs) {
					t.Error("got another answer")
					return
				}
			}
		})
	}
	group.Wait()
}

func TestWhatWentUnseen(t *testing.T) {
	for name, test := range map[string]struct {
		kind schema.GroupKind
		spec *v1beta1.RunToCompletion
		want bool
	}{
		"a Job has ended":                       {job, nil, true},
		"a Pod is wanted again":                 {pod, nil, false},
		"a Pod has, if its type has a rule":     {pod, ended(`self.status.phase == 'Succeeded'`), true},
		"an object of a type with a rule has":   {workflow, ended(`self.status.phase == 'Succeeded'`), true},
		"one of a type without is wanted again": {workflow, nil, false},
	} {
		rule, err := For(test.kind, test.spec)
		if err != nil {
			t.Fatal(err)
		}
		if got := rule.EndsUnseen(); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}
