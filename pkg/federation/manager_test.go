package federation

import (
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
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

func TestDefaultTypes(t *testing.T) {
	types := DefaultTypes("sys")
	if len(types) != 10 {
		t.Errorf("got %d types, want ten", len(types))
	}
	for _, ftc := range types {
		target, federated := ftc.Spec.TargetType, ftc.Spec.FederatedType
		if want := strings.TrimSuffix(target.PluralName+"."+target.Group, "."); ftc.Name != want || ftc.Namespace != "sys" {
			t.Errorf("got name %s/%s, want sys/%s", ftc.Namespace, ftc.Name, want)
		}
		if federated.Kind != "Federated"+target.Kind || federated.PluralName != "federated"+target.PluralName {
			t.Errorf("%s: got federated type %+v", ftc.Name, federated)
		}
		if ftc.Name == "namespaces" && (target.Scope != v1beta1.ClusterScoped || federated.Scope != v1beta1.NamespaceScoped) {
			t.Errorf("a FederatedNamespace lies in its namespace; got %+v", ftc.Spec)
		}
	}
}
