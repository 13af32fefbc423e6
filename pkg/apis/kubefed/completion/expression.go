package completion

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types/ref"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// CostLimit is how much one evaluation may cost, in CEL's units: about one for each field that
// is looked at, each comparison, and every ten bytes of text. An API server allows a rule ten
// times as much for one write; here every change of every object in every member is one.
const CostLimit = 100_000

// patience bounds one evaluation where its cost does not: to compare what is deep costs as much as to compare what is not. It is
// far longer than what else the cost lets through takes, so that a slow machine has the same results. Loops are looked at every
// so many steps.
const patience, loopSteps = 2 * time.Second, 16

// ofOne and ofTwo are what expressions are compiled in: on an object, and on what a member has and what
// is sent. They are never changed.
var ofOne, ofTwo = environment("self"), environment("member", "template")

func environment(variables ...string) func() (*cel.Env, error) {
	return sync.OnceValues(func() (*cel.Env, error) {
		options := []cel.EnvOption{cel.OptionalTypes(), cel.CrossTypeNumericComparisons(true), cel.DefaultUTCTimeZone(true)}
		for _, name := range variables {
			options = append(options, cel.Variable(name, cel.DynType))
		}
		return cel.NewEnv(options...)
	})
}

// Predicate is an expression that is true or false of an object. Whatever goes wrong in it is false.
// The object is decoded JSON, with the types that unstructured objects have, and is not modified.
// It may be called concurrently.
type Predicate func(object map[string]any) bool

// Text is an expression that is a text on an object; false means that it cannot be computed. Else it is
// as Predicate.
type Text func(object map[string]any) (string, bool)

// Condition is an expression that is true or false of what is sent to a member and what the member has;
// an error means that it cannot be computed. Else it is as Predicate.
type Condition func(template, member map[string]any) (bool, error)

// Compile returns why an expression cannot be used: it is none, is too large, or is not true or
// false. The error is in the words of the compiler, with the place, and in one line.
func Compile(expression string) error {
	_, err := compile(expression)
	return err
}

func compile(expression string) (Predicate, error) {
	return NewPredicate(expression, v1beta1.MaxEndedBytes)
}

// NewPredicate compiles an expression of so many bytes at most. The error is as that of Compile.
func NewPredicate(expression string, limitBytes int) (Predicate, error) {
	p, err := program(ofOne, expression, limitBytes, cel.BoolType, "true or false")
	if err != nil {
		return nil, err
	}
	return func(object map[string]any) bool {
		result, err := evaluate(p, map[string]any{"self": object})
		return err == nil && result.Value() == true
	}, nil
}

// NewText compiles an expression of so many bytes at most. The error is as that of Compile.
func NewText(expression string, limitBytes int) (Text, error) {
	p, err := program(ofOne, expression, limitBytes, cel.StringType, "a string")
	if err != nil {
		return nil, err
	}
	return func(object map[string]any) (string, bool) {
		result, err := evaluate(p, map[string]any{"self": object})
		if err != nil {
			return "", false
		}
		text, ok := result.Value().(string)
		return text, ok
	}, nil
}

// NewCondition compiles an expression of so many bytes at most. The error is as that of Compile.
func NewCondition(expression string, limitBytes int) (Condition, error) {
	p, err := program(ofTwo, expression, limitBytes, cel.BoolType, "true or false")
	if err != nil {
		return nil, err
	}
	return func(template, member map[string]any) (bool, error) {
		result, err := evaluate(p, map[string]any{"template": template, "member": member})
		if err != nil {
			return false, err
		}
		is, ok := result.Value().(bool)
		if !ok {
			return false, fmt.Errorf("it must be true or false, and is of type %s", result.Type().TypeName())
		}
		return is, nil
	}, nil
}

func evaluate(p cel.Program, variables map[string]any) (ref.Val, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	result, _, err := p.ContextEval(ctx, variables)
	return result, err
}

func program(environment func() (*cel.Env, error), expression string, limitBytes int, want *cel.Type, words string) (cel.Program, error) {
	if len(expression) > limitBytes {
		return nil, fmt.Errorf("must be at most %d bytes", limitBytes)
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
	// What is read from self has any type: whether that is the wanted one is known when it is there.
	if out := ast.OutputType(); !out.IsExactType(want) && !out.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("must be %s, and is of type %s", words, out)
	}
	return env.Program(ast, cel.CostLimit(CostLimit), cel.InterruptCheckFrequency(loopSteps), cel.EvalOptions(cel.OptOptimize))
}
