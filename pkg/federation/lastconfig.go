package federation

import (
	"sync/atomic"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	listersv1beta1 "github.com/koinon-io/koinon/pkg/generated/listers/core/v1beta1"
)

// lastConfig is the KubeFedConfig that holds in a term: the one that is there, and while there is none, the last one
// that was. Who makes it anew deletes it first; the defaults between would turn on what it had turned off.
type lastConfig struct {
	lister listersv1beta1.KubeFedConfigNamespaceLister
	seen   atomic.Pointer[v1beta1.KubeFedConfig]
}

// saw takes a KubeFedConfig that is there, or was until now.
func (c *lastConfig) saw(config *v1beta1.KubeFedConfig) {
	if config.Name == v1beta1.KubeFedConfigName {
		c.seen.Store(config)
	}
}

// current returns nil if there has been none in this term: the defaults hold then.
func (c *lastConfig) current() *v1beta1.KubeFedConfig {
	config, err := c.lister.Get(v1beta1.KubeFedConfigName)
	if err != nil {
		return c.seen.Load()
	}
	c.seen.Store(config)
	return config
}
