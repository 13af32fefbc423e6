package multicall

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSelect(t *testing.T) {
	programs := map[string]Program{"kubectl": func() int { return 0 }, "etcd": func() int { return 0 }}
	tests := map[string]struct {
		args, rest []string
		found      bool
	}{
		"a link's name is the program": {
			args: []string{"/x/bin/kubectl", "get", "pods"}, rest: []string{"/x/bin/kubectl", "get", "pods"}, found: true,
		},
		"the first argument is the program": {
			args: []string{"koinon-playground", "etcd", "--name=a"}, rest: []string{"etcd", "--name=a"}, found: true,
		},
		"any other argument is a command of its own": {
			args: []string{"koinon-playground", "up"}, rest: []string{"koinon-playground", "up"},
		},
		"no argument": {args: []string{"koinon-playground"}, rest: []string{"koinon-playground"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			program, found := Select(programs, &test.args)
			if found != test.found || (program != nil) != test.found {
				t.Errorf("found: got %t, want %t", found, test.found)
			}
			if diff := cmp.Diff(test.rest, test.args); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
		})
	}
}
