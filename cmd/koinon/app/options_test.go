package app

import "testing"

func TestHostControllersRunWithoutPropagation(t *testing.T) {
	for component, want := range map[string]struct{ host, propagation bool }{
		"all":             {true, true},
		"controllers":     {true, true},
		"hostcontrollers": {true, false},
		"apiserver":       {false, false},
	} {
		o := NewServerOptions()
		o.Components = []string{component}
		if got := o.runsHostControllers(); got != want.host {
			t.Errorf("--components=%s: host controllers run: %v, want %v", component, got, want.host)
		}
		if got := o.runs(componentControllers); got != want.propagation {
			t.Errorf("--components=%s: propagation runs: %v, want %v", component, got, want.propagation)
		}
	}
}
