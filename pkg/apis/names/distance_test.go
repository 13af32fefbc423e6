package names

import "testing"

func TestDistanceCountsMistypedLetters(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"pods", "pods", 0}, {"", "pods", 4}, {"pods", "pod", 1}, {"deploymnet", "deployment", 2}, {"kitten", "sitting", 3},
	} {
		if got, back := Distance(test.a, test.b), Distance(test.b, test.a); got != test.want || back != test.want {
			t.Errorf("%q and %q: got %d and %d, want %d", test.a, test.b, got, back, test.want)
		}
	}
}
