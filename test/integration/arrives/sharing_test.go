package arrives_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/pkg/federation/compose"
)

func kindNamed(t *testing.T, name string) kind {
	t.Helper()
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name() == name })
	if i < 0 {
		t.Fatalf("no kind %s", name)
	}
	return kinds[i]
}

// TestWhatOthersWroteBeforeTakeoverGoes takes over what KubeFed, kubectl and an older release wrote.
func TestWhatOthersWroteBeforeTakeoverGoes(t *testing.T) {
	m := newMember(t)
	for _, name := range []string{"apps_v1_Deployment", "v1_ConfigMap", "v1_Service", "v1_Secret"} {
		k := kindNamed(t, name)
		for writer, labelStays := range map[string]bool{"controller-manager": false, "kubectl-create": true, compose.FieldManager: false} {
			t.Run(name+"_of_"+writer, func(t *testing.T) {
				o := m.object(t, k)
				theirs := o.render(k.a(t))
				labels := theirs["metadata"].(map[string]any)["labels"].(map[string]any)
				labels["before"] = "takeover"
				if writer == compose.FieldManager {
					delete(theirs, "stringData")
					// An apply refuses what a create takes.
					if containers, ok, _ := unstructured.NestedSlice(theirs, "spec", "template", "spec", "containers"); ok {
						delete(containers[0].(map[string]any), "env")
						_ = unstructured.SetNestedSlice(theirs, containers, "spec", "template", "spec", "containers")
					}
					o.patch(types.ApplyPatchType, theirs, writer)
				} else if _, err := o.resource.Create(t.Context(), &unstructured.Unstructured{Object: theirs}, metav1.CreateOptions{FieldManager: writer}); err != nil {
					t.Fatal(err)
				}
				written := o.update(k.b(t))
				if _, stays := written.GetLabels()["before"]; stays != labelStays {
					t.Errorf("their label stays: %v, want %v", stays, labelStays)
				}
				rest := written.DeepCopy()
				labelsLeft := rest.GetLabels()
				delete(labelsLeft, "before")
				rest.SetLabels(labelsLeft)
				o.same(k.b(t), rest)
			})
		}
	}
}

// TestForeignFieldsStayOnRequest lets an injector own a container and a field of ours.
func TestForeignFieldsStayOnRequest(t *testing.T) {
	k := kindNamed(t, "apps_v1_Deployment")
	o := newMember(t).object(t, k)
	const simple = `{spec: {selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}, spec: {containers: [{name: app, image: "example.org/app:IMAGE"}]}}}}`
	o.create(k.manifest(t, strings.Replace(simple, "IMAGE", "1", 1)))
	inject := map[string]any{}
	if err := yaml.Unmarshal([]byte(`{apiVersion: apps/v1, kind: Deployment, spec: {template: {spec: {containers: [{name: app, env: [{name: INJECTED, value: "1"}]}, {name: sidecar, image: "example.org/sidecar:1"}]}}}}`), &inject); err != nil {
		t.Fatal(err)
	}
	inject["metadata"] = map[string]any{"name": o.name}
	o.patch(types.ApplyPatchType, inject, "injector")
	written, err := o.put(k.manifest(t, strings.Replace(simple, "IMAGE", "2", 1)), compose.Rules{KeepForeign: true})
	if err != nil {
		t.Fatal(err)
	}
	o.same(k.manifest(t, `{spec: {selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}, spec: {containers: [{name: app, image: "example.org/app:2", env: [{name: INJECTED, value: "1"}]}, {name: sidecar, image: "example.org/sidecar:1"}]}}}}`), written)
	o.same(k.manifest(t, strings.Replace(simple, "IMAGE", "2", 1)), o.update(k.manifest(t, strings.Replace(simple, "IMAGE", "2", 1))))
}

// TestWhoWritesAgainstUsIsNamed edits by hand what a PUT then puts back.
func TestWhoWritesAgainstUsIsNamed(t *testing.T) {
	k := kindNamed(t, "apps_v1_Deployment")
	o := newMember(t).object(t, k)
	o.create(k.b(t))
	o.othersWrite()
	before := o.get()
	after := o.update(k.b(t))
	got := compose.Contest(before.Object, after.Object, before.GetManagedFields())
	for _, path := range []string{".spec.template.spec.dnsPolicy", ".spec.template.spec.nodeSelector", ".spec.template.spec.containers[name=app].image"} {
		if !slices.Contains(got, compose.Contested{Path: path, Manager: "kubectl-edit"}) {
			t.Errorf("%s of kubectl-edit is not in %v", path, got)
		}
	}
	var settled *unstructured.Unstructured
	eventually(t, func() error { // its controller writes an annotation, too
		settled = o.get()
		if seen, _, _ := unstructured.NestedInt64(settled.Object, "status", "observedGeneration"); seen != after.GetGeneration() {
			return fmt.Errorf("its controller has seen generation %d of %d", seen, after.GetGeneration())
		}
		return nil
	})
	if again := compose.Contest(settled.Object, o.update(k.b(t)).Object, settled.GetManagedFields()); len(again) > 0 {
		t.Errorf("a write that changes nothing: %v", again)
	}
}

// TestWhatCannotBeChangedIsRefused: the answer of the member names the field.
func TestWhatCannotBeChangedIsRefused(t *testing.T) {
	m := newMember(t)
	for name, c := range map[string]struct {
		change string // a merge patch of A
		field  string // what the member names
	}{
		"apps_v1_Deployment":                       {`{spec: {selector: {matchLabels: {app: z}}, template: {metadata: {labels: {app: z}}}}}`, "spec.selector"},
		"apps_v1_ReplicaSet":                       {`{spec: {selector: {matchLabels: {app: z}}, template: {metadata: {labels: {app: z}}}}}`, "spec.selector"},
		"apps_v1_DaemonSet":                        {`{spec: {selector: {matchLabels: {app: z}}, template: {metadata: {labels: {app: z}}}}}`, "spec.selector"},
		"apps_v1_StatefulSet":                      {`{spec: {serviceName: z}}`, "spec"},
		"apps_v1_ControllerRevision":               {`{data: {a: z}}`, "data"},
		"batch_v1_Job":                             {`{spec: {template: {spec: {containers: [{name: z, image: z}]}}}}`, "spec.template"},
		"v1_Pod":                                   {`{spec: {containers: [{name: app, image: z, command: [z]}, {name: more, image: z}]}}`, "spec"},
		"v1_Service":                               {`{spec: {clusterIP: None}}`, "spec.clusterIPs[0]"},
		"v1_Secret_tls":                            {`{type: Opaque}`, "type"},
		"v1_PersistentVolumeClaim":                 {`{spec: {storageClassName: z}}`, "spec"},
		"v1_PersistentVolume":                      {`{spec: {hostPath: {path: /z}}}`, "spec.persistentvolumesource"},
		"rbac.authorization.k8s.io_v1_RoleBinding": {`{roleRef: {name: z}}`, "roleRef"},
		"rbac.authorization.k8s.io_v1_ClusterRoleBinding":  {`{roleRef: {name: z}}`, "roleRef"},
		"networking.k8s.io_v1_IngressClass":                {`{spec: {controller: example.com/z}}`, "spec.controller"},
		"discovery.k8s.io_v1_EndpointSlice":                {`{addressType: IPv6, endpoints: []}`, "addressType"},
		"scheduling.k8s.io_v1_PriorityClass":               {`{value: 8}`, "value"},
		"storage.k8s.io_v1_StorageClass":                   {`{provisioner: example.com/z}`, "provisioner"},
		"storage.k8s.io_v1_VolumeAttachment":               {`{spec: {attacher: z}}`, "spec"},
		"storage.k8s.io_v1_VolumeAttributesClass":          {`{parameters: {a: z}}`, "parameters"},
		"storage.k8s.io_v1_CSIStorageCapacity":             {`{storageClassName: z}`, "storageClassName"},
		"storage.k8s.io_v1_CSIDriver":                      {`{spec: {attachRequired: true}}`, "spec.attachedRequired"},
		"node.k8s.io_v1_RuntimeClass":                      {`{handler: z}`, "handler"},
		"apiextensions.k8s.io_v1_CustomResourceDefinition": {`{spec: {scope: Cluster}}`, "spec.scope"},
		"resource.k8s.io_v1_ResourceClaim":                 {`{spec: {devices: {requests: [{name: z, exactly: {deviceClassName: z}}]}}}`, "spec"},
		"resource.k8s.io_v1_ResourceClaimTemplate":         {`{spec: {spec: {devices: {requests: [{name: z, exactly: {deviceClassName: z}}]}}}}`, "spec"},
	} {
		t.Run(name, func(t *testing.T) {
			k := kindNamed(t, name)
			o := m.object(t, k)
			o.create(k.a(t))
			k.await(t, o)
			change := map[string]any{}
			if err := yaml.Unmarshal([]byte(c.change), &change); err != nil {
				t.Fatal(err)
			}
			_, err := o.put(merge(k.a(t), change), compose.Rules{})
			if !apierrors.IsInvalid(err) {
				t.Fatalf("got %v, want that %s is invalid", err, c.field)
			}
			status := err.(apierrors.APIStatus)
			var fields []string
			for _, cause := range status.Status().Details.Causes {
				fields = append(fields, cause.Field)
				message, _ := json.Marshal(cause.Message)
				t.Logf("%s: %.150s", cause.Field, message)
			}
			if !slices.Contains(fields, c.field) {
				t.Errorf("the answer names %v, want %s", fields, c.field)
			}
		})
	}
}

func merge(object, change map[string]any) map[string]any {
	out := maps.Clone(object)
	for key, value := range change {
		inner, isMap := value.(map[string]any)
		under, both := out[key].(map[string]any)
		if isMap && both {
			out[key] = merge(under, inner)
		} else {
			out[key] = value
		}
	}
	return out
}
