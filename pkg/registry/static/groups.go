package static

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	genericapiserver "k8s.io/apiserver/pkg/server"

	"github.com/koinon-io/koinon/pkg/apis/install"
)

// APIGroups returns what a generic API server installs, one entry per static group.
func APIGroups(deps Deps, codecs serializer.CodecFactory) ([]*genericapiserver.APIGroupInfo, error) {
	resources, err := Storage(deps)
	if err != nil {
		return nil, err
	}
	parameterCodec := runtime.NewParameterCodec(deps.Scheme)
	var groups []*genericapiserver.APIGroupInfo
	byName := map[string]*genericapiserver.APIGroupInfo{}
	for _, gv := range install.GroupVersions() {
		info := byName[gv.Group]
		if info == nil {
			group := genericapiserver.NewDefaultAPIGroupInfo(gv.Group, deps.Scheme, parameterCodec, codecs)
			info = &group
			byName[gv.Group] = info
			groups = append(groups, info)
		}
		info.VersionedResourcesStorageMap[gv.Version] = resources[gv]
	}
	return groups, nil
}
