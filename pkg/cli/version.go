package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
	apimachineryversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/pkg/version"
)

// versionOptions are the options of "kubectl koinon version".
type versionOptions struct {
	genericiooptions.IOStreams
	flags *connection

	ClientOnly bool
	Output     string

	source *source
}

// versions is what is printed. Its fields are named as kubectl's are.
type versions struct {
	ClientVersion *apimachineryversion.Info `json:"clientVersion"`
	ServerVersion *apimachineryversion.Info `json:"serverVersion,omitempty"`
}

func newVersionCommand(flags *connection, streams genericiooptions.IOStreams) *cobra.Command {
	o := &versionOptions{IOStreams: streams, flags: flags}
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this command, and of the server's Kubernetes",
		Long: `Print the version of this command, and the version of Kubernetes that the server of the current
context says it is.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			if err := o.complete(); err != nil {
				return err
			}
			return o.run(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&o.ClientOnly, "client", false, "Print the version of this command only; no server is asked.")
	cmd.Flags().StringVarP(&o.Output, "output", "o", "", "yaml or json.")
	return cmd
}

func (o *versionOptions) validate() error {
	if o.Output != "" && o.Output != "yaml" && o.Output != "json" {
		return fmt.Errorf("--output is %q: it must be yaml or json", o.Output)
	}
	return nil
}

func (o *versionOptions) complete() (err error) {
	if !o.ClientOnly {
		o.source, err = loadSource(o.flags)
	}
	return err
}

// run prints what is known even if the server does not answer.
func (o *versionOptions) run(ctx context.Context) error {
	found := versions{ClientVersion: &apimachineryversion.Info{
		GitVersion: version.Version(), GitCommit: version.Commit(),
		GoVersion: runtime.Version(), Compiler: runtime.Compiler, Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}}
	var serverErr error
	if o.source != nil {
		found.ServerVersion, serverErr = o.serverVersion(ctx)
	}
	return cmp.Or(o.print(found), serverErr)
}

func (o *versionOptions) serverVersion(ctx context.Context) (*apimachineryversion.Info, error) {
	federation, err := o.source.newFederation(o.source.server)
	if err != nil {
		return nil, err
	}
	info, err := federation.version(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the server at %s for its version: %w", o.source.server, err)
	}
	return info, nil
}

func (o *versionOptions) print(found versions) (err error) {
	var data []byte
	switch o.Output {
	case "json":
		data, err = json.MarshalIndent(found, "", "  ")
		data = append(data, '\n')
	case "yaml":
		data, err = yaml.Marshal(found)
	default:
		data = fmt.Appendf(nil, "Client Version: %s\n", found.ClientVersion.GitVersion)
		if found.ServerVersion != nil {
			data = fmt.Appendf(data, "Server Version: %s\n", found.ServerVersion.GitVersion)
		}
	}
	if err != nil {
		return fmt.Errorf("encode the versions: %w", err)
	}
	_, err = o.Out.Write(data)
	return err
}
