package cli

import (
	"context"
	"errors"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// A command whose 1 says how something is says with 2 that it was called in a wrong way.
func TestExitCodesOfWrongCalls(t *testing.T) {
	newFakeHub(t)
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"status", "-o", "nonsense"}, exitFailed, `--output is "nonsense": it must be text, json or yaml`},
		{[]string{"status", "web"}, exitFailed, `"web" is too much: kubectl koinon status takes options alone. See kubectl koinon status --help`},
		{[]string{"status", "--nonsense"}, exitFailed, "unknown flag: --nonsense"},
		{[]string{"status", "-n", "none"}, exitFailed, `there is no namespace "none"`},
		{[]string{"doctor", "--nonsense"}, exitFailed, "unknown flag: --nonsense"},
		{[]string{"plan", "--nonsense"}, exitFailed, "unknown flag: --nonsense"},
		{[]string{"version", "web"}, 1, `"web" is too much: kubectl koinon version takes options alone. See kubectl koinon version --help`},
		{[]string{"mask", "web"}, 1, `"web" is no command of kubectl koinon mask. See kubectl koinon mask --help`},
	} {
		if _, _, err := run(t, c.args...); err == nil || err.Error() != c.want || ExitCode(err) != c.code {
			t.Errorf("%v: got %v with the exit code %d, want %s with %d", c.args, err, ExitCode(err), c.want, c.code)
		}
	}
	for _, command := range []string{"status", "doctor", "plan -f x"} {
		if _, _, err := run(t, append([]string{"--context", "none"}, strings.Fields(command)...)...); ExitCode(err) != exitFailed {
			t.Errorf("%s: a context that there is none of ends with %d: %v", command, ExitCode(err), err)
		}
	}
}

// Whoever interrupts a command is told that, and not what became of a context.
func TestAnInterruptedPlanSaysSo(t *testing.T) {
	newFakeHub(t)
	ctx, interrupt := context.WithCancelCause(t.Context())
	interrupt(errors.New("interrupt signal received"))
	cmd := NewCommand(genericiooptions.NewTestIOStreamsDiscard())
	cmd.SetArgs([]string{"plan", "-f", manifestFile(t, placedInAll)})
	if err := cmd.ExecuteContext(ctx); err == nil || err.Error() != "interrupt signal received" || ExitCode(err) != exitFailed {
		t.Errorf("got %v with the exit code %d", err, ExitCode(err))
	}
}
