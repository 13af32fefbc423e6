// Package credentials makes clients of the clusters of ClusterProfiles, as KEP-5339 says: the profile has the cluster, the reader says
// which program fetches a credential of which kind, and client-go runs it.
package credentials

import (
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	clientcmdlatest "k8s.io/client-go/tools/clientcmd/api/latest"

	"sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
)

// Provider is a program of the reader's.
type Provider struct {
	Name       string
	ExecConfig *clientcmdapi.ExecConfig
}

// CredentialsProvider has the programs of a reader.
type CredentialsProvider struct {
	providers []Provider
}

// New takes the programs, the preferred one first.
func New(providers []Provider) *CredentialsProvider {
	return &CredentialsProvider{providers: providers}
}

// BuildConfigFromCP is how the cluster of a profile is reached, with the first program for which the profile has a way.
func (p *CredentialsProvider) BuildConfigFromCP(profile *v1alpha1.ClusterProfile) (*rest.Config, error) {
	for _, provider := range p.providers {
		for i := range profile.Status.AccessProviders {
			if offered := &profile.Status.AccessProviders[i]; offered.Name == provider.Name {
				return restConfig(offered, provider.ExecConfig)
			}
		}
	}
	return nil, fmt.Errorf("ClusterProfile %s/%s has no access provider that is configured here", profile.Namespace, profile.Name)
}

// restConfig is that of a kubeconfig with the cluster, whose user is the program. clientcmd gives the program what the extension
// client.authentication.k8s.io/exec of the cluster says.
func restConfig(offered *v1alpha1.AccessProvider, program *clientcmdapi.ExecConfig) (*rest.Config, error) {
	cluster := clientcmdapi.NewCluster()
	if err := clientcmdlatest.Scheme.Convert(&offered.Cluster, cluster, nil); err != nil {
		return nil, fmt.Errorf("read the cluster of access provider %q: %w", offered.Name, err)
	}
	config := clientcmdapi.NewConfig()
	config.Clusters[offered.Name] = cluster
	config.AuthInfos[offered.Name] = &clientcmdapi.AuthInfo{Exec: program.DeepCopy()}
	config.Contexts[offered.Name] = &clientcmdapi.Context{Cluster: offered.Name, AuthInfo: offered.Name}
	return clientcmd.NewNonInteractiveClientConfig(*config, offered.Name, &clientcmd.ConfigOverrides{}, nil).ClientConfig()
}
