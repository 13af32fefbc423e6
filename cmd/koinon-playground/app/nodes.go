package app

import (
	"fmt"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/koinon-io/koinon/cmd/koinon-playground/simnode"
)

type nodesOptions struct {
	kubeconfig string
	count      int
	prefix     string
	kubelet    simnode.KubeletConfig
}

func newNodesCommand() *cobra.Command {
	o := &nodesOptions{}
	cmd := &cobra.Command{
		Use:   "nodes --kubeconfig FILE",
		Short: "Simulate the nodes of a cluster, in the foreground",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	cmd.Flags().StringVar(&o.kubeconfig, "kubeconfig", "", "access to the cluster")
	cmd.Flags().IntVar(&o.count, "count", 1, "how many nodes")
	cmd.Flags().StringVar(&o.prefix, "prefix", "node-", "what the names of nodes begin with")
	cmd.Flags().IntVar(&o.kubelet.Port, "port", 0, "the port of 127.0.0.1 where the nodes answer the API server; 0 is none")
	cmd.Flags().StringVar(&o.kubelet.CertFile, "tls-cert-file", "", "the nodes' certificate")
	cmd.Flags().StringVar(&o.kubelet.KeyFile, "tls-private-key-file", "", "the key of the nodes' certificate")
	cmd.Flags().StringVar(&o.kubelet.ClientCAFile, "client-ca-file", "", "the authority of those who may ask the nodes")
	initLogging(cmd)
	return cmd
}

func (o *nodesOptions) run(cmd *cobra.Command) error {
	cfg, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return fmt.Errorf("load kubeconfig: %w", err)
	}
	cfg.QPS = -1
	cfg.UserAgent = "koinon-playground-nodes"
	cfg.ContentType = "application/vnd.kubernetes.protobuf"
	cfg.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	simulator, err := simnode.New(simnode.Config{Client: client, Count: o.count, Prefix: o.prefix, KubeletPort: o.kubelet.Port})
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(cmd.Context())
	group.Go(func() error { return simulator.Run(ctx) })
	if o.kubelet.Port != 0 {
		group.Go(func() error { return simnode.ServeKubelet(ctx, o.kubelet) })
	}
	return group.Wait()
}
