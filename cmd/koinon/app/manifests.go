package app

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/koinon-io/koinon/artifacts/deploy"
)

// manifestOptions are what an installation in a host may have different.
type manifestOptions struct {
	Namespace       string
	Image           string
	DatastoreSecret string
	// TunnelAdvertiseAddresses are those of the server's flag; without any there is no tunnel.
	TunnelAdvertiseAddresses []string
	// NamespaceWebhook is the server's flag; without it the server has not the rights either.
	NamespaceWebhook bool
}

func newManifestsCommand() *cobra.Command {
	options := &manifestOptions{Namespace: deploy.Namespace, Image: deploy.Image, DatastoreSecret: deploy.DatastoreSecret, NamespaceWebhook: true}
	cmd := &cobra.Command{
		Use:   "install-manifests",
		Short: "Print the manifests that install Koinon behind the aggregator of a cluster",
		Long: `Print the manifests that install Koinon behind the aggregator of a cluster: two
replicas, their rights, what may reach them, and what the roles view, edit and admin mean for
federated objects. With --tunnel-advertise-address also what agents in members connect to.
Nothing is sent anywhere.`,
		Example: `  # Say where the data is, then install
  kubectl create namespace kube-federation-system
  kubectl -n kube-federation-system create secret generic koinon-datastore \
      --from-literal=dsn='mysql://koinon:PASSWORD@db.example:3306/koinon'
  koinon install-manifests --image registry.example/koinon:v1 | kubectl apply -f -

  # With a tunnel for members behind NAT; the name is then pointed to the Service koinon-tunnel
  koinon install-manifests --image registry.example/koinon:v1 \
      --tunnel-advertise-address tunnel.example | kubectl apply -f -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return options.run(cmd.OutOrStdout()) },
	}
	flags := cmd.Flags()
	flags.StringVar(&options.Namespace, "namespace", options.Namespace, "The namespace for the servers, clusters, type configurations and their Secrets.")
	flags.StringVar(&options.Image, "image", options.Image, "The container image, which has koinon in its PATH, with a tag other than latest or a digest. The default is a placeholder that no registry has.")
	flags.StringVar(&options.DatastoreSecret, "datastore-secret", options.DatastoreSecret, "The Secret in that namespace that holds the address of the database under the key \"dsn\". It is not printed.")
	flags.StringSliceVar(&options.TunnelAdvertiseAddresses, "tunnel-advertise-address", nil, "Where agents find the tunnel, `HOST` or HOST:PORT, which leads to the Service koinon-tunnel of the type LoadBalancer; its port is 6445. May be repeated. Without it the servers have no tunnel.")
	flags.BoolVar(&options.NamespaceWebhook, "namespace-webhook", options.NamespaceWebhook, "Have the host ask the servers before it takes a namespace from its tenant. Whoever may register the webhook for that can have the host send every write to anywhere, Secrets included: --namespace-webhook=false leaves that right out.")
	return cmd
}

func (o *manifestOptions) validate() error {
	var errs []error
	for _, message := range validation.IsDNS1123Label(o.Namespace) {
		errs = append(errs, fmt.Errorf("--namespace is %q: %s", o.Namespace, message))
	}
	if err := checkImage(o.Image); err != nil {
		errs = append(errs, err)
	}
	for _, message := range validation.IsDNS1123Subdomain(o.DatastoreSecret) {
		errs = append(errs, fmt.Errorf("--datastore-secret is %q: %s", o.DatastoreSecret, message))
	}
	errs = append(errs, checkTunnelAddresses("--tunnel-", o.TunnelAdvertiseAddresses, "")...)
	return errors.Join(errs...)
}

// checkImage refuses an image that is another one tomorrow, or on another node.
func checkImage(image string) error {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return fmt.Errorf("--image is %q: it must be the reference of a container image: %w", image, err)
	}
	if _, ok := named.(reference.Digested); ok {
		return nil
	}
	if tagged, ok := named.(reference.Tagged); !ok || tagged.Tag() == "latest" {
		return fmt.Errorf("--image is %q: it must say which release, by a tag that is not latest or by a digest, for all replicas to run the same", image)
	}
	return nil
}

// run prints the manifests with the options filled in.
func (o *manifestOptions) run(out io.Writer) error {
	if err := o.validate(); err != nil {
		return err
	}
	fill := strings.NewReplacer(deploy.Namespace, o.Namespace, deploy.Image, o.Image, deploy.DatastoreSecret, o.DatastoreSecret)
	var errs []error
	for i, name := range o.files() {
		content, err := deploy.FS.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read the manifest %s: %w", name, err)
		}
		if i > 0 {
			_, err = io.WriteString(out, "---\n")
			errs = append(errs, err)
		}
		_, err = fill.WriteString(out, o.withLines(string(content)))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// files are the names of the manifests that there are with the options.
func (o *manifestOptions) files() []string {
	files := slices.Clone(deploy.Files)
	if !o.NamespaceWebhook {
		files = slices.DeleteFunc(files, func(name string) bool { return name == deploy.NamespaceWebhook })
	}
	if len(o.TunnelAdvertiseAddresses) > 0 {
		files = append(files, deploy.Tunnel)
	}
	return files
}

// withLines has what a manifest has besides with the options.
func (o *manifestOptions) withLines(manifest string) string {
	address := strings.Join(o.TunnelAdvertiseAddresses, ",")
	if address != "" {
		manifest = addLines(manifest, deploy.TunnelLines, address)
	}
	if !o.NamespaceWebhook {
		manifest = addLines(manifest, deploy.NoNamespaceWebhookLines, address)
	}
	return manifest
}

// addLines puts lines behind those that they are named by.
func addLines(manifest string, lines map[string]string, address string) string {
	for line, more := range lines {
		manifest = strings.Replace(manifest, line, line+strings.ReplaceAll(more, "ADDRESS", address), 1)
	}
	return manifest
}
