package proxy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	clientcmdlatest "k8s.io/client-go/tools/clientcmd/api/latest"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/generated/clientset/versioned"
	"github.com/koinon-io/koinon/test/testbed"
)

var clusterProfiles = schema.GroupVersionResource{Group: "multicluster.x-k8s.io", Version: "v1alpha1", Resource: "clusterprofiles"}

// inventory reads ClusterProfiles as KEP-5339 says, and knows nothing of Koinon: which program fetches
// a credential is in a file.
type inventory struct {
	Providers []struct {
		Name       string                   `json:"name"`
		ExecConfig *clientcmdapi.ExecConfig `json:"execConfig"`
	} `json:"providers"`
}

func readInventory(file string) (*inventory, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	i := &inventory{}
	return i, json.Unmarshal(content, i)
}

// access is how the cluster of a profile is reached.
func (i *inventory) access(profile *unstructured.Unstructured) (*rest.Config, error) {
	var read struct {
		Status struct {
			AccessProviders []struct {
				Name    string              `json:"name"`
				Cluster clientcmdv1.Cluster `json:"cluster"`
			} `json:"accessProviders"`
		} `json:"status"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(profile.Object, &read); err != nil {
		return nil, err
	}
	for _, provider := range i.Providers {
		for _, offered := range read.Status.AccessProviders {
			if offered.Name != provider.Name {
				continue
			}
			cluster := clientcmdapi.NewCluster()
			if err := clientcmdlatest.Scheme.Convert(&offered.Cluster, cluster, nil); err != nil {
				return nil, err
			}
			program := *provider.ExecConfig
			program.Config = cluster.Extensions["client.authentication.k8s.io/exec"]
			return &rest.Config{
				Host:            cluster.Server,
				TLSClientConfig: rest.TLSClientConfig{CAData: cluster.CertificateAuthorityData},
				ExecProvider:    &program,
			}, nil
		}
	}
	return nil, fmt.Errorf("profile %s has no provider that is known here", profile.GetName())
}

// pods lists the names of pods in a namespace of the cluster of a profile.
func (i *inventory) pods(ctx context.Context, profile *unstructured.Unstructured, namespace string) ([]string, error) {
	config, err := i.access(profile)
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	list, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, pod := range list.Items {
		names = append(names, pod.Name)
	}
	return names, nil
}

// account makes a service account of the server, with the rights that a reader of the inventory needs there
// and in the member, and returns a token of it.
func (p *place) account(namespace string) (token string) {
	p.Helper()
	group := "system:serviceaccounts:" + namespace
	p.allow(group, rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupName}, Resources: []string{"clusters/proxy", "cells/proxy"}, Verbs: []string{"get"}})
	bind(p.T, p.client(p.direct), "host:"+group, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "host:" + group})
	accounts := p.client(p.kubeconfig).CoreV1().ServiceAccounts(namespace)
	if _, err := accounts.Create(p.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "reader"}}, metav1.CreateOptions{}); err != nil {
		p.Fatal(err)
	}
	request, err := accounts.CreateToken(p.Context(), "reader", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		p.Fatal(err)
	}
	return request.Status.Token
}

// inventory is that of a reader with a token.
func (p *place) inventory(token string) *inventory {
	p.Helper()
	binary, err := testbed.Binary("kubectl-koinon")
	if err != nil {
		p.Fatal(err)
	}
	directory := p.TempDir()
	file, tokenFile := filepath.Join(directory, "providers.json"), filepath.Join(directory, "token")
	providers := fmt.Sprintf(`{"providers": [{"name": "koinon", "execConfig": {
		"apiVersion": "client.authentication.k8s.io/v1", "command": %q, "args": ["credential", "--token-file", %q, "--server", %q],
		"provideClusterInfo": true, "interactiveMode": "Never"}}]}`, binary, tokenFile, p.server.Host)
	for path, content := range map[string]string{file: providers, tokenFile: token} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			p.Fatal(err)
		}
	}
	i, err := readInventory(file)
	if err != nil {
		p.Fatal(err)
	}
	return i
}

// profile waits until a profile is as it should be.
func (p *place) profile(namespace, name string, check func(profile *unstructured.Unstructured) error) *unstructured.Unstructured {
	p.Helper()
	client, err := dynamic.NewForConfig(p.server)
	if err != nil {
		p.Fatal(err)
	}
	var profile *unstructured.Unstructured
	p.eventually("profile "+namespace+"/"+name, func(ctx context.Context) (err error) {
		profile, err = client.Resource(clusterProfiles).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return check(profile)
	})
	return profile
}

func isHealthy(profile *unstructured.Unstructured) error {
	conditions, _, _ := unstructured.NestedSlice(profile.Object, "status", "conditions")
	for _, item := range conditions {
		if c := item.(map[string]any); c["type"] == "ControlPlaneHealthy" && c["status"] == "True" {
			return nil
		}
	}
	return fmt.Errorf("got %v", conditions)
}

// A program that knows ClusterProfiles, and nothing of Koinon, works with members and cells.
func TestClustersAreFoundInClusterProfiles(t *testing.T) {
	test := func(p *place) {
		root, err := testbed.Root()
		if err != nil {
			p.Fatal(err)
		}
		testbed.Kubectl(p, p.kubeconfig, "apply", "-f", filepath.Join(root, "artifacts", "clusterprofiles", "clusterprofiles.yaml"), requestTimeout)
		shop, readers := "listed-"+p.name, "readers-"+p.name
		p.hostNamespace(shop)
		p.hostNamespace(readers)
		p.cell(shop, "rz00a")
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "found"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "registry.example/none"}}}}
		if _, err := p.client(p.direct).CoreV1().Pods(shop+"-rz00a").Create(p.Context(), pod, metav1.CreateOptions{}); err != nil {
			p.Fatal(err)
		}
		token := p.account(readers)
		reader := p.inventory(token)
		member, cell := p.profile(system, memberName, isHealthy), p.profile(shop, "rz00a", isHealthy)
		for _, profile := range []*unstructured.Unstructured{member, cell} {
			if version, _, _ := unstructured.NestedString(profile.Object, "status", "version", "kubernetes"); !strings.HasPrefix(version, "v1.") {
				p.Errorf("%s: got the version %q", profile.GetName(), version)
			}
			said, err := profile.MarshalJSON()
			if err != nil {
				p.Fatal(err)
			}
			for _, secret := range []string{token, "eyJ", "PRIVATE KEY"} {
				if strings.Contains(string(said), secret) {
					p.Errorf("%s has a credential: %s", profile.GetName(), said)
				}
			}
		}
		for namespace, profile := range map[string]*unstructured.Unstructured{shop + "-rz00a": member, shop: cell} {
			p.eventually("pods of "+profile.GetName(), func(ctx context.Context) error { // rights in the host may come a moment later
				names, err := reader.pods(ctx, profile, namespace)
				if err == nil && strings.Join(names, " ") != "found" {
					err = fmt.Errorf("got pods %v", names)
				}
				return err
			})
		}
		p.forgedProfile(reader, member)
		p.followsTheCell(shop)
	}
	t.Run("alone", func(t *testing.T) { test(standalone(t)) })
	t.Run("behind a host", func(t *testing.T) { test(aggregated(t)) })
}

// forgedProfile leads elsewhere: the reader's credential does not go there.
func (p *place) forgedProfile(reader *inventory, profile *unstructured.Unstructured) {
	p.Helper()
	forged := profile.DeepCopy()
	providers, _, _ := unstructured.NestedSlice(forged.Object, "status", "accessProviders")
	cluster := providers[0].(map[string]any)["cluster"].(map[string]any)
	cluster["server"] = strings.Replace(cluster["server"].(string), p.server.Host, p.member.Server(), 1)
	if err := unstructured.SetNestedSlice(forged.Object, providers, "status", "accessProviders"); err != nil {
		p.Fatal(err)
	}
	if _, err := reader.pods(p.Context(), forged, "default"); err == nil || !strings.Contains(err.Error(), "getting credentials") {
		p.Errorf("a profile that leads elsewhere: got %v, want no credential", err)
	}
}

// followsTheCell looks at the profiles of cells while one may not be where it is any more, and one goes.
func (p *place) followsTheCell(namespace string) {
	p.Helper()
	ours, err := versioned.NewForConfig(p.server)
	if err != nil {
		p.Fatal(err)
	}
	cells := ours.FederationV1alpha1().Cells(namespace)
	if _, err := cells.Create(p.Context(), &v1alpha1.Cell{ObjectMeta: metav1.ObjectMeta{Name: "rz00b"}, Spec: v1alpha1.CellSpec{ClusterName: memberName}}, metav1.CreateOptions{}); err != nil {
		p.Fatal(err)
	}
	p.profile(namespace, "rz00b", isHealthy)
	testbed.Kubectl(p, p.kubeconfig, "label", "namespace", namespace, v1alpha1.TenantLabel+"=blue", requestTimeout)
	p.labelMember(`"red"`)
	p.Cleanup(func() { p.labelMember("null") })
	p.profile(namespace, "rz00b", func(profile *unstructured.Unstructured) error {
		status, _, _ := unstructured.NestedMap(profile.Object, "status")
		if said := fmt.Sprint(status); !strings.Contains(said, v1alpha1.ReasonForeignMember) || status["accessProviders"] != nil || status["version"] != nil {
			return fmt.Errorf("another tenant's member is in the profile: %s", said)
		}
		return nil
	})
	p.profile(system, memberName, func(profile *unstructured.Unstructured) error {
		if got := profile.GetLabels()[v1alpha1.TenantLabel]; got != "red" {
			return fmt.Errorf("got the tenant %q", got)
		}
		return nil
	})
	if err := cells.Delete(p.Context(), "rz00b", metav1.DeleteOptions{}); err != nil {
		p.Fatal(err)
	}
	client, err := dynamic.NewForConfig(p.server)
	if err != nil {
		p.Fatal(err)
	}
	p.eventually("the profile of a cell that is gone", func(ctx context.Context) error {
		_, err := client.Resource(clusterProfiles).Namespace(namespace).Get(ctx, "rz00b", metav1.GetOptions{})
		if err == nil {
			err = errors.New("it is there")
		}
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
}
