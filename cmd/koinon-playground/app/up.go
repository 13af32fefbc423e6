package app

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/koinon-io/koinon/cmd/koinon-playground/home"
	"github.com/koinon-io/koinon/cmd/koinon-playground/koinon"
	"github.com/koinon-io/koinon/cmd/koinon-playground/quickstart"
)

func newUpCommand() *cobra.Command {
	var o quickstart.Options
	cmd := &cobra.Command{
		Use:   "up [--dir DIR] [--members N] [--datastore DSN]",
		Short: "Start Koinon and members, with cells and the examples, and show what landed where",
		Long: `Starts Koinon and members, joins them, makes three cells, applies the examples, and shows
what landed where. What runs or exists already is left as it is, so "up" again repairs
what was killed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Out = cmd.OutOrStdout()
			return runUp(cmd, o)
		},
	}
	dirFlag(cmd, &o.Dir)
	cmd.Flags().IntVar(&o.Members, "members", quickstart.MinMembers, "how many member clusters")
	cmd.Flags().StringVar(&o.Datastore, "datastore", "",
		"where Koinon keeps its data, as \"koinon server\" takes it (default: as before, or SQLite in the directory)")
	cmd.Flags().StringVar(&o.KoinonBinary, "koinon", "", "the koinon executable (default: beside this one, or in PATH)")
	return cmd
}

func runUp(cmd *cobra.Command, o quickstart.Options) error {
	var err error
	if o.Binary, err = self(); err != nil {
		return err
	}
	if o.KoinonBinary == "" {
		o.KoinonBinary, err = koinon.FindBinary(o.Binary)
	} else {
		o.KoinonBinary, err = filepath.Abs(o.KoinonBinary)
	}
	if err != nil {
		return err
	}
	return quickstart.Up(cmd.Context(), o)
}

func newStatusCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "status [--dir DIR]",
		Short: "Show what runs, with memory and ports",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := home.Peek(dir)
			if err != nil {
				return err
			}
			all, err := quickstart.Status(h, cmd.OutOrStdout())
			if err == nil && !all {
				err = errors.New("not everything runs: \"up\" starts the rest")
			}
			return err
		},
	}
	dirFlag(cmd, &dir)
	return cmd
}

func newKubeconfigCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "kubeconfig [--dir DIR]",
		Short: "Print the path of the kubeconfig, which has a context for Koinon and each member",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := home.Peek(dir)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), h.Kubeconfig())
			return nil
		},
	}
	dirFlag(cmd, &dir)
	return cmd
}
