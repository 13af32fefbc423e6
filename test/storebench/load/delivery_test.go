package load

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheck(t *testing.T) {
	first := Event{Revision: 5, Key: "/a"}
	second := Event{Revision: 6, Key: "/b"}
	third := Event{Revision: 9, Key: "/a", Deleted: true}
	owed := []Event{first, second, third}
	tests := map[string]struct {
		owed, seen []Event
		want       Delivery
	}{
		"all came":                              {owed, owed, Delivery{Owed: 3, Delivered: 3}},
		"acknowledged in another order":         {[]Event{third, first, second}, owed, Delivery{Owed: 3, Delivered: 3}},
		"one is missing":                        {owed, []Event{first, third}, Delivery{Owed: 3, Delivered: 2}},
		"one came twice":                        {owed, []Event{first, second, second, third}, Delivery{Owed: 3, Delivered: 3, Doubles: 1}},
		"an old one came again":                 {owed, []Event{first, second, third, first}, Delivery{Owed: 3, Delivered: 3, Doubles: 1}},
		"two changed places":                    {owed, []Event{second, first, third}, Delivery{Owed: 3, Delivered: 3, Disordered: 1}},
		"one that nobody acknowledged":          {owed[:2], owed, Delivery{Owed: 2, Delivered: 2, Strange: 1}},
		"one whose answer had another revision": {owed, []Event{first, {Revision: 7, Key: "/b"}, third}, Delivery{Owed: 3, Delivered: 3, Misstated: 1}},
		"the revision of another key":           {owed[:1], []Event{{Revision: 5, Key: "/c"}}, Delivery{Owed: 1, Strange: 1}},
		"a write that came as a deletion":       {owed[:1], []Event{{Revision: 5, Key: "/a", Deleted: true}}, Delivery{Owed: 1, Strange: 1}},
		"nothing came":                          {owed, nil, Delivery{Owed: 3}},
		"nothing was owed and nothing came":     {nil, nil, Delivery{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, check(test.owed, test.seen)); diff != "" {
				t.Errorf("delivery (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFraction(t *testing.T) {
	if got := (Delivery{}).Fraction(); got != 1 {
		t.Errorf("of nothing: got %v, want 1", got)
	}
	if got := (Delivery{Owed: 4}.Plus(Delivery{Owed: 4, Delivered: 2})).Fraction(); got != 0.25 {
		t.Errorf("of two watchers: got %v, want 0.25", got)
	}
}

func TestRepeated(t *testing.T) {
	if got := repeated([][]int64{{3, 5, 9}, {4, 5}, {9, 10}}); got != 2 {
		t.Errorf("got %d, want 2", got)
	}
}
