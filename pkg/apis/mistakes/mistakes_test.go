package mistakes

import (
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

func TestMistakesAreToldUpToABound(t *testing.T) {
	many := make(field.ErrorList, 100_000)
	for i := range many {
		many[i] = field.Required(field.NewPath("spec").Index(i), "")
	}
	for _, got := range []field.ErrorList{First(many), Add(Add(nil, many[:60]...), many[60:]...), First(First(many)), Add(First(many), many...)} {
		if len(got) != Max+1 {
			t.Fatalf("got %d mistakes, want %d and that there are more", len(got), Max)
		}
		if last := got[Max].Error(); last != "<nil>: Forbidden: there are more mistakes than these 100" {
			t.Errorf("the last is %q", last)
		}
	}
	if got := First(many[:Max]); len(got) != Max {
		t.Errorf("got %d of %d", len(got), Max)
	}
}

func TestAListMayStayAsLongAsItWas(t *testing.T) {
	path := field.NewPath("spec", "list")
	if errs := append(TooMany(3, 0, 3, path), TooMany(5, 5, 3, path)...); len(errs) > 0 {
		t.Errorf("got %v, want nothing", errs)
	}
	if got, want := TooMany(6, 5, 3, path).ToAggregate().Error(), "spec.list: Too many: 6: must have at most 3 items"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
