package proxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/koinon-io/koinon/test/testbed"
)

const (
	chart = "testdata/web"
	// helmTimeout is what helm is given to wait for objects.
	helmTimeout = "--timeout=90s"
)

// helm runs the stock helm with a kubeconfig.
func (p *place) helm(kubeconfig string, args ...string) testbed.KubectlResult {
	p.Helper()
	binary, err := testbed.Binary("helm")
	if err != nil {
		p.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(p.Context(), binary, append([]string{"--kubeconfig", kubeconfig}, args...)...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	home := p.TempDir()
	cmd.Env = append(os.Environ(), "KUBECACHEDIR="+home, "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	err = cmd.Run()
	return testbed.KubectlResult{Stdout: stdout.String(), Stderr: stderr.String(), Err: err}
}

// helms is helm that succeeds.
func (p *place) helms(kubeconfig string, args ...string) string {
	p.Helper()
	result := p.helm(kubeconfig, args...)
	if result.Err != nil {
		p.Fatalf("helm %s: %v\n%s%s", strings.Join(args, " "), result.Err, result.Stdout, result.Stderr)
	}
	return result.Stdout
}

// release is what helm lists.
type release struct {
	Name, Namespace, Revision, Status string
}

func (p *place) releases(kubeconfig string, args ...string) []release {
	p.Helper()
	var listed []release
	if err := json.Unmarshal([]byte(p.helms(kubeconfig, append([]string{"list", "-o", "json"}, args...)...)), &listed); err != nil {
		p.Fatal(err)
	}
	return listed
}

// revisions are the statuses of a release's revisions, from the first on.
func (p *place) revisions(kubeconfig, namespace, name string) (statuses []string) {
	p.Helper()
	var history []struct{ Status string }
	if err := json.Unmarshal([]byte(p.helms(kubeconfig, "history", name, "-n", namespace, "-o", "json")), &history); err != nil {
		p.Fatal(err)
	}
	for _, revision := range history {
		statuses = append(statuses, revision.Status)
	}
	return statuses
}

// objects are the names of all that is in a namespace, but for events and metrics, which come and go.
func (p *place) objects(kubeconfig, namespace string) []string {
	p.Helper()
	config := p.config(kubeconfig)
	config.WarningHandler = rest.NoWarnings{} // some types are old
	asked, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		p.Fatal(err)
	}
	served, err := asked.ServerPreferredNamespacedResources()
	if err != nil {
		p.Fatal(err)
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		p.Fatal(err)
	}
	var names []string
	for _, list := range served {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			p.Fatal(err)
		}
		for _, resource := range list.APIResources {
			if !slices.Contains(resource.Verbs, "list") || resource.Name == "events" || version.Group == "metrics.k8s.io" {
				continue
			}
			found, err := client.Resource(version.WithResource(resource.Name)).Namespace(namespace).List(p.Context(), metav1.ListOptions{})
			if err != nil {
				p.Fatalf("list %s: %v", resource.Name, err)
			}
			for _, object := range found.Items {
				names = append(names, resource.Name+"/"+object.GetName())
			}
		}
	}
	slices.Sort(names)
	return names
}

// leaves waits until a namespace of the member has no more than it had: what belongs to others goes
// when those have gone.
func (p *place) leaves(namespace string, had []string) {
	p.Helper()
	p.eventually("what is left in "+namespace, func(context.Context) error {
		if diff := cmp.Diff(had, p.objects(p.direct, namespace)); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
}

// text is what the chart's ConfigMap says.
func (p *place) text(kubeconfig, namespace string) string {
	p.Helper()
	return testbed.Kubectl(p, kubeconfig, "get", "configmap", "web", "-n", namespace, "-o", "jsonpath={.data.text}", requestTimeout)
}

// TestHelmWorksInCells installs the same release in two cells of one member, and a third in the member
// itself, and does to the first what helm does to releases.
func TestHelmWorksInCells(t *testing.T) {
	placesAtOnce(t, func(p *place) {
		shop := "helm-" + p.name
		p.hostNamespace(shop)
		a, b := p.cell(shop, "rz00a"), p.cell(shop, "rz00b")
		inA, elsewhere := shop+"-rz00a", p.namespace()
		empty := p.objects(p.direct, inA)

		p.helms(p.direct, "install", "web", chart, "-n", elsewhere, "--skip-crds", "--set", "text=elsewhere", helmTimeout)
		p.helms(a, "install", "web", chart, "-n", shop, "--skip-crds", "--set", "text=a1", "--wait", helmTimeout)
		p.helms(b, "upgrade", "--install", "web", chart, "-n", shop, "--create-namespace", "--skip-crds", "--set", "text=b1", "--wait", helmTimeout)
		p.equal("releases of a cell", p.releases(a, "-A"), []release{{"web", shop, "1", "deployed"}})
		p.equal("releases of the other cell", p.releases(b, "-n", shop), []release{{"web", shop, "1", "deployed"}})
		// In the member a release is still called by the name that its client gave the namespace.
		p.equal("releases of the member in the cell's namespace", p.releases(p.direct, "-n", inA), []release{{"web", shop, "1", "deployed"}})
		p.equal("releases of the member elsewhere", p.releases(p.direct, "-n", elsewhere), []release{{"web", elsewhere, "1", "deployed"}})
		p.equal("texts", []string{p.text(a, shop), p.text(b, shop), p.text(p.direct, elsewhere)}, []string{"a1", "b1", "elsewhere"})
		p.equal("the account that the role is bound to", testbed.Kubectl(p, p.direct, "get", "rolebinding", "web", "-n", inA, "-o", "jsonpath={.subjects[0].namespace}"), inA)
		for _, view := range []string{p.helms(a, "get", "all", "web", "-n", shop), p.helms(a, "status", "web", "-n", shop)} {
			if strings.Contains(view, inA) || !strings.Contains(view, "NAMESPACE: "+shop+"\n") {
				p.Errorf("the release in the cell says\n%s", view)
			}
		}
		p.equal("readiness of what was waited for", testbed.Kubectl(p, a, "get", "deployment", "web", "-n", shop, "-o", "jsonpath={.status.readyReplicas}"), "1")

		p.helms(a, "upgrade", "web", chart, "-n", shop, "--skip-crds", "--set", "text=a2,replicas=2", "--wait", helmTimeout)
		p.equal("texts after an upgrade", []string{p.text(a, shop), p.text(b, shop), p.text(p.direct, elsewhere)}, []string{"a2", "b1", "elsewhere"})
		p.helms(a, "rollback", "web", "1", "-n", shop, "--wait", helmTimeout)
		p.equal("texts after it was rolled back", []string{p.text(a, shop), p.text(b, shop)}, []string{"a1", "b1"})
		p.equal("replicas after it was rolled back", testbed.Kubectl(p, a, "get", "deployment", "web", "-n", shop, "-o", "jsonpath={.spec.replicas}"), "1")
		p.equal("revisions", p.revisions(a, shop, "web"), []string{"superseded", "superseded", "deployed"})
		p.equal("revisions of the other cell", p.revisions(b, shop, "web"), []string{"deployed"})
		p.equal("Secrets of releases", strings.Fields(testbed.Kubectl(p, a, "get", "secrets", "-A", "-l", "owner=helm", "-o", `jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name}{"\n"}{end}`)),
			[]string{shop + "/sh.helm.release.v1.web.v1", shop + "/sh.helm.release.v1.web.v2", shop + "/sh.helm.release.v1.web.v3"})
		if tested := p.helms(a, "test", "web", "-n", shop, "--logs", helmTimeout); !regexp.MustCompile(`(?m)^Phase:\s+Succeeded$`).MatchString(tested) {
			p.Errorf("helm test says\n%s", tested)
		}

		p.helms(a, "uninstall", "web", "-n", shop, "--wait", helmTimeout)
		p.equal("releases after one was uninstalled", p.releases(a, "-A"), []release{})
		p.equal("releases in the other cell after one was uninstalled", p.releases(b, "-A"), []release{{"web", shop, "1", "deployed"}})
		p.leaves(inA, empty)
		p.helms(b, "uninstall", "web", "-n", shop, "--wait", helmTimeout)
		p.equal("the release elsewhere", p.text(p.direct, elsewhere), "elsewhere")
	})
}

// TestHelmWorksForWhoHasRightsInOneNamespace has somebody install who may use the cell and is admin of its
// namespace in the member, and nothing else.
func TestHelmWorksForWhoHasRightsInOneNamespace(t *testing.T) {
	placesAtOnce(t, func(p *place) {
		shop := "helm-tenant-" + p.name
		p.hostNamespace(shop)
		cell, in, tenant := p.cell(shop, "rz00a"), shop+"-rz00a", "tenant-of-"+shop
		testbed.Kubectl(p, p.kubeconfig, "create", "role", "tenant", "-n", shop, "--verb=*", "--resource=cells.federation.koinon.io/proxy", requestTimeout)
		testbed.Kubectl(p, p.kubeconfig, "create", "rolebinding", "tenant", "-n", shop, "--role=tenant", "--user="+tenant, requestTimeout)
		testbed.Kubectl(p, p.direct, "create", "rolebinding", "tenant", "-n", in, "--clusterrole=admin", "--user="+tenant, requestTimeout)
		cell = p.as(cell, tenant)
		p.eventually("rights in the cell", func(ctx context.Context) error { // a moment after the binding
			_, err := p.client(cell).CoreV1().Secrets(shop).List(ctx, metav1.ListOptions{})
			return err
		})
		p.helms(cell, "upgrade", "--install", "web", chart, "-n", shop, "--create-namespace", "--skip-crds", "--wait", helmTimeout)
		p.helms(cell, "upgrade", "web", chart, "-n", shop, "--set", "text=upgraded", "--wait", helmTimeout)
		p.helms(cell, "rollback", "web", "-n", shop, "--wait", helmTimeout)
		p.equal("the text", p.text(cell, shop), "hello")
		p.equal("releases", p.releases(cell, "-A"), []release{{"web", shop, "3", "deployed"}})
		p.equal("who wrote it", testbed.Kubectl(p, cell, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}", requestTimeout), tenant)
		p.helms(cell, "uninstall", "web", "-n", shop, "--wait", helmTimeout)
		p.equal("releases", p.releases(cell, "-A"), []release{})
	})
}

// as writes a kubeconfig that acts as somebody else.
func (p *place) as(kubeconfig, user string) string {
	p.Helper()
	config, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		p.Fatal(err)
	}
	for _, info := range config.AuthInfos {
		info.Impersonate = user
	}
	path := filepath.Join(p.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		p.Fatal(err)
	}
	return path
}

// TestHelmAppliesFromItsOwnSideInACell does what helm 3 did: patches that are made in the client.
func TestHelmAppliesFromItsOwnSideInACell(t *testing.T) {
	placesAtOnce(t, func(p *place) {
		shop := "helm3-" + p.name
		p.hostNamespace(shop)
		cell := p.cell(shop, "rz00a")
		p.helms(cell, "install", "web", chart, "-n", shop, "--create-namespace", "--skip-crds", "--server-side=false", "--wait=legacy", helmTimeout)
		p.helms(cell, "upgrade", "web", chart, "-n", shop, "--set", "text=upgraded", "--wait=legacy", helmTimeout)
		p.equal("the text", p.text(cell, shop), "upgraded")
		p.helms(cell, "rollback", "web", "-n", shop, "--wait=legacy", helmTimeout)
		p.equal("the text", p.text(cell, shop), "hello")
		p.helms(cell, "uninstall", "web", "-n", shop, "--wait=legacy", helmTimeout)
		p.equal("releases", p.releases(cell, "-A"), []release{})
	})
}

// A chart's CustomResourceDefinitions are the member's: helm is told so, and leaves no release.
func TestHelmInACellInstallsNoDefinitions(t *testing.T) {
	placesAtOnce(t, func(p *place) {
		shop := "helm-crds-" + p.name
		p.hostNamespace(shop)
		cell := p.cell(shop, "rz00a")
		result := p.helm(cell, "install", "web", chart, "-n", shop, helmTimeout)
		if want := `the cell "rz00a" of namespace "` + shop + `" shows customresourcedefinitions.apiextensions.k8s.io to read only`; result.Err == nil || !strings.Contains(result.Stderr, want) {
			p.Errorf("got %v: %s, want %q", result.Err, result.Stderr, want)
		}
		p.equal("releases", p.releases(cell, "-A", "--pending", "--failed", "--deployed"), []release{})
	})
}

func TestHelmWorksThroughTheProxyOfAMember(t *testing.T) {
	places(t, func(p *place) {
		ns := p.namespace()
		empty := p.objects(p.direct, ns)
		definitions, err := dynamic.NewForConfig(p.config(p.direct))
		if err != nil {
			p.Fatal(err)
		}
		p.Cleanup(func() { // helm leaves them
			crds := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
			if err := definitions.Resource(crds).Delete(context.WithoutCancel(p.Context()), "widgets.chart.example.org", metav1.DeleteOptions{}); err != nil {
				p.Error(err)
			}
		})
		p.helms(p.proxied, "install", "web", chart, "-n", ns, "--create-namespace", "--wait", helmTimeout)
		testbed.Kubectl(p, p.proxied, "get", "widgets.chart.example.org", "-n", ns, requestTimeout)
		p.helms(p.proxied, "upgrade", "web", chart, "-n", ns, "--set", "text=upgraded", "--wait", helmTimeout)
		p.equal("the text", p.text(p.direct, ns), "upgraded")
		p.helms(p.proxied, "rollback", "web", "-n", ns, "--wait", helmTimeout)
		p.equal("the text", p.text(p.direct, ns), "hello")
		for _, args := range [][]string{{"list", "-n", ns}, {"get", "all", "web", "-n", ns}, {"history", "web", "-n", ns}} {
			p.equal("helm "+strings.Join(args, " "), p.helms(p.proxied, args...), p.helms(p.direct, args...))
		}
		p.helms(p.proxied, "uninstall", "web", "-n", ns, "--wait", helmTimeout)
		p.leaves(ns, empty)
	})
}

func (p *place) equal(what string, got, want any) {
	p.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		p.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
