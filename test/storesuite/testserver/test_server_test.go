package testserver

import "testing"

func TestDatabasesTakeTurns(t *testing.T) {
	values := []string{"sqlite://", "mysql://u:p@tcp(a:1)/one", "mysql://u:p@tcp(b:2)/two?x=y"}
	cases := map[string]struct {
		values []string
		n      int64
		want   string
	}{
		"nothing given is the default": {nil, 1, ""},
		"SQLite has its own directory": {values, 3, "sqlite://"},
		"a name gets a suffix":         {values, 4, "mysql://u:p@tcp(a:1)/one_77_4"},
		"parameters stay behind":       {values, 5, "mysql://u:p@tcp(b:2)/two_77_5?x=y"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := emptyDatabase(c.values, 77, c.n); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
