package proxy_test

import (
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/test/testbed"
)

func TestAFleetIsWhatTheCallersRightsName(t *testing.T) {
	places(t, func(p *place) {
		ns := p.namespace()
		if _, err := p.client(p.direct).CoreV1().ConfigMaps(ns).Create(p.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "everywhere"}}, metav1.CreateOptions{}); err != nil {
			p.Fatal(err)
		}
		fleet := testbed.ProxyKubeconfig(p, p.kubeconfig, "fleets/all")
		got := testbed.Kubectl(p, fleet, "get", "configmaps", "-n", ns, requestTimeout)
		if !regexp.MustCompile(`(?m)^NAME +CLUSTER +DATA`).MatchString(got) || !regexp.MustCompile(`(?m)^everywhere +m1 `).MatchString(got) {
			p.Errorf("got\n%s", got)
		}
		if got := testbed.Kubectl(p, p.kubeconfig, "get", "fleets", requestTimeout); !regexp.MustCompile(`(?m)^all +\d+ +\d+$`).MatchString(got) {
			p.Errorf("got\n%s", got)
		}
		watch := p.begin(fleet, nil, "get", "configmaps", "-n", ns, "--watch", "-o", `jsonpath={.metadata.name} {.metadata.annotations.federation\.koinon\.io/cluster}{"\n"}`)
		watch.await("everywhere m1\n")
		if _, err := p.client(p.direct).CoreV1().ConfigMaps(ns).Create(p.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "later"}}, metav1.CreateOptions{}); err != nil {
			p.Fatal(err)
		}
		watch.await("later m1\n")
		watch.end()

		p.allow("fleet-of-others",
			rbacv1.PolicyRule{APIGroups: []string{"federation.koinon.io"}, Resources: []string{"fleets/proxy"}, Verbs: []string{"get"}},
			rbacv1.PolicyRule{APIGroups: []string{"federation.koinon.io"}, Resources: []string{"clusters/proxy"}, ResourceNames: []string{"another"}, Verbs: []string{"get"}})
		config := p.config(fleet)
		config.Impersonate = rest.ImpersonationConfig{UserName: "guest", Groups: []string{"fleet-of-others"}}
		guest, err := kubernetes.NewForConfig(config)
		if err != nil {
			p.Fatal(err)
		}
		// Partial or refused, what is answered has nothing of m1.
		if seen, err := guest.CoreV1().ConfigMaps(ns).List(p.Context(), metav1.ListOptions{}); err == nil && len(seen.Items) > 0 {
			p.Errorf("who may not ask m1 sees what is there: %v", seen.Items)
		}
		written := testbed.RunKubectl(p, fleet, "", "create", "configmap", "x", "-n", ns, requestTimeout)
		if written.Err == nil || !strings.Contains(written.Stderr, "clusters/") {
			p.Errorf("a write is answered %v: %s%s", written.Err, written.Stdout, written.Stderr)
		}
	})
}
