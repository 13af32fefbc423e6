package cli

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// connection is kubectl's flags that say where the API is and who asks. It is not
// genericclioptions.ConfigFlags: those do not tell what they change of a kubeconfig, and link
// kustomize, which makes the program twice as large.
type connection struct {
	rules     *clientcmd.ClientConfigLoadingRules
	overrides *clientcmd.ConfigOverrides
	extra     []string
}

func newConnection() *connection {
	return &connection{rules: clientcmd.NewDefaultClientConfigLoadingRules(), overrides: &clientcmd.ConfigOverrides{}}
}

// addFlags adds the flags, of which the help shows three: the others are known from kubectl, and
// ours would be lost among them.
func (c *connection) addFlags(flags *pflag.FlagSet) {
	names := clientcmd.RecommendedConfigOverrideFlags("")
	names.AuthOverrideFlags.Username.LongName, names.AuthOverrideFlags.Password.LongName = "", "" // as kubectl
	names.ClusterOverrideFlags.APIServer.ShortName = "s"
	names.CurrentContext.Description = "The context of Koinon in the kubeconfig. The default is the current one."
	names.ContextOverrideFlags.Namespace.Description = "The namespace. The default is that of the context."
	clientcmd.BindOverrideFlags(c.overrides, flags, names)
	flags.StringArrayVar(&c.extra, "as-user-extra", nil, "User extras to impersonate for the operation, as KEY=VALUE.")
	flags.StringVar(&c.rules.ExplicitPath, "kubeconfig", "", "The kubeconfig to read. The default is $KUBECONFIG, or ~/.kube/config.")
	flags.VisitAll(func(flag *pflag.Flag) {
		flag.Hidden = flag.Name != "context" && flag.Name != "namespace" && flag.Name != "kubeconfig"
	})
}

// loader reads the kubeconfig. The flags must have been read.
func (c *connection) loader() clientcmd.ClientConfig {
	for _, extra := range c.extra {
		if key, value, ok := strings.Cut(extra, "="); ok {
			user := &c.overrides.AuthInfo
			if user.ImpersonateUserExtra == nil {
				user.ImpersonateUserExtra = map[string][]string{}
			}
			user.ImpersonateUserExtra[key] = append(user.ImpersonateUserExtra[key], value)
		}
	}
	c.extra = nil
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(c.rules, c.overrides)
}

// timeout is how long one request may take.
func (c *connection) timeout() (time.Duration, error) {
	timeout, err := clientcmd.ParseTimeout(cmp.Or(c.overrides.Timeout, "0"))
	if err != nil || timeout < 0 {
		return 0, fmt.Errorf("--request-timeout is %q: it must be a time such as 10s", c.overrides.Timeout)
	}
	if timeout == 0 {
		return patience, nil
	}
	return timeout, nil
}

// givenIn are the flags that say which Koinon is meant and, unless it is the default, in which namespace its
// KubeFedClusters are: for printed commands of ours that take --kubefed-namespace.
func (c *connection) givenIn(system string) string {
	if system == v1beta1.DefaultNamespace {
		return c.given()
	}
	return c.given() + " --kubefed-namespace " + shellWord(system)
}

// given are the flags that say which Koinon is meant, as they were given, for commands that are printed;
// with a space in front, and empty if there were none.
func (c *connection) given() (flags string) {
	if c.rules.ExplicitPath != "" {
		flags += " --kubeconfig " + shellWord(c.rules.ExplicitPath)
	}
	if c.overrides.CurrentContext != "" {
		flags += " --context " + shellWord(c.overrides.CurrentContext)
	}
	return flags
}
