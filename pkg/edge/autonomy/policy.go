package autonomy

import (
	"cmp"
	"fmt"
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// What nodes say.
const (
	// Autonomy is the label or annotation of nodes whose pods stay while they are cut off: true or false.
	Autonomy = "edge.koinon.io/autonomy"
	// Duration is the label or annotation that says for how long.
	Duration = "edge.koinon.io/autonomy-duration"

	openYurtAutonomy = "node.beta.openyurt.io/autonomy"
	openYurtBinding  = "apps.openyurt.io/binding"
	openYurtDuration = "node.openyurt.io/autonomy-duration"
	alibabaDuration  = "node.alibabacloud.com/autonomy-duration"
)

// Policy is what a node says of its autonomy.
type Policy struct {
	On bool
	// For is how long pods stay from when it is cut off; 0 is without end.
	For time.Duration
}

// PolicyOf reads a node. With an error, which is for whoever wrote it, comes the policy that counts all the same.
func PolicyOf(node *corev1.Node) (Policy, error) {
	says := func(key string) (string, bool) {
		if value, ok := node.Annotations[key]; ok {
			return value, true
		}
		value, ok := node.Labels[key]
		return value, ok
	}
	value, on := says(Autonomy)
	duration, limited := says(Duration)
	switch {
	case on:
		return policy(Autonomy, value, Duration, duration)
	case limited:
		return Policy{}, fmt.Errorf("%s is %q, and has no effect without %s", Duration, duration, Autonomy)
	}
	return openYurtPolicy(node.Annotations)
}

// openYurtPolicy reads the annotations of people who come from there.
func openYurtPolicy(annotations map[string]string) (Policy, error) {
	if duration, ok := annotations[openYurtDuration]; ok {
		return policy(openYurtDuration, "true", openYurtDuration, cmp.Or(duration, "?"))
	}
	if annotations[openYurtBinding] == "true" {
		return Policy{On: true}, nil
	}
	if value, ok := annotations[openYurtAutonomy]; ok {
		return policy(openYurtAutonomy, value, alibabaDuration, annotations[alibabaDuration])
	}
	return Policy{}, nil
}

// policy reads two values.
func policy(key, value, durationKey, duration string) (Policy, error) {
	switch value {
	case "true":
	case "false":
		return Policy{}, nil
	default:
		return Policy{}, fmt.Errorf("%s is %q: it must be true or false, and is taken for false", key, value)
	}
	if duration == "" {
		return Policy{On: true}, nil
	}
	limit, err := time.ParseDuration(duration)
	if err != nil {
		return Policy{On: true}, fmt.Errorf("%s is %q: it must be a duration such as 500s or 24h, or 0 for no end, and is taken for 0", durationKey, duration)
	}
	return Policy{On: true, For: max(limit, 0)}, nil
}

// seconds are those that tolerations are to have, nil for no end.
func (p Policy) seconds() *int64 {
	if p.For == 0 {
		return nil
	}
	seconds := int64(math.Ceil(p.For.Seconds()))
	return &seconds
}

// ready returns the condition Ready of a node; nil if it has none.
func ready(node *corev1.Node) *corev1.NodeCondition {
	for i := range node.Status.Conditions {
		if c := &node.Status.Conditions[i]; c.Type == corev1.NodeReady {
			return c
		}
	}
	return nil
}

// cutOff reports whether a node is not heard of, and since when.
func cutOff(node *corev1.Node) (since time.Time, is bool) {
	c := ready(node)
	if c == nil || c.Status != corev1.ConditionUnknown {
		return time.Time{}, false
	}
	return c.LastTransitionTime.Time, true
}
