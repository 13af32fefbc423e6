package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

var update = flag.Bool("update", false, "write the golden files")

func TestHelp(t *testing.T) {
	for _, command := range []string{"", "agent", "doctor", "join", "kubeconfig", "unjoin", "version"} {
		t.Run(command, func(t *testing.T) {
			var got bytes.Buffer
			cmd := newCommand(genericiooptions.IOStreams{In: strings.NewReader(""), Out: &got, ErrOut: &bytes.Buffer{}})
			cmd.SetArgs(append(strings.Fields(command), "--help"))
			if err := cmd.ExecuteContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", strings.TrimSuffix("help-kubectl-koinon-"+command, "-")+".txt")
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
