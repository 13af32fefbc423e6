package compose

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/retain"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
)

var (
	clusterRole = schema.GroupVersionKind{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"}
	service     = schema.GroupVersionKind{Version: "v1", Kind: "Service"}
	secret      = schema.GroupVersionKind{Version: "v1", Kind: "Secret"}
	configMap   = schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}
	deployment  = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}
	job         = schema.GroupVersionKind{Group: "batch", Version: "v1", Kind: "Job"}
	pod         = schema.GroupVersionKind{Version: "v1", Kind: "Pod"}
	claim       = schema.GroupVersionKind{Version: "v1", Kind: "PersistentVolumeClaim"}
	volume      = schema.GroupVersionKind{Version: "v1", Kind: "PersistentVolume"}
	account     = schema.GroupVersionKind{Version: "v1", Kind: "ServiceAccount"}
	ingress     = schema.GroupVersionKind{Group: "networking.k8s.io", Version: "v1", Kind: "Ingress"}
	webhooks    = schema.GroupVersionKind{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "MutatingWebhookConfiguration"}
	definition  = schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}
	apiService  = schema.GroupVersionKind{Group: "apiregistration.k8s.io", Version: "v1", Kind: "APIService"}
	node        = schema.GroupVersionKind{Version: "v1", Kind: "Node"}
	custom      = schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Thing"}
)

func tree(t *testing.T, text string) map[string]any {
	t.Helper()
	out := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return out
}

// body is an object without metadata.
func body(object map[string]any) map[string]any {
	delete(object, "metadata")
	return object
}

func TestCreateSendsStringDataAsData(t *testing.T) {
	rendered := tree(t, `{data: {a: MQ==, b: Mg==}, stringData: {a: "3"}}`)
	got := body(ForCreate(rendered, secret))
	if diff := cmp.Diff(tree(t, `{data: {a: Mw==, b: Mg==}}`), got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if _, there := rendered["stringData"]; !there {
		t.Error("the manifest was modified")
	}
	if got := body(ForCreate(tree(t, `{stringData: {a: 1}}`), secret)); got["stringData"] == nil {
		t.Error("what is no string was taken out, and not left for the member to refuse")
	}
	if got := body(ForCreate(tree(t, `{stringData: {a: "1"}}`), configMap)); got["stringData"] == nil {
		t.Error("a field of another kind was taken for that of Secrets")
	}
}

func TestUpdateCarriesOverWhatTheMemberDecides(t *testing.T) {
	for name, c := range map[string]struct {
		kind                 schema.GroupVersionKind
		manifest, live, want string
	}{
		"the generated selector of a Job": {job,
			`{spec: {template: {metadata: {labels: {app: a}}}}}`,
			`{spec: {selector: {matchLabels: {u: x}}, template: {metadata: {labels: {app: b, controller-uid: x, batch.kubernetes.io/job-name: j, other: c}}}}}`,
			`{spec: {selector: {matchLabels: {u: x}}, template: {metadata: {labels: {app: a, controller-uid: x, batch.kubernetes.io/job-name: j}}}}}`},
		"pod labels that a Job's template does not have": {job,
			`{spec: {template: {spec: {}}}}`,
			`{spec: {template: {metadata: {labels: {job-name: j}}}}}`,
			`{spec: {template: {spec: {}, metadata: {labels: {job-name: j}}}}}`},
		"nothing of a Job with a selector by hand": {job,
			`{spec: {manualSelector: true}}`, `{spec: {manualSelector: true, selector: {matchLabels: {a: b}}}}`, `{spec: {manualSelector: true}}`},
		"the volume and the class of a claim": {claim,
			`{spec: {volumeName: ""}}`, `{spec: {volumeName: v, storageClassName: fast}}`, `{spec: {volumeName: v, storageClassName: fast}}`},
		"not the class of a claim that wants none": {claim,
			`{spec: {storageClassName: ""}}`, `{spec: {storageClassName: fast}}`, `{spec: {storageClassName: ""}}`},
		"not the class of a claim that wants another": {claim,
			`{spec: {storageClassName: slow}}`, `{spec: {storageClassName: fast}}`, `{spec: {storageClassName: slow}}`},
		"the claim of a volume": {volume,
			`{spec: {}}`, `{spec: {claimRef: {name: c, namespace: n, uid: u}}}`, `{spec: {claimRef: {name: c, namespace: n, uid: u}}}`},
		"the UID of the claim that a volume is kept for": {volume,
			`{spec: {claimRef: {name: c, namespace: n}}}`, `{spec: {claimRef: {name: c, namespace: n, uid: u, resourceVersion: "1"}}}`, `{spec: {claimRef: {name: c, namespace: n, uid: u, resourceVersion: "1"}}}`},
		"not the UID of another claim": {volume,
			`{spec: {claimRef: {name: d, namespace: n}}}`, `{spec: {claimRef: {name: c, namespace: n, uid: u}}}`, `{spec: {claimRef: {name: d, namespace: n}}}`},
		"the tokens of a ServiceAccount": {account, `{secrets: []}`, `{secrets: [{name: t}]}`, `{secrets: [{name: t}]}`},
		"not those beside Secrets that the manifest names": {account,
			`{secrets: [{name: a}]}`, `{secrets: [{name: t}]}`, `{secrets: [{name: a}]}`},
		"the token in a Secret": {secret,
			`{type: kubernetes.io/service-account-token}`, `{data: {token: x, ca.crt: y, hand: z}}`, `{type: kubernetes.io/service-account-token, data: {token: x, ca.crt: y}}`},
		"nothing of another Secret": {secret, `{type: Opaque}`, `{data: {token: x}}`, `{type: Opaque}`},
		"the class that a load balancer's webhook gave a Service": {service,
			`{spec: {type: LoadBalancer}}`, `{spec: {type: LoadBalancer, loadBalancerClass: c}}`, `{spec: {type: LoadBalancer, loadBalancerClass: c}}`},
		"not that of a Service that needs none any more": {service,
			`{spec: {type: ClusterIP}}`, `{spec: {type: LoadBalancer, loadBalancerClass: c}}`, `{spec: {type: ClusterIP}}`},
		"not that of a Service that needed none": {service,
			`{spec: {type: LoadBalancer}}`, `{spec: {type: ClusterIP, loadBalancerClass: c}}`, `{spec: {type: LoadBalancer}}`},
		"the rules that a ClusterRole has from others": {clusterRole,
			`{aggregationRule: {clusterRoleSelectors: [{}]}}`, `{rules: [{verbs: [get]}]}`, `{aggregationRule: {clusterRoleSelectors: [{}]}, rules: [{verbs: [get]}]}`},
		"also where charts write that there are none": {clusterRole,
			`{aggregationRule: {clusterRoleSelectors: [{}]}, rules: []}`, `{rules: [{verbs: [get]}]}`, `{aggregationRule: {clusterRoleSelectors: [{}]}, rules: [{verbs: [get]}]}`},
		"not those of a ClusterRole that has its own": {clusterRole,
			`{aggregationRule: null, rules: [{verbs: [list]}]}`, `{aggregationRule: {clusterRoleSelectors: [{}]}, rules: [{verbs: [get]}]}`, `{aggregationRule: null, rules: [{verbs: [list]}]}`},
		"the class of an Ingress": {ingress, `{spec: {}}`, `{spec: {ingressClassName: c}}`, `{spec: {ingressClassName: c}}`},
		"authorities of webhooks, by their names": {webhooks,
			`{webhooks: [{name: a, clientConfig: {url: x}}, {name: b, clientConfig: {caBundle: mine}}]}`,
			`{webhooks: [{name: b, clientConfig: {caBundle: bb}}, {name: a, clientConfig: {url: y, caBundle: aa}}]}`,
			`{webhooks: [{name: a, clientConfig: {url: x, caBundle: aa}}, {name: b, clientConfig: {caBundle: mine}}]}`},
		"the authority of a conversion webhook": {definition,
			`{spec: {conversion: {strategy: Webhook, webhook: {clientConfig: {url: x}}}}}`,
			`{spec: {conversion: {webhook: {clientConfig: {caBundle: c}}}}}`,
			`{spec: {conversion: {strategy: Webhook, webhook: {clientConfig: {url: x, caBundle: c}}}}}`},
		"the authority of an APIService": {apiService, `{spec: {}}`, `{spec: {caBundle: c}}`, `{spec: {caBundle: c}}`},
		"not an authority that the manifest had itself": {apiService,
			`{spec: {}}`, `{metadata: {annotations: {federation.koinon.io/manifest-metadata: '{"fields":["/spec/caBundle"]}'}}, spec: {caBundle: c}}`, `{spec: {}}`},
		"not that of a webhook that the manifest had itself": {webhooks,
			`{webhooks: [{name: a, clientConfig: {url: x}}, {name: b, clientConfig: {url: x}}]}`,
			`{metadata: {annotations: {federation.koinon.io/manifest-metadata: '{"fields":["/webhooks[name=a]/clientConfig/caBundle"]}'}}, webhooks: [{name: b, clientConfig: {caBundle: bb}}, {name: a, clientConfig: {caBundle: aa}}]}`,
			`{webhooks: [{name: a, clientConfig: {url: x}}, {name: b, clientConfig: {url: x, caBundle: bb}}]}`},
		"taints by conditions of a Node": {node,
			`{spec: {taints: [{key: mine}]}}`, `{spec: {taints: [{key: hand}, {key: node.kubernetes.io/unschedulable}, {key: mine}]}}`, `{spec: {taints: [{key: mine}, {key: node.kubernetes.io/unschedulable}]}}`},
		"generated Secrets of a ServiceAccount": {account,
			`{secrets: [{name: mine}]}`, `{secrets: [{name: hand}, {name: sa-token-x2b5z}], imagePullSecrets: [{name: hand}, {name: sa-dockercfg-x2b5z}]}`,
			`{secrets: [{name: mine}, {name: sa-token-x2b5z}], imagePullSecrets: [{name: sa-dockercfg-x2b5z}]}`},
		"not beside insecureSkipTLSVerify": {apiService,
			`{spec: {insecureSkipTLSVerify: true}}`, `{spec: {caBundle: c}}`, `{spec: {insecureSkipTLSVerify: true}}`},
		"the addresses of a Node": {node,
			`{spec: {unschedulable: true}}`, `{spec: {podCIDR: a, podCIDRs: [a], providerID: p, taints: [{key: x}]}}`, `{spec: {unschedulable: true, podCIDR: a, podCIDRs: [a], providerID: p}}`},
		"of a Pod everything that the manifest does not set": {pod,
			`{spec: {containers: [{name: b, image: new}, {name: a, image: i, volumeMounts: [{name: d, mountPath: /d}]}], volumes: [{name: d}], tolerations: [{key: mine}]}}`,
			`{spec: {nodeName: n, containers: [{name: injected}, {name: a, image: i, volumeMounts: [{name: kube-api-access-x, mountPath: /var/run}, {name: d, mountPath: /d, readOnly: true}]}, {name: b, image: old, terminationMessagePath: /x}], volumes: [{name: d, emptyDir: {}}, {name: kube-api-access-x}], tolerations: [{key: theirs}, {key: more}]}}`,
			`{spec: {nodeName: n, containers: [{name: injected}, {name: a, image: i, volumeMounts: [{name: kube-api-access-x, mountPath: /var/run}, {name: d, mountPath: /d, readOnly: true}]}, {name: b, image: new, terminationMessagePath: /x}], volumes: [{name: d, emptyDir: {}}, {name: kube-api-access-x}], tolerations: [{key: theirs}, {key: more}, {key: mine}]}}`},
		"nothing of a kind that is not known": {custom, `{spec: {a: 1}}`, `{spec: {a: 2, b: 3}}`, `{spec: {a: 1}}`},
		"the status, which types without a subresource would lose": {custom,
			`{spec: {}, status: {of: manifest}}`, `{status: {of: member}}`, `{spec: {}, status: {of: member}}`},
	} {
		t.Run(name, func(t *testing.T) {
			got := body(ForUpdate(tree(t, c.manifest), tree(t, c.live), c.kind, Rules{}))
			if diff := cmp.Diff(tree(t, c.want), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestUpdateLeavesTheFieldsThatAreNamed(t *testing.T) {
	for name, c := range map[string]struct{ pointer, manifest, live, want string }{
		"whatever the manifest says":      {"/spec/a", `{spec: {a: 1, b: 2}}`, `{spec: {a: 3, b: 4}}`, `{spec: {a: 3, b: 2}}`},
		"absent as well":                  {"/spec/a", `{spec: {a: 1, b: 2}}`, `{spec: {b: 4}}`, `{spec: {b: 2}}`},
		"below what the manifest lacks":   {"/spec/x/a", `{spec: {}}`, `{spec: {x: {a: 1, b: 2}}}`, `{spec: {x: {a: 1}}}`},
		"below what it says is nothing":   {"/spec/x/a", `{spec: {x: null}}`, `{spec: {x: {a: 1, b: 2}}}`, `{spec: {x: {a: 1}}}`},
		"not if their parent is new":      {"/spec/x/a", `{spec: {x: {a: 1}}}`, `{spec: {}}`, `{spec: {x: {a: 1}}}`},
		"in items of the same name":       {"/spec/l/*/a", `{spec: {l: [{name: x, a: 1}, {name: new, a: 2}]}}`, `{spec: {l: [{name: gone, a: 7}, {name: x, a: 8}]}}`, `{spec: {l: [{name: x, a: 8}, {name: new, a: 2}]}}`},
		"in items at the same place":      {"/spec/l/*/a", `{spec: {l: [{a: 1}, {a: 2}]}}`, `{spec: {l: [{a: 7}, {a: 8}]}}`, `{spec: {l: [{a: 7}, {a: 8}]}}`},
		"in one item":                     {"/spec/l/1/a", `{spec: {l: [{a: 1}, {a: 2}]}}`, `{spec: {l: [{a: 7}, {a: 8}]}}`, `{spec: {l: [{a: 1}, {a: 8}]}}`},
		"under any key":                   {"/spec/*/a", `{spec: {x: {a: 1}, y: {a: 1}}}`, `{spec: {x: {a: 2}, z: {a: 3}}}`, `{spec: {x: {a: 2}, y: {a: 1}, z: {a: 3}}}`},
		"as whole items":                  {"/spec/l/*", `{spec: {l: [{name: x, a: 1}]}}`, `{spec: {l: [{name: x, b: 1}]}}`, `{spec: {l: [{name: x, b: 1}]}}`},
		"not in what is of another shape": {"/spec/x/a", `{spec: {x: text}}`, `{spec: {x: {a: 1}}}`, `{spec: {x: text}}`},
	} {
		t.Run(name, func(t *testing.T) {
			fields, err := retain.Parse([]v1beta1.RetainedField{{Path: c.pointer}})
			if err != nil {
				t.Fatal(err)
			}
			got := body(ForUpdate(tree(t, c.manifest), tree(t, c.live), custom, Rules{RetainFields: fields}))
			if diff := cmp.Diff(tree(t, c.want), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// A condition is asked of what the member has and what is sent, not of what another field has made of that.
func TestUpdateLeavesAFieldIfItsConditionIsTrue(t *testing.T) {
	fields, err := retain.Parse([]v1beta1.RetainedField{{Path: "/spec/mode"}, {Path: "/spec/size", When: "member.spec.mode == 'Auto' && template.spec.mode == 'Manual'"}})
	if err != nil {
		t.Fatal(err)
	}
	rules := Rules{RetainFields: fields}
	for live, want := range map[string]string{
		`{spec: {mode: Auto, size: 5}}`:  `{spec: {mode: Auto, size: 5}}`,
		`{spec: {mode: Other, size: 5}}`: `{spec: {mode: Other, size: 1}}`,
		`{spec: {size: 5}}`:              `{spec: {size: 5}}`, // it cannot be told, and nothing is lost
	} {
		rendered := tree(t, `{spec: {mode: Manual, size: 1}}`)
		if diff := cmp.Diff(tree(t, want), body(ForUpdate(rendered, tree(t, live), custom, rules))); diff != "" {
			t.Errorf("over %s (-want +got):\n%s", live, diff)
		}
		if kept := Kept(rendered, tree(t, live), rules); (len(kept) == 1) != (live == `{spec: {size: 5}}`) {
			t.Errorf("over %s: said was %q", live, kept)
		}
	}
}

func TestCreateRecordsWhatTheManifestSets(t *testing.T) {
	object := tree(t, `{metadata: {labels: {kubefed.io/managed: "true", b: "1", a: "1"}, annotations: {federation.koinon.io/federated-object: n/n}, finalizers: [x/z, x/y]}, webhooks: [{name: a, clientConfig: {caBundle: x}}, {name: b}]}`)
	got := child(ForCreate(object, webhooks), "metadata", "annotations")[manifest.RecordAnnotation]
	if want := `{"labels":["a","b"],"finalizers":["x/y","x/z"],"fields":["/webhooks[name=a]/clientConfig/caBundle"]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestUpdateRetainsReplicas(t *testing.T) {
	for name, c := range map[string]struct{ manifest, live, want string }{
		"those of the member":                 {`{spec: {replicas: 1}}`, `{spec: {replicas: 7}}`, `{spec: {replicas: 7}}`},
		"those of the member, none being set": {`{spec: {}}`, `{spec: {replicas: 7}}`, `{spec: {replicas: 7}}`},
		"none at all":                         {`{spec: {replicas: 1}}`, `{spec: {replicas: 0}}`, `{spec: {replicas: 0}}`},
		"the manifest's, if it has none":      {`{spec: {replicas: 1}}`, `{spec: {}}`, `{spec: {replicas: 1}}`},
	} {
		t.Run(name, func(t *testing.T) {
			got := body(ForUpdate(tree(t, c.manifest), tree(t, c.live), deployment, Rules{RetainReplicas: true}))
			if diff := cmp.Diff(tree(t, c.want), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestUpdateIsForTheObjectThatWasRead(t *testing.T) {
	live := tree(t, `{metadata: {uid: u, resourceVersion: "7", generation: 3, creationTimestamp: "2026-01-01T00:00:00Z", managedFields: []}}`)
	got := child(ForUpdate(tree(t, `{metadata: {name: n, namespace: m}}`), live, configMap, Rules{}), "metadata")
	delete(got, "annotations")
	if diff := cmp.Diff(tree(t, `{name: n, namespace: m, uid: u, resourceVersion: "7"}`), got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func entry(manager, operation, fields string) string {
	return `{manager: ` + manager + `, operation: ` + operation + `, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: ` + fields + `}`
}

func TestUpdateKeepsTheMetadataOfOthers(t *testing.T) {
	const record = `federation.koinon.io/manifest-metadata: `
	for name, c := range map[string]struct{ manifest, live, want string }{
		"what a manifest no longer has goes, what others set stays": {
			`{labels: {a: "1"}, annotations: {x: "1"}}`,
			`{labels: {a: "2", old: "1", theirs: "1"}, annotations: {x: "2", old: "1", theirs: "1", ` + record + `'{"labels":["a","old"],"annotations":["old","x"]}'}}`,
			`{labels: {a: "1", theirs: "1"}, annotations: {x: "1", theirs: "1", ` + record + `'{"labels":["a"],"annotations":["x"]}'}}`},
		"what was ours and somebody else applied stays": {
			`{}`,
			`{labels: {old: "1"}, annotations: {` + record + `'{"labels":["old"]}'}, managedFields: [` + entry("helm", "Apply", `{f:metadata: {f:labels: {f:old: {}}}}`) + `]}`,
			`{labels: {old: "1"}, annotations: {` + record + `'{}'}}`},
		"what admission adds to our requests stays": {
			`{}`,
			`{labels: {injected: "1"}, finalizers: [kubernetes.io/pvc-protection], annotations: {webhook: "1", ` + record + `'{}'}, managedFields: [` + entry("koinon", "Update", `{f:metadata: {f:labels: {f:injected: {}}, f:annotations: {f:webhook: {}}, f:finalizers: {'v:"kubernetes.io/pvc-protection"': {}}}}`) + `]}`,
			`{labels: {injected: "1"}, finalizers: [kubernetes.io/pvc-protection], annotations: {webhook: "1", ` + record + `'{}'}}`},
		"of an object without a record, what we have applied goes": {
			`{}`,
			`{labels: {old: "1", theirs: "1"}, annotations: {old: "1"}, finalizers: [old/x, theirs/x], ownerReferences: [{uid: old}, {uid: theirs}], managedFields: [` +
				entry("koinon", "Apply", `{f:metadata: {f:labels: {.: {}, f:old: {}}, f:annotations: {f:old: {}}, f:finalizers: {'v:"old/x"': {}}, f:ownerReferences: {'k:{"uid":"old"}': {.: {}, f:uid: {}}}}}`) + `]}`,
			`{labels: {theirs: "1"}, annotations: {` + record + `'{}'}, finalizers: [theirs/x], ownerReferences: [{uid: theirs}]}`},
		"of an object without a record, finalizers stay that may be of admission": {
			`{}`,
			`{labels: {old: "1"}, finalizers: [a/x], managedFields: [` + entry("koinon", "Update", `{f:metadata: {f:labels: {f:old: {}}, f:finalizers: {'v:"a/x"': {}}}}`) + `]}`,
			`{finalizers: [a/x], labels: {}, annotations: {` + record + `'{}'}}`},
		"labels that KubeFed set go, annotations and finalizers stay": {
			`{labels: {kubefed.io/managed: "true"}}`,
			`{labels: {kubefed.io/managed: "true", old: "1"}, annotations: {member: "1"}, finalizers: [a/x], managedFields: [` + entry("controller-manager", "Update", `{f:metadata: {f:labels: {f:old: {}, f:kubefed.io/managed: {}}, f:annotations: {f:member: {}}, f:finalizers: {'v:"a/x"': {}}}}`) + `]}`,
			`{labels: {kubefed.io/managed: "true"}, annotations: {member: "1", ` + record + `'{}'}, finalizers: [a/x]}`},
		"a controller-manager is not KubeFed's where nothing else is": {
			`{labels: {kubefed.io/managed: "true"}}`,
			`{labels: {theirs: "1"}, managedFields: [` + entry("controller-manager", "Update", `{f:metadata: {f:labels: {f:theirs: {}}}}`) + `]}`,
			`{labels: {kubefed.io/managed: "true", theirs: "1"}, annotations: {` + record + `'{}'}}`},
		"finalizers of a manifest are set, and go": {
			`{finalizers: [new/x]}`,
			`{finalizers: [old/x, theirs/x], annotations: {` + record + `'{"finalizers":["old/x"]}'}}`,
			`{finalizers: [theirs/x, new/x], annotations: {` + record + `'{"finalizers":["new/x"]}'}}`},
		"an object that is being deleted gets none": {
			`{finalizers: [new/x]}`,
			`{deletionTimestamp: "2026-01-01T00:00:00Z", finalizers: [theirs/x]}`,
			`{finalizers: [theirs/x], annotations: {` + record + `'{"finalizers":["new/x"]}'}}`},
		"owners are put in once": {
			`{ownerReferences: [{uid: a, name: new}]}`, `{ownerReferences: [{uid: b}, {uid: a, name: old}]}`,
			`{ownerReferences: [{uid: b}, {uid: a, name: new}], annotations: {` + record + `'{}'}}`},
		"a record that cannot be read is none": {
			`{}`, `{labels: {theirs: "1"}, annotations: {` + record + `'{'}}`, `{labels: {theirs: "1"}, annotations: {` + record + `'{}'}}`},
	} {
		t.Run(name, func(t *testing.T) {
			object, live := map[string]any{"metadata": tree(t, c.manifest)}, map[string]any{"metadata": tree(t, c.live)}
			got := child(ForUpdate(object, live, configMap, Rules{}), "metadata")
			if diff := cmp.Diff(tree(t, c.want), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestForeignFieldsAreKeptOnRequest(t *testing.T) {
	for name, c := range map[string]struct{ manager, fields, manifest, live, want string }{
		"a key beside the manifest's": {"kubectl", `{f:data: {f:theirs: {}, f:ours: {}}}`,
			`{data: {ours: a}}`, `{data: {ours: b, theirs: c, nobodys: d}}`, `{data: {ours: a, theirs: c}}`},
		"a field whose parent the manifest does not have": {"kubectl", `{f:spec: {f:a: {f:b: {}}}}`,
			`{}`, `{spec: {a: {b: 1, c: 2}}}`, `{spec: {a: {b: 1}}}`},
		"not what we own": {"koinon", `{f:data: {f:old: {}}}`, `{data: {}}`, `{data: {old: a}}`, `{data: {}}`},
		"not what KubeFed wrote": {"controller-manager", `{f:data: {f:old: {}}}`,
			`{data: {}}`, `{data: {old: a}}`, `{data: {}}`},
		"fields of an item of both, and items of theirs, in their order": {"injector",
			`{f:spec: {f:containers: {'k:{"name":"app"}': {f:image: {}, f:env: {.: {}, 'k:{"name":"X"}': {.: {}, f:name: {}, f:value: {}}}}, 'k:{"name":"z"}': {.: {}, f:name: {}, f:image: {}}, 'k:{"name":"w"}': {.: {}, f:name: {}}}}}`,
			`{spec: {containers: [{name: app, image: ours}]}}`,
			`{spec: {containers: [{name: z, image: z, nobodys: 1}, {name: app, image: theirs, env: [{name: X, value: "1"}]}, {name: w}]}}`,
			`{spec: {containers: [{name: app, image: ours, env: [{name: X, value: "1"}]}, {name: z, image: z}, {name: w}]}}`},
		"an item whose key has a default that the manifest leaves out": {"kubectl",
			`{f:spec: {f:ports: {'k:{"port":80,"protocol":"TCP"}': {.: {}, f:port: {}, f:nodePort: {}}}}}`,
			`{spec: {ports: [{port: 80}]}}`, `{spec: {ports: [{port: 80, protocol: TCP, nodePort: 30000}]}}`, `{spec: {ports: [{port: 80, nodePort: 30000}]}}`},
		"values of a set": {"kubectl", `{f:spec: {f:set: {'v:"theirs"': {}, 'v:"both"': {}}}}`,
			`{spec: {set: [both, ours]}}`, `{spec: {set: [theirs, both, nobodys]}}`, `{spec: {set: [both, ours, theirs]}}`},
		"not below what is of another type in the manifest": {"kubectl", `{f:spec: {f:x: {f:a: {}}}}`,
			`{spec: {x: text}}`, `{spec: {x: {a: 1}}}`, `{spec: {x: text}}`},
		"a list that is owned as a whole, if the manifest has none": {"kubectl", `{f:spec: {f:l: {}, f:k: {}}}`,
			`{spec: {k: [1]}}`, `{spec: {l: [1, 2], k: [3]}}`, `{spec: {l: [1, 2], k: [1]}}`},
		"not metadata of which nothing is told, nor what is gone": {"kubectl", `{f:metadata: {f:generateName: {}}, f:spec: {f:gone: {}}}`,
			`{}`, `{spec: {}}`, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			live := tree(t, c.live)
			live["metadata"] = tree(t, `{managedFields: [`+entry(c.manager, "Update", c.fields)+`]}`)
			got := body(ForUpdate(tree(t, c.manifest), live, custom, Rules{KeepForeign: true}))
			if diff := cmp.Diff(tree(t, c.want), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			got = body(ForUpdate(tree(t, c.manifest), live, custom, Rules{}))
			if diff := cmp.Diff(tree(t, c.manifest), got); diff != "" {
				t.Errorf("kept without having been asked for (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRewrittenNamesWhatTheMemberAnswersOtherwise(t *testing.T) {
	sent := tree(t, `{metadata: {labels: {a: "1", b: "1", example.com/c: "1"}, annotations: {d: "1"}}, spec: {e: 1}}`)
	answered := tree(t, `{metadata: {labels: {a: "1", b: "2", f: "1"}, annotations: {g: "1"}, uid: u}, spec: {e: 2}}`)
	if diff := cmp.Diff([]string{".metadata.annotations.d", ".metadata.labels.b", ".metadata.labels[example.com/c]"}, Rewritten(sent, answered)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestContestNamesFieldsAndWriters(t *testing.T) {
	entries := func(texts ...string) []metav1.ManagedFieldsEntry {
		var out []metav1.ManagedFieldsEntry
		if err := yaml.Unmarshal([]byte("["+strings.Join(texts, ", ")+"]"), &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	for name, c := range map[string]struct {
		before, after string
		managers      []metav1.ManagedFieldsEntry
		want          []Contested
	}{
		"nothing is different": {`{spec: {a: 1}, status: {x: 1}, metadata: {resourceVersion: "1"}}`, `{spec: {a: 1}, status: {x: 2}, metadata: {resourceVersion: "2"}}`, nil, nil},
		"a field of a named item, by two": {
			`{spec: {containers: [{name: app, image: theirs}, {name: side, image: i}]}}`, `{spec: {containers: [{name: app, image: ours}]}}`,
			entries(entry("kubectl", "Update", `{f:spec: {f:containers: {'k:{"name":"app"}': {f:image: {}}}}}`),
				entry("argo", "Apply", `{f:spec: {f:containers: {'k:{"name":"app"}': {f:image: {}}, 'k:{"name":"side"}': {.: {}, f:name: {}}}}}`),
				entry("koinon", "Update", `{f:spec: {f:containers: {'k:{"name":"app"}': {f:image: {}}}}}`)),
			[]Contested{{".spec.containers[name=app].image", "argo, kubectl"}, {".spec.containers[name=side]", "argo"}}},
		"a key with dots, of nobody": {
			`{metadata: {labels: {example.com/a: "1"}}}`, `{metadata: {labels: {example.com/a: "2"}}}`, nil,
			[]Contested{{".metadata.labels[example.com/a]", ""}}},
		"a list that somebody owns as a whole": {
			`{spec: {l: [1, 2]}}`, `{spec: {l: [1, 3]}}`, entries(entry("kubectl", "Update", `{f:spec: {f:l: {}}}`)),
			[]Contested{{".spec.l[1]", "kubectl"}}},
		"the order alone": {`{spec: {l: [{name: a}, {name: b}]}}`, `{spec: {l: [{name: b}, {name: a}]}}`, nil, []Contested{{".spec.l", ""}}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Contest(tree(t, c.before), tree(t, c.after), c.managers)
			if diff := cmp.Diff(c.want, append([]Contested(nil), got...)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	many := map[string]any{}
	for _, key := range strings.Split("abcdefghijklmnop", "") {
		many[key] = key
	}
	if got := Contest(map[string]any{"data": many}, map[string]any{"data": map[string]any{}}, nil); len(got) != 10 || got[0].Path != ".data.a" || got[9].Path != ".data.j" {
		t.Errorf("got %v, want the first ten", got)
	}
}
