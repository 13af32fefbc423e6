package quickstart

import "testing"

func TestNearest(t *testing.T) {
	tests := map[string]struct{ cwd, path, want string }{
		"below the current directory": {"/a/b", "/a/b/bin/kubectl", "bin/kubectl"},
		"beside it":                   {"/a/b", "/a/c/kubectl", "/a/c/kubectl"},
		"a name that begins alike":    {"/a/b", "/a/bb/kubectl", "/a/bb/kubectl"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := nearest(test.cwd, test.path); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestQuote(t *testing.T) {
	for word, want := range map[string]string{
		".playground/kubeconfig": ".playground/kubeconfig",
		"my files/k":             "'my files/k'",
		"it's":                   `'it'\''s'`,
		"$HOME":                  "'$HOME'",
		"":                       "''",
	} {
		if got := quote(word); got != want {
			t.Errorf("quote(%q): got %s, want %s", word, got, want)
		}
	}
}
