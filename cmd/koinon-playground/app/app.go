// Package app is the command line of koinon-playground.
package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/cmd/internal/commandline"
)

// Main runs the command line of this process and returns the exit code.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// cobra takes in the global flags, where the Kubernetes programs have put theirs.
	pflag.CommandLine = pflag.NewFlagSet("koinon-playground", pflag.ContinueOnError)
	if err := newCommand().ExecuteContext(ctx); err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted; what was started runs on: \"up\" goes on from there, \"down\" removes it")
		}
		fmt.Fprintln(os.Stderr, "koinon-playground:", err)
		return 1
	}
	return 0
}

func newCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "koinon-playground",
		Short: "Koinon and real Kubernetes clusters on this machine, without containers or root",
		Long: `Runs Koinon and real Kubernetes clusters on this machine, without containers or root:
stock kube-apiserver, kube-controller-manager and etcd as plain processes on loopback,
with simulated nodes, on which pods pretend to run.

It is also those programs: "koinon-playground kubectl" (or a link named kubectl) is kubectl,
and so are kube-apiserver, kube-controller-manager and etcd.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.AddCommand(newUpCommand(), newStatusCommand(), newKubeconfigCommand(),
		newDownCommand("down [--dir DIR]", "Remove everything: processes, data and logs"),
		newClusterCommand(), newNodesCommand())
	commandline.Complete(cmd)
	return cmd
}

// dirFlag adds the flag that every command has.
func dirFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "dir", ".playground", "directory of the playground; it must be new, empty or a playground's")
}

// self is the path of this executable, which all programs are a part of.
func self() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this executable: %w", err)
	}
	return filepath.EvalSymlinks(path)
}

// initLogging lets klog's -v be set on a command.
func initLogging(cmd *cobra.Command) {
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	cmd.Flags().AddGoFlag(flags.Lookup("v"))
}
