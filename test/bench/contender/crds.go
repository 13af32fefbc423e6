package contender

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/cmd/koinon-playground/member"
	"github.com/koinon-io/koinon/cmd/koinon-playground/ports"
	"github.com/koinon-io/koinon/cmd/koinon-playground/process"
)

// CRDs is a stock kube-apiserver with etcd, the custom resource definitions of
// artifacts/crds, and a process that serves their webhooks.
type CRDs struct {
	config  Config
	cluster *member.Cluster
	webhook process.Program
	url     string
}

var _ Contender = &CRDs{}

// StartCRDs starts it all. etcd syncs its log to disk before it answers, as it does by
// default.
func StartCRDs(ctx context.Context, c Config) (*CRDs, error) {
	if err := os.MkdirAll(c.path("crds"), 0o700); err != nil {
		return nil, fmt.Errorf("make a directory for the cluster: %w", err)
	}
	cluster, err := member.New(member.Config{
		Name:          "stock",
		Dir:           c.path("crds", "state"),
		LogDir:        c.path("crds"),
		Binary:        c.binary("koinon-playground"),
		EtcdArgs:      []string{"--unsafe-no-fsync=false"},
		APIServerArgs: []string{"--profiling=true"}, // memory is read there
		Tied:          true,
	})
	if err != nil {
		return nil, err
	}
	s := &CRDs{config: c, cluster: cluster, webhook: process.Program{
		Name: "webhook", PIDFile: c.path("crds", "webhook.pid"), LogFile: c.path("crds", "webhook.log")}}
	if err := s.start(ctx); err != nil {
		return s, err
	}
	if err := s.install(ctx); err != nil {
		return s, err
	}
	return s, s.waitAdmission(ctx)
}

// start starts the cluster, and the webhook if it does not run.
func (s *CRDs) start(ctx context.Context) error {
	if err := s.cluster.Start(ctx); err != nil {
		return err
	}
	// It was needed to make the service accounts of namespaces.
	if err := s.cluster.Kill(ctx, member.ControllerManager); err != nil {
		return err
	}
	if _, running := process.Find(s.webhook.PIDFile); running {
		return nil
	}
	return s.startWebhook(ctx)
}

func (s *CRDs) startWebhook(ctx context.Context) error {
	picked, err := ports.Pick(1)
	if err != nil {
		return err
	}
	s.url = fmt.Sprintf("https://127.0.0.1:%d", picked[0])
	err = process.Start(process.Spec{
		Path: s.config.binary("koinon"),
		Args: []string{"server", "--components=webhook", "--bind-address=127.0.0.1",
			fmt.Sprintf("--secure-port=%d", picked[0]), "--data-dir=" + s.config.path("crds", "webhook")},
		LogFile: s.webhook.LogFile,
		PIDFile: s.webhook.PIDFile,
		Tied:    true,
	})
	if err != nil {
		return err
	}
	return process.Await(ctx, patience, s.webhookReady, s.webhook)
}

func (s *CRDs) authority() ([]byte, error) {
	return os.ReadFile(s.config.path("crds", "webhook", "pki", "ca.crt"))
}

func (s *CRDs) webhookReady(ctx context.Context) error {
	authority, err := s.authority()
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/readyz", nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

var manifestResources = map[string]schema.GroupVersionResource{
	"CustomResourceDefinition":       {Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"},
	"MutatingWebhookConfiguration":   {Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"},
	"ValidatingWebhookConfiguration": {Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"},
}

// install creates what federated Deployments need of artifacts/crds.
func (s *CRDs) install(ctx context.Context) error {
	client, err := dynamicClient(s)
	if err != nil {
		return err
	}
	for _, name := range []string{"types.kubefed.io_federateddeployments.yaml", "webhooks.yaml"} {
		if err := s.create(ctx, client, filepath.Join(s.config.Root, "artifacts", "crds", name)); err != nil {
			return err
		}
	}
	return waitServed(ctx, s)
}

// create creates the objects of a manifest, with the webhook's address and authority
// filled in.
func (s *CRDs) create(ctx context.Context, client dynamic.Interface, file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read manifest: %w", err)
	}
	authority, err := s.authority()
	if err != nil {
		return fmt.Errorf("read the webhook's authority: %w", err)
	}
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		obj := &unstructured.Unstructured{}
		if err := decoder.Decode(&obj.Object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("decode %s: %w", file, err)
		}
		if len(obj.Object) == 0 {
			continue
		}
		useURL(obj.Object, s.url, base64.StdEncoding.EncodeToString(authority))
		if _, err := client.Resource(manifestResources[obj.GetKind()]).Create(ctx, obj, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create %s: %w", file, err)
		}
	}
}

// useURL replaces the Service in every client configuration: nothing routes Services here.
func useURL(tree any, url, authority string) {
	switch v := tree.(type) {
	case map[string]any:
		if config, ok := v["clientConfig"].(map[string]any); ok {
			service, _ := config["service"].(map[string]any)
			path, _ := service["path"].(string)
			config["url"], config["caBundle"] = url+path, authority
			delete(config, "service")
		}
		for _, child := range v {
			useURL(child, url, authority)
		}
	case []any:
		for _, child := range v {
			useURL(child, url, authority)
		}
	}
}

// waitAdmission waits until both admission webhooks are called: the server learns of them
// by watching.
func (s *CRDs) waitAdmission(ctx context.Context) error {
	client, err := dynamicClient(s)
	if err != nil {
		return err
	}
	return poll(ctx, "the admission webhooks must be called", func(ctx context.Context) error {
		// Without a topologyType only /mutate lets an object pass, without a template
		// /validate never.
		for spec, pass := range map[string]bool{`{"template":{}}`: true, `{"topologyType":"cluster"}`: false} {
			body := `{"apiVersion":"types.kubefed.io/v1beta2","kind":"FederatedDeployment","metadata":{"name":"probe"},"spec":` + spec + `}`
			obj := &unstructured.Unstructured{}
			if err := obj.UnmarshalJSON([]byte(body)); err != nil {
				return err
			}
			_, err := client.Resource(federatedDeployments).Namespace("default").Create(ctx, obj, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			if pass && err != nil {
				return err
			}
			if !pass && !(apierrors.IsInvalid(err) && strings.Contains(err.Error(), "template")) {
				return fmt.Errorf("/validate is not called: %w", errors.Join(err))
			}
		}
		return nil
	})
}

// Name is CRDs.
func (s *CRDs) Name() string { return "CRDs" }

// RESTConfig is the administrator's access.
func (s *CRDs) RESTConfig() (*rest.Config, error) { return s.cluster.RESTConfig() }

// Processes are kube-apiserver, etcd and the webhook.
func (s *CRDs) Processes() []Process {
	var out []Process
	for _, name := range []string{member.APIServer, member.Etcd} {
		pid, _ := s.cluster.Running(name)
		out = append(out, Process{Name: name, PID: pid})
	}
	pid, _ := process.Find(s.webhook.PIDFile)
	return append(out, Process{Name: s.webhook.Name, PID: pid})
}

// Restart kills kube-apiserver and starts it again; etcd and the webhook go on.
func (s *CRDs) Restart(ctx context.Context) error {
	if err := s.cluster.Kill(ctx, member.APIServer); err != nil {
		return err
	}
	// A process with many connections is gone a moment before its port is free.
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(s.cluster.Ports(member.APIServer)[0]))
	err := poll(ctx, "the port of the killed kube-apiserver must be free", func(context.Context) error {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		return listener.Close()
	})
	if err != nil {
		return err
	}
	return s.start(ctx)
}

// Stop ends all processes.
func (s *CRDs) Stop(ctx context.Context) error {
	return errors.Join(s.cluster.Kill(ctx), process.Stop(ctx, s.webhook.PIDFile, stopGrace))
}
