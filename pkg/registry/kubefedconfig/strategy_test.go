package kubefedconfig

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

func stored() *v1beta1.KubeFedConfig {
	config := &v1beta1.KubeFedConfig{}
	v1beta1.SetDefaults_KubeFedConfig(config)
	config.Generation = 3
	return config
}

func TestAConfigThatNobodyLooksAtIsWarnedAbout(t *testing.T) {
	strategy := newStrategy(runtime.NewScheme(), "system")
	for name, test := range map[string]struct {
		namespace, name string
		warned          bool
	}{
		"KubeFed's name in the system namespace": {"system", "kubefed", false},
		"another name":                           {"system", "other", true},
		"another namespace":                      {"shop", "kubefed", true},
	} {
		t.Run(name, func(t *testing.T) {
			config := stored()
			config.Namespace, config.Name = test.namespace, test.name
			if got := strategy.WarningsOnCreate(t.Context(), config); (len(got) > 0) != test.warned {
				t.Errorf("got warnings %q", got)
			}
		})
	}
}
