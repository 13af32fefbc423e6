package proxy_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/generated/clientset/versioned"
	"github.com/koinon-io/koinon/test/testbed"
)

// cell makes a cell of a namespace, and its namespace in the member, and returns a kubeconfig of its
// endpoint.
func (p *place) cell(namespace, name string) (kubeconfig string) {
	p.Helper()
	ours, err := versioned.NewForConfig(p.server)
	if err != nil {
		p.Fatal(err)
	}
	cells := ours.FederationV1alpha1().Cells(namespace)
	cell := &v1alpha1.Cell{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.CellSpec{ClusterName: memberName}}
	if cell, err = cells.Create(p.Context(), cell, metav1.CreateOptions{}); err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() {
		if err := cells.Delete(context.WithoutCancel(p.Context()), name, metav1.DeleteOptions{}); err != nil {
			p.Error(err)
		}
	})
	client := p.client(p.direct).CoreV1()
	inMember := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace + "-" + name}}
	if _, err := client.Namespaces().Create(p.Context(), inMember, metav1.CreateOptions{}); err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() {
		if err := client.Namespaces().Delete(context.WithoutCancel(p.Context()), inMember.Name, metav1.DeleteOptions{}); err != nil {
			p.Error(err)
		}
	})
	p.eventually("the account of the cell's namespace", func(ctx context.Context) error {
		_, err := client.ServiceAccounts(inMember.Name).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	return testbed.ProxyKubeconfig(p, p.kubeconfig, "namespaces/"+namespace+"/cells/"+name)
}

// hostNamespace makes a namespace of the host.
func (p *place) hostNamespace(name string) {
	p.Helper()
	client, err := kubernetes.NewForConfig(p.server)
	if err != nil {
		p.Fatal(err)
	}
	if _, err := client.CoreV1().Namespaces().Create(p.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() {
		if err := client.CoreV1().Namespaces().Delete(context.WithoutCancel(p.Context()), name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			p.Error(err)
		}
	})
}

func TestACellIsAClusterToKubectl(t *testing.T) {
	places(t, func(p *place) {
		shop := "shop-" + p.name
		p.hostNamespace(shop)
		a, b := p.cell(shop, "rz00a"), p.cell(shop, "rz00b")
		kubelet := testbed.StartKubelet(p, p.member, "cell-node-"+p.name)
		kubelet.Run(p, p.client(p.direct), shop+"-rz00a", "talks")
		run := func(kubeconfig, stdin string, args ...string) string {
			p.Helper()
			return testbed.KubectlStdin(p, kubeconfig, stdin, append(args, requestTimeout)...)
		}
		wants := func(got string, wanted ...string) {
			p.Helper()
			for _, want := range wanted {
				if !strings.Contains(got, want) {
					p.Errorf("want %q in:\n%s", want, got)
				}
			}
		}
		hides := func(got string, hidden ...string) {
			p.Helper()
			for _, text := range hidden {
				if strings.Contains(got, text) {
					p.Errorf("%q is in:\n%s", text, got)
				}
			}
		}
		in := shop + "-rz00a"
		for _, kubeconfig := range []string{a, b} {
			run(kubeconfig, "", "create", "configmap", "made", "-n", shop, "--from-literal=a=1")
			run(kubeconfig, fmt.Sprintf(configMap, "applied", "1"), "apply", "-n", shop, "-f", "-")
			run(kubeconfig, fmt.Sprintf(configMap, "owned", "1"), "apply", "--server-side", "-n", shop, "-f", "-")
		}
		run(a, "", "delete", "configmap", "made", "-n", shop)
		run(a, fmt.Sprintf(configMap, "applied", "2"), "apply", "-n", shop, "-f", "-")
		all := run(a, "", "get", "configmaps", "-A", "-o", "yaml")
		wants(all, "namespace: "+shop+"\n", `a: "2"`, "name: owned")
		hides(all, in, shop+"-rz00b", "name: made")
		wants(run(b, "", "get", "configmaps", "-A"), "made", "applied", "owned")
		wants(run(a, "", "get", "namespaces", "-o", "name"), "namespace/"+shop+"\n")
		hides(run(a, "", "get", "namespaces"), "kube-system", in)
		wants(run(a, "", "auth", "can-i", "create", "pods", "-n", shop), "yes")
		hides(run(a, "", "get", "events", "-A", "-o", "yaml"), in)
		diff := testbed.RunKubectl(p, a, fmt.Sprintf(configMap, "applied", "3"), "diff", "-n", shop, "-f", "-", requestTimeout)
		wants(diff.Stdout, `-  a: "2"`, `+  a: "3"`)
		run(a, "", "create", "rolebinding", "ours", "-n", shop, "--clusterrole=view", "--serviceaccount="+shop+":default")
		wants(run(p.direct, "", "get", "rolebinding", "ours", "-n", in, "-o", "yaml"), "namespace: "+in)
		wants(run(a, "", "get", "rolebinding", "ours", "-n", shop, "-o", "yaml"), "namespace: "+shop+"\n")

		watch := p.begin(a, nil, "get", "configmaps", "-A", "--watch", "-o", "jsonpath={.metadata.namespace}/{.metadata.name}{\"\\n\"}")
		watch.await(shop + "/owned\n")
		run(a, "", "create", "configmap", "seen", "-n", shop)
		watch.await(shop + "/seen\n")
		watch.end()
		hides(string(watch.out.bytes()), in)
		for _, env := range protocols {
			p := &place{T: p.T, member: p.member, server: p.server, direct: p.direct, proxied: a}
			p.execs(shop, env)
			p.attaches(shop, env)
			p.copies(shop, env)
			p.forwards(shop, env)
		}
		logs := p.begin(a, nil, "logs", "-f", "-n", shop, "talks")
		logs.await("line 2 of ")
		logs.end()
		wants(run(a, "", "logs", "-n", shop, "talks"), "line 2")

		for name, args := range map[string][]string{
			"another namespace":                 {"get", "pods", "-n", "kube-system"},
			"the namespace by its other name":   {"get", "pods", "-n", in},
			"the other cell":                    {"get", "pods", "-n", shop + "-rz00b"},
			"nodes":                             {"get", "nodes"},
			"a cluster role":                    {"create", "clusterrole", "mine", "--verb=get", "--resource=pods"},
			"deletion of the namespace":         {"delete", "namespace", shop, "--wait=false"},
			"a label on the namespace":          {"label", "namespace", shop, "pod-security.kubernetes.io/enforce=privileged"},
			"a binding to an account elsewhere": {"create", "rolebinding", "theirs", "-n", shop, "--clusterrole=admin", "--serviceaccount=kube-system:default"},
			"metrics":                           {"get", "--raw", "/metrics"},
		} {
			if args[1] == "--raw" && !rawReaches(p) {
				continue
			}
			result := testbed.RunKubectl(p, a, "", append(args, requestTimeout)...)
			if result.Err == nil || !strings.Contains(result.Stderr, `cell "rz00a" of namespace "`+shop+`"`) {
				p.Errorf("%s: %v: %s%s", name, result.Err, result.Stdout, result.Stderr)
			}
		}
	})
}

func TestACellOfAnotherTenantIsNotShown(t *testing.T) {
	places(t, func(p *place) {
		shop := "tenant-" + p.name
		p.hostNamespace(shop)
		kubeconfig := p.cell(shop, "rz00a")
		testbed.Kubectl(p, kubeconfig, "get", "configmaps", "-n", shop, requestTimeout)
		testbed.Kubectl(p, p.kubeconfig, "label", "namespace", shop, v1alpha1.TenantLabel+"=blue", requestTimeout)
		p.labelMember(`"red"`)
		p.Cleanup(func() { p.labelMember("null") })
		p.eventually("the cell is refused", func(ctx context.Context) error {
			_, err := p.client(kubeconfig).CoreV1().ConfigMaps(shop).List(ctx, metav1.ListOptions{})
			if want := `the cell may not be where it is: spec.clusterName: member "m1" has the label ` + v1alpha1.TenantLabel + "=red"; err == nil || !strings.Contains(err.Error(), want) {
				return fmt.Errorf("got %v, want %q", err, want)
			}
			return nil
		})
	})
}

// labelMember gives the member to a tenant: a string in JSON, or null.
func (p *place) labelMember(tenant string) {
	p.Helper()
	ours, err := versioned.NewForConfig(p.server)
	if err != nil {
		p.Fatal(err)
	}
	patch := fmt.Sprintf(`{"metadata":{"labels":{%q:%s}}}`, v1alpha1.TenantLabel, tenant)
	if _, err := ours.KubeFedCoreV1beta1().KubeFedClusters(system).Patch(context.WithoutCancel(p.Context()), memberName, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		p.Error(err)
	}
}
