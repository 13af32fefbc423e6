package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
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
