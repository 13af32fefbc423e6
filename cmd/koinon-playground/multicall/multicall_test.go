package multicall

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSelect(t *testing.T) {
	const kubectl, etcd = 1, 2
	programs := map[string]Program{"kubectl": func() int { return kubectl }, "etcd": func() int { return etcd }}
	tests := map[string]struct {
		args, rest []string
		program    int // 0 for none
	}{
		"a link's name is the program": {
			args: []string{"/x/bin/kubectl", "get", "pods"}, rest: []string{"/x/bin/kubectl", "get", "pods"}, program: kubectl,
		},
		"the first argument is the program": {
			args: []string{"koinon-playground", "etcd", "--name=a"}, rest: []string{"etcd", "--name=a"}, program: etcd,
		},
		"any other argument is a command of its own": {
			args: []string{"koinon-playground", "up"}, rest: []string{"koinon-playground", "up"},
		},
		"no argument": {args: []string{"koinon-playground"}, rest: []string{"koinon-playground"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			program, found := Select(programs, &test.args)
			got := 0
			if found {
				got = program()
			}
			if got != test.program {
				t.Errorf("program: got %d, want %d", got, test.program)
			}
			if diff := cmp.Diff(test.rest, test.args); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
		})
	}
}
