package app

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/koinon-io/koinon/cmd/koinon-playground/home"
	"github.com/koinon-io/koinon/cmd/koinon-playground/steps"
)

// clusterOptions are of the commands for plain clusters: real ones, without Koinon.
type clusterOptions struct {
	dir  string
	mark home.ClusterMark
}

func newClusterCommand() *cobra.Command {
	o := &clusterOptions{}
	cmd := &cobra.Command{Use: "cluster", Short: "One plain cluster, without Koinon"}
	up := &cobra.Command{
		Use:   "up [--dir DIR] [--name NAME] [--nodes N]",
		Short: "Start a cluster, or what of it does not run, and print the path of its kubeconfig",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return o.up(cmd) },
	}
	up.Flags().StringVar(&o.mark.Name, "name", "cluster", "name of the cluster")
	up.Flags().IntVar(&o.mark.Nodes, "nodes", 2, "how many nodes to simulate")
	up.Flags().StringArrayVar(&o.mark.APIServerArgs, "apiserver-arg", nil, "a further argument for kube-apiserver (repeatable)")
	up.Flags().StringArrayVar(&o.mark.ControllerManagerArgs, "controller-manager-arg", nil,
		"a further argument for kube-controller-manager (repeatable)")
	dirFlag(up, &o.dir)
	cmd.AddCommand(up, newDownCommand("down [--dir DIR]", "Remove the clusters in a directory: processes, data and logs"))
	return cmd
}

func (o *clusterOptions) up(cmd *cobra.Command) error {
	ctx := cmd.Context()
	binary, err := self()
	if err != nil {
		return err
	}
	h, err := home.Create(ctx, o.dir)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := h.Add(o.mark); err != nil {
		return err
	}
	for _, mark := range h.Mark.Clusters {
		if mark.Name != o.mark.Name {
			continue
		}
		cluster, err := h.Cluster(mark, binary)
		if err != nil {
			return err
		}
		printer := steps.New(cmd.ErrOrStderr())
		cluster.Report = func(step string, took time.Duration) { printer.Done(mark.Name+": "+step, took, "") }
		if err := cluster.Start(ctx); err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), cluster.Kubeconfig())
	}
	return nil
}

func newDownCommand(use, short string) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := home.Open(cmd.Context(), dir)
			if errors.Is(err, home.ErrAbsent) {
				fmt.Fprintln(cmd.ErrOrStderr(), err)
				return nil
			}
			if err != nil {
				return err
			}
			defer h.Close()
			return h.Destroy(cmd.Context())
		},
	}
	dirFlag(cmd, &dir)
	return cmd
}
