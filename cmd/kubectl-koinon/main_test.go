package main

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

var update = flag.Bool("update", false, "write the golden files")

// The help of every command, the program's own included: what is read first is reviewed with every change.
func TestHelp(t *testing.T) {
	for _, words := range commandsOf(newCommand(genericiooptions.IOStreams{Out: io.Discard, ErrOut: io.Discard}), nil) {
		t.Run(strings.Join(words, " "), func(t *testing.T) {
			var got bytes.Buffer
			cmd := newCommand(genericiooptions.IOStreams{In: strings.NewReader(""), Out: &got, ErrOut: &bytes.Buffer{}})
			cmd.SetArgs(append(slices.Clone(words), "--help"))
			if err := cmd.ExecuteContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", strings.Join(append([]string{"help-kubectl-koinon"}, words...), "-")+".txt")
			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("help text (-want +got), write with -update:\n%s", diff)
			}
		})
	}
}

// commandsOf are the words of a command, and of all below it that help shows.
func commandsOf(cmd *cobra.Command, words []string) [][]string {
	all := [][]string{words}
	for _, below := range cmd.Commands() {
		if below.IsAvailableCommand() && below.Name() != "completion" {
			all = append(all, commandsOf(below, append(slices.Clone(words), below.Name()))...)
		}
	}
	return all
}

func TestWhatIsNoCommandIsAnError(t *testing.T) {
	cmd := newCommand(genericiooptions.IOStreams{In: strings.NewReader(""), Out: &bytes.Buffer{}, ErrOut: &bytes.Buffer{}})
	cmd.SetArgs([]string{"kubeconfg"})
	if err, want := cmd.ExecuteContext(t.Context()), `"kubeconfg" is no command of kubectl koinon: did you mean kubeconfig? See kubectl koinon --help`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestKubectlAsksForCompletionsByTheNameOfTheProgram(t *testing.T) {
	for line, want := range map[string]string{
		"/usr/bin/kubectl_complete-koinon kub": "kubeconfig\tWrite a kubeconfig",
		"kubectl-koinon kubeconfig --help":     "Write a kubeconfig",
	} {
		var got bytes.Buffer
		cmd := newCommand(genericiooptions.IOStreams{In: strings.NewReader(""), Out: &got, ErrOut: &bytes.Buffer{}})
		cmd.SetArgs(arguments(strings.Fields(line)))
		if err := cmd.ExecuteContext(t.Context()); err != nil || !strings.HasPrefix(got.String(), want) {
			t.Errorf("%s: got %q, %v", line, got.String(), err)
		}
	}
}
