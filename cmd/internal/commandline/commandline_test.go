package commandline_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/koinon-io/koinon/cmd/internal/commandline"
	"github.com/koinon-io/koinon/pkg/version"
)

func newProgram() *cobra.Command {
	root := &cobra.Command{Use: "koinon", Short: "A program", SilenceErrors: true, SilenceUsage: true}
	group := &cobra.Command{Use: "cluster", Short: "A group"}
	group.AddCommand(&cobra.Command{Use: "up", Short: "Start", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return nil }})
	root.AddCommand(group, &cobra.Command{Use: "server", Short: "Serve", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return nil }})
	commandline.Complete(root)
	return root
}

func run(args ...string) (string, error) {
	root := newProgram()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(args)
	err := root.Execute()
	return out.String(), err
}

func TestWhatIsNoCommandIsAnError(t *testing.T) {
	for line, want := range map[string]string{
		"servr":             `"servr" is no command of koinon: did you mean server? See koinon --help`,
		"bogus --flag":      `unknown flag: --flag`,
		"bogus":             `"bogus" is no command of koinon. See koinon --help`,
		"cluster upp":       `"upp" is no command of koinon cluster: did you mean up? See koinon cluster --help`,
		"help servr":        `"servr" is no command of koinon: did you mean server? See koinon --help`,
		"help cluster stop": `"stop" is no command of koinon cluster. See koinon cluster --help`,
	} {
		if out, err := run(strings.Fields(line)...); err == nil || err.Error() != want {
			t.Errorf("koinon %s: got %v, want %q; printed %q", line, err, want, out)
		}
	}
}

func TestHelpIsNoError(t *testing.T) {
	for line, want := range map[string]string{
		"":                  "Available Commands:",
		"--help":            "Available Commands:",
		"cluster":           "koinon cluster [command]",
		"help":              "Available Commands:",
		"help server":       "koinon server [flags]",
		"help cluster up":   "koinon cluster up [flags]",
		"cluster up --help": "-h, --help   help for up",
	} {
		if out, err := run(strings.Fields(line)...); err != nil || !strings.Contains(out, want) {
			t.Errorf("koinon %s: got %v and %q, want %q in it", line, err, out, want)
		}
	}
}

func TestEveryProgramSaysItsVersion(t *testing.T) {
	if out, err := run("--version"); err != nil || out != "koinon "+version.String()+"\n" {
		t.Errorf("got %q, %v", out, err)
	}
}
