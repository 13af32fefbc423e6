package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

const header = "# Written by hack/update-crds.sh. Do not edit.\n"

// Where the webhooks run, unless the manifests are changed. The authority of the server's
// certificate is in none of them: the server injects it, see pkg/cainjector.
const (
	serviceName      = "koinon-webhook"
	serviceNamespace = "kube-federation-system"
)

// kind is one federated kind.
type kind struct {
	// target kind and plural; the federated ones are made of them.
	target, plural string
	shortNames     []string
	clusterScoped  bool
	// replicas: the target has spec.replicas, so there are a scale subresource and
	// retainReplicas.
	replicas bool
}

// kinds are the ten that KubeFed's chart turns on, with its short names.
var kinds = []kind{
	{target: "ClusterRole", plural: "clusterroles", clusterScoped: true},
	{target: "ConfigMap", plural: "configmaps", shortNames: []string{"fcm"}},
	{target: "Deployment", plural: "deployments", shortNames: []string{"fdeploy"}, replicas: true},
	{target: "Ingress", plural: "ingresses", shortNames: []string{"fing"}},
	{target: "Job", plural: "jobs"},
	{target: "Namespace", plural: "namespaces", shortNames: []string{"fns"}},
	{target: "ReplicaSet", plural: "replicasets", shortNames: []string{"frs"}, replicas: true},
	{target: "Secret", plural: "secrets"},
	{target: "Service", plural: "services", shortNames: []string{"fsvc"}},
	{target: "ServiceAccount", plural: "serviceaccounts", shortNames: []string{"fsa"}},
}

// manifests returns the content of each file.
func manifests() (map[string][]byte, error) {
	files := map[string][]byte{}
	resources := []string{}
	for _, k := range kinds {
		crd, err := k.crd()
		if err != nil {
			return nil, fmt.Errorf("schema of %s: %w", k.target, err)
		}
		name := fmt.Sprintf("%s_%s.yaml", v1beta2.GroupName, crd.Spec.Names.Plural)
		if files[name], err = manifest(crd); err != nil {
			return nil, err
		}
		resources = append(resources, name)
	}
	var err error
	if files["webhooks.yaml"], err = manifest(mutating(), validating()); err != nil {
		return nil, err
	}
	resources = append(resources, "webhooks.yaml")
	slices.Sort(resources)
	files["kustomization.yaml"], err = manifest(map[string]any{
		"apiVersion": "kustomize.config.k8s.io/v1beta1",
		"kind":       "Kustomization",
		"resources":  resources,
	})
	return files, err
}

// manifest writes objects as YAML documents, without what only a server fills in.
func manifest(objects ...any) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString(header)
	for _, o := range objects {
		data, err := json.Marshal(o)
		if err != nil {
			return nil, err
		}
		var tree map[string]any
		if err := json.Unmarshal(data, &tree); err != nil {
			return nil, err
		}
		delete(tree, "status")
		if meta, ok := tree["metadata"].(map[string]any); ok {
			delete(meta, "creationTimestamp")
		}
		if data, err = yaml.Marshal(tree); err != nil {
			return nil, err
		}
		out.WriteString("---\n")
		out.Write(data)
	}
	return out.Bytes(), nil
}

func (k kind) crd() (*apiextensionsv1.CustomResourceDefinition, error) {
	plural := "federated" + k.plural
	path := "/convert"
	crd := &apiextensionsv1.CustomResourceDefinition{
		TypeMeta:   metav1.TypeMeta{APIVersion: apiextensionsv1.SchemeGroupVersion.String(), Kind: "CustomResourceDefinition"},
		ObjectMeta: metav1.ObjectMeta{Name: plural + "." + v1beta2.GroupName},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: v1beta2.GroupName,
			Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{
				Kind:       "Federated" + k.target,
				ListKind:   "Federated" + k.target + "List",
				Plural:     plural,
				Singular:   "federated" + lower(k.target),
				ShortNames: k.shortNames,
				Categories: []string{"federated"},
			},
			Conversion: &apiextensionsv1.CustomResourceConversion{
				Strategy: apiextensionsv1.WebhookConverter,
				Webhook: &apiextensionsv1.WebhookConversion{
					ConversionReviewVersions: []string{"v1"},
					ClientConfig: &apiextensionsv1.WebhookClientConfig{
						Service: &apiextensionsv1.ServiceReference{Name: serviceName, Namespace: serviceNamespace, Path: &path},
					},
				},
			},
		},
	}
	if k.clusterScoped {
		crd.Spec.Scope = apiextensionsv1.ClusterScoped
	}
	for _, shape := range []any{v1beta2.FederatedObject{}, v1beta1.FederatedObject{}} {
		version, err := k.version(shape)
		if err != nil {
			return nil, err
		}
		crd.Spec.Versions = append(crd.Spec.Versions, *version)
	}
	return crd, nil
}

func (k kind) version(shape any) (*apiextensionsv1.CustomResourceDefinitionVersion, error) {
	name, columns := v1beta2.SchemeGroupVersion.Version, topologyColumns
	if _, ok := shape.(v1beta1.FederatedObject); ok {
		name, columns = v1beta1.SchemeGroupVersion.Version, nil
	}
	schema, err := schemaOf(shape)
	if err != nil {
		return nil, err
	}
	schema.Description = fmt.Sprintf("Federated%s is a %s for several targets, and what differs there.", k.target, k.target)
	if k.clusterScoped {
		schema.Description += " It is cluster-scoped, and so are its targets."
	}
	version := &apiextensionsv1.CustomResourceDefinitionVersion{
		Name:                     name,
		Served:                   true,
		Storage:                  name == v1beta2.SchemeGroupVersion.Version,
		Schema:                   &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: schema},
		AdditionalPrinterColumns: append(slices.Clone(columns), commonColumns...),
		Subresources: &apiextensionsv1.CustomResourceSubresources{
			Status: &apiextensionsv1.CustomResourceSubresourceStatus{},
		},
	}
	if k.replicas {
		version.Subresources.Scale = &apiextensionsv1.CustomResourceSubresourceScale{
			SpecReplicasPath: ".spec.template.spec.replicas",
			// Required, and in no schema: the number of replicas in all targets is not known
			// here, so scale says 0.
			StatusReplicasPath: ".status.replicas",
		}
	} else {
		delete(schema.Properties["spec"].Properties, "retainReplicas")
	}
	return version, nil
}

var topologyColumns = []apiextensionsv1.CustomResourceColumnDefinition{
	{Name: "Topology", Type: "string", JSONPath: ".spec.topologyType"},
}

var commonColumns = []apiextensionsv1.CustomResourceColumnDefinition{
	{Name: "Propagated", Type: "string", JSONPath: `.status.conditions[?(@.type=="Propagation")].status`},
	{Name: "Healthy", Type: "string", JSONPath: `.status.conditions[?(@.type=="Healthy")].status`, Priority: 1},
	{Name: "Reason", Type: "string", JSONPath: `.status.conditions[?(@.type=="Propagation")].reason`, Priority: 1},
	{Name: "Age", Type: "date", JSONPath: ".metadata.creationTimestamp"},
}

func lower(s string) string { return string(bytes.ToLower([]byte(s))) }

// rules match what /mutate and /validate are for. Both versions are listed, so that the
// API server sends each write as its client made it.
func rules() []admissionregistrationv1.RuleWithOperations {
	return []admissionregistrationv1.RuleWithOperations{{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
		Rule: admissionregistrationv1.Rule{
			APIGroups:   []string{v1beta2.GroupName},
			APIVersions: []string{v1beta1.SchemeGroupVersion.Version, v1beta2.SchemeGroupVersion.Version},
			Resources:   []string{"*", "*/status"},
		},
	}}
}

func service(path string) admissionregistrationv1.WebhookClientConfig {
	return admissionregistrationv1.WebhookClientConfig{
		Service: &admissionregistrationv1.ServiceReference{Name: serviceName, Namespace: serviceNamespace, Path: &path},
	}
}

func mutating() *admissionregistrationv1.MutatingWebhookConfiguration {
	return &admissionregistrationv1.MutatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionregistrationv1.SchemeGroupVersion.String(), Kind: "MutatingWebhookConfiguration"},
		ObjectMeta: metav1.ObjectMeta{Name: "koinon"},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name:                    "mutate.types.kubefed.io",
			ClientConfig:            service("/mutate"),
			Rules:                   rules(),
			FailurePolicy:           new(admissionregistrationv1.Fail),
			SideEffects:             new(admissionregistrationv1.SideEffectClassNone),
			AdmissionReviewVersions: []string{"v1"},
		}},
	}
}

func validating() *admissionregistrationv1.ValidatingWebhookConfiguration {
	return &admissionregistrationv1.ValidatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionregistrationv1.SchemeGroupVersion.String(), Kind: "ValidatingWebhookConfiguration"},
		ObjectMeta: metav1.ObjectMeta{Name: "koinon"},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name:                    "validate.types.kubefed.io",
			ClientConfig:            service("/validate"),
			Rules:                   rules(),
			FailurePolicy:           new(admissionregistrationv1.Fail),
			SideEffects:             new(admissionregistrationv1.SideEffectClassNone),
			AdmissionReviewVersions: []string{"v1"},
		}},
	}
}
