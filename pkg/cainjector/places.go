package cainjector

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

var (
	customResourceDefinitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	mutatingConfigurations    = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"}
	validatingConfigurations  = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"}
)

// place is a clientConfig in an object.
type place struct {
	path     string // JSON pointer
	service  types.NamespacedName
	caBundle string // base64
}

// places returns all that name a Service.
func places(object *unstructured.Unstructured) []place {
	var found []place
	add := func(path string, holder map[string]any) {
		config, _, _ := unstructured.NestedMap(holder, "clientConfig")
		namespace, _, _ := unstructured.NestedString(config, "service", "namespace")
		name, _, _ := unstructured.NestedString(config, "service", "name")
		caBundle, _, _ := unstructured.NestedString(config, "caBundle")
		if name != "" {
			found = append(found, place{path + "/clientConfig", types.NamespacedName{Namespace: namespace, Name: name}, caBundle})
		}
	}
	if conversion, ok, _ := unstructured.NestedMap(object.Object, "spec", "conversion", "webhook"); ok {
		add("/spec/conversion/webhook", conversion)
	}
	webhooks, _, _ := unstructured.NestedSlice(object.Object, "webhooks")
	for i, one := range webhooks {
		if webhook, ok := one.(map[string]any); ok {
			add("/webhooks/"+strconv.Itoa(i), webhook)
		}
	}
	return found
}

type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// patchFor returns the JSON patch that injects a bundle into the object wherever it names the
// Service, nil if nothing is to be done. It fails when a place has come to name another one.
func patchFor(object *unstructured.Unstructured, service types.NamespacedName, bundle []byte) ([]byte, error) {
	wanted := base64.StdEncoding.EncodeToString(bundle)
	var patch []operation
	for _, p := range places(object) {
		if p.service != service || p.caBundle == wanted {
			continue
		}
		patch = append(patch,
			operation{"test", p.path + "/service/namespace", service.Namespace},
			operation{"test", p.path + "/service/name", service.Name},
			operation{"add", p.path + "/caBundle", wanted})
	}
	if len(patch) == 0 {
		return nil, nil
	}
	encoded, err := json.Marshal(patch)
	if err != nil {
		return nil, fmt.Errorf("encode the patch of %s %q: %w", object.GetKind(), object.GetName(), err)
	}
	return encoded, nil
}
