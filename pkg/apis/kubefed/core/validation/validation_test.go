package validation_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/validation"
)

// expect compares errors by their whole text.
func expect(t *testing.T, got field.ErrorList, want ...string) {
	t.Helper()
	var lines []string
	for _, err := range got {
		lines = append(lines, err.Error())
	}
	if diff := cmp.Diff(strings.Join(want, "\n"), strings.Join(lines, "\n")); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

func cluster(change func(*v1beta1.KubeFedCluster)) *v1beta1.KubeFedCluster {
	c := &v1beta1.KubeFedCluster{
		ObjectMeta: metav1.ObjectMeta{Name: "m1", Namespace: "kube-federation-system"},
		Spec: v1beta1.KubeFedClusterSpec{
			APIEndpoint: "https://m1.example.com:6443",
			SecretRef:   v1beta1.LocalSecretReference{Name: "m1-credentials"},
		},
	}
	if change != nil {
		change(c)
	}
	return c
}

func scoped(name, topologyType, namespace, target string) func(*v1beta1.KubeFedCluster) {
	return func(c *v1beta1.KubeFedCluster) {
		c.Name = name
		c.Labels = map[string]string{
			federationv1alpha1.TopologyLabel:          topologyType,
			federationv1alpha1.TopologyNamespaceLabel: namespace,
			federationv1alpha1.TopologyNameLabel:      target,
		}
	}
}

func TestKubeFedCluster(t *testing.T) {
	const (
		reserved  = `a name with a dot is reserved for the KubeFedClusters of cells and edge units (<cell>.<namespace>, <unit>.<namespace>.edgeunit), which carry the label federation.koinon.io/topology; use a name without dots`
		labelsSay = `as the labels federation.koinon.io/topology, federation.koinon.io/topology-namespace and federation.koinon.io/topology-name say`
		endpoint  = `must be a host, a host:port or a URL with the scheme https`
		proxy     = `must be a URL with the scheme http, https or socks5`
	)
	for name, test := range map[string]struct {
		change func(*v1beta1.KubeFedCluster)
		want   []string
	}{
		"a member is fine":           {},
		"a host is an endpoint":      {change: func(c *v1beta1.KubeFedCluster) { c.Spec.APIEndpoint = "m1.example.com" }},
		"a host:port is an endpoint": {change: func(c *v1beta1.KubeFedCluster) { c.Spec.APIEndpoint = "10.0.0.1:6443" }},
		"an IPv6 host:port too":      {change: func(c *v1beta1.KubeFedCluster) { c.Spec.APIEndpoint = "[::1]:6443" }},
		"a URL with a path too":      {change: func(c *v1beta1.KubeFedCluster) { c.Spec.APIEndpoint = "https://rancher/k8s/clusters/c-1" }},
		"the KubeFedCluster of a cell has its name": {
			change: scoped("rz00a.shop", "cell", "shop", "rz00a")},
		"the KubeFedCluster of an edge unit has its name": {
			change: scoped("store7.shop.edgeunit", "edgeunit", "shop", "store7")},
		"a name with a dot is reserved": {
			change: func(c *v1beta1.KubeFedCluster) { c.Name = "rz00a.shop" },
			want:   []string{`metadata.name: Invalid value: "rz00a.shop": ` + reserved}},
		"the name of an edge unit is reserved": {
			change: func(c *v1beta1.KubeFedCluster) { c.Name = "store7.shop.edgeunit" },
			want:   []string{`metadata.name: Invalid value: "store7.shop.edgeunit": ` + reserved}},
		"another cell's name": {
			change: scoped("rz00a.shop", "cell", "shop", "rz01a"),
			want:   []string{`metadata.name: Invalid value: "rz00a.shop": must be "rz01a.shop", ` + labelsSay}},
		"a member with the labels of a cell": {
			change: scoped("m1", "cell", "shop", "rz00a"),
			want:   []string{`metadata.name: Invalid value: "m1": must be "rz00a.shop", ` + labelsSay}},
		"a member with the label of a cell": {
			change: func(c *v1beta1.KubeFedCluster) {
				c.Name, c.Labels = "m1", map[string]string{federationv1alpha1.TopologyLabel: "cell"}
			},
			want: []string{`metadata.labels[federation.koinon.io/topology-namespace]: Required value: the label federation.koinon.io/topology=cell is for the KubeFedClusters that are made of cells and edge units, and these say of which one; leave it out on a member`}},
		"a cell without a name": {
			change: scoped("m1", "cell", "shop", ""),
			want:   []string{`metadata.labels[federation.koinon.io/topology-name]: Required value: the label federation.koinon.io/topology=cell is for the KubeFedClusters that are made of cells and edge units, and these say of which one; leave it out on a member`}},
		"a topology type without clusters of its own": {
			change: scoped("m1", "cluster", "", "m1"),
			want:   []string{`metadata.labels[federation.koinon.io/topology]: Unsupported value: "cluster": supported values: "cell", "edgeunit"`}},
		"no endpoint": {
			change: func(c *v1beta1.KubeFedCluster) { c.Spec.APIEndpoint = "" },
			want:   []string{`spec.apiEndpoint: Required value: ` + endpoint}},
		"an endpoint with another scheme": {
			change: func(c *v1beta1.KubeFedCluster) { c.Spec.APIEndpoint = "ftp://m1" },
			want:   []string{`spec.apiEndpoint: Invalid value: "ftp://m1": ` + endpoint}},
		"an endpoint with a password, which is not repeated": {
			change: func(c *v1beta1.KubeFedCluster) { c.Spec.APIEndpoint = "https://me:secret@m1" },
			want:   []string{`spec.apiEndpoint: Invalid value: "https://me:xxxxx@m1": ` + endpoint + `, without user, query and fragment`}},
		"no secret": {
			change: func(c *v1beta1.KubeFedCluster) { c.Spec.SecretRef.Name = "" },
			want:   []string{`spec.secretRef.name: Required value: must be the name of an object`}},
		"an unknown TLS validation": {
			change: func(c *v1beta1.KubeFedCluster) { c.Spec.DisabledTLSValidations = []v1beta1.TLSValidation{"Expiry"} },
			want:   []string{`spec.disabledTLSValidations[0]: Unsupported value: "Expiry": supported values: "*", "SubjectName", "ValidityPeriod"`}},
		"all TLS validations, and one more": {
			change: func(c *v1beta1.KubeFedCluster) {
				c.Spec.DisabledTLSValidations = []v1beta1.TLSValidation{"*", "SubjectName"}
			},
			want: []string{`spec.disabledTLSValidations: Invalid value: ["*","SubjectName"]: "*" must be the only entry: it turns off every check`}},
		"the same TLS validation twice": {
			change: func(c *v1beta1.KubeFedCluster) {
				c.Spec.DisabledTLSValidations = []v1beta1.TLSValidation{"SubjectName", "SubjectName"}
			},
			want: []string{`spec.disabledTLSValidations[1]: Duplicate value: "SubjectName"`}},
		"a proxy with another scheme": {
			change: func(c *v1beta1.KubeFedCluster) { c.Spec.ProxyURL = "socks4://proxy" },
			want:   []string{`spec.proxyURL: Invalid value: "socks4://proxy": ` + proxy}},
		"through an agent": {change: func(c *v1beta1.KubeFedCluster) { c.Spec.Tunnel = "Always" }},
		"through no agent": {change: func(c *v1beta1.KubeFedCluster) { c.Spec.Tunnel, c.Spec.ProxyURL = "Never", "http://proxy:1" }},
		"through an agent, maybe": {
			change: func(c *v1beta1.KubeFedCluster) { c.Spec.Tunnel = "Sometimes" },
			want:   []string{`spec.tunnel: Unsupported value: "Sometimes": supported values: "Always", "Never"`}},
		"through an agent, and for others a proxy": {change: func(c *v1beta1.KubeFedCluster) { c.Spec.Tunnel, c.Spec.ProxyURL = "Always", "http://m1@127.0.0.1:8118" }},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, validation.KubeFedCluster(cluster(test.change)), test.want...)
		})
	}
}

func TestKubeFedClusterStatus(t *testing.T) {
	for name, test := range map[string]struct {
		conditions []v1beta1.ClusterCondition
		want       []string
	}{
		"what KubeFed writes is fine": {
			conditions: []v1beta1.ClusterCondition{{Type: "Ready", Status: "False"}, {Type: "Offline", Status: "False"}}},
		"an unknown condition": {
			conditions: []v1beta1.ClusterCondition{{Type: "Happy", Status: "True"}},
			want:       []string{`status.conditions[0].type: Unsupported value: "Happy": supported values: "Ready", "Offline", "ConfigMalformed", "CredentialsExpiring"`}},
		"a status that is none": {
			conditions: []v1beta1.ClusterCondition{{Type: "Ready", Status: "yes"}},
			want:       []string{`status.conditions[0].status: Unsupported value: "yes": supported values: "True", "False", "Unknown"`}},
		"the same condition twice": {
			conditions: []v1beta1.ClusterCondition{{Type: "Ready", Status: "True"}, {Type: "Ready", Status: "False"}},
			want:       []string{`status.conditions[1].type: Duplicate value: "Ready"`}},
	} {
		t.Run(name, func(t *testing.T) {
			c := cluster(func(c *v1beta1.KubeFedCluster) { c.Status.Conditions = test.conditions })
			expect(t, validation.KubeFedClusterStatus(c), test.want...)
		})
	}
}

func typeConfig(change func(*v1beta1.FederatedTypeConfig)) *v1beta1.FederatedTypeConfig {
	c := &v1beta1.FederatedTypeConfig{
		ObjectMeta: metav1.ObjectMeta{Name: "deployments.apps"},
		Spec: v1beta1.FederatedTypeConfigSpec{
			TargetType: v1beta1.APIResource{Version: "v1", Kind: "Deployment", Scope: v1beta1.NamespaceScoped},
		},
	}
	v1beta1.SetDefaults_FederatedTypeConfig(c)
	if change != nil {
		change(c)
	}
	return c
}

func TestFederatedTypeConfig(t *testing.T) {
	const stored = `delete the FederatedTypeConfig and create another, objects of the old kind are kept`
	for name, test := range map[string]struct {
		change func(*v1beta1.FederatedTypeConfig)
		want   []string
		update []string
	}{
		"the defaults are fine":             {},
		"KubeFed's version may change":      {change: func(c *v1beta1.FederatedTypeConfig) { c.Spec.FederatedType.Version = "v1beta2" }},
		"the target's version may change":   {change: func(c *v1beta1.FederatedTypeConfig) { c.Spec.TargetType.Version = "v2" }},
		"propagation may be turned off":     {change: func(c *v1beta1.FederatedTypeConfig) { c.Spec.Propagation = v1beta1.Disabled }},
		"annotations may be given by star":  {change: func(c *v1beta1.FederatedTypeConfig) { c.Spec.PropagatingAnnotations = []string{"a.b/*", "*", "c"} }},
		"KubeFed's status type is accepted": {change: func(c *v1beta1.FederatedTypeConfig) { c.Spec.StatusType = &c.Spec.FederatedType }},
		"a name that is not the target's": {
			change: func(c *v1beta1.FederatedTypeConfig) { c.Name = "deployments" },
			want:   []string{`metadata.name: Invalid value: "deployments": must be "deployments.apps": the plural name of spec.targetType, followed by a dot and its group unless that is empty`}},
		"another kind": {
			change: func(c *v1beta1.FederatedTypeConfig) { c.Spec.FederatedType.Kind = "SpreadDeployment" },
			update: []string{`spec.federatedType.kind: Invalid value: "SpreadDeployment": may not be changed from FederatedDeployment: ` + stored}},
		"no version and no kind": {
			change: func(c *v1beta1.FederatedTypeConfig) { c.Spec.TargetType.Version, c.Spec.TargetType.Kind = "", "" },
			want: []string{
				`spec.targetType.version: Required value: must be a version, such as v1`,
				`spec.targetType.kind: Required value: must be a kind, such as Deployment`},
			update: []string{`spec.targetType.kind: Invalid value: "": may not be changed from Deployment: ` + stored}},
		"a scope that is none": {
			change: func(c *v1beta1.FederatedTypeConfig) { c.Spec.TargetType.Scope = "Global" },
			want:   []string{`spec.targetType.scope: Unsupported value: "Global": supported values: "Cluster", "Namespaced"`},
			update: []string{`spec.targetType.scope: Invalid value: "Global": may not be changed from Namespaced: ` + stored}},
		"a scope that is not the target's": {
			change: func(c *v1beta1.FederatedTypeConfig) { c.Spec.FederatedType.Scope = v1beta1.ClusterScoped },
			want:   []string{`spec.federatedType.scope: Invalid value: "Cluster": must be "Namespaced" for this target type`},
			update: []string{`spec.federatedType.scope: Invalid value: "Cluster": may not be changed from Namespaced: ` + stored}},
		"a group that is not served": {
			change: func(c *v1beta1.FederatedTypeConfig) { c.Spec.FederatedType.Group = "types.example.com" },
			want:   []string{`spec.federatedType.group: Unsupported value: "types.example.com": supported values: "types.kubefed.io"`},
			update: []string{`spec.federatedType.group: Invalid value: "types.example.com": may not be changed from types.kubefed.io: ` + stored}},
		"a version that is not served": {
			change: func(c *v1beta1.FederatedTypeConfig) { c.Spec.FederatedType.Version = "v1" },
			want:   []string{`spec.federatedType.version: Unsupported value: "v1": supported values: "v1beta1", "v1beta2"`}},
		"a propagation that is none": {
			change: func(c *v1beta1.FederatedTypeConfig) { c.Spec.Propagation = "On" },
			want:   []string{`spec.propagation: Unsupported value: "On": supported values: "Enabled", "Disabled"`}},
		"an annotation that is none": {
			change: func(c *v1beta1.FederatedTypeConfig) { c.Spec.PropagatingAnnotations = []string{"a/b/*", "c", "c"} },
			want: []string{
				`spec.propagatingAnnotations[0]: Invalid value: "a/b/*": must be an annotation key, in which * stands for any characters, such as service.beta.kubernetes.io/*`,
				`spec.propagatingAnnotations[2]: Duplicate value: "c"`}},
		"objects of the host may be followed": {change: func(c *v1beta1.FederatedTypeConfig) {
			c.Annotations = map[string]string{v1beta1.FollowAnnotation: "Enabled"}
		}},
		"whether they are, in another word": {
			change: func(c *v1beta1.FederatedTypeConfig) {
				c.Annotations = map[string]string{v1beta1.FollowAnnotation: "true"}
			},
			want: []string{`metadata.annotations[federation.koinon.io/follow]: Unsupported value: "true": supported values: "Enabled", "Disabled"`}},
		"foreign fields may be kept": {change: func(c *v1beta1.FederatedTypeConfig) { c.Spec.ForeignFields = v1beta1.KeepForeignFields }},
		"a field may be the member's": {change: func(c *v1beta1.FederatedTypeConfig) {
			c.Spec.RetainFields = []v1beta1.RetainedField{{Path: "/webhooks/*/clientConfig/caBundle"}, {Path: "/spec/a", When: "member.spec.a > template.spec.a"}}
		}},
		"a type may run to its end": {change: func(c *v1beta1.FederatedTypeConfig) {
			c.Spec.RunToCompletion = &v1beta1.RunToCompletion{Ended: "self.status.phase == 'Succeeded'", Rerun: v1beta1.RerunNever}
		}},
		"foreign fields that are neither kept nor removed": {
			change: func(c *v1beta1.FederatedTypeConfig) { c.Spec.ForeignFields = "Merge" },
			want:   []string{`spec.foreignFields: Unsupported value: "Merge": supported values: "Remove", "Keep"`}},
		"writes may stop at conflicts": {change: func(c *v1beta1.FederatedTypeConfig) { c.Spec.Conflicts = v1beta1.AbortOnConflicts }},
		"a policy for conflicts that is none": {
			change: func(c *v1beta1.FederatedTypeConfig) { c.Spec.Conflicts = "Force" },
			want:   []string{`spec.conflicts: Unsupported value: "Force": supported values: "Overwrite", "Abort"`}},
		"fields that cannot be the member's": {
			change: func(c *v1beta1.FederatedTypeConfig) {
				c.Spec.RetainFields = []v1beta1.RetainedField{{Path: "spec"}, {Path: "/spec/a"}, {Path: "/spec/a", When: "object.x == 1"}, {Path: "/spec/b", When: "'x'"}}
			},
			want: []string{
				`spec.retainFields[0].path: Invalid value: "spec": must be a JSON pointer (RFC 6901), in which * stands for any item or key, such as /webhooks/*/clientConfig/caBundle`,
				`spec.retainFields[2].path: Duplicate value: "/spec/a"`,
				`spec.retainFields[2].when: Invalid value: "object.x == 1": must be an expression in CEL that is true of objects whose field is the member's, with the object there as member and what is sent as template, such as member.spec.mode == 'Auto': line 1, column 1: undeclared reference to 'object' (in container '')`,
				`spec.retainFields[3].when: Invalid value: "'x'": must be an expression in CEL that is true of objects whose field is the member's, with the object there as member and what is sent as template, such as member.spec.mode == 'Auto': must be true or false, and is of type string`}},
		"too many fields of the member": {
			change: func(c *v1beta1.FederatedTypeConfig) { c.Spec.RetainFields = make([]v1beta1.RetainedField, 101) },
			want:   []string{`spec.retainFields: Too many: 101: must have at most 100 items`}},
		"a rule that says nothing": {
			change: func(c *v1beta1.FederatedTypeConfig) { c.Spec.RunToCompletion = &v1beta1.RunToCompletion{} },
			want: []string{
				`spec.runToCompletion.ended: Required value: must be an expression in CEL that is true of an object that has ended, such as self.status.phase == 'Succeeded'`,
				`spec.runToCompletion.rerun: Required value: must be one of ["OnChange" "Never"]`}},
		"a rule that does not compile": {
			change: func(c *v1beta1.FederatedTypeConfig) {
				c.Spec.RunToCompletion = &v1beta1.RunToCompletion{Ended: "status.phase == 'Succeeded'", Rerun: "Always"}
			},
			want: []string{
				`spec.runToCompletion.ended: Invalid value: "status.phase == 'Succeeded'": must be an expression in CEL that is true of an object that has ended, such as self.status.phase == 'Succeeded': line 1, column 1: undeclared reference to 'status' (in container '')`,
				`spec.runToCompletion.rerun: Unsupported value: "Always": supported values: "OnChange", "Never"`}},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, validation.FederatedTypeConfig(typeConfig(test.change)), test.want...)
			expect(t, validation.FederatedTypeConfigUpdate(typeConfig(test.change), typeConfig(nil)), append(test.want, test.update...)...)
		})
	}
}

func TestFederatedTypeConfigStatus(t *testing.T) {
	config := typeConfig(nil)
	expect(t, validation.FederatedTypeConfigStatus(config))
	config.Status.PropagationController = "Walking"
	config.Status.StatusController = new(v1beta1.ControllerNotRunning)
	expect(t, validation.FederatedTypeConfigStatus(config),
		`status.propagationController: Unsupported value: "Walking": supported values: "Running", "NotRunning"`)
}

func config(change func(*v1beta1.KubeFedConfigSpec)) *v1beta1.KubeFedConfig {
	c := &v1beta1.KubeFedConfig{ObjectMeta: metav1.ObjectMeta{Name: "kubefed"}}
	v1beta1.SetDefaults_KubeFedConfig(c)
	if change != nil {
		change(&c.Spec)
	}
	return c
}

func TestKubeFedConfig(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*v1beta1.KubeFedConfigSpec)
		want   []string
	}{
		"the defaults are fine": {},
		"a duration of 0": {
			change: func(s *v1beta1.KubeFedConfigSpec) { s.ControllerDuration.CacheSyncTimeout.Duration = 0 },
			want:   []string{`spec.controllerDuration.cacheSyncTimeout: Invalid value: "0s": must be greater than 0`}},
		"a count of 0": {
			change: func(s *v1beta1.KubeFedConfigSpec) { s.ClusterHealthCheck.FailureThreshold = new(int64(0)) },
			want:   []string{`spec.clusterHealthCheck.failureThreshold: Invalid value: 0: must be greater than 0`}},
		"a lease that ends before it is renewed": {
			change: func(s *v1beta1.KubeFedConfigSpec) { s.LeaderElect.LeaseDuration.Duration = 10 * time.Second },
			want:   []string{`spec.leaderElect.leaseDuration: Invalid value: "10s": must be greater than renewDeadline, which is 10s`}},
		"a renewal with no time to retry": {
			change: func(s *v1beta1.KubeFedConfigSpec) { s.LeaderElect.RenewDeadline.Duration = 6 * time.Second },
			want:   []string{`spec.leaderElect.renewDeadline: Invalid value: "6s": must be greater than 1.2 times retryPeriod, which is 5s`}},
		"a lock that is none": {
			change: func(s *v1beta1.KubeFedConfigSpec) {
				s.LeaderElect.ResourceLock = new(v1beta1.ResourceLockType("leases"))
			},
			want: []string{`spec.leaderElect.resourceLock: Unsupported value: "leases": supported values: "configmaps", "endpoints"`}},
		"an unknown feature gate": {
			change: func(s *v1beta1.KubeFedConfigSpec) { s.FeatureGates[0].Name = "CrossClusterServiceDiscovery" },
			want:   []string{`spec.featureGates[0].name: Unsupported value: "CrossClusterServiceDiscovery": supported values: "PushReconciler", "SchedulerPreferences", "RawResourceStatusCollection"`}},
		"the same feature gate twice": {
			change: func(s *v1beta1.KubeFedConfigSpec) { s.FeatureGates[1].Name = "PushReconciler" },
			want:   []string{`spec.featureGates[1].name: Duplicate value: "PushReconciler"`}},
		"a missing section": {
			change: func(s *v1beta1.KubeFedConfigSpec) { s.SyncController = nil },
			want:   []string{`spec.syncController: Required value: must be an object; its fields have defaults`}},
		"a scope that is none": {
			change: func(s *v1beta1.KubeFedConfigSpec) { s.Scope = "Global" },
			want:   []string{`spec.scope: Unsupported value: "Global": supported values: "Cluster", "Namespaced"`}},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, validation.KubeFedConfig(config(test.change)), test.want...)
		})
	}
}

func TestKubeFedConfigKeepsItsScope(t *testing.T) {
	namespaced := config(func(s *v1beta1.KubeFedConfigSpec) { s.Scope = v1beta1.NamespaceScoped })
	expect(t, validation.KubeFedConfigUpdate(namespaced, config(nil)),
		`spec.scope: Invalid value: "Namespaced": may not be changed from Cluster: delete the KubeFedConfig and create it again`)
}

func TestFederatedKindsThatClientsTakeForSomethingElseAreRefused(t *testing.T) {
	config := func(kind string) *v1beta1.FederatedTypeConfig {
		return typeConfig(func(c *v1beta1.FederatedTypeConfig) { c.Spec.FederatedType.Kind = kind })
	}
	for _, kind := range []string{"Status", "DeleteOptions", "WatchEvent", "List", "Scale", "APIGroup", "Table"} {
		if errs := validation.NewFederatedTypeConfig(config(kind)); len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), `spec.federatedType.kind: Invalid value: "`+kind+`": is not free: `) {
			t.Errorf("%s: got %v", kind, errs)
		}
		// One of an earlier release can be changed, so that it can be deleted.
		if errs := validation.FederatedTypeConfigUpdate(config(kind), config(kind)); len(errs) > 0 {
			t.Errorf("%s, stored before: got %v", kind, errs)
		}
	}
	if errs := validation.NewFederatedTypeConfig(config("FederatedStatus")); len(errs) > 0 {
		t.Errorf("FederatedStatus: got %v", errs)
	}
}

// Secrets are encrypted where they are stored by the name of what they are federated under.
func TestSecretsAreFederatedUnderTheNameThatIsEncrypted(t *testing.T) {
	config := func(name string) *v1beta1.FederatedTypeConfig {
		return typeConfig(func(c *v1beta1.FederatedTypeConfig) {
			c.Name = "secrets"
			c.Spec.TargetType = v1beta1.APIResource{Version: "v1", Kind: "Secret", PluralName: "secrets", Scope: v1beta1.NamespaceScoped}
			c.Spec.FederatedType.PluralName = name
		})
	}
	expect(t, validation.NewFederatedTypeConfig(config("federatedpasswords")),
		`spec.federatedType.pluralName: Invalid value: "federatedpasswords": must be "federatedsecrets" for Secrets: what has another name is not encrypted in the datastore`)
	expect(t, validation.NewFederatedTypeConfig(config("federatedsecrets")))
	expect(t, validation.FederatedTypeConfigUpdate(config("federatedpasswords"), config("federatedpasswords"))) // of an earlier release
}

// Other writers, such as whoever takes off a finalizer, do not answer for retainFields that an earlier release took.
func TestAFederatedTypeConfigWithStoredFieldsThatAreRefusedNowCanBeWritten(t *testing.T) {
	stored := typeConfig(func(c *v1beta1.FederatedTypeConfig) {
		c.Finalizers = []string{v1beta1.TypeConfigFinalizer}
		c.Spec.RetainFields = []v1beta1.RetainedField{{Path: "/spec/*"}, {Path: "/spec/l/-"}}
	})
	for name, change := range map[string]func(*v1beta1.FederatedTypeConfig){
		"a finalizer is taken off":       func(c *v1beta1.FederatedTypeConfig) { c.Finalizers = nil },
		"a label is set":                 func(c *v1beta1.FederatedTypeConfig) { c.Labels = map[string]string{"a": "b"} },
		"another field of spec is set":   func(c *v1beta1.FederatedTypeConfig) { c.Spec.Propagation = v1beta1.Disabled },
		"the fields are made right ones": func(c *v1beta1.FederatedTypeConfig) { c.Spec.RetainFields = c.Spec.RetainFields[:0] },
	} {
		t.Run(name, func(t *testing.T) {
			config := stored.DeepCopy()
			change(config)
			expect(t, validation.FederatedTypeConfigUpdate(config, stored))
		})
	}
}
