package propagation_test

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/test/testbed"
)

var (
	jobs = schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}
)

// placed applies a federated object in m1 with a template in YAML's flow style.
func (f *fixture) placed(kind, name, template string) {
	f.Helper()
	f.apply(f.inM1(kind, name, template))
}

// created is placed by a create, which takes what an apply refuses.
func (f *fixture) created(kind, name, template string) {
	f.Helper()
	testbed.KubectlStdin(f.T, f.kubeconfig, f.inM1(kind, name, template), "create", "--validate=warn", "-f", "-")
}

func (f *fixture) inM1(kind, name, template string) string {
	return fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta2, kind: %s, metadata: {name: %s, namespace: %s}, spec: {placement: {topologies: [{name: m1}]}, template: %s}}`,
		kind, name, f.namespace, template)
}

// deploymentWith is the template of a Deployment with more in its spec and in its container.
func deploymentWith(spec, container string) string {
	return fmt.Sprintf(`{spec: {selector: {matchLabels: {app: web}}, %s template: {metadata: {labels: {app: web}}, spec: {containers: [{name: app, image: "example.org/app:1" %s}]}}}}`, spec, container)
}

func TestADeploymentBecomesRecreate(t *testing.T) {
	f := start(t)
	f.placed("FederatedDeployment", "web", deploymentWith("", ""))
	f.states("federateddeployments", "web", "m1", "")
	f.placed("FederatedDeployment", "web", deploymentWith("strategy: {type: Recreate},", ""))
	f.states("federateddeployments", "web", "m1", "")
	if got := field(f.object("m1", deployments, f.namespace, "web"), "spec", "strategy"); got != `{"type":"Recreate"}` {
		t.Errorf("got strategy %s", got)
	}
}

func TestAKeyOfStringDataGoes(t *testing.T) {
	f := start(t)
	f.placed("FederatedSecret", "s", `{stringData: {old: "1", keep: "2"}}`)
	f.states("federatedsecrets", "s", "m1", "")
	f.placed("FederatedSecret", "s", `{stringData: {keep: "2"}}`)
	f.eventually("the key is gone", func() error {
		if got := field(f.object("m1", secrets, f.namespace, "s"), "data"); got != `{"keep":"Mg=="}` {
			return fmt.Errorf("got data %s", got)
		}
		return nil
	})
}

func TestListsThatACreateTakesArrive(t *testing.T) {
	f := start(t)
	f.created("FederatedDeployment", "env", deploymentWith("", `, env: [{name: A, value: "1"}, {name: A, value: "2"}]`))
	f.created("FederatedDeployment", "ports", deploymentWith("", `, ports: [{containerPort: 80, hostPort: 8080}, {containerPort: 80, hostPort: 8081}]`))
	f.states("federateddeployments", "env", "m1", "")
	f.states("federateddeployments", "ports", "m1", "")
}

func TestWhatWasWrittenBeforeAdoptionGoes(t *testing.T) {
	f := start(t)
	f.exists("m1", "cm", map[string]string{v1beta1.ManagedLabel: "true"}) // as KubeFed leaves it
	f.configMap("cm", "ours", everywhere)
	f.states("federatedconfigmaps", "cm", "m1", "", "m2", "")
	if got := field(f.object("m1", configMaps, f.namespace, "cm"), "data"); got != `{"key":"ours"}` {
		t.Errorf("got data %s", got)
	}
}

func TestWhatAMemberDropsIsAWarning(t *testing.T) {
	f := start(t)
	f.created("FederatedDeployment", "web", deploymentWith("fieldOfALaterVersion: true,", ""))
	object := f.states("federateddeployments", "web", "m1", "")
	if got := f.target(object, "m1").Message; !strings.Contains(got, "fieldOfALaterVersion") {
		t.Errorf("got message %q, want it to name the field", got)
	}
}

func TestATemplateThatWasCopiedArrives(t *testing.T) {
	f := start(t)
	f.exists("m1", "unused", nil) // makes the namespace
	running := func(gvr schema.GroupVersionResource, object map[string]any) string {
		u := &unstructured.Unstructured{Object: object}
		u.SetName("source")
		created, err := f.member("m1").Resource(gvr).Namespace(f.namespace).Create(t.Context(), u, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return asJSON(created.Object)
	}
	pod := map[string]any{"spec": map[string]any{"restartPolicy": "Never", "containers": []any{map[string]any{"name": "c", "image": "example.org/app:1"}}}}
	job := running(jobs, map[string]any{"apiVersion": "batch/v1", "kind": "Job", "spec": map[string]any{"template": pod}})
	service := running(services, map[string]any{"apiVersion": "v1", "kind": "Service", "spec": map[string]any{"ports": []any{map[string]any{"port": int64(80)}}}})
	f.placed("FederatedJob", "copy", job)
	f.placed("FederatedService", "copy", service)
	f.states("federatedjobs", "copy", "m1", "")
	f.states("federatedservices", "copy", "m1", "")
	source := f.object("m1", services, f.namespace, "source")
	if got := field(f.object("m1", services, f.namespace, "copy"), "spec", "clusterIP"); got == field(source, "spec", "clusterIP") {
		t.Errorf("the copy has the address of its source, %s", got)
	}
}
