// Package contender runs the two systems that the benchmarks compare, as processes of
// their own on loopback: Koinon, and a stock kube-apiserver that serves the same kinds as
// custom resources with Koinon's webhooks.
//
// Neither runs controllers: the figures are of the API servers. A Contender is used by one
// goroutine at a time.
package contender

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/test/testbed"
)

// patience is how long a step of starting a contender may take.
const patience = 2 * time.Minute

// Process is one process of a contender.
type Process struct {
	Name string
	PID  int
}

// Contender is one of the systems that are compared.
type Contender interface {
	// Name is what reports call it.
	Name() string
	// RESTConfig is the administrator's access.
	RESTConfig() (*rest.Config, error)
	// Processes that serve the API now, the API server first.
	Processes() []Process
	// Restart ends the API server and starts it again on the same data; it returns once
	// the server is ready.
	Restart(ctx context.Context) error
	// Stop ends all processes.
	Stop(ctx context.Context) error
}

// Config says where the programs are, and where contenders may write.
type Config struct {
	// Root of the repository, Bin the directory of the programs that it builds.
	Root, Bin string
	// Dir is for data and logs; it is the caller's to remove.
	Dir string
}

// Built is a Config with the programs that "make build" makes.
func Built(dir string) (Config, error) {
	root, err := testbed.Root()
	if err != nil {
		return Config{}, err
	}
	koinon, err := testbed.Binary("koinon")
	if err != nil {
		return Config{}, err
	}
	return Config{Root: root, Bin: filepath.Dir(koinon), Dir: dir}, nil
}

func (c Config) path(elem ...string) string {
	return filepath.Join(append([]string{c.Dir}, elem...)...)
}

var (
	federatedDeployments = schema.GroupVersionResource{Group: "types.kubefed.io", Version: "v1beta2", Resource: "federateddeployments"}
	namespaces           = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
)

// poll tries until it succeeds, and says at the end what was still wrong.
func poll(ctx context.Context, what string, try func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		last = try(ctx)
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("%s within %s: %w", what, patience, last)
	}
	return nil
}

// makeNamespaces makes those that are not there.
func makeNamespaces(ctx context.Context, client dynamic.Interface, names ...string) error {
	for _, name := range names {
		namespace := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace"}}
		namespace.SetName(name)
		_, err := client.Resource(namespaces).Create(ctx, namespace, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("make namespace %s: %w", name, err)
		}
	}
	return nil
}

// MakeNamespaces makes those that a contender does not have.
func MakeNamespaces(ctx context.Context, c Contender, names ...string) error {
	client, err := dynamicClient(c)
	if err != nil {
		return err
	}
	return makeNamespaces(ctx, client, names...)
}

func dynamicClient(c Contender) (dynamic.Interface, error) {
	config, err := c.RESTConfig()
	if err != nil {
		return nil, err
	}
	return dynamic.NewForConfig(config)
}

// waitServed waits until federated Deployments can be listed.
func waitServed(ctx context.Context, c Contender) error {
	client, err := dynamicClient(c)
	if err != nil {
		return err
	}
	return poll(ctx, c.Name()+" must serve federateddeployments", func(ctx context.Context) error {
		_, err := client.Resource(federatedDeployments).List(ctx, metav1.ListOptions{Limit: 1})
		return err
	})
}
