package validation_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion/conversiontest"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/validation"
)

var deployments = validation.Options{TargetKind: "Deployment", TargetAPIVersion: "apps/v1", Namespaced: true, RequestedVersion: "v1beta2"}

func clusterShape(o validation.Options) validation.Options {
	o.RequestedVersion = "v1beta1"
	return o
}

// federated returns a FederatedDeployment web in namespace shop with the given spec, as
// JSON without its outer braces.
func federated(t *testing.T, spec string) *v1beta2.FederatedObject {
	t.Helper()
	var obj v1beta2.FederatedObject
	data := `{"apiVersion":"types.kubefed.io/v1beta2","kind":"FederatedDeployment","metadata":{"name":"web","namespace":"shop"},"spec":{` + spec + `}}`
	if err := json.Unmarshal([]byte(data), &obj); err != nil {
		t.Fatalf("decode %s: %v", data, err)
	}
	return &obj
}

func sentences(errs field.ErrorList) []string {
	var out []string
	for _, err := range errs {
		out = append(out, err.Error())
	}
	return out
}

const (
	cell    = `"topologyType":"cell","template":{}`
	zone    = `"topologyType":"cell:zone","template":{}`
	cluster = `"topologyType":"cluster","template":{}`
)

func override(patch string) string {
	return cluster + `,"overrides":[{"topologyName":"m1","topologyOverrides":[` + patch + `]}]`
}

const forbidden = `/kind, /metadata/name, /metadata/namespace and /metadata/generateName may not be overridden: they say which object it is`

const (
	finalizers = `/metadata/finalizers may not be overridden: the copies could not be deleted before somebody in the member takes them off`
	owners     = `/metadata/ownerReferences may not be overridden: a member deletes an object whose owner is not there`
)

func TestRefusals(t *testing.T) {
	for sentence, tc := range map[string]struct {
		spec string
		// v1beta2 is the error for a client of v1beta2; v1beta1 for one of v1beta1, the same
		// if empty.
		v1beta2, v1beta1 string
	}{
		"a type that divides by no label": {
			spec:    `"topologyType":"cell:a b","template":{}`,
			v1beta2: `spec.topologyType: Invalid value: "cell:a b": after cell: comes the key of a label, such as zone or example.com/zone: "a b" is none`,
			v1beta1: `metadata.annotations[federation.koinon.io/topology].topologyType: Invalid value: "cell:a b": after cell: comes the key of a label, such as zone or example.com/zone: "a b" is none`,
		},
		"a group that is no value of a label": {
			spec:    zone + `,"placement":{"topologies":[{"name":"a/b"}]}`,
			v1beta2: `spec.placement.topologies[0].name: Invalid value: "a/b": topologyType is cell:zone, so the name is a value of the label zone: letters, digits, '-', '_' and '.', at most 63 of them, such as a`,
			v1beta1: `spec.placement.clusterSelector.matchExpressions[0].values[0]: Invalid value: "a/b": topologyType is cell:zone, so the name is a value of the label zone: letters, digits, '-', '_' and '.', at most 63 of them, such as a`,
		},
		"a group without a name": {
			spec:    zone + `,"placementMask":{"topologies":[{"name":""}]}`,
			v1beta2: `spec.placementMask.topologies[0].name: Required value: a value of the label zone, by which cell:zone goes`,
			v1beta1: `metadata.annotations[federation.koinon.io/topology].placementMask.topologies[0].name: Required value: a value of the label zone, by which cell:zone goes`,
		},
		"an override for no group": {
			spec:    zone + `,"overrides":[{"topologyName":"a b"}]`,
			v1beta2: `spec.overrides[0].topologyName: Invalid value: "a b": topologyType is cell:zone, so the name is a value of the label zone: letters, digits, '-', '_' and '.', at most 63 of them, such as a`,
			v1beta1: `spec.overrides[0].clusterName: Invalid value: "zone=a b": topologyType is cell:zone, so the name is a value of the label zone: letters, digits, '-', '_' and '.', at most 63 of them, such as a`,
		},
		"groups and a selector": {
			spec:    zone + `,"placement":{"topologies":[{"name":"a"}],"topologySelector":{}}`,
			v1beta2: `spec.placement.topologySelector: Forbidden: topologyType is cell:zone, so there may be topologies or a topologySelector, and not both`,
			v1beta1: `spec.placement.clusterSelector: Forbidden: topologyType is cell:zone, so there may be topologies or a topologySelector, and not both`,
		},
		"a group that is listed twice": {
			spec:    zone + `,"placement":{"topologies":[{"name":"a"},{"name":"a"}]}`,
			v1beta2: `spec.placement.topologies[1].name: Duplicate value: "a": a target is listed once`,
			v1beta1: `spec.placement.clusterSelector.matchExpressions[0].values[1]: Duplicate value: "a": a target is listed once`,
		},
		"a selector of groups by what the server sets": {
			spec:    zone + `,"placement":{"topologySelector":{"matchLabels":{"federation.koinon.io/topology":"cell"}}}`,
			v1beta2: `spec.placement.topologySelector.matchLabels[federation.koinon.io/topology]: Forbidden: is set by the server: select by other labels`,
			v1beta1: `spec.placement.clusterSelector.matchLabels[federation.koinon.io/topology]: Forbidden: is set by the server: select by other labels`,
		},
		"an unknown topologyType": {
			spec:    `"topologyType":"zone","template":{},"placement":{"topologies":[{"name":"eu"}]}`,
			v1beta2: `spec.topologyType: Invalid value: "zone": must be one of cell, cluster, edgeunit, or one of these, a colon and the key of a label that divides them, such as cell:zone`,
			v1beta1: `metadata.annotations[federation.koinon.io/topology].topologyType: Invalid value: "zone": must be one of cell, cluster, edgeunit, or one of these, a colon and the key of a label that divides them, such as cell:zone`,
		},
		"no template": {
			spec:    `"topologyType":"cluster"`,
			v1beta2: `spec.template: Required value: the Deployment to create in each target, without name and namespace`,
		},
		"a template of null": {
			spec:    `"topologyType":"cluster","template":null`,
			v1beta2: `spec.template: Required value: the Deployment to create in each target, without name and namespace`,
		},
		"a template that is not an object": {
			spec:    `"topologyType":"cluster","template":["a"]`,
			v1beta2: `spec.template: Invalid value: "[\"a\"]": must be an object: the Deployment to create in each target`,
		},
		"a template of another kind": {
			spec:    `"topologyType":"cluster","template":{"apiVersion":"apps/v1","kind":"Service"}`,
			v1beta2: `spec.template.kind: Invalid value: "Service": must be Deployment, or left out`,
		},
		"a template whose kind is no string": {
			spec:    `"topologyType":"cluster","template":{"kind":{}}`,
			v1beta2: `spec.template.kind: Invalid value: "{}": must be Deployment, or left out`,
		},
		"a template of another version": {
			spec:    `"topologyType":"cluster","template":{"apiVersion":"apps/v1beta1"}`,
			v1beta2: `spec.template.apiVersion: Invalid value: "apps/v1beta1": must be apps/v1, or left out`,
		},
		"template metadata that is no object": {
			spec:    `"topologyType":"cluster","template":{"metadata":[]}`,
			v1beta2: `spec.template.metadata: Invalid value: "[]": must be an object`,
		},
		"a template of 2 MiB": {
			spec:    `"topologyType":"cluster","template":{"a":"` + strings.Repeat("x", 2<<20-8) + `"}`,
			v1beta2: `spec.template: Invalid value: "2097152 bytes": at most 1048576 bytes (1 MiB) are allowed, in which data of Secrets count in base64`,
		},
		"override values that are too much beside the template": {
			spec:    `"topologyType":"cluster","template":{"a":"` + strings.Repeat("x", 1<<19) + `"},"overrides":[{"topologyName":"m1","topologyOverrides":[{"path":"/a","value":"` + strings.Repeat("x", 1<<19) + `"}]}]`,
			v1beta2: `spec: Invalid value: "1048588 bytes": at most 1048576 bytes (1 MiB) are allowed for template, override paths and override values together`,
		},
		"a mask that does not fit an annotation": {
			spec:    cluster + `,"placementMask":{"topologies":[` + longNames(1000) + `]}`,
			v1beta2: `spec: Invalid value: "214924 bytes": placementMask and overrides with a topologySelector may be 131072 bytes together, since v1beta1 carries them in an annotation`,
			v1beta1: `metadata.annotations[federation.koinon.io/topology]: Invalid value: "214924 bytes": placementMask and overrides with a topologySelector may be 131072 bytes together, since v1beta1 carries them in an annotation`,
		},
		"a cluster name with capitals": {
			spec:    cluster + `,"placement":{"topologies":[{"name":"M1"}]}`,
			v1beta2: `spec.placement.topologies[0].name: Invalid value: "M1": the name of a cluster is lower case letters, digits, '-' and '.', at most 253 of them, such as m1`,
			v1beta1: `spec.placement.clusters[0].name: Invalid value: "M1": the name of a cluster is lower case letters, digits, '-' and '.', at most 253 of them, such as m1`,
		},
		"a dot in a cell name": {
			spec:    cell + `,"placement":{"topologies":[{"name":"rz00a"},{"name":"rz01a.shop"}]}`,
			v1beta2: `spec.placement.topologies[1].name: Invalid value: "rz01a.shop": the name of a cell holds no dot: write rz01a`,
			v1beta1: `spec.placement.clusters[1].name: Invalid value: "rz01a.shop.shop": the name of a cell holds no dot: write rz01a`,
		},
		"a dot in a cell name that is no cluster's": {
			spec:    cell + `,"placement":{"topologies":[{"name":"rz01.a"}]}`,
			v1beta2: `spec.placement.topologies[0].name: Invalid value: "rz01.a": the name of a cell holds no dot`,
			v1beta1: `spec.placement.clusters[0].name: Invalid value: "rz01.a.shop": the name of a cell holds no dot`,
		},
		"a cell name with an underscore": {
			spec:    cell + `,"overrides":[{"topologyName":"rz_1"}]`,
			v1beta2: `spec.overrides[0].topologyName: Invalid value: "rz_1": the name of a cell is lower case letters, digits and '-', at most 63 of them, such as rz00a`,
			v1beta1: `spec.overrides[0].clusterName: Invalid value: "rz_1.shop": the name of a cell is lower case letters, digits and '-', at most 63 of them, such as rz00a`,
		},
		"an empty edge unit name": {
			spec:    `"topologyType":"edgeunit","template":{},"placement":{"topologies":[{"name":""}]}`,
			v1beta2: `spec.placement.topologies[0].name: Required value: the name of an edge unit`,
			v1beta1: `spec.placement.clusters[0].name: Required value: the name of an edge unit`,
		},
		"the same target twice in the placement": {
			spec:    cell + `,"placement":{"topologies":[{"name":"rz00a"},{"name":"rz00a"}]}`,
			v1beta2: `spec.placement.topologies[1].name: Duplicate value: "rz00a": a target is listed once`,
			v1beta1: `spec.placement.clusters[1].name: Duplicate value: "rz00a.shop": a target is listed once`,
		},
		"the same target twice in the mask": {
			spec:    cell + `,"placementMask":{"topologies":[{"name":"rz00a"},{"name":"rz00a"}]}`,
			v1beta2: `spec.placementMask.topologies[1].name: Duplicate value: "rz00a": a target is listed once`,
			v1beta1: `metadata.annotations[federation.koinon.io/topology].placementMask.topologies[1].name: Duplicate value: "rz00a": a target is listed once`,
		},
		"the same target twice in the overrides": {
			spec:    cell + `,"overrides":[{"topologyName":"rz00a"},{"topologySelector":{}},{"topologyName":"rz00a"}]`,
			v1beta2: `spec.overrides[2].topologyName: Duplicate value: "rz00a": a target has one entry, with all of its changes in topologyOverrides`,
			v1beta1: `spec.overrides[1].clusterName: Duplicate value: "rz00a.shop": a target has one entry, with all of its changes in clusterOverrides`,
		},
		"an override for nobody": {
			spec:    cluster + `,"overrides":[{}]`,
			v1beta2: `spec.overrides[0].topologyName: Required value: exactly one of topologyName and topologySelector must be set`,
			v1beta1: `spec.overrides[0].clusterName: Required value: the name of a cluster`,
		},
		"an override by name and by selector": {
			spec:    cluster + `,"overrides":[{"topologyName":"m1","topologySelector":{}}]`,
			v1beta2: `spec.overrides[0].topologyName: Invalid value: "m1": is set together with topologySelector: exactly one of them is allowed`,
			v1beta1: `metadata.annotations[federation.koinon.io/topology].selectorOverrides[0].override.topologyName: Invalid value: "m1": is set together with topologySelector: exactly one of them is allowed`,
		},
		"an unknown operation": {
			spec:    override(`{"op":"move","path":"/spec/replicas"}`),
			v1beta2: `spec.overrides[0].topologyOverrides[0].op: Unsupported value: "move": supported values: "add", "remove", "replace"`,
			v1beta1: `spec.overrides[0].clusterOverrides[0].op: Unsupported value: "move": supported values: "add", "remove", "replace"`,
		},
		"no path": {
			spec:    override(`{"value":1}`),
			v1beta2: `spec.overrides[0].topologyOverrides[0].path: Required value: a JSON pointer into the template, such as /spec/replicas`,
			v1beta1: `spec.overrides[0].clusterOverrides[0].path: Required value: a JSON pointer into the template, such as /spec/replicas`,
		},
		"a path with dots": {
			spec:    override(`{"path":"spec.replicas"}`),
			v1beta2: `spec.overrides[0].topologyOverrides[0].path: Invalid value: "spec.replicas": must be a JSON pointer (RFC 6901), such as /spec/replicas or /metadata/labels/example.com~1tier`,
			v1beta1: `spec.overrides[0].clusterOverrides[0].path: Invalid value: "spec.replicas": must be a JSON pointer (RFC 6901), such as /spec/replicas or /metadata/labels/example.com~1tier`,
		},
		"a path with a bare tilde": {
			spec:    override(`{"path":"/spec/~2"}`),
			v1beta2: `spec.overrides[0].topologyOverrides[0].path: Invalid value: "/spec/~2": must be a JSON pointer (RFC 6901), such as /spec/replicas or /metadata/labels/example.com~1tier`,
			v1beta1: `spec.overrides[0].clusterOverrides[0].path: Invalid value: "/spec/~2": must be a JSON pointer (RFC 6901), such as /spec/replicas or /metadata/labels/example.com~1tier`,
		},
		"a path twice for one target": {
			spec:    override(`{"path":"/a"},{"path":"/a","op":"remove"}`),
			v1beta2: `spec.overrides[0].topologyOverrides[1].path: Duplicate value: "/a": a path is changed once per target`,
			v1beta1: `spec.overrides[0].clusterOverrides[1].path: Duplicate value: "/a": a path is changed once per target`,
		},
		"an override of the kind": {
			spec:    override(`{"path":"/kind","value":"Service"}`),
			v1beta2: `spec.overrides[0].topologyOverrides[0].path: Invalid value: "/kind": ` + forbidden,
			v1beta1: `spec.overrides[0].clusterOverrides[0].path: Invalid value: "/kind": ` + forbidden,
		},
		"an override of the name": {
			spec:    override(`{"path":"/metadata/name","value":"x"}`),
			v1beta2: `spec.overrides[0].topologyOverrides[0].path: Invalid value: "/metadata/name": ` + forbidden,
			v1beta1: `spec.overrides[0].clusterOverrides[0].path: Invalid value: "/metadata/name": ` + forbidden,
		},
		"an override of the namespace": {
			spec:    override(`{"path":"/metadata/namespace","value":"x"}`),
			v1beta2: `spec.overrides[0].topologyOverrides[0].path: Invalid value: "/metadata/namespace": ` + forbidden,
			v1beta1: `spec.overrides[0].clusterOverrides[0].path: Invalid value: "/metadata/namespace": ` + forbidden,
		},
		"an override below generateName": {
			spec:    override(`{"path":"/metadata/generateName/x"}`),
			v1beta2: `spec.overrides[0].topologyOverrides[0].path: Invalid value: "/metadata/generateName/x": ` + forbidden,
			v1beta1: `spec.overrides[0].clusterOverrides[0].path: Invalid value: "/metadata/generateName/x": ` + forbidden,
		},
		"an override that adds a finalizer": {
			spec:    override(`{"op":"add","path":"/metadata/finalizers/-","value":"a/b"}`),
			v1beta2: `spec.overrides[0].topologyOverrides[0].path: Invalid value: "/metadata/finalizers/-": ` + finalizers,
			v1beta1: `spec.overrides[0].clusterOverrides[0].path: Invalid value: "/metadata/finalizers/-": ` + finalizers,
		},
		"an override of all finalizers": {
			spec:    override(`{"path":"/metadata/finalizers","value":["a/b"]}`),
			v1beta2: `spec.overrides[0].topologyOverrides[0].path: Invalid value: "/metadata/finalizers": ` + finalizers,
			v1beta1: `spec.overrides[0].clusterOverrides[0].path: Invalid value: "/metadata/finalizers": ` + finalizers,
		},
		"an override of the owners": {
			spec:    override(`{"path":"/metadata/ownerReferences","value":[]}`),
			v1beta2: `spec.overrides[0].topologyOverrides[0].path: Invalid value: "/metadata/ownerReferences": ` + owners,
			v1beta1: `spec.overrides[0].clusterOverrides[0].path: Invalid value: "/metadata/ownerReferences": ` + owners,
		},
		"an override below an owner": {
			spec:    override(`{"path":"/metadata/ownerReferences/0/uid","value":"1"}`),
			v1beta2: `spec.overrides[0].topologyOverrides[0].path: Invalid value: "/metadata/ownerReferences/0/uid": ` + owners,
			v1beta1: `spec.overrides[0].clusterOverrides[0].path: Invalid value: "/metadata/ownerReferences/0/uid": ` + owners,
		},
		"an override of all metadata with finalizers in it": {
			spec:    override(`{"path":"/metadata","value":{"finalizers":["a/b"],"ownerReferences":[]}}`),
			v1beta2: `spec.overrides[0].topologyOverrides[0].value.finalizers: Invalid value: ` + finalizers,
			v1beta1: `spec.overrides[0].clusterOverrides[0].value.finalizers: Invalid value: ` + finalizers,
		},
		"an override of all metadata with an owner in it": {
			spec:    override(`{"path":"/metadata","value":{"ownerReferences":[{"name":"x"}]}}`),
			v1beta2: `spec.overrides[0].topologyOverrides[0].value.ownerReferences: Invalid value: ` + owners,
			v1beta1: `spec.overrides[0].clusterOverrides[0].value.ownerReferences: Invalid value: ` + owners,
		},
		"an override of the whole object": {
			spec:    override(`{"path":"/","value":{}}`),
			v1beta2: `spec.overrides[0].topologyOverrides[0].path: Invalid value: "/": must begin with a field of the object, such as /spec: it cannot be replaced as a whole`,
			v1beta1: `spec.overrides[0].clusterOverrides[0].path: Invalid value: "/": must begin with a field of the object, such as /spec: it cannot be replaced as a whole`,
		},
		"a version that is none": {
			spec:    override(`{"path":"/apiVersion","value":"a/b/c"}`),
			v1beta2: `spec.overrides[0].topologyOverrides[0].value: Invalid value: "\"a/b/c\"": must be a version, such as apps/v1`,
			v1beta1: `spec.overrides[0].clusterOverrides[0].value: Invalid value: "\"a/b/c\"": must be a version, such as apps/v1`,
		},
		"another group in an override": {
			spec:    override(`{"path":"/apiVersion","value":"v1"}`),
			v1beta2: `spec.overrides[0].topologyOverrides[0].value: Invalid value: "v1": must be a version of the template's group, such as apps/v1`,
			v1beta1: `spec.overrides[0].clusterOverrides[0].value: Invalid value: "v1": must be a version of the template's group, such as apps/v1`,
		},
		"no version at all": {
			spec:    override(`{"path":"/apiVersion","op":"remove"}`),
			v1beta2: `spec.overrides[0].topologyOverrides[0].path: Invalid value: "/apiVersion": /apiVersion may be replaced, and nothing else: every object has one`,
			v1beta1: `spec.overrides[0].clusterOverrides[0].path: Invalid value: "/apiVersion": /apiVersion may be replaced, and nothing else: every object has one`,
		},
		"metadata that are no object": {
			spec:    override(`{"path":"/metadata","value":[]}`),
			v1beta2: `spec.overrides[0].topologyOverrides[0].value: Invalid value: "[]": must be an object: the metadata`,
			v1beta1: `spec.overrides[0].clusterOverrides[0].value: Invalid value: "[]": must be an object: the metadata`,
		},
		"a number that no client can read": {
			spec:    `"topologyType":"cluster","template":{"x":1e400}`,
			v1beta2: `spec.template.x: Invalid value: "1e400": must be a number that a 64-bit float holds, at most about 1.8e308: clients cannot read others`,
		},
		"such a number in an override": {
			spec:    override(`{"path":"/x","value":[1e400]}`),
			v1beta2: `spec.overrides[0].topologyOverrides[0].value[0]: Invalid value: "1e400": must be a number that a 64-bit float holds, at most about 1.8e308: clients cannot read others`,
			v1beta1: `spec.overrides[0].clusterOverrides[0].value[0]: Invalid value: "1e400": must be a number that a 64-bit float holds, at most about 1.8e308: clients cannot read others`,
		},
		"such a number in an override by selector": {
			spec:    cluster + `,"overrides":[{"topologySelector":{},"topologyOverrides":[{"path":"/x","value":1e400}]}]`,
			v1beta2: `spec.overrides[0].topologyOverrides[0].value: Invalid value: "1e400": must be a number that a 64-bit float holds, at most about 1.8e308: clients cannot read others`,
			v1beta1: `metadata.annotations[federation.koinon.io/topology].selectorOverrides[0].override.topologyOverrides[0].value: Invalid value: "1e400": must be a number that a 64-bit float holds, at most about 1.8e308: clients cannot read others`,
		},
		"half a character": {
			spec:    `"topologyType":"cluster","template":{"x":"\ud800"}`,
			v1beta2: `spec.template.x: Invalid value: "\"\\ud800\"": must be text in UTF-8, with no half of a surrogate pair alone: decoders replace what is not`,
		},
		"a template that is too deep": {
			spec:    `"topologyType":"cluster","template":{"x":` + strings.Repeat("[", 128) + strings.Repeat("]", 128) + `}`,
			v1beta2: `spec.template: Invalid value: "...": may have at most 128 objects and arrays around one another`,
		},
		"labels that are no map": {
			spec:    `"topologyType":"cluster","template":{"metadata":{"labels":["a"]}}`,
			v1beta2: `spec.template.metadata.labels: Invalid value: "[\"a\"]": must be an object`,
		},
		"an annotation that is no string": {
			spec:    `"topologyType":"cluster","template":{"metadata":{"annotations":{"a/b":1}}}`,
			v1beta2: `spec.template.metadata.annotations[a/b]: Invalid value: "1": must be a string`,
		},
		"too many targets": {
			spec:    cluster + `,"placement":{"topologies":[` + manyNames(1001) + `]}`,
			v1beta2: `spec.placement.topologies: Invalid value: "1001 targets": at most 1000 are allowed`,
			v1beta1: `spec.placement.clusters: Invalid value: "1001 targets": at most 1000 are allowed`,
		},
		"too many targets in the mask": {
			spec:    cluster + `,"placementMask":{"topologies":[` + manyNames(1001) + `]}`,
			v1beta2: `spec.placementMask.topologies: Invalid value: "1001 targets": at most 1000 are allowed`,
			v1beta1: `metadata.annotations[federation.koinon.io/topology].placementMask.topologies: Invalid value: "1001 targets": at most 1000 are allowed`,
		},
		"too many overrides": {
			spec:    cluster + `,"overrides":[` + strings.ReplaceAll(manyNames(1001), "name", "topologyName") + `]`,
			v1beta2: `spec.overrides: Invalid value: "1001 overrides": at most 1000 are allowed`,
		},
		"too many patches for one target": {
			spec: cluster + `,"overrides":[{"topologyName":"m1","topologyOverrides":[` + manyPatches(200) + `]},` +
				`{"topologySelector":{},"topologyOverrides":[` + manyPatches(57) + `]}]`,
			v1beta2: `spec.overrides: Invalid value: "257 patches for one target, with those of all overrides by selector": at most 256 are allowed`,
		},
		"too many patches in all": {
			spec:    cluster + `,"overrides":[` + manyOverrides(101, 100) + `]`,
			v1beta2: `spec.overrides: Invalid value: "10100 patches in all overrides together": at most 10000 are allowed`,
		},
		"an override of all metadata with a name in it": {
			spec:    override(`{"path":"/metadata","value":{"name":"x"}}`),
			v1beta2: `spec.overrides[0].topologyOverrides[0].value.name: Invalid value: "x": ` + forbidden,
			v1beta1: `spec.overrides[0].clusterOverrides[0].value.name: Invalid value: "x": ` + forbidden,
		},
		"a selector with an unknown operator": {
			spec:    cluster + `,"placement":{"topologySelector":{"matchExpressions":[{"key":"a","operator":"Like"}]}}`,
			v1beta2: `spec.placement.topologySelector.matchExpressions[0].operator: Invalid value: "Like": not a valid selector operator`,
			v1beta1: `spec.placement.clusterSelector.matchExpressions[0].operator: Invalid value: "Like": not a valid selector operator`,
		},
		"a selector of cells by a label that conversion sets": {
			spec:    cell + `,"placement":{"topologySelector":{"matchLabels":{"federation.koinon.io/topology":"cell"}}}`,
			v1beta2: `spec.placement.topologySelector.matchLabels[federation.koinon.io/topology]: Forbidden: is set by the server: select by other labels`,
			v1beta1: `spec.placement.clusterSelector.matchLabels[federation.koinon.io/topology]: Forbidden: is set by the server: select by other labels`,
		},
		"an expression on a label that conversion sets": {
			spec:    cell + `,"overrides":[{"topologySelector":{"matchExpressions":[{"key":"federation.koinon.io/topology-namespace","operator":"Exists"}]}}]`,
			v1beta2: `spec.overrides[0].topologySelector.matchExpressions[0].key: Invalid value: "federation.koinon.io/topology-namespace": is set by the server: select by other labels`,
			v1beta1: `metadata.annotations[federation.koinon.io/topology].selectorOverrides[0].override.topologySelector.matchExpressions[0].key: Invalid value: "federation.koinon.io/topology-namespace": is set by the server: select by other labels`,
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			obj := federated(t, tc.spec)
			if diff := cmp.Diff([]string{tc.v1beta2}, sentences(validation.ValidateObject(obj, deployments))); diff != "" {
				t.Errorf("in v1beta2 (-want +got):\n%s", diff)
			}
			want := tc.v1beta1
			if want == "" {
				want = tc.v1beta2
			}
			if diff := cmp.Diff([]string{want}, sentences(validation.ValidateObject(obj, clusterShape(deployments)))); diff != "" {
				t.Errorf("in v1beta1 (-want +got):\n%s", diff)
			}
		})
	}
}

func longNames(n int) string {
	return strings.ReplaceAll(manyNames(n), `"m`, `"`+strings.Repeat("m", 200))
}

func manyNames(n int) string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf(`{"name":"m%d"}`, i))
	}
	return strings.Join(names, ",")
}

func manyPatches(n int) string {
	var patches []string
	for i := range n {
		patches = append(patches, fmt.Sprintf(`{"path":"/a%d","value":1}`, i))
	}
	return strings.Join(patches, ",")
}

func manyOverrides(n, patches int) string {
	var overrides []string
	for i := range n {
		overrides = append(overrides, fmt.Sprintf(`{"topologyName":"m%d","topologyOverrides":[%s]}`, i, manyPatches(patches)))
	}
	return strings.Join(overrides, ",")
}

func TestReservedAnnotation(t *testing.T) {
	obj := federated(t, cluster)
	obj.Annotations = map[string]string{"federation.koinon.io/topology": "{}"}
	want := []string{`metadata.annotations[federation.koinon.io/topology]: Forbidden: is reserved for the v1beta1 form of the object: set spec.topologyType, spec.placementMask and spec.overrides instead`}
	if diff := cmp.Diff(want, sentences(validation.ValidateObject(obj, deployments))); diff != "" {
		t.Errorf("create (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, sentences(validation.ValidateUpdate(obj, federated(t, cluster), deployments))); diff != "" {
		t.Errorf("update of metadata (-want +got):\n%s", diff)
	}
}

func TestForeignFieldsAreKeptOrRemoved(t *testing.T) {
	object := func(value string) *v1beta2.FederatedObject {
		obj := federated(t, cluster)
		obj.Annotations = map[string]string{"federation.koinon.io/foreign-fields": value}
		return obj
	}
	refused := []string{`metadata.annotations[federation.koinon.io/foreign-fields]: Unsupported value: "keep": supported values: "Keep", "Remove"`}
	for sentence, test := range map[string]struct {
		errs field.ErrorList
		want []string
	}{
		"Keep is taken":                      {validation.ValidateObject(object("Keep"), deployments), nil},
		"Remove is taken":                    {validation.ValidateObject(object("Remove"), deployments), nil},
		"another word is refused":            {validation.ValidateObject(object("keep"), deployments), refused},
		"a change to another word, too":      {validation.ValidateUpdate(object("keep"), object("Keep"), deployments), refused},
		"one that was stored before is kept": {validation.ValidateUpdate(object("keep"), object("keep"), deployments), nil},
	} {
		if diff := cmp.Diff(test.want, sentences(test.errs)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", sentence, diff)
		}
	}
}

func TestConflictsAreOverwrittenOrAbortTheWrite(t *testing.T) {
	for _, test := range []struct {
		value string
		want  []string
	}{
		{"Overwrite", nil},
		{"Abort", nil},
		{"abort", []string{`metadata.annotations[federation.koinon.io/conflicts]: Unsupported value: "abort": supported values: "Overwrite", "Abort"`}},
	} {
		obj := federated(t, cluster)
		obj.Annotations = map[string]string{"federation.koinon.io/conflicts": test.value}
		if diff := cmp.Diff(test.want, sentences(validation.ValidateObject(obj, deployments))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.value, diff)
		}
	}
}

// A word that has no effect would delete what was to stay.
func TestAnnotationsForDeletionsAreUnderstoodOrRefused(t *testing.T) {
	const orphan, options = "kubefed.io/orphan", "kubefed.io/deleteoption"
	for _, test := range []struct{ key, value, want string }{
		{orphan, "true", ""},
		{orphan, "false", ""},
		{"federation.koinon.io/orphan", "All", `metadata.annotations[federation.koinon.io/orphan]: Unsupported value: "All": supported values: "Adopted"`},
		{"federation.koinon.io/adopt", "no", `metadata.annotations[federation.koinon.io/adopt]: Unsupported value: "no": supported values: "true", "false"`},
		{"federation.koinon.io/follows", "web", "metadata.annotations[federation.koinon.io/follows]: Invalid value: \"web\": must be as controllers write it, such as {\"uid\":\"2c3f…\"}: remove it, and the object follows nothing"},
		{"federation.koinon.io/abandon", "m1,", `metadata.annotations[federation.koinon.io/abandon]: Invalid value: "m1,": must be names of targets, separated by commas, as status.targets has them, or * for all; "" is none`},
		{orphan, "True", `metadata.annotations[kubefed.io/orphan]: Unsupported value: "True": supported values: "true", "false"`},
		{options, `{"propagationPolicy":"Orphan"}`, ""},
		{options, `{"policy":"Orphan"}`, `metadata.annotations[kubefed.io/deleteoption]: Invalid value: "{\"policy\":\"Orphan\"}": is not DeleteOptions in JSON: json: unknown field "policy"`},
	} {
		obj := federated(t, cluster)
		obj.Annotations = map[string]string{test.key: test.value}
		if got := strings.Join(sentences(validation.ValidateUpdate(obj, federated(t, cluster), deployments)), "; "); got != test.want {
			t.Errorf("%s=%s: got %q, want %q", test.key, test.value, got, test.want)
		}
		if errs := validation.ValidateUpdate(obj, obj.DeepCopy(), deployments); errs != nil {
			t.Errorf("%s=%s: what was stored before is refused: %v", test.key, test.value, errs)
		}
	}
}

func TestClusterScopedKindsKnowClustersOnly(t *testing.T) {
	obj := federated(t, cell)
	obj.Kind, obj.Namespace = "FederatedClusterRole", ""
	want := []string{`spec.topologyType: Invalid value: "cell": a cluster-scoped kind such as FederatedClusterRole allows only cluster, or cluster:<label>`}
	if diff := cmp.Diff(want, sentences(validation.ValidateObject(obj, validation.Options{}))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestANamespaceNeedsNoTemplate(t *testing.T) {
	obj := federated(t, `"topologyType":"cluster"`)
	obj.Kind = "FederatedNamespace"
	if errs := validation.ValidateObject(obj, validation.Options{Namespaced: true}); errs != nil {
		t.Errorf("got %v, want nothing", errs)
	}
}

func TestAccepted(t *testing.T) {
	for sentence, spec := range map[string]string{
		"groups are values of a label":          zone + `,"placement":{"topologies":[{"name":"a.B_c"}]},"placementMask":{"topologies":[{"name":"a.B_c"}],"topologySelector":{}},"overrides":[{"topologyName":"a.B_c"}]`,
		"no group beside a selector":            zone + `,"placement":{"topologies":[],"topologySelector":{}}`,
		"clusters by a label with a prefix":     `"topologyType":"cluster:topology.kubernetes.io/region","template":{},"placement":{"topologySelector":{}}`,
		"no operation means replace":            override(`{"path":"/spec/replicas","value":3}`),
		"a missing value means null":            override(`{"op":"add","path":"/spec/paused"}`),
		"remove with a value":                   override(`{"op":"remove","path":"/spec/paused","value":1}`),
		"escaped keys and negative indexes":     override(`{"path":"/metadata/labels/a~1b~0c"},{"path":"/spec/list/-1"},{"path":"/spec/list/-"}`),
		"names that start like forbidden ones":  override(`{"path":"/kinds"},{"path":"/metadata/names"},{"path":"/spec/kind"}`),
		"another apiVersion for one member":     override(`{"path":"/apiVersion","value":"apps/v1beta2"}`),
		"all labels and annotations at once":    override(`{"path":"/metadata","value":{"labels":{"a":"b"}}}`),
		"a template that says what it is":       `"topologyType":"cluster","template":{"apiVersion":"apps/v1","kind":"Deployment","metadata":{}}`,
		"a cluster name with dots":              cluster + `,"placement":{"topologies":[{"name":"m1.eu"}]}`,
		"names and a selector in one placement": cell + `,"placement":{"topologies":[],"topologySelector":{}}`,
		"one path in overrides of two targets":  cluster + `,"overrides":[{"topologyName":"m1","topologyOverrides":[{"path":"/a"}]},{"topologyName":"m2","topologyOverrides":[{"path":"/a"}]}]`,
		"a mask that names somebody else":       cell + `,"placement":{"topologies":[]},"placementMask":{"topologies":[{"name":"rz09"}]}`,
	} {
		t.Run(sentence, func(t *testing.T) {
			if errs := validation.ValidateObject(federated(t, spec), deployments); errs != nil {
				t.Errorf("got %v, want nothing", errs)
			}
		})
	}
}

func TestEveryGeneratedObjectIsValid(t *testing.T) {
	objects := conversiontest.NewObjects(11)
	for range 1000 {
		obj := objects.Next()
		if errs := validation.ValidateObject(obj, deployments); errs != nil {
			t.Fatalf("%v in %+v", errs, obj.Spec)
		}
	}
}

func TestUpdates(t *testing.T) {
	for sentence, tc := range map[string]struct {
		old, obj string
		opts     validation.Options
		want     []string
	}{
		"topologyType is immutable": {
			cluster, cell, deployments,
			[]string{`spec.topologyType: Invalid value: "cell": is immutable, and was cluster: delete the object and create it anew`},
		},
		"topologyType is immutable in v1beta1 too": {
			cell, cluster, clusterShape(deployments),
			[]string{`metadata.annotations[federation.koinon.io/topology].topologyType: Invalid value: "cluster": is immutable, and was cell: delete the object and create it anew`},
		},
		"a changed spec is checked": {
			cluster, `"topologyType":"cluster"`, deployments,
			[]string{`spec.template: Required value: the Deployment to create in each target, without name and namespace`},
		},
		"an unchanged spec is not": {`"topologyType":"cluster"`, `"topologyType":"cluster"`, deployments, nil},
		"a template that stays is not": {
			`"topologyType":"cluster","template":{"x":1e400,"kind":"Service"}`,
			`"topologyType":"cluster","template":{"x":1e400,"kind":"Service"},"placementMask":{"topologies":[]}`, deployments, nil,
		},
		"overrides that stay are not": {
			override(`{"path":"/","value":1e400}`), override(`{"path":"/","value":1e400}`) + `,"placementMask":{"topologies":[]}`, deployments, nil,
		},
		"what is too large may become smaller": {
			cluster + `,"placement":{"topologies":[` + manyNames(1010) + `]},"overrides":[` + manyOverrides(101, 110) + `]`,
			cluster + `,"placement":{"topologies":[` + manyNames(1005) + `]},"overrides":[` + manyOverrides(101, 101) + `]`, deployments, nil,
		},
		"a template that is too large may become smaller": {
			`"topologyType":"cluster","template":{"a":"` + strings.Repeat("x", 3<<19) + `"}`,
			`"topologyType":"cluster","template":{"a":"` + strings.Repeat("x", 5<<18) + `"}`, deployments, nil,
		},
		"what is too large may not grow": {
			cluster + `,"placement":{"topologies":[` + manyNames(1010) + `]}`,
			cluster + `,"placement":{"topologies":[` + manyNames(1011) + `]}`, deployments,
			[]string{`spec.placement.topologies: Invalid value: "1011 targets": at most 1000 are allowed`},
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			errs := validation.ValidateUpdate(federated(t, tc.obj), federated(t, tc.old), tc.opts)
			if diff := cmp.Diff(tc.want, sentences(errs)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestStatus(t *testing.T) {
	for sentence, tc := range map[string]struct {
		spec   string
		status v1beta2.FederatedObjectStatus
		want   []string
	}{
		"a target is listed once": {
			cluster, v1beta2.FederatedObjectStatus{Targets: []v1beta2.TargetStatus{{Name: "m1"}, {Name: "m1"}}},
			[]string{`status.targets[1].name: Duplicate value: "m1": a target has one entry`},
		},
		"a condition is listed once": {
			cluster, v1beta2.FederatedObjectStatus{Conditions: []v1beta2.Condition{{Type: "Propagation"}, {Type: "Propagation"}}},
			[]string{`status.conditions[1].type: Duplicate value: "Propagation": a condition has one entry`},
		},
		"a cell is not named as a cluster": {
			cell, v1beta2.FederatedObjectStatus{Targets: []v1beta2.TargetStatus{{Name: "cluster:rz00a.shop"}, {Name: "rz01a.shop"}}},
			[]string{
				`status.targets[0].name: Invalid value: "cluster:rz00a.shop": is a cell: write rz00a`,
				`status.targets[1].name: Invalid value: "rz01a.shop": the name of a cell holds no dot: write rz01a`,
			},
		},
		"a zone is not named as a cluster, and a cell is named as ever": {
			zone, v1beta2.FederatedObjectStatus{Targets: []v1beta2.TargetStatus{{Name: "cluster:zone=a"}, {Name: "zone=a"}, {Name: "rz00a"}, {Name: "a/b"}}},
			[]string{
				`status.targets[0].name: Invalid value: "cluster:zone=a": is no cluster: write zone=a`,
				`status.targets[3].name: Invalid value: "a/b": the name of a cell is lower case letters, digits and '-', at most 63 of them, such as rz00a`,
			},
		},
		"a cluster that is no cell may be reported on": {
			cell, v1beta2.FederatedObjectStatus{Targets: []v1beta2.TargetStatus{{Name: "cluster:m3"}, {Name: "rz00a"}}}, nil,
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			obj := federated(t, tc.spec)
			obj.Status = &tc.status
			if diff := cmp.Diff(tc.want, sentences(validation.ValidateStatusUpdate(obj, obj, deployments))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if errs := validation.ValidateStatusUpdate(obj, obj, clusterShape(deployments)); errs != nil {
				t.Errorf("in v1beta1: got %v, want nothing", errs)
			}
		})
	}
}

func TestARemoteStatusThatClientsCannotReadIsRefusedOnce(t *testing.T) {
	obj := federated(t, cluster)
	obj.Status = &v1beta2.FederatedObjectStatus{Targets: []v1beta2.TargetStatus{{Name: "m1", RemoteStatus: []byte(`{"x":1e400}`)}}}
	const problem = `.remoteStatus.x: Invalid value: "1e400": must be a number that a 64-bit float holds, at most about 1.8e308: clients cannot read others`
	if diff := cmp.Diff([]string{"status.targets[0]" + problem}, sentences(validation.ValidateStatusUpdate(obj, federated(t, cluster), deployments))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"status.clusters[0]" + problem}, sentences(validation.ValidateStatusUpdate(obj, federated(t, cluster), clusterShape(deployments)))); diff != "" {
		t.Errorf("in v1beta1 (-want +got):\n%s", diff)
	}
	if errs := validation.ValidateStatusUpdate(obj, obj.DeepCopy(), deployments); errs != nil {
		t.Errorf("got %v for what is stored already", errs)
	}
}

func TestWarnings(t *testing.T) {
	const mask = `clients of v1beta1, such as stock KubeFed controllers, do not see the mask and change every placed target`
	for sentence, tc := range map[string]struct {
		spec string
		want []string
	}{
		"a template with a name and a namespace": {
			`"template":{"metadata":{"name":"x","namespace":"y","labels":{}}}`,
			[]string{
				`spec.template.metadata.name: is ignored: what objects in members are called follows from the federated object and where it is placed`,
				`spec.template.metadata.namespace: is ignored: the namespace in members follows from the federated object and where it is placed`,
			},
		},
		"a template copied from a running object": {
			`"template":{"metadata":{"annotations":{"lb/x":"1","other":"2"},"labels":{"kubefed.io/managed":"false"},"creationTimestamp":"2026-01-01T00:00:00Z",` +
				`"finalizers":["a/b"],"ownerReferences":[{"name":"x"}],"label":{"a":"b"},"uid":"1"},"status":{"replicas":1}}`,
			[]string{
				`spec.template.metadata.annotations[other]: is not sent to members: no pattern in spec.propagatingAnnotations of the FederatedTypeConfig matches it`,
				`spec.template.metadata.creationTimestamp: is not sent to members: their API servers set it`,
				`spec.template.metadata.finalizers: are not sent to members: they are for controllers of this cluster`,
				`spec.template.metadata.label: is not sent to members: of the metadata they get labels, and annotations that propagate`,
				`spec.template.metadata.labels[kubefed.io/managed]: is not sent to members: the control plane sets it`,
				`spec.template.metadata.ownerReferences: are not sent to members: they name their owners by UIDs that only this cluster knows`,
				`spec.template.metadata.uid: is not sent to members: their API servers set it`,
				`spec.template.status: is not sent to members: the status is theirs`,
			},
		},
		"what encoders write and nobody means": {`"template":{"metadata":{"creationTimestamp":null,"finalizers":[]},"status":{"loadBalancer":{}}}`, nil},
		"an override of what members set": {
			`"overrides":[{"topologyName":"m1","topologyOverrides":[{"path":"/status/replicas","value":1},{"path":"/metadata","value":{"uid":"1","labels":{}}},{"path":"/metadata/annotations/other","value":"sent"}]}]`,
			[]string{
				`spec.overrides[0].topologyOverrides[0].path: "/status/replicas" is not sent to members: the status is theirs`,
				`spec.overrides[0].topologyOverrides[1].value.uid: is not sent to members: their API servers set it`,
			},
		},
		"a value that is left out": {
			`"overrides":[{"topologyName":"m1","topologyOverrides":[{"path":"/spec/replicas"}]}]`,
			[]string{`spec.overrides[0].topologyOverrides[0].value: is left out, so that null is set; to take a field away say op: remove`},
		},
		"a mask": {`"placementMask":{"topologies":[]}`, []string{`spec.placementMask: ` + mask}},
		"an override for a group": {
			`"topologyType":"cell:zone","placement":{"topologies":[{"name":"a"}]},"overrides":[{"topologyName":"a"},{"topologyName":"b"}]`,
			[]string{
				`spec.overrides[0]: clients of v1beta1, such as stock KubeFed controllers, see an override for cluster zone=a, which is none, and do not apply it`,
				`spec.overrides[1]: clients of v1beta1, such as stock KubeFed controllers, see an override for cluster zone=b, which is none, and do not apply it`,
				`spec.overrides[1].topologyName: "b" has no effect: spec.placement does not name it`,
			},
		},
		"a mask beside the placement": {
			`"placement":{"topologies":[{"name":"a"}]},"placementMask":{"topologies":[{"name":"a"},{"name":"b"}]}`,
			[]string{`spec.placementMask: ` + mask, `spec.placementMask.topologies[1].name: "b" has no effect: spec.placement does not name it`},
		},
		"an override beside the placement": {
			`"placement":{"topologies":[{"name":"a"}]},"overrides":[{"topologyName":"a"},{"topologyName":"b"}]`,
			[]string{`spec.overrides[1].topologyName: "b" has no effect: spec.placement does not name it`},
		},
		"an override by selector": {
			`"overrides":[{"topologySelector":{}}]`,
			[]string{`spec.overrides[0]: clients of v1beta1, such as stock KubeFed controllers, do not see an override with a topologySelector`},
		},
		"remove with a value": {
			`"overrides":[{"topologyName":"m1","topologyOverrides":[{"op":"remove","path":"/a","value":null}]}]`,
			[]string{`spec.overrides[0].topologyOverrides[0].value: is ignored: op is remove`},
		},
		"a cluster selector for cells": {
			`"topologyType":"cluster","placement":{"topologySelector":{"matchLabels":{"federation.koinon.io/topology":"cell"}}}`,
			[]string{`spec.placement.topologySelector: selects nothing: topologyType is cluster, which passes over everything with the label federation.koinon.io/topology`},
		},
		"nothing special": {cluster + `,"placement":{"topologySelector":{}}`, nil},
	} {
		t.Run(sentence, func(t *testing.T) {
			obj := federated(t, tc.spec)
			opts := deployments
			opts.Propagates = manifest.Patterns{"lb/*"}.Match
			opts.OtherEngine = true
			if diff := cmp.Diff(tc.want, validation.Warnings(obj, nil, opts)); diff != "" {
				t.Errorf("create (-want +got):\n%s", diff)
			}
			if got := validation.Warnings(obj, obj.DeepCopy(), opts); got != nil {
				t.Errorf("an update that changes nothing warns: %q", got)
			}
		})
	}
}

func TestWhatWasCopiedFromAnotherPlaceIsWarnedAbout(t *testing.T) {
	obj := federated(t, `"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{}"}},"spec":{"clusterIP":"10.0.0.1","ports":[{"port":80,"nodePort":30000}]}}`)
	obj.Kind = "FederatedService"
	const belongs = `is not sent to members: it belongs to the cluster that the template was copied from, and each member allocates its own`
	want := []string{
		`spec.template.metadata.annotations[kubectl.kubernetes.io/last-applied-configuration]: is not sent to members: no pattern in spec.propagatingAnnotations of the FederatedTypeConfig matches it`,
		`spec.template.spec.clusterIP: ` + belongs,
		`spec.template.spec.ports[0].nodePort: ` + belongs,
	}
	opts := validation.Options{TargetKind: "Service", TargetAPIVersion: "v1", Namespaced: true, Propagates: manifest.Patterns{}.Match}
	if diff := cmp.Diff(want, validation.Warnings(obj, nil, opts)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	opts.TargetAPIVersion = "serving.example.com/v1"
	if diff := cmp.Diff(want[:1], validation.Warnings(obj, nil, opts)); diff != "" {
		t.Errorf("of another group (-want +got):\n%s", diff)
	}
}

func TestOurEngineObeysMasksAndSelectors(t *testing.T) {
	obj := federated(t, `"placementMask":{"topologies":[]},"overrides":[{"topologySelector":{}}]`)
	if got := validation.Warnings(obj, nil, deployments); got != nil {
		t.Errorf("got warnings %q", got)
	}
}

func TestANamespaceOfAnotherNameIsWarnedAbout(t *testing.T) {
	obj := federated(t, cluster)
	obj.Kind = "FederatedNamespace"
	want := []string{`metadata.name: "web" is not the name of its namespace, "shop": such a FederatedNamespace is propagated nowhere`}
	if diff := cmp.Diff(want, validation.Warnings(obj, nil, validation.Options{Namespaced: true})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func BenchmarkValidateObject(b *testing.B) {
	obj := &v1beta2.FederatedObject{}
	obj.Kind, obj.Name, obj.Namespace = "FederatedDeployment", "web", "shop"
	obj.Spec.TopologyType = "cell"
	obj.Spec.Template = []byte(`{"spec":{"text":"` + strings.Repeat("x", 4096) + `"}}`)
	obj.Spec.Placement = &v1beta2.Placement{Topologies: []v1beta2.TopologyReference{{Name: "rz00a"}, {Name: "rz01a"}}}
	b.ReportAllocs()
	for b.Loop() {
		if errs := validation.ValidateObject(obj, deployments); errs != nil {
			b.Fatal(errs)
		}
	}
}

func TestMoreThanAHundredMistakesAreCounted(t *testing.T) {
	obj := &v1beta2.FederatedObject{}
	obj.Spec.TopologyType = v1beta2.TopologyCell
	obj.Spec.Overrides = make([]v1beta2.Override, 10_000)
	errs := validation.ValidateObject(obj, validation.Options{Namespaced: true})
	if len(errs) != 101 || errs[100].Detail != "there are more mistakes than these 100" {
		t.Errorf("got %d mistakes, the last of them %v", len(errs), errs[len(errs)-1])
	}
}

// Clients and proxies refuse an answer with more headers than they take.
func TestManyWarningsAreCutShort(t *testing.T) {
	annotations := make([]string, 50_000)
	for i := range annotations {
		annotations[i] = fmt.Sprintf(`"a%d":"x"`, i)
	}
	obj := federated(t, `"template":{"metadata":{"annotations":{`+strings.Join(annotations, ",")+"}}}")
	got := validation.Warnings(obj, nil, validation.Options{Propagates: func(string) bool { return false }})
	if len(got) != validation.MaxWarnings+1 || got[validation.MaxWarnings] != "there are more warnings than these 32" {
		t.Errorf("got %d warnings, the last one %q", len(got), got[len(got)-1])
	}
}

// The message of a refusal is written to audit logs.
func TestRefusalsDoNotShowWhatASecretHolds(t *testing.T) {
	const content = "kanarienvogel"
	for name, spec := range map[string]string{
		"a template that is no object":   `{"template": "` + content + `"}`,
		"metadata that is no object":     `{"template": {"metadata": "` + content + `"}}`,
		"another kind":                   `{"template": {"kind": "` + content + `"}}`,
		"the value of an override":       `{"template": {}, "overrides": [{"topologyName": "m1", "topologyOverrides": [{"path": "/metadata", "value": "` + content + `"}]}]}`,
		"an override with an apiVersion": `{"template": {}, "overrides": [{"topologyName": "m1", "topologyOverrides": [{"path": "/apiVersion", "value": ["` + content + `"]}]}]}`,
	} {
		for kind, want := range map[string]bool{"FederatedSecret": false, "FederatedConfigMap": false, "FederatedDeployment": true} {
			obj := &v1beta2.FederatedObject{}
			obj.Kind, obj.Name, obj.Namespace = kind, "x", "default"
			if err := json.Unmarshal([]byte(spec), &obj.Spec); err != nil {
				t.Fatal(err)
			}
			obj.Spec.TopologyType = v1beta2.TopologyCluster
			errs := validation.ValidateObject(obj, validation.Options{Namespaced: true})
			if len(errs) == 0 {
				t.Errorf("%s of a %s is accepted", name, kind)
			}
			if got := strings.Contains(errs.ToAggregate().Error(), content); got != want {
				t.Errorf("%s of a %s: %v; shows the content: %v, want %v", name, kind, errs.ToAggregate(), got, want)
			}
		}
	}
}
