// Package cellaccess_test has a controller that behaves as an unmodified KubeFed controller-manager
// propagate to cells of a real cluster, and to this cluster as a whole, beside one another: with what
// the KubeFedClusters and their Secrets say, and with nothing else.
package cellaccess_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/generated/clientset/versioned"
	"github.com/koinon-io/koinon/test/testbed"
)

const (
	// patience is how long anything may take before a test gives up. It is no assertion about
	// speed: the machine may be busy.
	patience = 2 * time.Minute
	system   = "kube-federation-system"
	// steady is how many rounds of a controller have to change nothing.
	steady = 25
)

func TestMain(m *testing.M) { testbed.Main(m) }

// place is a server of ours without an engine, and a member.
type place struct {
	*testing.T
	config *rest.Config
	kube   kubernetes.Interface
	ours   versioned.Interface
	host   dynamic.Interface
	member *testbed.Cluster
	inside kubernetes.Interface // the member's administrator
	stock  *stock
}

// places runs a test with a server that runs alone, and with one behind a host.
func places(t *testing.T, test func(p *place)) {
	args := []string{"--components=apiserver,hostcontrollers", "--connection-drain-timeout=0s"}
	t.Run("alone", func(t *testing.T) {
		test(newPlace(t, testbed.StartKoinon(t, testbed.KoinonOptions{Args: args}).RESTConfig(t)))
	})
	t.Run("behind a host", func(t *testing.T) {
		host := testbed.StartCluster(t, testbed.ClusterOptions{Name: "host"})
		testbed.StartKoinon(t, testbed.KoinonOptions{HostKubeconfig: install(t, host), Args: append(args, "--service-name=koinon-outside")})
		test(newPlace(t, host.RESTConfig(t)))
	})
}

// outsideRole is what a server outside of the host needs besides: it makes its Service.
const outsideRole = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: koinon-outside, namespace: kube-federation-system}
rules: [{apiGroups: [""], resources: [services], verbs: [get, create, update]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: koinon-outside, namespace: kube-federation-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: koinon-outside}
subjects: [{kind: ServiceAccount, name: koinon, namespace: kube-federation-system}]
`

// install returns a kubeconfig with the rights that the manifests give, and no others.
func install(t *testing.T, host *testbed.Cluster) string {
	t.Helper()
	root, err := testbed.Root()
	if err != nil {
		t.Fatal(err)
	}
	testbed.Kubectl(t, host.Kubeconfig(), "apply", "--server-side", "-k", filepath.Join(root, "artifacts", "deploy"), "--request-timeout=60s")
	testbed.KubectlStdin(t, host.Kubeconfig(), outsideRole, "apply", "-f", "-", "--request-timeout=60s")
	return host.AccountKubeconfig(t, system, "koinon")
}

func newPlace(t *testing.T, config *rest.Config) *place {
	t.Helper()
	p := &place{T: t, config: config, member: testbed.StartCluster(t, testbed.ClusterOptions{Name: "m1"})}
	p.inside = p.member.Client(t)
	var errs [4]error
	p.kube, errs[0] = kubernetes.NewForConfig(config)
	p.ours, errs[1] = versioned.NewForConfig(config)
	p.host, errs[2] = dynamic.NewForConfig(config)
	p.stock, errs[3] = newStock(config)
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.stock.close() })
	p.join()
	return p
}

// join makes the member known, in the way that KubeFed does.
func (p *place) join() {
	p.Helper()
	ctx := p.Context()
	if _, err := p.inside.CoreV1().ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "koinon"}}, metav1.CreateOptions{}); err != nil {
		p.Fatal(err)
	}
	if _, err := p.inside.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "koinon"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: "koinon"}},
	}, metav1.CreateOptions{}); err != nil {
		p.Fatal(err)
	}
	token := strings.TrimSpace(testbed.Kubectl(p, p.member.Kubeconfig(), "-n", "default", "create", "token", "koinon", "--duration=4h"))
	authority := p.member.RESTConfig(p)
	if err := rest.LoadTLSFiles(authority); err != nil {
		p.Fatal(err)
	}
	p.eventually("the system namespace", func(ctx context.Context) error {
		_, err := p.kube.CoreV1().Secrets(system).Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: "m1", Annotations: map[string]string{v1beta1.CredentialsForAnnotation: "m1", v1beta1.APIEndpointAnnotation: p.member.Server()}},
			Data:       map[string][]byte{"token": []byte(token), "ca.crt": authority.CAData},
		}, metav1.CreateOptions{})
		return unlessExisting(err)
	})
	p.eventually("the member", func(ctx context.Context) error {
		_, err := p.ours.KubeFedCoreV1beta1().KubeFedClusters(system).Create(ctx, &v1beta1.KubeFedCluster{
			ObjectMeta: metav1.ObjectMeta{Name: "m1", Labels: map[string]string{"whole": "true"}},
			Spec:       v1beta1.KubeFedClusterSpec{APIEndpoint: p.member.Server(), CABundle: authority.CAData, SecretRef: v1beta1.LocalSecretReference{Name: "m1"}},
		}, metav1.CreateOptions{})
		return unlessExisting(err)
	})
}

func unlessExisting(err error) error {
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// eventually tries until check succeeds.
func (p *place) eventually(what string, check func(ctx context.Context) error) {
	p.Helper()
	testbed.Eventually(p, what, check)
}

// rounds has the controller go on until check succeeds.
func (p *place) rounds(what string, check func(ctx context.Context) error) {
	p.Helper()
	p.eventually(what, func(ctx context.Context) error {
		if err := p.stock.round(ctx); err != nil {
			return err
		}
		if err := check(ctx); err != nil {
			return fmt.Errorf("%w; it did %v", err, p.stock.did())
		}
		return nil
	})
}

func (p *place) apply(manifest string) {
	p.Helper()
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON([]byte(manifest)); err != nil {
		p.Fatal(err)
	}
	gvr, _ := meta.UnsafeGuessKindToResource(object.GroupVersionKind())
	p.eventually("apply "+object.GetName(), func(ctx context.Context) error {
		client := dynamic.ResourceInterface(p.host.Resource(gvr))
		if object.GetNamespace() != "" {
			client = p.host.Resource(gvr).Namespace(object.GetNamespace())
		}
		_, err := client.Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: "user", Force: true})
		return err
	})
}

func federated(version string) schema.GroupVersion {
	return schema.GroupVersion{Group: "types.kubefed.io", Version: version}
}

// cluster returns the KubeFedCluster of a cell once it leads to the cell's endpoint.
func (p *place) cluster(cell string) (cluster *v1beta1.KubeFedCluster) {
	p.Helper()
	p.eventually("the cluster of cell "+cell, func(ctx context.Context) (err error) {
		cluster, err = p.ours.KubeFedCoreV1beta1().KubeFedClusters(system).Get(ctx, cell+".shop", metav1.GetOptions{})
		if err == nil && !strings.HasSuffix(cluster.Spec.APIEndpoint, "/namespaces/shop/cells/"+cell+"/proxy") {
			err = fmt.Errorf("it leads to %s", cluster.Spec.APIEndpoint)
		}
		if err != nil {
			if is, of := p.ours.FederationV1alpha1().Cells("shop").Get(ctx, cell, metav1.GetOptions{}); of == nil {
				err = fmt.Errorf("%w; the cell says %v", err, is.Status.Conditions)
			}
		}
		return err
	})
	return cluster
}

// account is what the Secret of a cell's KubeFedCluster gives.
func (p *place) account(cluster *v1beta1.KubeFedCluster) *rest.Config {
	p.Helper()
	secret, err := p.kube.CoreV1().Secrets(system).Get(p.Context(), cluster.Spec.SecretRef.Name, metav1.GetOptions{})
	if err != nil {
		p.Fatal(err)
	}
	return &rest.Config{Host: cluster.Spec.APIEndpoint, BearerToken: string(secret.Data["token"]), QPS: -1, TLSClientConfig: rest.TLSClientConfig{CAData: cluster.Spec.CABundle}}
}

// uids are those of the ConfigMaps and Deployments of tests in the member, with what they hold.
func (p *place) uids(ctx context.Context) (map[string]string, error) {
	found := map[string]string{}
	for _, namespace := range []string{"shop", "shop-rz00a", "shop-rz00b"} {
		settings, err := p.inside.CoreV1().ConfigMaps(namespace).List(ctx, metav1.ListOptions{LabelSelector: "of=test"})
		if err != nil {
			return nil, err
		}
		for _, object := range settings.Items {
			found[fmt.Sprintf("%s/%s=%s", namespace, object.Name, object.Data["a"])] = string(object.UID)
		}
		deployments, err := p.inside.AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{LabelSelector: "of=test"})
		if err != nil {
			return nil, err
		}
		for _, object := range deployments.Items {
			found[fmt.Sprintf("%s/%s=%d", namespace, object.Name, *object.Spec.Replicas)] = string(object.UID)
		}
	}
	return found, nil
}

// holds waits until the member has these, and no others.
func (p *place) holds(want ...string) map[string]string {
	p.Helper()
	var found map[string]string
	p.rounds("the member has "+strings.Join(want, " "), func(ctx context.Context) (err error) {
		if found, err = p.uids(ctx); err != nil {
			return err
		}
		if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
			return fmt.Errorf("got %v", got)
		}
		return nil
	})
	return found
}

// staysSo has the controller go on, and nothing may become of it.
func (p *place) staysSo(want map[string]string) {
	p.Helper()
	p.stock.did()
	for range steady {
		if err := p.stock.round(p.Context()); err != nil {
			p.Fatal(err)
		}
		got, err := p.uids(p.Context())
		if err != nil {
			p.Fatal(err)
		}
		if !maps.Equal(got, want) {
			p.Fatalf("got %v, want %v; it did %v", got, want, p.stock.did())
		}
	}
	for _, act := range p.stock.did() {
		if strings.HasPrefix(act, "deleted") || strings.HasPrefix(act, "created") || strings.HasPrefix(act, "released") {
			p.Errorf("where all is right, it %s", act)
		}
	}
}

const (
	placedEverywhere = `"placement":{"clusters":[{"name":"m1"},{"name":"rz00a.shop"},{"name":"rz00b.shop"}]}`
	configMap        = `{"apiVersion":"types.kubefed.io/%s","kind":"FederatedConfigMap","metadata":{"name":%q,"namespace":"shop"},"spec":{%s"template":{"metadata":{"labels":{"of":"test"}},"data":{"a":"1"}},%s}}`
)

func TestAStockControllerTakesCellsForClusters(t *testing.T) {
	places(t, func(p *place) {
		ctx := p.Context()
		if _, err := p.kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, metav1.CreateOptions{}); err != nil {
			p.Fatal(err)
		}
		for _, cell := range []string{"rz00a", "rz00b"} {
			p.apply(fmt.Sprintf(`{"apiVersion":"federation.koinon.io/v1alpha1","kind":"Cell","metadata":{"name":%q,"namespace":"shop"},"spec":{"clusterName":"m1"}}`, cell))
		}
		a := p.cluster("rz00a")
		p.cluster("rz00b")

		p.apply(`{"apiVersion":"types.kubefed.io/v1beta1","kind":"FederatedNamespace","metadata":{"name":"shop","namespace":"shop"},"spec":{` + placedEverywhere + `}}`)
		// One is in the member as a whole, one in the cells with an override for one of them, and one is
		// in all three: the same name is three objects.
		p.apply(fmt.Sprintf(configMap, "v1beta1", "whole", "", `"placement":{"clusters":[{"name":"m1"}]}`))
		p.apply(fmt.Sprintf(configMap, "v1beta2", "cells", `"topologyType":"cell",`, `"placement":{"topologies":[{"name":"rz00a"},{"name":"rz00b"}]},"overrides":[{"topologyName":"rz00b","topologyOverrides":[{"path":"/data/a","op":"replace","value":"b"}]}]`))
		p.apply(fmt.Sprintf(configMap, "v1beta1", "all", "", `"placement":{"clusterSelector":{}},"overrides":[{"clusterName":"m1","clusterOverrides":[{"path":"/data/a","value":"m"}]}]`))
		p.apply(`{"apiVersion":"types.kubefed.io/v1beta2","kind":"FederatedDeployment","metadata":{"name":"web","namespace":"shop"},"spec":{"topologyType":"cell",
"template":{"metadata":{"labels":{"of":"test"}},"spec":{"replicas":1,"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"web","image":"web:1"}]}}}},
"placement":{"topologies":[{"name":"rz00a"},{"name":"rz00b"}]},"overrides":[{"topologyName":"rz00a","topologyOverrides":[{"path":"/spec/replicas","op":"replace","value":3}]}]}}`)
		// Of a type without a namespace a cell has nothing, and that disturbs nobody.
		p.apply(`{"apiVersion":"types.kubefed.io/v1beta1","kind":"FederatedClusterRole","metadata":{"name":"of-test"},"spec":{"template":{"rules":[]},"placement":{"clusterSelector":{}}}}`)

		held := p.holds("shop/whole=1", "shop/all=m", "shop-rz00a/cells=1", "shop-rz00a/all=1", "shop-rz00b/cells=b", "shop-rz00b/all=1", "shop-rz00a/web=3", "shop-rz00b/web=1")
		p.rounds("all is well in the status", func(ctx context.Context) error {
			for _, name := range []string{"whole", "cells", "all"} {
				object, err := p.host.Resource(federated("v1beta1").WithResource("federatedconfigmaps")).Namespace("shop").Get(ctx, name, metav1.GetOptions{})
				if err != nil {
					return err
				}
				conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
				if len(conditions) != 1 || conditions[0].(map[string]any)["status"] != "True" {
					return fmt.Errorf("%s: %v", name, object.Object["status"])
				}
			}
			return nil
		})
		p.staysSo(held)
		cell, err := p.ours.FederationV1alpha1().Cells("shop").Get(ctx, "rz00a", metav1.GetOptions{})
		if err != nil {
			p.Fatal(err)
		}
		if meta.FindStatusCondition(cell.Status.Conditions, v1alpha1.CellMemberSeenTwice) != nil || !meta.IsStatusConditionTrue(cell.Status.Conditions, v1alpha1.CellAccountReady) {
			p.Errorf("the cell says %v", cell.Status.Conditions)
		}

		held = p.obeysMasks()
		p.reachesItsCellOnly(a)
		p.isRotated(a, held)
		p.isRevoked(held)

		// What is taken from one cell stays in the other, and in the member.
		p.apply(fmt.Sprintf(configMap, "v1beta2", "cells", `"topologyType":"cell",`, `"placement":{"topologies":[{"name":"rz00a"}]}`))
		p.holds("shop/whole=1", "shop/all=m", "shop-rz00a/cells=1", "shop-rz00a/all=1", "shop-rz00b/all=1", "shop-rz00a/web=3", "shop-rz00b/web=1")
		for _, name := range []string{"cells", "all"} {
			if err := p.host.Resource(federated("v1beta1").WithResource("federatedconfigmaps")).Namespace("shop").Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
				p.Fatal(err)
			}
		}
		if err := p.host.Resource(federated("v1beta1").WithResource("federatedclusterroles")).Delete(ctx, "of-test", metav1.DeleteOptions{}); err != nil {
			p.Fatal(err)
		}
		p.holds("shop/whole=1", "shop-rz00a/web=3", "shop-rz00b/web=1")
		p.rounds("what was deleted is gone here too", func(ctx context.Context) error {
			left, err := p.host.Resource(federated("v1beta1").WithResource("federatedconfigmaps")).Namespace("shop").List(ctx, metav1.ListOptions{})
			if err == nil && len(left.Items) != 1 {
				err = fmt.Errorf("%d are left", len(left.Items))
			}
			if err != nil {
				return err
			}
			_, err = p.host.Resource(federated("v1beta1").WithResource("federatedclusterroles")).Get(ctx, "of-test", metav1.GetOptions{})
			if !apierrors.IsNotFound(err) {
				return fmt.Errorf("the FederatedClusterRole is there: %v", err)
			}
			return nil
		})
		p.leaves("rz00b")
	})
}

// obeysMasks: a cell that a mask leaves out stays as it is, although the controller knows no masks, and
// follows when the mask is gone.
func (p *place) obeysMasks() map[string]string {
	p.Helper()
	const overridden = `"placement":{"topologies":[{"name":"rz00a"},{"name":"rz00b"}]},"overrides":[{"topologyName":"rz00b","topologyOverrides":[{"path":"/data/a","op":"replace","value":"c"}]}]`
	changed := strings.Replace(fmt.Sprintf(configMap, "v1beta2", "cells", `"topologyType":"cell",%s`, overridden), `"a":"1"`, `"a":"2"`, 1)
	p.apply(fmt.Sprintf(changed, `"placementMask":{"topologies":[{"name":"rz00b"}]},`))
	masked := []string{"shop/whole=1", "shop/all=m", "shop-rz00a/cells=1", "shop-rz00a/all=1", "shop-rz00b/cells=c", "shop-rz00b/all=1", "shop-rz00a/web=3", "shop-rz00b/web=1"}
	held := p.holds(masked...)
	p.stock.did()
	p.rounds("the controller is told why", func(context.Context) error {
		for _, act := range p.stock.did() {
			if strings.Contains(act, `FederatedConfigMap shop/cells does not let cell "rz00a" change now: spec.placementMask leaves it out`) {
				return nil
			}
		}
		return errors.New("it is not")
	})
	p.staysSo(held)
	p.apply(fmt.Sprintf(changed, ""))
	masked[2] = "shop-rz00a/cells=2"
	return p.holds(masked...)
}

// reachesItsCellOnly: the account of a cell has nothing of another, of the member, or of the host.
func (p *place) reachesItsCellOnly(of *v1beta1.KubeFedCluster) {
	p.Helper()
	config := p.account(of)
	base := strings.TrimSuffix(config.Host, "/apis/federation.koinon.io/v1alpha1/namespaces/shop/cells/rz00a/proxy")
	root := p.clientOf(config, base)
	own := strings.TrimPrefix(config.Host, base)
	for sentence, test := range map[string]struct {
		path string
		want int
	}{
		"its ConfigMaps":                      {own + "/api/v1/namespaces/shop/configmaps", 200},
		"its Secrets":                         {own + "/api/v1/namespaces/shop/secrets", 200},
		"its namespaces":                      {own + "/api/v1/namespaces", 200},
		"its own objects of cluster roles":    {own + "/apis/rbac.authorization.k8s.io/v1/clusterroles?labelSelector=kubefed.io/managed%3Dtrue", 200},
		"a cluster role of its member":        {own + "/apis/rbac.authorization.k8s.io/v1/clusterroles/cluster-admin", 404},
		"cluster roles of its member":         {own + "/apis/rbac.authorization.k8s.io/v1/clusterroles", 403},
		"nodes of its member":                 {own + "/api/v1/nodes", 403},
		"another namespace":                   {own + "/api/v1/namespaces/kube-system/secrets", 403},
		"another cell":                        {"/apis/federation.koinon.io/v1alpha1/namespaces/shop/cells/rz00b/proxy/api/v1/namespaces/shop/configmaps", 403},
		"the member as a whole":               {"/apis/federation.koinon.io/v1alpha1/clusters/m1/proxy/api/v1/namespaces", 403},
		"all members":                         {"/apis/federation.koinon.io/v1alpha1/fleets/all/proxy/api/v1/pods", 403},
		"Secrets of the host":                 {"/api/v1/namespaces/kube-federation-system/secrets", 403},
		"what is federated in its namespace":  {"/apis/types.kubefed.io/v1beta1/namespaces/shop/federatedconfigmaps", 403},
		"the cells of its namespace":          {"/apis/federation.koinon.io/v1alpha1/namespaces/shop/cells", 403},
		"the KubeFedCluster that leads to it": {"/apis/core.kubefed.io/v1beta1/namespaces/kube-federation-system/kubefedclusters/rz00a.shop", 403},
	} {
		code := 0
		err := root.Get().RequestURI(test.path).Do(p.Context()).StatusCode(&code).Error()
		if code != test.want {
			p.Errorf("%s: got %d, %v, want %d", sentence, code, err, test.want)
		}
	}
	// Whoever lets all accounts use all cells has not let this one do so.
	bound, err := p.kube.RbacV1().ClusterRoles().Create(p.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "all-cells"},
		Rules: []rbacv1.PolicyRule{{APIGroups: []string{"federation.koinon.io"}, Resources: []string{"cells/proxy"}, Verbs: []string{"*"}}}}, metav1.CreateOptions{})
	if err != nil {
		p.Fatal(err)
	}
	if _, err := p.kube.RbacV1().ClusterRoleBindings().Create(p.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: bound.Name},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: bound.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: "system:serviceaccounts"}}}, metav1.CreateOptions{}); err != nil {
		p.Fatal(err)
	}
	p.eventually("it is told that it is another cell's account", func(ctx context.Context) error {
		err := root.Get().RequestURI("/apis/federation.koinon.io/v1alpha1/namespaces/shop/cells/rz00b/proxy/api/v1/namespaces/shop/configmaps").Do(ctx).Error()
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `you are the account of cell "rz00a"`) {
			return fmt.Errorf("got %v", err)
		}
		return nil
	})
	if err := p.kube.RbacV1().ClusterRoleBindings().Delete(p.Context(), bound.Name, metav1.DeleteOptions{}); err != nil {
		p.Fatal(err)
	}
}

func (p *place) clientOf(config *rest.Config, host string) rest.Interface {
	p.Helper()
	config = rest.CopyConfig(config)
	config.Host = host
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		p.Fatal(err)
	}
	return client.Discovery().RESTClient()
}

// isRotated: another token is taken while the controller goes on, and nothing comes of it.
func (p *place) isRotated(before *v1beta1.KubeFedCluster, held map[string]string) {
	p.Helper()
	patch := []byte(`{"metadata":{"annotations":{"` + v1alpha1.RotateAnnotation + `":"now"}}}`)
	if _, err := p.kube.CoreV1().Secrets(system).Patch(p.Context(), before.Spec.SecretRef.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		p.Fatal(err)
	}
	was := p.stock.rebuilt[before.Name]
	p.rounds("the controller has read the other Secret", func(context.Context) error {
		if p.stock.rebuilt[before.Name] == was {
			return errors.New("it has not")
		}
		return nil
	})
	if _, err := p.kube.CoreV1().Secrets(system).Get(p.Context(), before.Spec.SecretRef.Name, metav1.GetOptions{}); err != nil {
		p.Errorf("the old Secret: %v, and somebody may still use it", err)
	}
	p.rounds("all informers are there again", func(context.Context) error { return nil })
	p.staysSo(held)
}

// isRevoked: who deletes the Secret ends the use of its token, and another one is made.
func (p *place) isRevoked(held map[string]string) {
	p.Helper()
	current := p.cluster("rz00a")
	config := p.account(current)
	transport, err := rest.TransportFor(config)
	if err != nil {
		p.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(p.Context(), patience)
	defer cancel()
	begin := func(path string) *http.Response {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, config.Host+path, nil)
		if err != nil {
			p.Fatal(err)
		}
		answer, err := transport.RoundTrip(request)
		if err != nil {
			p.Fatal(err)
		}
		return answer
	}
	watch := begin("/api/v1/namespaces/shop/configmaps?watch=true&timeoutSeconds=3600")
	defer watch.Body.Close()
	if watch.StatusCode != http.StatusOK {
		p.Fatalf("the watch is answered with %s", watch.Status)
	}
	// The server reads the Secrets of cells from the first use of one on: this one is among them.
	p.rounds("some rounds", func(context.Context) error { return nil })
	if err := p.kube.CoreV1().Secrets(system).Delete(ctx, current.Spec.SecretRef.Name, metav1.DeleteOptions{}); err != nil {
		p.Fatal(err)
	}
	events := bufio.NewScanner(watch.Body)
	events.Buffer(nil, 1<<20)
	for events.Scan() { // until it ends
	}
	if ctx.Err() != nil {
		p.Fatalf("the watch goes on although its token was taken back")
	}
	p.eventually("the token is refused", func(context.Context) error {
		answer := begin("/api/v1/namespaces/shop/configmaps")
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusUnauthorized {
			return fmt.Errorf("it is answered with %s", answer.Status)
		}
		return nil
	})
	p.eventually("there is another", func(ctx context.Context) error {
		if next := p.cluster("rz00a"); next.Spec.SecretRef.Name == current.Spec.SecretRef.Name {
			return errors.New("there is not")
		}
		return nil
	})
	p.rounds("the controller goes on with it", func(context.Context) error { return nil })
	p.staysSo(held)
}

// leaves: a cell that is deleted takes all that was made for its account along, and leaves the rest.
func (p *place) leaves(cell string) {
	p.Helper()
	ctx := p.Context()
	if err := p.ours.FederationV1alpha1().Cells("shop").Delete(ctx, cell, metav1.DeleteOptions{}); err != nil {
		p.Fatal(err)
	}
	p.eventually("everything of the account is gone", func(ctx context.Context) error {
		var left []string
		look := func(what string, err error) {
			if !apierrors.IsNotFound(err) {
				left = append(left, fmt.Sprintf("%s (%v)", what, err))
			}
		}
		_, err := p.ours.FederationV1alpha1().Cells("shop").Get(ctx, cell, metav1.GetOptions{})
		look("the cell", err)
		_, err = p.ours.KubeFedCoreV1beta1().KubeFedClusters(system).Get(ctx, cell+".shop", metav1.GetOptions{})
		look("its KubeFedCluster", err)
		_, err = p.kube.CoreV1().ServiceAccounts(system).Get(ctx, "cell-"+cell+".shop", metav1.GetOptions{})
		look("its account", err)
		_, err = p.kube.RbacV1().Roles("shop").Get(ctx, "koinon:cell:"+cell, metav1.GetOptions{})
		look("its role", err)
		_, err = p.inside.RbacV1().ClusterRoles().Get(ctx, "koinon:cell:shop-"+cell, metav1.GetOptions{})
		look("its cluster role in the member", err)
		_, err = p.inside.RbacV1().RoleBindings("shop-"+cell).Get(ctx, "koinon:cell:shop-"+cell, metav1.GetOptions{})
		look("its rights in the member", err)
		secrets, err := p.kube.CoreV1().Secrets(system).List(ctx, metav1.ListOptions{LabelSelector: v1alpha1.TopologyNameLabel + "=" + cell})
		if err != nil || len(secrets.Items) > 0 {
			left = append(left, fmt.Sprintf("its Secrets (%v)", err))
		}
		if len(left) > 0 {
			return fmt.Errorf("left: %v", left)
		}
		return nil
	})
	if _, err := p.inside.AppsV1().Deployments("shop-"+cell).Get(ctx, "web", metav1.GetOptions{}); err != nil {
		p.Errorf("what was in the cell: %v", err)
	}
}

// TestWhereOurEnginePropagatesTheAccountIsThereToo: the engine does not use it, and makes what it needs.
func TestWhereOurEnginePropagatesTheAccountIsThereToo(t *testing.T) {
	server := testbed.StartKoinon(t, testbed.KoinonOptions{})
	p := newPlace(t, server.RESTConfig(t))
	ctx := p.Context()
	if _, err := p.kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, metav1.CreateOptions{}); err != nil {
		p.Fatal(err)
	}
	p.apply(`{"apiVersion":"federation.koinon.io/v1alpha1","kind":"Cell","metadata":{"name":"rz00a","namespace":"shop"},"spec":{"clusterName":"m1"}}`)
	cluster := p.cluster("rz00a")
	p.apply(fmt.Sprintf(configMap, "v1beta2", "cells", `"topologyType":"cell",`, `"placement":{"topologies":[{"name":"rz00a"}]}`))
	p.eventually("the account has its rights", func(ctx context.Context) error {
		cell, err := p.ours.FederationV1alpha1().Cells("shop").Get(ctx, "rz00a", metav1.GetOptions{})
		if err == nil && !meta.IsStatusConditionTrue(cell.Status.Conditions, v1alpha1.CellAccountReady) {
			err = fmt.Errorf("the cell says %v", cell.Status.Conditions)
		}
		return err
	})
	seen := func() (version string) {
		p.Helper()
		client, err := kubernetes.NewForConfig(p.account(cluster))
		if err != nil {
			p.Fatal(err)
		}
		p.eventually("the account sees what the engine has made, and not as its own", func(ctx context.Context) error {
			object, err := client.CoreV1().ConfigMaps("shop").Get(ctx, "cells", metav1.GetOptions{})
			if err == nil && (object.Labels[managed] != "" || object.Namespace != "shop") {
				err = fmt.Errorf("got %v", object.ObjectMeta)
			}
			if err == nil {
				version = object.ResourceVersion
			}
			return err
		})
		return version
	}
	before := seen()
	versions := func() (found []string) {
		p.Helper()
		secrets, err := p.kube.CoreV1().Secrets(system).List(ctx, metav1.ListOptions{LabelSelector: v1alpha1.AccountLabel})
		if err != nil {
			p.Fatal(err)
		}
		for _, secret := range secrets.Items {
			found = append(found, secret.Name+" "+secret.ResourceVersion)
		}
		cluster, err := p.ours.KubeFedCoreV1beta1().KubeFedClusters(system).Get(ctx, "rz00a.shop", metav1.GetOptions{})
		if err != nil {
			p.Fatal(err)
		}
		binding, err := p.inside.RbacV1().RoleBindings("shop-rz00a").Get(ctx, "koinon:cell:shop-rz00a", metav1.GetOptions{})
		if err != nil {
			p.Fatal(err)
		}
		return append(found, fmt.Sprintf("generation %d", cluster.Generation), "binding "+binding.ResourceVersion)
	}
	want := versions()
	server.Restart(t)
	// An object that comes later has gone the whole way after the start.
	p.apply(fmt.Sprintf(configMap, "v1beta2", "later", `"topologyType":"cell",`, `"placement":{"topologies":[{"name":"rz00a"}]}`))
	p.eventually("the engine goes on", func(ctx context.Context) error {
		_, err := p.inside.CoreV1().ConfigMaps("shop-rz00a").Get(ctx, "later", metav1.GetOptions{})
		return err
	})
	if got := versions(); !slices.Equal(got, want) || seen() != before {
		p.Errorf("after a restart: got %v, want %v", got, want)
	}
}
