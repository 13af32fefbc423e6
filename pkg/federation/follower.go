package federation

import (
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation/follow"
)

// buildFollower makes what has federated objects follow native ones, if that is asked for.
func (t *term) buildFollower() (err error) {
	if !t.config.FollowNative {
		return nil
	}
	only := "" // all namespaces
	if t.scope == v1beta1.NamespaceScoped {
		only = t.config.Namespace
	}
	t.follower, err = follow.New(follow.Config{
		HostConfig: t.config.RESTConfig,
		Checker:    t.checker,
		Types:      t.system.KubeFedCore().V1beta1().FederatedTypeConfigs().Lister().FederatedTypeConfigs(t.config.Namespace),
		Objects:    t.engine,
		Namespace:  only,
		Record:     t.recorder.Record,
	})
	return err
}
