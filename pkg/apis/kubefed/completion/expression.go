package completion

import (
	"fmt"
	"sync"

	"github.com/google/cel-go/cel"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// CostLimit is how much one evaluation may cost, in CEL's units: about one for each field that
// is looked at, each comparison, and every ten bytes of text. An API server allows a rule ten
// times as much for one write; here every change of every object in every member is one.
const CostLimit = 100_000

// environment is what expressions are compiled in. It is never changed.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable("self", cel.DynType),
		cel.OptionalTypes(),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
	)
})

// Compile returns why an expression cannot be used: it is none, is too large, or is not true or
// false. The error is in the words of the compiler, with the place, and in one line.
func Compile(expression string) error {
	_, err := program(expression)
	return err
}

// compile returns the function that evaluates an expression.
func compile(expression string) (func(map[string]any) bool, error) {
	p, err := program(expression)
	if err != nil {
		return nil, err
	}
	return func(object map[string]any) bool {
		result, _, err := p.Eval(map[string]any{"self": object})
		return err == nil && result.Value() == true
	}, nil
}

func program(expression string) (cel.Program, error) {
	if len(expression) > v1beta1.MaxEndedBytes {
		return nil, fmt.Errorf("must be at most %d bytes", v1beta1.MaxEndedBytes)
	}
	env, err := environment()
	if err != nil {
		return nil, err
	}
	ast, issues := env.Compile(expression)
	if issues.Err() != nil {
		first := issues.Errors()[0]
		return nil, fmt.Errorf("line %d, column %d: %s", first.Location.Line(), first.Location.Column()+1, first.Message)
	}
	// What is read from self has any type: whether that is a bool is known when it is there.
	if out := ast.OutputType(); !out.IsExactType(cel.BoolType) && !out.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("must be true or false, and is of type %s", out)
	}
	return env.Program(ast, cel.CostLimit(CostLimit), cel.EvalOptions(cel.OptOptimize))
}
