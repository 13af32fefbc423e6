package wire

import (
	"strconv"

	typesv1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// appendTopologyStatus writes the status of v1beta2.
func appendTopologyStatus(b []byte, s *typesv1beta2.FederatedObjectStatus) ([]byte, error) {
	b = appendInt(append(b, '{'), "observedGeneration", s.ObservedGeneration)
	b, err := appendFilledList(b, "conditions", s.Conditions, func(b []byte, c *typesv1beta2.Condition) ([]byte, error) {
		b = appendString(appendKey(b, "type"), string(c.Type))
		b = appendString(appendKey(b, "status"), string(c.Status))
		b = appendText(b, "reason", c.Reason)
		b = appendText(b, "message", c.Message)
		b = appendText(b, "lastUpdateTime", c.LastUpdateTime)
		return appendText(b, "lastTransitionTime", c.LastTransitionTime), nil
	})
	if err != nil {
		return nil, err
	}
	b = appendWorkload(b, s.Workload)
	b, err = appendFilledList(b, "targets", s.Targets, appendTarget)
	return append(b, '}'), err
}

func appendWorkload(b []byte, w *typesv1beta2.WorkloadStatus) []byte {
	if w == nil {
		return b
	}
	b = append(appendKey(b, "workload"), '{')
	b = strconv.AppendInt(appendKey(b, "desiredReplicas"), w.DesiredReplicas, 10)
	b = strconv.AppendInt(appendKey(b, "replicas"), w.Replicas, 10)
	b = strconv.AppendInt(appendKey(b, "updatedReplicas"), w.UpdatedReplicas, 10)
	b = strconv.AppendInt(appendKey(b, "readyReplicas"), w.ReadyReplicas, 10)
	b = strconv.AppendInt(appendKey(b, "availableReplicas"), w.AvailableReplicas, 10)
	return append(b, '}')
}

func appendTarget(b []byte, t *typesv1beta2.TargetStatus) ([]byte, error) {
	b = appendString(appendKey(b, "name"), t.Name)
	b = appendText(b, "state", string(t.State))
	b = appendText(b, "message", t.Message)
	b = appendText(b, "cluster", t.Cluster)
	b = appendText(b, "namespace", t.Namespace)
	b = appendText(b, "hash", t.Hash)
	b = appendText(b, "version", t.Version)
	b = appendInt(b, "generation", t.Generation)
	if t.Ended {
		b = append(appendKey(b, "ended"), "true"...)
	}
	b = appendText(b, "health", string(t.Health))
	b = appendText(b, "healthMessage", t.HealthMessage)
	b = appendInt(b, "replicas", t.Replicas)
	b = appendInt(b, "ready", t.Ready)
	b, err := appendRaw(b, "remoteStatus", t.RemoteStatus)
	if err != nil {
		return nil, err
	}
	return appendFilledList(b, "former", t.Former, appendFormer)
}

func appendFormer(b []byte, f *typesv1beta2.FormerPlace) ([]byte, error) {
	b = appendText(b, "cluster", f.Cluster)
	b = appendText(b, "namespace", f.Namespace)
	b = appendText(b, "state", string(f.State))
	b = appendText(b, "message", f.Message)
	b = appendText(b, "hash", f.Hash)
	b = appendText(b, "version", f.Version)
	b = appendInt(b, "generation", f.Generation)
	if f.Ended {
		b = append(appendKey(b, "ended"), "true"...)
	}
	return b, nil
}

// appendClusterStatus writes the status of v1beta1.
func appendClusterStatus(b []byte, s *typesv1beta1.FederatedObjectStatus) ([]byte, error) {
	b = appendInt(append(b, '{'), "observedGeneration", s.ObservedGeneration)
	b, err := appendFilledList(b, "conditions", s.Conditions, func(b []byte, c *typesv1beta1.Condition) ([]byte, error) {
		b = appendString(appendKey(b, "type"), string(c.Type))
		b = appendString(appendKey(b, "status"), string(c.Status))
		b = appendText(b, "reason", c.Reason)
		b = appendText(b, "lastUpdateTime", c.LastUpdateTime)
		return appendText(b, "lastTransitionTime", c.LastTransitionTime), nil
	})
	if err != nil {
		return nil, err
	}
	b, err = appendFilledList(b, "clusters", s.Clusters, func(b []byte, c *typesv1beta1.ClusterStatus) ([]byte, error) {
		b = appendString(appendKey(b, "name"), c.Name)
		b = appendText(b, "status", string(c.Status))
		return appendRaw(b, "remoteStatus", c.RemoteStatus)
	})
	if err != nil || s.Topology == nil {
		return append(b, '}'), err
	}
	b = appendTexts(append(appendKey(b, "topology"), '{'), "messages", s.Topology.Messages)
	b = appendWorkload(b, s.Topology.Workload)
	b, err = appendFilledList(b, "targets", s.Topology.Targets, appendTarget)
	return append(b, '}', '}'), err
}

// appendInt writes a member unless it is 0.
func appendInt(b []byte, name string, value int64) []byte {
	if value == 0 {
		return b
	}
	return strconv.AppendInt(appendKey(b, name), value, 10)
}

// appendFilledList is appendList, but that it leaves out an empty list too.
func appendFilledList[T any](b []byte, name string, list []T, appendMembers func([]byte, *T) ([]byte, error)) ([]byte, error) {
	if len(list) == 0 {
		return b, nil
	}
	return appendList(b, name, list, appendMembers)
}
