package federation

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/validation"
)

func TestNewChecksItsConfig(t *testing.T) {
	for name, test := range map[string]struct {
		config Config
		want   string
	}{
		"no API":                       {Config{}, "RESTConfig must be set"},
		"an election without a name":   {Config{RESTConfig: &rest.Config{}, LeaderElection: true}, "Identity must be set"},
		"an API that cannot be":        {Config{RESTConfig: &rest.Config{Host: "http://%"}}, "make host client"},
		"a configuration that is good": {Config{RESTConfig: &rest.Config{Host: "http://host"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			manager, err := New(test.config)
			if test.want == "" {
				if err != nil || manager.config.Namespace != v1beta1.DefaultNamespace {
					t.Errorf("got %+v, error %v", manager, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestTheTypesOfKubeFedsChartCanBeCreatedAndServed(t *testing.T) {
	var names []string
	for _, ftc := range DefaultTypes("sys") {
		names = append(names, ftc.Name)
		v1beta1.SetDefaults_FederatedTypeConfig(ftc)
		if errs := validation.FederatedTypeConfig(ftc); errs != nil {
			t.Errorf("%s would be refused: %v", ftc.Name, errs)
		}
		if ftc.Namespace != "sys" {
			t.Errorf("%s is in namespace %q, where nobody looks", ftc.Name, ftc.Namespace)
		}
	}
	want := []string{
		"namespaces", "configmaps", "secrets", "services", "serviceaccounts", "deployments.apps", "replicasets.apps",
		"jobs.batch", "ingresses.networking.k8s.io", "clusterroles.rbac.authorization.k8s.io",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("types (-want +got):\n%s", diff)
	}
}

func TestWhoCannotWorkGivesTheLeaseBack(t *testing.T) {
	manager, err := New(Config{RESTConfig: &rest.Config{Host: "http://host"}, LeaderElection: true, Identity: "a"})
	if err != nil {
		t.Fatal(err)
	}
	manager.kube = fake.NewClientset()
	broken := errors.New("broken")
	manager.do = func(context.Context) error { return broken }
	if err := manager.Run(t.Context()); !errors.Is(err, broken) {
		t.Fatalf("got error %v, want %v", err, broken)
	}
	lease, err := manager.kube.CoordinationV1().Leases(v1beta1.DefaultNamespace).Get(t.Context(), leaseName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if holder := lease.Spec.HolderIdentity; holder != nil && *holder != "" {
		t.Errorf("the lease is still held by %q", *holder)
	}
}
