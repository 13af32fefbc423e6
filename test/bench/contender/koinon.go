package contender

import (
	"context"
	"fmt"
	"os"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/cmd/koinon-playground/koinon"
	"github.com/koinon-io/koinon/cmd/koinon-playground/process"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/generated/clientset/versioned"
)

const (
	systemNamespace = "kube-federation-system"
	stopGrace       = 30 * time.Second
)

// Koinon is the control plane, standalone on SQLite.
type Koinon struct {
	*koinon.Server
}

var _ Contender = &Koinon{}

// NewKoinon prepares a control plane of its own below dir/name. args are added to its
// command line.
func NewKoinon(c Config, name string, args ...string) (*Koinon, error) {
	if err := os.MkdirAll(c.path(name), 0o700); err != nil {
		return nil, fmt.Errorf("make a directory for koinon: %w", err)
	}
	server, err := koinon.New(koinon.Config{
		Binary:  c.binary("koinon"),
		DataDir: c.path(name, "data"),
		LogFile: c.path(name, "koinon.log"),
		PIDFile: c.path(name, "koinon.pid"),
		Args:    args,
		Tied:    true,
	})
	if err != nil {
		return nil, err
	}
	return &Koinon{server}, nil
}

// StartKoinon starts the API server alone and has it serve federated Deployments.
func StartKoinon(ctx context.Context, c Config) (*Koinon, error) {
	k, err := NewKoinon(c, "koinon", "--components=apiserver")
	if err != nil {
		return nil, err
	}
	if err := k.StartOnAnyPort(ctx); err != nil {
		return nil, err
	}
	if err := k.enable(ctx); err != nil {
		return k, err
	}
	return k, waitServed(ctx, k)
}

// enable makes the type configuration of Deployments.
func (k *Koinon) enable(ctx context.Context) error {
	if err := MakeNamespaces(ctx, k, systemNamespace); err != nil {
		return err
	}
	config, err := k.RESTConfig()
	if err != nil {
		return err
	}
	client, err := versioned.NewForConfig(config)
	if err != nil {
		return err
	}
	typeConfig := &corev1beta1.FederatedTypeConfig{
		ObjectMeta: metav1.ObjectMeta{Name: "deployments.apps", Namespace: systemNamespace},
		Spec: corev1beta1.FederatedTypeConfigSpec{
			TargetType: corev1beta1.APIResource{Group: "apps", Version: "v1", Kind: "Deployment", PluralName: "deployments", Scope: corev1beta1.NamespaceScoped},
			FederatedType: corev1beta1.APIResource{Group: federatedDeployments.Group, Version: "v1beta1", Kind: "FederatedDeployment",
				PluralName: federatedDeployments.Resource, Scope: corev1beta1.NamespaceScoped},
			Propagation: corev1beta1.Enabled,
		},
	}
	_, err = client.KubeFedCoreV1beta1().FederatedTypeConfigs(systemNamespace).Create(ctx, typeConfig, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("make the type configuration of Deployments: %w", err)
	}
	return nil
}

// Name is koinon.
func (k *Koinon) Name() string { return "koinon" }

// RESTConfig is the administrator's access.
func (k *Koinon) RESTConfig() (*rest.Config, error) { return k.Server.RESTConfig() }

// Processes has one: the store is in it.
func (k *Koinon) Processes() []Process {
	pid, _ := process.Find(k.PIDFile)
	return []Process{{Name: "koinon", PID: pid}}
}

// Restart ends the server and starts it again.
func (k *Koinon) Restart(ctx context.Context) error {
	if err := k.Stop(ctx); err != nil {
		return err
	}
	return k.Start(ctx)
}

// Stop asks the server to end, and kills it if it does not.
func (k *Koinon) Stop(ctx context.Context) error { return k.Server.Stop(ctx, stopGrace) }
