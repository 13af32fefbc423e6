package cli

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// source is what a command works with: the context of the federation's API, with what the flags
// say otherwise.
type source struct {
	// context is its name, and server its URL, without what a proxy would add.
	context, server string
	// namespace is "default" if nothing names one; given says that a flag does.
	namespace string
	given     bool
	// cluster and user are as the kubeconfig has them, with absolute paths.
	cluster clientcmdapi.Cluster
	user    clientcmdapi.AuthInfo
	// userName is its name in the kubeconfig; empty if flags made it another one.
	userName string
	// access is the kubeconfig that kubectl would change.
	access clientcmd.ConfigAccess
	// timeout is how long one request may take.
	timeout time.Duration
}

// loadSource reads kubeconfigs as kubectl does.
func loadSource(flags *connection) (*source, error) {
	timeout, err := flags.timeout()
	if err != nil {
		return nil, err
	}
	loader := flags.loader()
	raw, err := loader.RawConfig()
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	name := cmp.Or(flags.overrides.CurrentContext, raw.CurrentContext)
	if _, exists := raw.Contexts[name]; name != "" && !exists {
		return nil, fmt.Errorf("there is no context %q in %s", name, files(loader.ConfigAccess()))
	}
	merged, err := clientcmd.NewNonInteractiveClientConfig(raw, name, flags.overrides, loader.ConfigAccess()).MergedRawConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, fmt.Errorf("no context says where Koinon is: none is current in %s; choose one with --context", files(loader.ConfigAccess()))
	}
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	s, err := newSource(raw, merged, loader.ConfigAccess())
	if err != nil {
		return nil, err
	}
	s.given, s.timeout = flags.overrides.Context.Namespace != "", timeout
	return s, nil
}

// newSource takes the current context out of what was merged.
func newSource(raw, merged clientcmdapi.Config, access clientcmd.ConfigAccess) (*source, error) {
	current := merged.Contexts[merged.CurrentContext]
	s := &source{
		context: merged.CurrentContext, namespace: cmp.Or(current.Namespace, "default"),
		cluster: *merged.Clusters[current.Cluster], user: *merged.AuthInfos[current.AuthInfo], access: access,
	}
	var through *target
	if s.server, through = splitServer(s.cluster.Server); through != nil {
		// The context is one that we made: what it was made of is meant.
		s.context = strings.TrimSuffix(s.context, "/"+through.suffix())
	}
	s.context = cmp.Or(s.context, hostOf(s.server))
	if kept := raw.AuthInfos[current.AuthInfo]; kept != nil && sameUser(*kept, s.user) {
		s.userName = current.AuthInfo
	}
	s.cluster.LocationOfOrigin, s.user.LocationOfOrigin = "", ""
	return s, s.makeAbsolute()
}

func sameUser(a, b clientcmdapi.AuthInfo) bool {
	a.LocationOfOrigin, b.LocationOfOrigin = "", ""
	// Of what is empty, merging makes nil.
	for _, user := range []*clientcmdapi.AuthInfo{&a, &b} {
		if len(user.Extensions) == 0 {
			user.Extensions = nil
		}
		if len(user.ImpersonateUserExtra) == 0 {
			user.ImpersonateUserExtra = nil
		}
		if len(user.ImpersonateGroups) == 0 {
			user.ImpersonateGroups = nil
		}
	}
	return reflect.DeepEqual(a, b)
}

// makeAbsolute resolves what flags name. Paths in kubeconfigs were resolved when they were loaded.
func (s *source) makeAbsolute() error {
	here, err := filepath.Abs(".")
	if err != nil {
		return fmt.Errorf("find the current directory: %w", err)
	}
	return errors.Join(
		clientcmd.ResolvePaths(clientcmd.GetClusterFileReferences(&s.cluster), here),
		clientcmd.ResolvePaths(clientcmd.GetAuthInfoFileReferences(&s.user), here),
	)
}

// kubeconfig returns one with a single context.
func (s *source) kubeconfig(name, server, namespace string) *clientcmdapi.Config {
	config := clientcmdapi.NewConfig()
	cluster, user := s.cluster.DeepCopy(), s.user.DeepCopy()
	cluster.Server = server
	userName := cmp.Or(s.userName, name)
	config.Clusters[name], config.AuthInfos[userName] = cluster, user
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: userName, Namespace: namespace}
	config.CurrentContext = name
	return config
}

// restConfig is how a client of the server asks as the user.
func (s *source) restConfig(server string) (*rest.Config, error) {
	config := s.kubeconfig(s.context, server, "")
	return clientcmd.NewNonInteractiveClientConfig(*config, s.context, nil, nil).ClientConfig()
}

// files names the kubeconfigs that were read.
func files(access clientcmd.ConfigAccess) string {
	if access.IsExplicitFile() {
		return access.GetExplicitFile()
	}
	return strings.Join(access.GetLoadingPrecedence(), ", ")
}
