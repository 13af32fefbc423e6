package wire

import (
	"bytes"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	typesv1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

// appendTopologySpec writes the spec of v1beta2.
func appendTopologySpec(b []byte, s *typesv1beta2.FederatedObjectSpec) ([]byte, error) {
	b = appendTemplate(append(b, '{'), s.Template)
	b = appendText(b, "topologyType", s.TopologyType)
	var err error
	if b, err = appendTopologyPlacement(b, "placement", s.Placement); err != nil {
		return nil, err
	}
	if b, err = appendTopologyPlacement(b, "placementMask", s.PlacementMask); err != nil {
		return nil, err
	}
	b, err = appendList(b, "overrides", s.Overrides, func(b []byte, o *typesv1beta2.Override) ([]byte, error) {
		b = appendText(b, "topologyName", o.TopologyName)
		b, err := appendSelector(b, "topologySelector", o.TopologySelector)
		if err != nil {
			return nil, err
		}
		return appendList(b, "topologyOverrides", o.TopologyOverrides, appendTopologyPatch)
	})
	return append(appendBool(b, "retainReplicas", s.RetainReplicas), '}'), err
}

func appendTopologyPlacement(b []byte, name string, p *typesv1beta2.Placement) ([]byte, error) {
	if p == nil {
		return b, nil
	}
	b, err := appendList(append(appendKey(b, name), '{'), "topologies", p.Topologies, func(b []byte, t *typesv1beta2.TopologyReference) ([]byte, error) {
		return appendString(appendKey(b, "name"), t.Name), nil
	})
	if err != nil {
		return nil, err
	}
	b, err = appendSelector(b, "topologySelector", p.TopologySelector)
	return append(b, '}'), err
}

func appendTopologyPatch(b []byte, p *typesv1beta2.OverridePatch) ([]byte, error) {
	b = appendText(b, "op", p.Op)
	b = appendString(appendKey(b, "path"), p.Path)
	return appendRaw(b, "value", p.Value)
}

// appendClusterSpec writes the spec of v1beta1.
func appendClusterSpec(b []byte, s *typesv1beta1.FederatedObjectSpec) ([]byte, error) {
	b = appendTemplate(append(b, '{'), s.Template)
	b, err := appendClusterPlacement(b, s.Placement)
	if err != nil {
		return nil, err
	}
	b, err = appendList(b, "overrides", s.Overrides, func(b []byte, o *typesv1beta1.Override) ([]byte, error) {
		b = appendString(appendKey(b, "clusterName"), o.ClusterName)
		return appendList(b, "clusterOverrides", o.ClusterOverrides, func(b []byte, p *typesv1beta1.OverridePatch) ([]byte, error) {
			return appendTopologyPatch(b, (*typesv1beta2.OverridePatch)(p))
		})
	})
	return append(appendBool(b, "retainReplicas", s.RetainReplicas), '}'), err
}

func appendClusterPlacement(b []byte, p *typesv1beta1.Placement) ([]byte, error) {
	if p == nil {
		return b, nil
	}
	b, err := appendList(append(appendKey(b, "placement"), '{'), "clusters", p.Clusters, func(b []byte, c *typesv1beta1.ClusterReference) ([]byte, error) {
		return appendString(appendKey(b, "name"), c.Name), nil
	})
	if err != nil {
		return nil, err
	}
	b, err = appendSelector(b, "clusterSelector", p.ClusterSelector)
	return append(b, '}'), err
}

// appendTemplate copies the template as it is.
func appendTemplate(b []byte, template rawjson.Value) []byte {
	if len(template) == 0 {
		return b
	}
	return append(appendKey(b, "template"), template...)
}

// appendRaw writes a value as the library does, which escapes what HTML and JavaScript give a
// meaning to, unless it is empty. Values are compact and were checked when they were decoded.
func appendRaw(b []byte, name string, value rawjson.Value) ([]byte, error) {
	if len(value) == 0 {
		return b, nil
	}
	b = appendKey(b, name)
	// U+2028 and U+2029 begin with E2.
	if bytes.ContainsAny(value, "<>&") || bytes.IndexByte(value, 0xE2) >= 0 {
		return appendValue(b, value)
	}
	return append(b, value...), nil
}

// appendSelector writes a member unless there is none. Few objects have one.
func appendSelector(b []byte, name string, selector *metav1.LabelSelector) ([]byte, error) {
	if selector == nil {
		return b, nil
	}
	return appendValue(appendKey(b, name), selector)
}

// appendBool writes a member unless there is none.
func appendBool(b []byte, name string, value *bool) []byte {
	if value == nil {
		return b
	}
	return strconv.AppendBool(appendKey(b, name), *value)
}

// appendList writes a list of objects, whose members appendMembers writes, unless it is nil.
func appendList[T any](b []byte, name string, list []T, appendMembers func([]byte, *T) ([]byte, error)) ([]byte, error) {
	if list == nil {
		return b, nil
	}
	b = append(appendKey(b, name), '[')
	var err error
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendMembers(append(b, '{'), &list[i]); err != nil {
			return nil, err
		}
		b = append(b, '}')
	}
	return append(b, ']'), nil
}
