package ownership

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion"
	typesv1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// configView is the view of what a client applies, in its version. config has the form of
// that version, and is not modified.
func configView(config *unstructured.Unstructured) *view {
	out := &view{*config.DeepCopy()}
	if config.GetAPIVersion() == federated.V1beta1.String() {
		trackV1beta1(out.Object)
		return out
	}
	if spec := child(out.Object, "spec"); spec != nil {
		trackOverrides(spec)
	}
	return out
}

// trackOverrides splits a list that a client of v1beta2 applies. null stands for all of it.
func trackOverrides(spec map[string]any) {
	value, ok := spec[overridesField]
	if !ok {
		return
	}
	if list, isList := value.([]any); isList {
		spec[overridesField] = splitOverrides(list)
		return
	}
	spec[overridesField] = map[string]any{byNameField: nil, bySelectorField: nil, orderField: nil}
}

// trackV1beta1 renames what v1beta1 calls otherwise, and puts what the annotation says in
// its place.
func trackV1beta1(tree map[string]any) {
	stash, stashed := takeStash(tree)
	spec := child(tree, "spec")
	if spec == nil {
		if !stashed {
			return
		}
		spec = map[string]any{}
		tree["spec"] = spec
	}
	if placement := child(spec, "placement"); placement != nil {
		rename(placement, "clusters", "topologies")
		rename(placement, "clusterSelector", "topologySelector")
	}
	if value, ok := spec[overridesField]; ok {
		spec[overridesField] = map[string]any{byNameField: topologyOverrides(value)}
	}
	if stashed {
		trackStash(spec, stash)
	}
	if status := child(tree, "status"); status != nil {
		trackStatus(status)
	}
}

func rename(fields map[string]any, from, to string) {
	if value, ok := fields[from]; ok {
		fields[to] = value
		delete(fields, from)
	}
}

// topologyOverrides renames the fields of a list of overrides of v1beta1; null stays null.
func topologyOverrides(value any) any {
	list, ok := value.([]any)
	if !ok {
		return nil
	}
	for _, item := range list {
		if fields, ok := item.(map[string]any); ok {
			rename(fields, "clusterName", "topologyName")
			rename(fields, "clusterOverrides", "topologyOverrides")
		}
	}
	return list
}

// takeStash takes the annotation out of the tree. One that cannot be read stays, and is
// refused by Keeper.
func takeStash(tree map[string]any) (typesv1beta1.TopologyStash, bool) {
	metadata := child(tree, "metadata")
	annotations := child(metadata, "annotations")
	value, ok := annotations[typesv1beta1.TopologyAnnotation].(string)
	if !ok {
		return typesv1beta1.TopologyStash{}, false
	}
	stash, err := conversion.ReadStash(value)
	if err != nil {
		return stash, false
	}
	if delete(annotations, typesv1beta1.TopologyAnnotation); len(annotations) == 0 {
		delete(metadata, "annotations")
	}
	return stash, true
}

// trackStash puts what the annotation says into the spec.
func trackStash(spec map[string]any, stash typesv1beta1.TopologyStash) {
	if stash.TopologyType != "" {
		spec[topologyTypeField] = stash.TopologyType
		trackGroups(child(spec, "placement"), stash.TopologyType)
	}
	if stash.PlacementMask != nil {
		spec[maskField] = mustTree(stash.PlacementMask)
	}
	if len(stash.SelectorOverrides) == 0 {
		return
	}
	overrides := child(spec, overridesField)
	if overrides == nil {
		overrides = map[string]any{}
		spec[overridesField] = overrides
	}
	selectors := slices.Clone(stash.SelectorOverrides)
	slices.SortStableFunc(selectors, func(a, b typesv1beta1.IndexedOverride) int { return cmp.Compare(a.Index, b.Index) })
	selecting, order := make([]any, len(selectors)), make([]string, len(selectors))
	for i := range selectors {
		selecting[i], order[i] = mustTree(&selectors[i].Override), strconv.Itoa(selectors[i].Index)
	}
	overrides[bySelectorField], overrides[orderField] = selecting, strings.Join(order, orderSeparator)
}

// trackGroups puts names, in the words of v1beta1, in the place of a selector that stands for
// groups of a user-defined type. Names that are there stay.
func trackGroups(placement map[string]any, topologyType string) {
	tree := child(placement, "topologySelector")
	if tree == nil {
		return
	}
	selector := &metav1.LabelSelector{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(tree, selector); err != nil {
		return // what is applied was compared with the schema
	}
	namespace := topology.SelectorNamespace(topologyType, selector)
	groups, ok := topology.GroupsOfSelector(topologyType, namespace, selector)
	if !ok {
		return
	}
	delete(placement, "topologySelector")
	if placement["topologies"] != nil {
		return
	}
	list := make([]any, len(groups))
	for i, group := range groups {
		list[i] = map[string]any{"name": topology.SpecClusterName(topologyType, namespace, group)}
	}
	placement["topologies"] = list
}

// trackStatus turns the status of v1beta1 into that of v1beta2, with targets named as
// clusters are.
func trackStatus(status map[string]any) {
	rest := child(status, "topology")
	delete(status, "topology")
	if workload := child(rest, "workload"); workload != nil {
		status["workload"] = workload
	}
	if list, ok := status["clusters"].([]any); ok {
		status["targets"] = trackTargets(list, rest)
	}
	delete(status, "clusters")
	messages := child(rest, "messages")
	conditions, _ := status["conditions"].([]any)
	for _, item := range conditions {
		condition, _ := item.(map[string]any)
		if name, ok := condition["type"].(string); ok && messages[name] != nil {
			condition["message"] = messages[name]
		}
	}
}

// trackTargets merges the clusters of a status with what v1beta1 says elsewhere of the
// same targets.
func trackTargets(clusters []any, rest map[string]any) []any {
	known := map[string]map[string]any{}
	list, _ := rest["targets"].([]any)
	for _, item := range list {
		if target, ok := item.(map[string]any); ok {
			name, _ := target["name"].(string)
			known[strings.TrimPrefix(name, conversion.ForeignPrefix)] = target
		}
	}
	out := make([]any, 0, len(clusters))
	for _, item := range clusters {
		cluster, ok := item.(map[string]any)
		if !ok {
			continue
		}
		rename(cluster, "status", "state")
		clusterName, _ := cluster["name"].(string)
		// No name of a cell or edge unit holds a dot: it is the first part of its cluster's.
		target, _, _ := strings.Cut(clusterName, ".")
		more := known[clusterName]
		if more == nil {
			more = known[target]
		}
		merged := maps.Clone(more)
		if merged == nil {
			merged = map[string]any{}
		}
		maps.Copy(merged, cluster)
		out = append(out, merged)
	}
	return out
}

// mustTree is for values that were decoded from JSON, which can be encoded.
func mustTree(value any) map[string]any {
	var tree map[string]any
	data, err := json.Marshal(value)
	if err == nil {
		err = utiljson.Unmarshal(data, &tree)
	}
	if err != nil {
		panic(err)
	}
	return tree
}
