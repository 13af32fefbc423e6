package book

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Pod is what has to be known of one.
type Pod struct {
	Metadata struct {
		UID         string            `json:"uid"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Status struct {
		Phase string `json:"phase"`
	} `json:"status"`
}

// mirrorOf is the annotation by which a mirror pod says which static pod it shows: kubelet gives plugins the UID of that, and not of the mirror pod.
const mirrorOf = "kubernetes.io/config.mirror"

// UID is what the pod is called in a reservation.
func (p *Pod) UID() string {
	if static := p.Metadata.Annotations[mirrorOf]; static != "" {
		return static
	}
	return p.Metadata.UID
}

// Ended reports whether the pod will have no sandbox any more, though it is still there.
func (p *Pod) Ended() bool { return p.Status.Phase == "Succeeded" || p.Status.Phase == "Failed" }

// Among returns what Release asks, for all pods of the node: a pod that is not among them, or has ended, is gone.
func Among(pods []Pod) (gone func(Reservation) bool) {
	alive := map[string]bool{}
	for i := range pods {
		if !pods[i].Ended() {
			alive[pods[i].UID()] = true
		}
	}
	return func(r Reservation) bool { return !alive[r.UID] }
}

// ReadPods reads a list of pods, as kubectl get --output json, an API server or a kubelet has it. It refuses what may not be all: a chunk, another type, a list of none, as a
// kubelet has when it has begun.
func ReadPods(data []byte) ([]Pod, error) {
	var list struct {
		Kind     string `json:"kind"`
		Metadata struct {
			Continue string `json:"continue"`
		} `json:"metadata"`
		Items []struct {
			Kind string `json:"kind"`
			Pod
		} `json:"items"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("read a list of pods: %w", err)
	}
	switch {
	case list.Kind != "PodList" && list.Kind != "List":
		return nil, fmt.Errorf("a PodList or a List is needed, not %q", list.Kind)
	case list.Metadata.Continue != "":
		return nil, errors.New("this is a part of a list: it has metadata.continue")
	case len(list.Items) == 0:
		return nil, errors.New("the list has no pods: that is what is seen before pods are known, too")
	}
	var pods []Pod
	for i, item := range list.Items {
		if item.Metadata.UID == "" || item.Kind != "Pod" && (list.Kind == "List" || item.Kind != "") {
			return nil, fmt.Errorf("items[%d] is no pod with a UID", i)
		}
		pods = append(pods, item.Pod)
	}
	return pods, nil
}
