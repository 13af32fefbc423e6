package compose

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// byScale is an entry of who scaled an object.
func byScale(manager string) string {
	return `{manager: ` + manager + `, operation: Update, apiVersion: apps/v1, subresource: scale, fieldsType: FieldsV1, fieldsV1: {f:spec: {f:replicas: {}}}}`
}

func TestConflictsAreFieldsOfOthersThatAWriteChanges(t *testing.T) {
	const ours = `{f:data: {f:key: {}}, f:spec: {f:replicas: {}, f:list: {'k:{"name":"a"}': {f:x: {}}}}}`
	for name, c := range map[string]struct {
		kind           schema.GroupVersionKind
		manifest, live string
		managers       []string
		rules          Rules
		// becomes is what the member answers, if it is not what is sent.
		becomes string
		want    []Conflict
	}{
		"a field that another applied": {custom, `{data: {key: ours}}`, `{data: {key: theirs}}`,
			[]string{entry("helm", "Apply", `{f:data: {f:key: {}}}`)}, Rules{}, "", []Conflict{{".data.key", "helm", "Apply", ""}}},
		"not one of the same value": {custom, `{data: {key: same}}`, `{data: {key: same}}`,
			[]string{entry("helm", "Apply", `{f:data: {f:key: {}}}`)}, Rules{}, "", nil},
		"not one of ours, nor of KubeFed's": {custom, `{data: {key: new}}`, `{data: {key: old}}`,
			[]string{entry("koinon", "Update", ours), entry("koinon", "Apply", ours), entry("controller-manager", "Update", ours), entry("hyperfed", "Update", ours)}, Rules{}, "", nil},
		"not one that nobody owns": {custom, `{data: {key: new}}`, `{data: {key: old}}`,
			[]string{entry("kubectl-edit", "Update", `{f:data: {f:other: {}}}`)}, Rules{}, "", nil},
		"not one that the manifest does not set, which is foreignFields' matter": {custom, `{data: {}}`, `{data: {theirs: a}}`,
			[]string{entry("helm", "Apply", `{f:data: {f:theirs: {}}}`)}, Rules{}, "", nil},
		"not one that is not there yet": {custom, `{data: {key: new}}`, `{data: {}}`,
			[]string{entry("helm", "Apply", `{f:data: {}}`)}, Rules{}, "", nil},
		"each of several owners": {custom, `{data: {key: ours}}`, `{data: {key: theirs}}`,
			[]string{entry("helm", "Apply", `{f:data: {f:key: {}}}`), entry("argo", "Apply", `{f:data: {f:key: {}}}`)}, Rules{}, "",
			[]Conflict{{".data.key", "argo", "Apply", ""}, {".data.key", "helm", "Apply", ""}}},
		"fields of items, told apart by their keys": {deployment,
			`{spec: {template: {spec: {containers: [{name: side, image: same}, {name: web, image: ours, ports: [{containerPort: 80, name: http}]}]}}}}`,
			`{spec: {template: {spec: {containers: [{name: web, image: theirs, ports: [{containerPort: 80, name: web, protocol: TCP}]}, {name: side, image: same}]}}}}`,
			[]string{entry("kubectl-edit", "Update", `{f:spec: {f:template: {f:spec: {f:containers: {'k:{"name":"web"}': {.: {}, f:image: {}, f:name: {}, f:ports: {'k:{"containerPort":80,"protocol":"TCP"}': {.: {}, f:name: {}}}}, 'k:{"name":"side"}': {.: {}, f:image: {}}}}}}}`)}, Rules{}, "",
			[]Conflict{{".spec.template.spec.containers[name=web].image", "kubectl-edit", "Update", ""}, {".spec.template.spec.containers[name=web].ports[name=http].name", "kubectl-edit", "Update", ""}}},
		"not an item that only they have": {deployment, `{spec: {template: {spec: {containers: [{name: web}]}}}}`,
			`{spec: {template: {spec: {containers: [{name: web}, {name: injected, image: x}]}}}}`,
			[]string{entry("injector", "Update", `{f:spec: {f:template: {f:spec: {f:containers: {'k:{"name":"injected"}': {.: {}, f:image: {}}}}}}}`)}, Rules{}, "", nil},
		"an atomic list as a whole": {custom, `{spec: {list: [1, 2, 3]}}`, `{spec: {list: [1, 2]}}`,
			[]string{entry("helm", "Apply", `{f:spec: {f:list: {}}}`)}, Rules{}, "", []Conflict{{".spec.list", "helm", "Apply", ""}}},
		"an atomic map as a whole": {custom, `{spec: {selector: {a: "1", b: "2"}}}`, `{spec: {selector: {a: "1"}}}`,
			[]string{entry("helm", "Apply", `{f:spec: {f:selector: {}}}`)}, Rules{}, "", []Conflict{{".spec.selector", "helm", "Apply", ""}}},
		"not what is below a map that they know to be there, since we took the key": {configMap, `{data: {key: "3"}}`, `{data: {key: "2"}}`,
			[]string{entry("kubectl-create", "Update", `{f:data: {.: {}}}`), entry("koinon", "Update", `{f:data: {f:key: {}}}`)}, Rules{}, "", nil},
		"not what is in an empty map of theirs": {configMap, `{data: {key: "3"}}`, `{data: {}}`,
			[]string{entry("kubectl-create", "Update", `{f:data: {.: {}}}`)}, Rules{}, "", nil},
		"a value of a set is in both": {custom, `{spec: {set: [both, ours]}}`, `{spec: {set: [theirs, both]}}`,
			[]string{entry("helm", "Apply", `{f:spec: {f:set: {'v:"theirs"': {}, 'v:"both"': {}}}}`)}, Rules{}, "", nil},
		"what becomes of another type": {custom, `{spec: {x: text}}`, `{spec: {x: {a: 1}}}`,
			[]string{entry("helm", "Apply", `{f:spec: {f:x: {f:a: {}}}}`)}, Rules{}, "", []Conflict{{".spec.x", "helm", "Apply", ""}}},
		"labels and annotations": {custom, `{metadata: {labels: {a: ours}, annotations: {example.com/b: ours}}}`, `{metadata: {labels: {a: theirs}, annotations: {example.com/b: theirs}}}`,
			[]string{entry("helm", "Apply", `{f:metadata: {f:labels: {f:a: {}}, f:annotations: {f:example.com/b: {}}}}`)}, Rules{}, "",
			[]Conflict{{".metadata.annotations[example.com/b]", "helm", "Apply", ""}, {".metadata.labels.a", "helm", "Apply", ""}}},
		"not our marks": {custom, `{metadata: {labels: {kubefed.io/managed: "true"}, annotations: {federation.koinon.io/federated-object: a}}}`,
			`{metadata: {labels: {kubefed.io/managed: "yes"}, annotations: {federation.koinon.io/federated-object: b}}}`,
			[]string{entry("helm", "Apply", `{f:metadata: {f:labels: {f:kubefed.io/managed: {}}, f:annotations: {f:federation.koinon.io/federated-object: {}}}}`)}, Rules{}, "", nil},
		"not a status": {custom, `{status: {a: 1}}`, `{status: {a: 2}}`, []string{entry("helm", "Update", `{f:status: {f:a: {}}}`)}, Rules{}, "", nil},
		"replicas that an autoscaler set": {deployment, `{spec: {replicas: 3}}`, `{spec: {replicas: 5}}`, []string{byScale("kube-controller-manager")}, Rules{}, "",
			[]Conflict{{".spec.replicas", "kube-controller-manager", "Update", "scale"}}},
		"not where it may": {deployment, `{spec: {replicas: 3}}`, `{spec: {replicas: 5}}`, []string{byScale("kube-controller-manager")}, Rules{RetainReplicas: true}, "", nil},
		"not what the member decides": {service, `{spec: {clusterIP: ""}}`, `{spec: {clusterIP: 10.0.0.1}}`,
			[]string{entry("kubectl-create", "Update", `{f:spec: {f:clusterIP: {}}}`)}, Rules{}, `{spec: {clusterIP: 10.0.0.1}}`, nil},
		"not another way to write the same, once the member was asked": {deployment,
			`{spec: {template: {spec: {containers: [{name: a, resources: {limits: {cpu: 1000m, memory: 1Gi}}}]}}}}`,
			`{spec: {template: {spec: {containers: [{name: a, resources: {limits: {cpu: "1", memory: 2Gi}}}]}}}}`,
			[]string{entry("helm", "Apply", `{f:spec: {f:template: {f:spec: {f:containers: {'k:{"name":"a"}': {f:resources: {f:limits: {f:cpu: {}, f:memory: {}}}}}}}}}`)}, Rules{},
			`{spec: {template: {spec: {containers: [{name: a, resources: {limits: {cpu: "1", memory: 1Gi}}}]}}}}`,
			[]Conflict{{".spec.template.spec.containers[name=a].resources.limits.memory", "helm", "Apply", ""}}},
		"who had it before the first apply is somebody": {custom, `{data: {key: ours}}`, `{data: {key: theirs}}`,
			[]string{entry("before-first-apply", "Update", `{f:data: {f:key: {}}}`)}, Rules{}, "", []Conflict{{".data.key", "before-first-apply", "Update", ""}}},
		"an object without managedFields is somebody's": {custom, `{data: {key: ours, same: a}, spec: {list: [1]}}`, `{data: {key: theirs, same: a}, spec: {list: [2]}}`,
			nil, Rules{}, "", []Conflict{{Path: ".data.key"}, {Path: ".spec.list"}}},
		"unless it has our label": {custom, `{data: {key: new}}`, `{data: {key: old}, metadata: {labels: {kubefed.io/managed: "true"}}}`, nil, Rules{}, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			live := tree(t, c.live)
			if c.managers != nil {
				makeMap(live, "metadata")["managedFields"] = tree(t, `{all: [`+strings.Join(c.managers, ", ")+`]}`)["all"]
			}
			sent := ForUpdate(tree(t, c.manifest), live, c.kind, c.rules)
			becomes := sent
			if c.becomes != "" {
				becomes = tree(t, c.becomes)
			}
			got, all := Conflicts(live, sent, becomes)
			if diff := cmp.Diff(c.want, append([]Conflict(nil), got...)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if all != len(c.want) {
				t.Errorf("got %d in all, want %d", all, len(c.want))
			}
		})
	}
}

func TestTheFirstTenConflictsAreTold(t *testing.T) {
	manifest, live := map[string]any{}, map[string]any{}
	var fields []string
	for i := range 30 {
		key := fmt.Sprintf("k%02d", i)
		manifest[key], live[key] = "ours", "theirs"
		fields = append(fields, "f:"+key+": {}")
	}
	object := map[string]any{"data": live, "metadata": tree(t, `{managedFields: [`+entry("helm", "Apply", `{f:data: {`+strings.Join(fields, ", ")+`}}`)+`]}`)}
	sent := map[string]any{"data": manifest}
	got, all := Conflicts(object, sent, sent)
	if len(got) != 10 || all != 30 || got[0].Path != ".data.k00" || got[9].Path != ".data.k09" {
		t.Errorf("got %d of %d: %v", len(got), all, got)
	}
}
