// Command konnectivity is upstream's tunnel, for test/tunnelbench: its server, its agent, and many of its agents in one process, each
// of its own packages and with its own flags. It is a module of its own: what it brings along shall not decide what Koinon is
// built of, and it is measured with the versions that it was released with.
package main

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"k8s.io/klog/v2"
	agentapp "sigs.k8s.io/apiserver-network-proxy/cmd/agent/app"
	agentoptions "sigs.k8s.io/apiserver-network-proxy/cmd/agent/app/options"
	serverapp "sigs.k8s.io/apiserver-network-proxy/cmd/server/app"
	serveroptions "sigs.k8s.io/apiserver-network-proxy/cmd/server/app/options"
	"sigs.k8s.io/apiserver-network-proxy/pkg/agent"
	"sigs.k8s.io/apiserver-network-proxy/pkg/util"
)

// programs are what there is.
var programs = map[string]func() *cobra.Command{"server": server, "agent": oneAgent, "agents": manyAgents}

func main() {
	if len(os.Args) < 2 || programs[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: konnectivity server|agent|agents [flags]")
		os.Exit(2)
	}
	command := programs[os.Args[1]]()
	command.SetArgs(os.Args[2:])
	if err := command.Execute(); err != nil {
		os.Exit(1)
	}
}

// withFlags adds flags of a program, and those of its log.
func withFlags(command *cobra.Command, own *pflag.FlagSet) *cobra.Command {
	command.Flags().AddFlagSet(own)
	log := flag.NewFlagSet("log", flag.ExitOnError)
	klog.InitFlags(log)
	log.VisitAll(func(f *flag.Flag) {
		f.Name = util.Normalize(f.Name)
		command.Flags().AddGoFlag(f)
	})
	return command
}

func server() *cobra.Command {
	o := serveroptions.NewProxyRunOptions()
	return withFlags(serverapp.NewProxyCommand(&serverapp.Proxy{}, o), o.Flags())
}

func oneAgent() *cobra.Command {
	o := agentoptions.NewGrpcProxyAgentOptions()
	return withFlags(agentapp.NewAgentCommand(&agentapp.Agent{}, o), o.Flags())
}

// manyAgents is as many agents as --agents says, as the agent makes each. They end with the process.
func manyAgents() *cobra.Command {
	o := agentoptions.NewGrpcProxyAgentOptions()
	n := 0
	command := &cobra.Command{
		Use:           "agents",
		SilenceErrors: false,
		RunE: func(*cobra.Command, []string) error {
			tls, err := util.GetClientTLSConfig(o.CaCert, o.AgentCert, o.AgentKey, o.ProxyServerHost, o.AlpnProtos)
			if err != nil {
				return err
			}
			never := make(chan struct{})
			for i := range n {
				config := o.ClientSetConfig(grpc.WithTransportCredentials(credentials.NewTLS(tls)),
					grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: o.KeepaliveTime, PermitWithoutStream: true}))
				config.AgentID = "agent-" + strconv.Itoa(i)
				set := config.NewAgentClientSet(never, never)
				set.SetServerCounter(agent.NewAggregateServerCounter(nil, agent.NewResponseBasedCounter(set), o.ServerCountSource))
				set.Serve()
				time.Sleep(between)
			}
			<-never
			return nil
		},
	}
	command.Flags().IntVar(&n, "agents", 1, "How many agents to be.")
	return withFlags(command, o.Flags())
}

// between is how long after one agent the next connects: all at once would be another measurement.
const between = time.Millisecond
