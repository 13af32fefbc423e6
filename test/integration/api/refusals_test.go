package api_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// anyTemplate is a template of a Deployment.
const anyTemplate = `template: {spec: {replicas: 1}}`

// object is a manifest of one of the kinds that people write.
func object(version, kind, name, spec string) string {
	return fmt.Sprintf(`{apiVersion: %s, kind: %s, metadata: {name: %s, namespace: %%s}, spec: {%s}}`, version, kind, name, spec)
}

func federated(spec string) string {
	return object("types.kubefed.io/v1beta2", "FederatedDeployment", "web", spec)
}

func federatedV1(spec string) string {
	return object("types.kubefed.io/v1beta1", "FederatedDeployment", "web", spec)
}

const invalid = `The FederatedDeployment "web" is invalid: `

// What kubectl says is what people read, so that is what the test compares.
func TestEveryRefusalIsOneClearSentence(t *testing.T) {
	f := newFixture(t)
	shop := f.namespace("shop", `federation.koinon.io/tenant: red`)
	f.namespace("other", `federation.koinon.io/tenant: blue`)
	f.namespace("shop-b", `federation.koinon.io/tenant: red`)
	f.members()
	for sentence, tc := range map[string]struct{ manifest, want string }{
		"an unknown topologyType": {
			federated(`topologyType: rack, ` + anyTemplate),
			invalid + `spec.topologyType: Invalid value: "rack": must be one of cell, cluster, edgeunit, or one of these, a colon and the key of a label that divides them, such as cell:rack`,
		},
		"zones and a selector": {
			federated(`topologyType: "cell:zone", ` + anyTemplate + `, placement: {topologies: [{name: a}], topologySelector: {}}`),
			invalid + `spec.placement.topologySelector: Forbidden: topologyType is cell:zone, so there may be topologies or a topologySelector, and not both`,
		},
		"a dot in the name of a placed cell": {
			federated(`topologyType: cell, ` + anyTemplate + `, placement: {topologies: [{name: rz00a.shop}]}`),
			invalid + `spec.placement.topologies[0].name: Invalid value: "rz00a.shop": the name of a cell holds no dot: write rz00a`,
		},
		"a dot in the name of a placed cell that is no cluster's": {
			federated(`topologyType: cell, ` + anyTemplate + `, placement: {topologies: [{name: rz.00a}]}`),
			invalid + `spec.placement.topologies[0].name: Invalid value: "rz.00a": the name of a cell holds no dot`,
		},
		"a dot in the name of a cell": {
			object("federation.koinon.io/v1alpha1", "Cell", "rz.00a", `clusterName: m-red`),
			`The Cell "rz.00a" is invalid: metadata.name: Invalid value: "rz.00a": must not contain a dot: the name and the namespace, joined by a dot, are the name of a KubeFedCluster`,
		},
		"two cells on one member namespace": {
			object("federation.koinon.io/v1alpha1", "Cell", "rz01a", `clusterName: m-red, memberNamespace: shop-rz00a`),
			`The Cell "rz01a" is invalid: spec.memberNamespace: Invalid value: "shop-rz00a": namespace "shop-rz00a" of member "m-red" belongs to cell shop/rz00a (and does so after it is deleted, until nothing of it is left in the member): set another one`,
		},
		"a cell that has the name of another namespace of the host": {
			object("federation.koinon.io/v1alpha1", "Cell", "rz01a", `clusterName: m-red, memberNamespace: other`),
			`The Cell "rz01a" is invalid: spec.memberNamespace: Invalid value: "other": the host has a namespace "other", whose objects go to the namespaces of that name: set another one`,
		},
		"a cell in a namespace of the member itself": {
			object("federation.koinon.io/v1alpha1", "Cell", "rz01a", `clusterName: m-red, memberNamespace: kube-system`),
			`The Cell "rz01a" is invalid: spec.memberNamespace: Invalid value: "kube-system": namespace "kube-system" of member "m-red" belongs to the member itself; nothing is placed there unless spec.allowedSystemNamespaces of KubeFedCluster "m-red" names it`,
		},
		"an edge unit whose default name is another cell's": {
			strings.ReplaceAll(object("edge.koinon.io/v1alpha1", "EdgeUnit", "c", `clusterName: m-red`), "%s", "shop-b"),
			`The EdgeUnit "c" is invalid: spec.memberNamespace: Invalid value: "shop-b-c": the default, <namespace>-<name>, is ambiguous: it is the name of namespaces of cell shop/b-c too; set another one`,
		},
		"a namespace of a member that has two owners": {
			`{apiVersion: federation.koinon.io/v1alpha1, kind: MemberNamespace, metadata: {name: web}, spec: {owners: [{kind: Namespace, namespace: web, members: [m1]}, {kind: Cell, namespace: a, name: b, members: [m1]}]}}`,
			`The MemberNamespace "web" is invalid: spec.owners[1].members[0]: Invalid value: "m1": is in spec.owners[0].members[0] already: a namespace of a member has one owner`,
		},
		"a target whose namespace is a cell's": {
			strings.ReplaceAll(federated(anyTemplate+`, placement: {topologies: [{name: m-red}]}`), "%s", "shop-rz00a"),
			invalid + `spec.placement.topologies[0].name: Forbidden: "m-red" is refused: namespace "shop-rz00a" of member "m-red" belongs to cell shop/rz00a`,
		},
		"a target in a namespace of the member itself, in the cluster shape": {
			strings.ReplaceAll(federatedV1(anyTemplate+`, placement: {clusters: [{name: m-open}]}`), "%s", "default"),
			invalid + `spec.placement.clusters[0].name: Forbidden: "m-open" is refused: namespace "default" of member "m-open" belongs to the member itself; nothing is placed there unless spec.allowedSystemNamespaces of KubeFedCluster "m-open" names it`,
		},
		"a cell on another tenant's member": {
			object("federation.koinon.io/v1alpha1", "Cell", "rz01a", `clusterName: m-blue`),
			`The Cell "rz01a" is invalid: spec.clusterName: Invalid value: "m-blue": the member has the label federation.koinon.io/tenant=blue, and namespace "shop" has red: both must be the same`,
		},
		"an override of a forbidden path": {
			federated(anyTemplate + `, overrides: [{topologyName: m-red, topologyOverrides: [{path: /metadata/name, value: x}]}]`),
			invalid + `spec.overrides[0].topologyOverrides[0].path: Invalid value: "/metadata/name": /kind, /metadata/name, /metadata/namespace and /metadata/generateName may not be overridden: they say which object it is`,
		},
		"an override of a forbidden path, in the cluster shape": {
			federatedV1(anyTemplate + `, overrides: [{clusterName: m-red, clusterOverrides: [{path: /kind, value: x}]}]`),
			invalid + `spec.overrides[0].clusterOverrides[0].path: Invalid value: "/kind": /kind, /metadata/name, /metadata/namespace and /metadata/generateName may not be overridden: they say which object it is`,
		},
		"the same target twice": {
			federated(anyTemplate + `, placement: {topologies: [{name: m-red}, {name: m-red}]}`),
			invalid + `spec.placement.topologies[1].name: Duplicate value: "m-red": a target is listed once`,
		},
		"the same target twice, in the cluster shape": {
			federatedV1(anyTemplate + `, placement: {clusters: [{name: m-red}, {name: m-red}]}`),
			invalid + `spec.placement.clusters[1].name: Duplicate value: "m-red": a target is listed once`,
		},
		"two overrides of one target": {
			federated(anyTemplate + `, overrides: [{topologyName: m-red}, {topologyName: m-red}]`),
			invalid + `spec.overrides[1].topologyName: Duplicate value: "m-red": a target has one entry, with all of its changes in topologyOverrides`,
		},
		"a template of the wrong kind": {
			federated(`template: {kind: Service}`),
			invalid + `spec.template.kind: Invalid value: "Service": must be Deployment, or left out`,
		},
		"a template of the wrong version": {
			federated(`template: {apiVersion: v1}`),
			invalid + `spec.template.apiVersion: Invalid value: "v1": must be apps/v1, or left out`,
		},
		"a template that is a list": {
			federated(`template: [1]`),
			invalid + `spec.template: Invalid value: "[1]": must be an object: the Deployment to create in each target`,
		},
		"a template that is a string": {
			federated(`template: hello`),
			invalid + `spec.template: Invalid value: "\"hello\"": must be an object: the Deployment to create in each target`,
		},
		"no template": {
			federated(``),
			invalid + `spec.template: Required value: the Deployment to create in each target, without name and namespace`,
		},
		"a template of 2 MiB": {
			object("types.kubefed.io/v1beta2", "FederatedConfigMap", "web", `template: {data: {a: "`+strings.Repeat("x", 2<<20)+`"}}`),
			`The FederatedConfigMap "web" is invalid: spec.template: Invalid value: at most 1048576 bytes (1 MiB) are allowed, in which data of Secrets count in base64`,
		},
		"an unknown field in a template": {
			federated(`template: {spec: {replcas: 3}}`),
			invalid + `spec.template.spec.replcas: Invalid value: 3: apps/v1 Deployment has no such field; did you mean "replicas"?`,
		},
		"a field of the wrong type in a template": {
			federated(`template: {spec: {replicas: three}}`),
			invalid + `spec.template.spec.replicas: Invalid value: "three": must be an integer`,
		},
		"a target of another tenant": {
			federated(anyTemplate + `, placement: {topologies: [{name: m-blue}]}`),
			invalid + `spec.placement.topologies[0].name: Forbidden: "m-blue" has the label federation.koinon.io/tenant=blue, and namespace "shop" has red: both must be the same`,
		},
		"a tenant's target, for a namespace of no tenant": {
			strings.ReplaceAll(federated(anyTemplate+`, placement: {topologies: [{name: m-blue}]}`), "%s", "default"),
			invalid + `spec.placement.topologies[0].name: Forbidden: "m-blue" has the label federation.koinon.io/tenant=blue, and namespace "default" has none: both must be the same`,
		},
		"a cluster that has the name of a cell": {
			object("core.kubefed.io/v1beta1", "KubeFedCluster", "rz00b.shop", `apiEndpoint: "https://m", secretRef: {name: m}`),
			`The KubeFedCluster "rz00b.shop" is invalid: metadata.name: Invalid value: "rz00b.shop": a name with a dot is reserved for the KubeFedClusters of cells and edge units (<cell>.<namespace>, <unit>.<namespace>.edgeunit), which carry the label federation.koinon.io/topology; use a name without dots`,
		},
		"a cluster that has the name of an edge unit": {
			object("core.kubefed.io/v1beta1", "KubeFedCluster", "u1.shop.edgeunit", `apiEndpoint: "https://m", secretRef: {name: m}`),
			`The KubeFedCluster "u1.shop.edgeunit" is invalid: metadata.name: Invalid value: "u1.shop.edgeunit": a name with a dot is reserved for the KubeFedClusters of cells and edge units (<cell>.<namespace>, <unit>.<namespace>.edgeunit), which carry the label federation.koinon.io/topology; use a name without dots`,
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			manifest := strings.ReplaceAll(tc.manifest, "%s", shop)
			said, err := f.apply(manifest, "create", "--dry-run=server")
			if diff := cmp.Diff(tc.want, said); err == nil || diff != "" {
				t.Errorf("kubectl says (-want +got), error %v:\n%s", err, diff)
			}
		})
	}
}

func TestWhatIsOddIsTakenWithAWarning(t *testing.T) {
	f := newFixture(t)
	namespace := f.namespace("odd")
	for sentence, tc := range map[string]struct{ manifest, warning string }{
		"a cluster that is not there": {
			federated(anyTemplate + `, placement: {topologies: [{name: m9}]}`),
			`spec.placement.topologies[0].name: "m9": there is no KubeFedCluster of that name; nothing happens there until it is created`,
		},
		"a cluster that is not there, in the cluster shape": {
			federatedV1(anyTemplate + `, placement: {clusters: [{name: m9}]}`),
			`spec.placement.clusters[0].name: "m9": there is no KubeFedCluster of that name; nothing happens there until it is created`,
		},
		"a cell that is not there": {
			federated(`topologyType: cell, ` + anyTemplate + `, placement: {topologies: [{name: rz09a}]}`),
			`spec.placement.topologies[0].name: "rz09a": there is no Cell of that name in namespace odd; nothing happens there until it is created`,
		},
		"a zone that no cell is in": {
			federated(`topologyType: "cell:zone", ` + anyTemplate + `, placement: {topologies: [{name: a}]}`),
			`spec.placement.topologies[0].name: "a": there is no cell with the label zone=a that the object may use; nothing happens until there is one`,
		},
		"a region that no cluster is in": {
			federated(`topologyType: "cluster:region", ` + anyTemplate + `, placement: {topologies: [{name: nowhere}]}`),
			`spec.placement.topologies[0].name: "nowhere": there is no cluster with the label region=nowhere that the object may use; nothing happens until there is one`,
		},
		"a cell on a member that is not there": {
			object("federation.koinon.io/v1alpha1", "Cell", "rz09a", `clusterName: m9`),
			`spec.clusterName: there is no KubeFedCluster "m9" yet; the cell is not ready until there is one`,
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			said, err := f.apply(fmt.Sprintf(tc.manifest, namespace), "create", "--dry-run=server")
			warning, rest, _ := strings.Cut(said, "\n")
			if diff := cmp.Diff("Warning: "+tc.warning, warning); err != nil || diff != "" || !strings.Contains(rest, "created (server dry run)") {
				t.Errorf("kubectl says (-want +got), error %v, and %q:\n%s", err, rest, diff)
			}
		})
	}
}

func TestACellOnAMissingMemberSaysSoInItsCondition(t *testing.T) {
	f := newFixture(t)
	namespace := f.namespace("waiting")
	cells := schema.GroupVersionResource{Group: "federation.koinon.io", Version: "v1alpha1", Resource: "cells"}
	f.create(cells, namespace, fmt.Sprintf(object("federation.koinon.io/v1alpha1", "Cell", "rz09a", `clusterName: m9`), namespace))
	f.kubectl("wait", "cell/rz09a", "-n", namespace, "--for=condition=Ready=false", "--timeout=60s")
	got := f.kubectl("get", "cell", "rz09a", "-n", namespace, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].reason}: {.status.conditions[?(@.type=="Ready")].message}`)
	if want := `MemberNotFound: spec.clusterName: there is no KubeFedCluster "m9"; the cell is used once it exists`; got != want {
		t.Errorf("condition: got %q, want %q", got, want)
	}
}

// members makes a member of each tenant, and a cell in namespace shop.
func (f *fixture) members() {
	f.t.Helper()
	for _, tenant := range []string{"red", "blue"} {
		f.create(clusters, systemNamespace, fmt.Sprintf(`{apiVersion: core.kubefed.io/v1beta1, kind: KubeFedCluster, metadata: {name: m-%s, labels: {federation.koinon.io/tenant: %s}},
spec: {apiEndpoint: "https://127.0.0.1:1", secretRef: {name: m}}}`, tenant, tenant))
	}
	f.create(clusters, systemNamespace, `{apiVersion: core.kubefed.io/v1beta1, kind: KubeFedCluster, metadata: {name: m-open}, spec: {apiEndpoint: "https://127.0.0.1:1", secretRef: {name: m}}}`)
	cells := schema.GroupVersionResource{Group: "federation.koinon.io", Version: "v1alpha1", Resource: "cells"}
	f.create(cells, "shop", fmt.Sprintf(object("federation.koinon.io/v1alpha1", "Cell", "rz00a", `clusterName: m-red`), "shop"))
	f.create(cells, "shop", fmt.Sprintf(object("federation.koinon.io/v1alpha1", "Cell", "b-c", `clusterName: m-red2`), "shop"))
	f.namespace("shop-rz00a", `federation.koinon.io/tenant: red`) // after the cell
	f.eventually("admission has seen the clusters", f.foreignIsRefused)
}

// foreignIsRefused: admission may be some milliseconds behind.
func (f *fixture) foreignIsRefused(context.Context) error {
	for _, name := range []string{"m-red", "m-blue", "m-open"} {
		said, _ := f.apply(fmt.Sprintf(federated(anyTemplate+`, placement: {topologies: [{name: `+name+`}]}`), "shop"), "create", "--dry-run=server")
		if strings.Contains(said, "there is no KubeFedCluster") {
			return fmt.Errorf("%s", said)
		}
	}
	return nil
}
