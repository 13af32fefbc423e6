package manifest_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
)

func TestRetainedFieldsArePointers(t *testing.T) {
	for _, pointer := range []string{"/spec/caBundle", "/webhooks/*/clientConfig/a~1b"} {
		if problem := manifest.FieldPointerProblem(pointer); problem != "" {
			t.Errorf("%q %s", pointer, problem)
		}
		steps, _ := manifest.Steps(pointer)
		if got := (manifest.Field{Steps: steps}).String(); got != pointer {
			t.Errorf("%q is written %q", pointer, got)
		}
	}
	for pointer, want := range map[string]string{
		"spec":             "JSON pointer",
		"":                 "JSON pointer",
		"/":                "JSON pointer",
		"/spec//x":         "JSON pointer",
		"/spec/~2":         "JSON pointer",
		"/kind":            "below /spec or another field",
		"/apiVersion":      "below /spec or another field",
		"/metadata/labels": "below /spec or another field",
		"/status/x":        "below /spec or another field",
		"/*/x":             "begin with a field",
	} {
		if problem := manifest.FieldPointerProblem(pointer); !strings.Contains(problem, want) {
			t.Errorf("%q: got %q, want that it %s", pointer, problem, want)
		}
	}
}

func TestCopiedFieldsAreThoseOfAnotherPlace(t *testing.T) {
	gk := func(group, kind string) schema.GroupKind { return schema.GroupKind{Group: group, Kind: kind} }
	for name, c := range map[string]struct {
		kind     schema.GroupKind
		template string
		want     []string
	}{
		"a Job with a generated selector": {gk("batch", "Job"),
			`{spec: {selector: {matchLabels: {batch.kubernetes.io/controller-uid: u}}, template: {metadata: {labels: {app: a, controller-uid: u, batch.kubernetes.io/controller-uid: u, job-name: j, batch.kubernetes.io/job-name: j}}}}}`,
			[]string{"spec.selector", "spec.template.metadata.labels[controller-uid]", "spec.template.metadata.labels[batch.kubernetes.io/controller-uid]", "spec.template.metadata.labels[job-name]", "spec.template.metadata.labels[batch.kubernetes.io/job-name]"}},
		"a Job with a selector by hand": {gk("batch", "Job"),
			`{spec: {manualSelector: true, selector: {matchLabels: {controller-uid: u}}, template: {metadata: {labels: {controller-uid: u, job-name: j}}}}}`, nil},
		"a Job whose selector the member will refuse": {gk("batch", "Job"), `{spec: {selector: {matchLabels: {app: a}}}}`, nil},
		"a Service with addresses": {gk("", "Service"),
			`{spec: {clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1], healthCheckNodePort: 30001, ipFamilies: [IPv4], ports: [{name: a, nodePort: 30000}, {name: b}]}}`,
			[]string{"spec.clusterIP", "spec.clusterIPs", "spec.healthCheckNodePort", "spec.ports[0].nodePort"}},
		"a headless Service":                       {gk("", "Service"), `{spec: {clusterIP: None, clusterIPs: [None]}}`, nil},
		"a Service with a node port that is meant": {gk("", "Service"), `{spec: {ports: [{nodePort: 30000}]}}`, nil},
		"a Service of another group":               {gk("serving.knative.dev", "Service"), `{spec: {clusterIP: 10.0.0.1}}`, nil},
		"a Pod": {gk("", "Pod"),
			`{spec: {nodeName: n, priority: 0, preemptionPolicy: Never, overhead: {cpu: 1}, ephemeralContainers: [{name: d}],
				volumes: [{name: data, emptyDir: {}}, {name: kube-api-access-abcde, projected: {}}, {name: default-token-x2b5z, secret: {secretName: default-token-x2b5z}}, {name: kube-api-access-mine, emptyDir: {}}],
				initContainers: [{name: i, volumeMounts: [{name: kube-api-access-abcde, mountPath: /var/run/secrets/kubernetes.io/serviceaccount}]}],
				containers: [{name: c, volumeMounts: [{name: data, mountPath: /d}, {name: kube-api-access-abcde, mountPath: /var/run/secrets/kubernetes.io/serviceaccount}]}],
				tolerations: [{key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 300}, {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 30}]}}`,
			[]string{"spec.nodeName", "spec.volumes[1]", "spec.volumes[2]", "spec.containers[0].volumeMounts[1]", "spec.initContainers[0].volumeMounts[0]", "spec.ephemeralContainers", "spec.tolerations[0]", "spec.priority", "spec.preemptionPolicy", "spec.overhead"}},
		"a claim with a volume that was provisioned": {gk("", "PersistentVolumeClaim"), `{spec: {volumeName: pvc-3f2504e0-4f89-11d3-9a0c-0305e82c3301}}`, []string{"spec.volumeName"}},
		"a claim that was bound": {gk("", "PersistentVolumeClaim"), `{metadata: {annotations: {pv.kubernetes.io/bind-completed: "yes", pv.kubernetes.io/bound-by-controller: "yes"}}, spec: {volumeName: v}}`,
			[]string{"spec.volumeName", "metadata.annotations[pv.kubernetes.io/bind-completed]", "metadata.annotations[pv.kubernetes.io/bound-by-controller]"}},
		"a claim with a volume by hand": {gk("", "PersistentVolumeClaim"), `{spec: {volumeName: v}}`, nil},
		"a volume that was bound":       {gk("", "PersistentVolume"), `{metadata: {annotations: {pv.kubernetes.io/bound-by-controller: "yes"}}, spec: {claimRef: {name: c, uid: u}}}`, []string{"spec.claimRef", "metadata.annotations[pv.kubernetes.io/bound-by-controller]"}},
		"a volume kept for a claim":     {gk("", "PersistentVolume"), `{spec: {claimRef: {name: c, uid: u, resourceVersion: "1"}}}`, []string{"spec.claimRef.uid", "spec.claimRef.resourceVersion"}},
		"a ServiceAccount with tokens":  {gk("", "ServiceAccount"), `{secrets: [{name: mine}, {name: sa-token-x2b5z}], imagePullSecrets: [{name: sa-dockercfg-x2b5z}, {name: mine}]}`, []string{"secrets[1]", "imagePullSecrets[0]"}},
		"a Secret with a token":         {gk("", "Secret"), `{type: kubernetes.io/service-account-token, data: {token: x, ca.crt: y, mine: z}}`, []string{"data[token]", "data[ca.crt]"}},
		"another Secret":                {gk("", "Secret"), `{type: Opaque, data: {token: x}}`, nil},
		"a Node":                        {gk("", "Node"), `{spec: {podCIDR: x, podCIDRs: [x], providerID: y, unschedulable: true, taints: [{key: mine}, {key: node.kubernetes.io/not-ready}]}}`, []string{"spec.podCIDR", "spec.podCIDRs", "spec.providerID", "spec.taints[1]"}},
		"records of any kind":           {gk("apps", "Deployment"), `{metadata: {annotations: {deployment.kubernetes.io/revision: "3", kubectl.kubernetes.io/last-applied-configuration: x, mine: y}}}`, []string{"metadata.annotations[deployment.kubernetes.io/revision]", "metadata.annotations[kubectl.kubernetes.io/last-applied-configuration]"}},
		"shapes that are wrong":         {gk("", "Service"), `{spec: {clusterIP: 7, clusterIPs: x, ports: {a: b}}}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var paths []string
			for _, copied := range manifest.CopiedFields(decode(t, c.template), c.kind) {
				path := copied.Path(field.NewPath("spec", "template")).String()
				paths = append(paths, strings.TrimPrefix(path, "spec.template."))
				if !strings.HasPrefix(copied.Reason, "is not sent to members: ") {
					t.Errorf("%s: %q", path, copied.Reason)
				}
			}
			if diff := cmp.Diff(c.want, paths); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestWhatOverridesSetIsNotTakenOut(t *testing.T) {
	service := schema.GroupKind{Kind: "Service"}
	template := decode(t, `{spec: {clusterIP: 10.0.0.1, ports: [{name: a, nodePort: 30000}, {name: b, nodePort: 30001}]}}`)
	copied := manifest.CopiedFields(template, service)
	for name, c := range map[string]struct{ patched, want string }{
		"nothing was overridden":       {`{spec: {clusterIP: 10.0.0.1, ports: [{name: a, nodePort: 30000}, {name: b, nodePort: 30001}]}}`, `{spec: {ports: [{name: a}, {name: b}]}}`},
		"an address and a node port":   {`{spec: {clusterIP: 10.0.0.9, ports: [{name: a, nodePort: 30009}, {name: b, nodePort: 30001}]}}`, `{spec: {clusterIP: 10.0.0.9, ports: [{name: a, nodePort: 30009}, {name: b}]}}`},
		"a port was put before others": {`{spec: {ports: [{name: new, nodePort: 30000}, {name: a, nodePort: 30000}, {name: b}]}}`, `{spec: {ports: [{name: new, nodePort: 30000}, {name: a}, {name: b}]}}`},
		"what held them is gone":       {`{}`, `{}`},
		"it is of another shape":       {`{spec: {ports: x}}`, `{spec: {ports: x}}`},
	} {
		t.Run(name, func(t *testing.T) {
			object := decode(t, c.patched)
			manifest.TakeOut(object, copied)
			if diff := cmp.Diff(decode(t, c.want), object); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}

	pod := decode(t, `{spec: {volumes: [{name: kube-api-access-a, projected: {x: y}}, {name: d}], containers: [{name: c, volumeMounts: [{name: kube-api-access-a, mountPath: /var/run/secrets/kubernetes.io/serviceaccount}]}]}}`)
	found := manifest.CopiedFields(pod, schema.GroupKind{Kind: "Pod"})
	pod["spec"].(map[string]any)["volumes"].([]any)[0].(map[string]any)["projected"] = "changed in place"
	manifest.TakeOut(pod, found)
	if diff := cmp.Diff(decode(t, `{spec: {volumes: [{name: kube-api-access-a, projected: changed in place}, {name: d}], containers: [{name: c, volumeMounts: []}]}}`), pod); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func decode(t *testing.T, text string) map[string]any {
	t.Helper()
	out := map[string]any{}
	if err := yaml.Unmarshal([]byte(strings.ReplaceAll(text, "\t", " ")), &out); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return out
}
