package kubefedconfig

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

func stored() *v1beta1.KubeFedConfig {
	config := &v1beta1.KubeFedConfig{}
	v1beta1.SetDefaults_KubeFedConfig(config)
	config.Generation = 3
	return config
}

func TestGeneration(t *testing.T) {
	strategy := newStrategy(runtime.NewScheme(), "system")
	for name, test := range map[string]struct {
		change func(*v1beta1.KubeFedConfig)
		want   int64
	}{
		"a setting counts":    {change: func(c *v1beta1.KubeFedConfig) { c.Spec.ClusterHealthCheck.Period.Duration = time.Minute }, want: 4},
		"metadata does not":   {change: func(c *v1beta1.KubeFedConfig) { c.Labels = map[string]string{"a": "b"} }, want: 3},
		"no change is no one": {change: func(*v1beta1.KubeFedConfig) {}, want: 3},
	} {
		t.Run(name, func(t *testing.T) {
			config := stored()
			test.change(config)
			strategy.PrepareForUpdate(t.Context(), config, stored())
			if config.Generation != test.want {
				t.Errorf("got generation %d, want %d", config.Generation, test.want)
			}
		})
	}
	config := stored()
	strategy.PrepareForCreate(t.Context(), config)
	if config.Generation != 1 {
		t.Errorf("a new object has generation %d, want 1", config.Generation)
	}
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
