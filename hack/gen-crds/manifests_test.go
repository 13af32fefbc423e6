package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

func TestManifestsAreCurrent(t *testing.T) {
	files, err := manifests()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join("..", "..", "artifacts", "crds")
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Errorf("%v: run hack/update-crds.sh", err)
			continue
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is stale: run hack/update-crds.sh (-generated +checked in):\n%s", name, diff)
		}
	}
	present, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(present) != len(files) {
		t.Errorf("%d manifests are checked in, %d generated: %v", len(present), len(files), err)
	}
}

func TestCRDsAreValid(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.target, func(t *testing.T) {
			crd, err := k.crd()
			if err != nil {
				t.Fatal(err)
			}
			apiextensionsv1.SetDefaults_CustomResourceDefinition(crd)
			apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(&crd.Spec)
			crd.Status.StoredVersions = []string{"v1beta2"}
			apiextensionsv1.SetDefaults_ServiceReference(crd.Spec.Conversion.Webhook.ClientConfig.Service)
			var internal apiextensions.CustomResourceDefinition
			if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(crd, &internal, nil); err != nil {
				t.Fatal(err)
			}
			if errs := validation.ValidateCustomResourceDefinition(t.Context(), &internal); len(errs) > 0 {
				t.Error(errs.ToAggregate())
			}
		})
	}
}

// The server of artifacts/webhook injects its authority into every kind that is generated, and
// may write no other.
func TestTheWebhookServerMayWriteEachKind(t *testing.T) {
	content, err := os.ReadFile(filepath.Join("..", "..", "artifacts", "webhook", "rbac.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"koinon"} // the webhook configurations
	for _, k := range kinds {
		want = append(want, "federated"+k.plural+"."+v1beta2.GroupName)
	}
	var got []string
	for decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096); ; {
		var role rbacv1.ClusterRole
		if err := decoder.Decode(&role); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		for _, rule := range role.Rules {
			if role.Kind == "ClusterRole" && slices.Contains(rule.Verbs, "patch") {
				got = append(got, rule.ResourceNames...)
			}
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names that it may patch (-kinds +role):\n%s", diff)
	}
}
