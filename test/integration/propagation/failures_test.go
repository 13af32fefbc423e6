package propagation_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/test/testbed"
)

func TestAMemberThatIsDownHoldsUpNobody(t *testing.T) {
	f := start(t)
	m2 := members["m2"].Get(t)
	f.configMap("cm", "one", everywhere)
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	f.configMap("elsewhere", "one", `  placement: {topologies: [{name: m1}]}`)
	f.states("federatedconfigmaps", "elsewhere", "m1", "")

	m2.Kill(t, testbed.APIServer)
	up := false
	defer func() {
		if !up {
			m2.Start(t)
		}
	}()
	f.condition("m2", v1beta1.ClusterOffline, corev1.ConditionTrue, "does not answer")
	f.configMap("cm", "two", everywhere)
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "ClusterNotReady")
	if got := f.value("m1", "cm"); got != `"two"` {
		t.Errorf("got %s in the member that is up", got)
	}
	f.delete("federatedconfigmaps", "elsewhere")
	f.gone("federatedconfigmaps", "elsewhere")
	f.configMap("later", "one", everywhere)
	f.states("federatedconfigmaps", "later", "m1", "", "m2", "ClusterNotReady")
	f.delete("federatedconfigmaps", "later") // never reached m2, so nothing waits for it
	f.gone("federatedconfigmaps", "later")
	f.delete("federatedconfigmaps", "cm")
	object := f.states("federatedconfigmaps", "cm", "m2", "WaitingForRemoval")
	if message := f.target(object, "m2").Message; !strings.Contains(message, "may still hold the object") {
		t.Errorf("got message %q", message)
	}

	m2.Start(t)
	up = true
	f.ready("m2")
	f.gone("federatedconfigmaps", "cm")
	f.absent("m2", configMaps, f.namespace, "cm")
}

func TestAMemberThatHangsHoldsUpNobody(t *testing.T) {
	f := start(t)
	m2 := members["m2"].Get(t)
	f.configMap("cm", "one", everywhere)
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	m2.Freeze(t)
	thawed := false
	defer func() {
		if !thawed {
			m2.Thaw(t)
		}
	}()
	for i := range 20 { // more than an executor has workers
		f.configMap(fmt.Sprintf("cm-%d", i), "one", everywhere)
	}
	f.configMap("cm", "two", everywhere)
	f.eventually("the other member runs it", func() error {
		if got := f.value("m1", "cm"); got != `"two"` {
			return fmt.Errorf("got %s", got)
		}
		return nil
	})
	m2.Thaw(t)
	thawed = true
	f.ready("m2")
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	for i := range 20 {
		f.states("federatedconfigmaps", fmt.Sprintf("cm-%d", i), "m1", "", "m2", "")
	}
}

func TestARestartWritesNothing(t *testing.T) {
	f := start(t)
	f.cells("rz00a", "m1", "rz01a", "m2")
	f.deployment(0, `{topologySelector: {}}`, "")
	f.configMap("cm", "one", everywhere)
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	f.states("federateddeployments", "web", "rz00a", "", "rz01a", "")
	// The status of the Deployments flows back: wait until it is all there.
	f.eventually("the status has settled", func() error {
		object := f.states("federateddeployments", "web", "rz00a", "", "rz01a", "")
		for member, cell := range map[string]string{"m1": "rz00a", "m2": "rz01a"} {
			want := field(f.object(member, deployments, f.in(cell), "web"), "status", "conditions")
			if got := f.target(object, cell).Health; want == "null" || got != "Healthy" {
				return fmt.Errorf("got health %s, and the member has %s", got, want)
			}
		}
		return nil
	})
	versions := func(webInM2 bool) map[string]string {
		v := map[string]string{}
		for _, plural := range []string{"federatedconfigmaps/cm", "federateddeployments/web"} {
			resource, name, _ := strings.Cut(plural, "/")
			object, err := f.federated(resource).Get(t.Context(), name, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			v[plural] = object.ResourceVersion
		}
		for _, cell := range []string{"rz00a", "rz01a"} {
			got, err := f.koinon.FederationV1alpha1().Cells(f.namespace).Get(t.Context(), cell, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			v["cell "+cell] = got.ResourceVersion
		}
		v["cm in m1"] = f.object("m1", configMaps, f.namespace, "cm").GetResourceVersion()
		v["cm in m2"] = f.object("m2", configMaps, f.namespace, "cm").GetResourceVersion()
		v["web in m1"] = f.object("m1", deployments, f.in("rz00a"), "web").GetResourceVersion()
		if webInM2 {
			v["web in m2"] = f.object("m2", deployments, f.in("rz01a"), "web").GetResourceVersion()
		}
		return v
	}
	f.stop()
	before := versions(true)
	f.run()
	// The new controllers have seen all of it once they have done something new in all.
	f.configMap("new", "one", everywhere)
	f.states("federatedconfigmaps", "new", "m1", "", "m2", "")
	f.deployment(0, `{topologySelector: {matchLabels: {zone: rz00a}}}`, "")
	f.states("federateddeployments", "web", "rz00a", "")
	after := versions(false)
	delete(before, "federateddeployments/web")
	delete(before, "web in m2")
	for what, version := range before {
		if after[what] != version {
			t.Errorf("%s was written: resourceVersion %s before and %s after", what, version, after[what])
		}
	}
}

// token makes a service account in a member and returns a token of it.
func token(t *testing.T, config *rest.Config, name string) string {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}}
	if _, err := client.CoreV1().ServiceAccounts("default").Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: name, Namespace: "default"}},
	}
	if _, err := client.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	request, err := client.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return request.Status.Token
}

func TestCredentialsAreRotatedInPlace(t *testing.T) {
	f := start(t)
	config := members["m1"].Get(t).RESTConfig(t)
	first, second := token(t, config, "koinon-first"), token(t, config, "koinon-second")
	ca := config.CAData
	f.boundSecret("rotated", config.Host, map[string]string{v1beta1.TokenKey: first, v1beta1.CAKey: string(ca)})
	_, err := f.koinon.KubeFedCoreV1beta1().KubeFedClusters(system).Create(t.Context(), &v1beta1.KubeFedCluster{
		ObjectMeta: metav1.ObjectMeta{Name: "rotated", Namespace: system},
		Spec: v1beta1.KubeFedClusterSpec{
			APIEndpoint: config.Host, CABundle: ca, SecretRef: v1beta1.LocalSecretReference{Name: "rotated"},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.koinon.KubeFedCoreV1beta1().KubeFedClusters(system).Delete(t.Context(), "rotated", metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}()
	f.ready("rotated")
	if cluster, err := f.koinon.KubeFedCoreV1beta1().KubeFedClusters(system).Get(t.Context(), "rotated", metav1.GetOptions{}); err != nil || cluster.Status.JoinNamespace != "default" {
		t.Errorf("got join namespace %q, error %v; want what the token says", cluster.Status.JoinNamespace, err)
	}
	placement := `  placement: {topologies: [{name: rotated}]}`
	f.configMap("cm", "one", placement)
	f.states("federatedconfigmaps", "cm", "rotated", "")

	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.CoreV1().ServiceAccounts("default").Delete(t.Context(), "koinon-first", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	f.condition("rotated", v1beta1.ClusterConfigMalformed, corev1.ConditionTrue, "they have expired, or are for another cluster")
	f.configMap("cm", "two", placement)
	f.states("federatedconfigmaps", "cm", "rotated", "ClusterNotReady")

	f.boundSecret("rotated", config.Host, map[string]string{v1beta1.TokenKey: second, v1beta1.CAKey: string(ca)})
	f.ready("rotated")
	f.states("federatedconfigmaps", "cm", "rotated", "")
	if got := f.value("m1", "cm"); got != `"two"` {
		t.Errorf("got %s after the rotation", got)
	}
	f.delete("federatedconfigmaps", "cm")
	f.gone("federatedconfigmaps", "cm")
}

func TestBadCredentialsAreSaidInOneSentence(t *testing.T) {
	f := start(t)
	m1, m2 := members["m1"].Get(t).RESTConfig(t), members["m2"].Get(t).RESTConfig(t)
	for name, test := range map[string]struct {
		secret  map[string]string
		server  string
		ca      []byte
		message string
	}{
		"no-secret":   {nil, m1.Host, m1.CAData, `there is no Secret "no-secret"`},
		"no-key":      {map[string]string{"password": "x"}, m1.Host, m1.CAData, `has neither the key "token" nor the key "kubeconfig"`},
		"bad-token":   {map[string]string{"token": "x"}, m1.Host, m1.CAData, `they have expired, or are for another cluster`},
		"foreign-ca":  {map[string]string{"token": "x"}, m1.Host, m2.CAData, `not from the given authorities`},
		"with-exec":   {map[string]string{"kubeconfig": `{users: [{name: u, user: {exec: {command: rm, apiVersion: client.authentication.k8s.io/v1}}}]}`}, m1.Host, nil, `runs a program`},
		"no-such-ctx": {map[string]string{"kubeconfig": `{current-context: x}`}, m1.Host, nil, `current-context "x" is not one of its contexts`},
	} {
		if test.secret != nil {
			test.secret[v1beta1.CAKey] = string(test.ca)
			f.boundSecret(name, test.server, test.secret)
		}
		client := f.koinon.KubeFedCoreV1beta1().KubeFedClusters(system)
		_, err := client.Create(t.Context(), &v1beta1.KubeFedCluster{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: system},
			Spec:       v1beta1.KubeFedClusterSpec{APIEndpoint: test.server, CABundle: test.ca, SecretRef: v1beta1.LocalSecretReference{Name: name}},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		f.condition(name, v1beta1.ClusterConfigMalformed, corev1.ConditionTrue, test.message)
		if err := client.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestACellWaitsForItsMember(t *testing.T) {
	f := start(t)
	f.cells("rz09a", "m9")
	ready := func(status metav1.ConditionStatus, reason string) *federationv1alpha1.Cell {
		t.Helper()
		var cell *federationv1alpha1.Cell
		f.eventually(fmt.Sprintf("the cell has Ready=%s because %s", status, reason), func() (err error) {
			if cell, err = f.koinon.FederationV1alpha1().Cells(f.namespace).Get(t.Context(), "rz09a", metav1.GetOptions{}); err != nil {
				return err
			}
			for _, c := range cell.Status.Conditions {
				if c.Type == federationv1alpha1.CellReady && c.Status == status && c.Reason == reason {
					return nil
				}
			}
			return fmt.Errorf("got status %s", asJSON(cell.Status))
		})
		return cell
	}
	ready(metav1.ConditionFalse, federationv1alpha1.ReasonMemberNotFound)
	f.deployment(1, `{topologies: [{name: rz09a}]}`, "")
	f.states("federateddeployments", "web", "rz09a", "TargetNotFound")

	f.join("m9", members["m1"].Get(t))
	cell := ready(metav1.ConditionTrue, federationv1alpha1.ReasonMemberReady)
	f.states("federateddeployments", "web", "rz09a", "")
	cluster, err := f.koinon.KubeFedCoreV1beta1().KubeFedClusters(system).Get(t.Context(), cell.Status.KubeFedCluster, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"zone":                           "rz09a",
		federationv1alpha1.TopologyLabel: "cell",
		federationv1alpha1.TopologyNamespaceLabel: f.namespace,
		federationv1alpha1.TopologyNameLabel:      "rz09a",
		federationv1alpha1.MemberLabel:            "m9",
	}
	if got := cluster.Labels; asJSON(got) != asJSON(want) {
		t.Errorf("got labels %v, want %v", got, want)
	}
	if got := cluster.Annotations[federationv1alpha1.MemberNamespaceAnnotation]; got != f.in("rz09a") {
		t.Errorf("got member namespace %q", got)
	}
	f.ready(cluster.Name)

	f.delete("federateddeployments", "web")
	f.gone("federateddeployments", "web")
	if err := f.koinon.FederationV1alpha1().Cells(f.namespace).Delete(t.Context(), "rz09a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	f.eventually("the cell's cluster is gone", func() error {
		_, err := f.koinon.KubeFedCoreV1beta1().KubeFedClusters(system).Get(t.Context(), cluster.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("got error %v", err)
	})
	if err := f.koinon.KubeFedCoreV1beta1().KubeFedClusters(system).Delete(t.Context(), "m9", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestATypeThatOneMemberServes(t *testing.T) {
	f := start(t)
	testbed.KubectlStdin(t, members["m1"].Get(t).Kubeconfig(), `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, kind: Widget}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}}]
`, "apply", "-f", "-")
	f.apply(`
apiVersion: core.kubefed.io/v1beta1
kind: FederatedTypeConfig
metadata: {name: widgets.example.com, namespace: ` + system + `}
spec:
  targetType: {group: example.com, version: v1, kind: Widget, pluralName: widgets, scope: Namespaced}
  federatedType: {group: types.kubefed.io, version: v1beta1, kind: FederatedWidget, pluralName: federatedwidgets, scope: Namespaced}
  propagation: Enabled`)
	f.eventually("the kind is served", func() error {
		_, err := f.federated("federatedwidgets").List(t.Context(), metav1.ListOptions{})
		return err
	})
	f.apply(fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: FederatedWidget, metadata: {name: w, namespace: %s}, spec: {template: {spec: {size: 1}}, placement: {topologySelector: {}}}}`, f.namespace))
	f.states("federatedwidgets", "w", "m1", "", "m2", "TypeNotServed")
	f.eventually("the member's schema is known", func() error {
		explained := testbed.RunKubectl(t, f.kubeconfig, "", "explain", "federatedwidget.spec.template.spec.size", "--request-timeout=10s")
		if !strings.Contains(explained.Stdout, "size <integer>") {
			return fmt.Errorf("kubectl explain: %s%s", explained.Stdout, explained.Stderr)
		}
		return nil
	})
	f.delete("federatedwidgets", "w")
	f.gone("federatedwidgets", "w")
}

func TestTenants(t *testing.T) {
	f := start(t)
	f.written("federatednamespaces", f.namespace, "m1", "m2")
	labelled := fmt.Sprintf(`{apiVersion: v1, kind: Namespace, metadata: {name: %s, labels: {%s: a}}}`, f.namespace, federationv1alpha1.TenantLabel)
	if said, want := f.refused(labelled), `1 federated object would keep a copy in members that nobody may change or delete through this federation any more (FederatedNamespace `+f.namespace+"/"+f.namespace+` in m1, m2)`; !strings.Contains(said, want) {
		t.Errorf("the namespace with copies in members is labelled: %s, want %s", said, want)
	}
	member := fmt.Sprintf(`{"metadata":{"labels":{%q:"a"}}}`, federationv1alpha1.TenantLabel)
	if _, err := f.koinon.KubeFedCoreV1beta1().KubeFedClusters(system).Patch(t.Context(), "m1", types.MergePatchType, []byte(member), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}}); !apierrors.IsInvalid(err) {
		t.Errorf("the member with copies of the namespace's is labelled: %v", err)
	}
	f.federateNamespace(`topologies: []`)
	f.written("federatednamespaces", f.namespace)
	f.apply(labelled) // nothing is in members any more
	f.cells("rz00a", "m1")
	f.deployment(0, `{topologies: [{name: rz00a}]}`, "") // m1 belongs to nobody: shared
	f.states("federateddeployments", "web", "rz00a", "")
	f.eventually("the cell's cluster has the tenant", func() error {
		cluster, err := f.koinon.KubeFedCoreV1beta1().KubeFedClusters(system).Get(t.Context(), "rz00a."+f.namespace, metav1.GetOptions{})
		if err == nil && cluster.Labels[federationv1alpha1.TenantLabel] != "a" {
			err = fmt.Errorf("got labels %v", cluster.Labels)
		}
		return err
	})
	f.configMap("cm", "one", `  placement: {topologySelector: {}}`) // selects none of another tenant
	f.states("federatedconfigmaps", "cm")
	other := fmt.Sprintf(`{apiVersion: federation.koinon.io/v1alpha1, kind: Cell, metadata: {name: rz00a, namespace: %s, labels: {zone: rz00a, %s: b}}, spec: {clusterName: m1}}`, f.namespace, federationv1alpha1.TenantLabel)
	if said, want := f.refused(other), "metadata.labels[federation.koinon.io/tenant]: Invalid value: \"b\": with the tenant changed from none to tenant=b, 1 federated object would keep a copy"; !strings.Contains(said, want) {
		t.Errorf("the cell with a copy is labelled: %s, want %s", said, want)
	}
	f.apply(strings.Replace(other, "labels:", "annotations: {"+federationv1alpha1.LeaveCopiesAnnotation+": tenant=b}, labels:", 1))
	f.states("federateddeployments", "web", "rz00a", "TargetNotFound")
	f.object("m1", deployments, f.in("rz00a"), "web") // it stays
}

// refused applies a manifest that is refused, and returns what kubectl says.
func (f *fixture) refused(manifest string) string {
	f.Helper()
	result := testbed.RunKubectl(f.T, f.kubeconfig, manifest, "apply", "--server-side", "--force-conflicts", "-f", "-")
	if result.Err == nil {
		f.Errorf("this was taken: %s", manifest)
	}
	return result.Stderr
}

// written waits until an object has copies in these targets alone, as its status records.
func (f *fixture) written(plural, name string, targets ...string) {
	f.Helper()
	f.eventually(fmt.Sprintf("%s %s is in %v", plural, name, targets), func() error {
		object, err := f.federated(plural).Get(f.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		got := []string{}
		if object.Status != nil {
			for _, target := range object.Status.Targets {
				if target.Hash != "" {
					got = append(got, target.Name)
				}
			}
		}
		if slices.Sort(got); !slices.Equal(got, targets) {
			return fmt.Errorf("got %v", got)
		}
		return nil
	})
}
