package app

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/koinon-io/koinon/pkg/edgehub/callers"
	"github.com/koinon-io/koinon/pkg/edgehub/podstate"
	"github.com/koinon-io/koinon/pkg/edgehub/target"
	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

// servicesKey is the view of all Services, which package closure has filled.
var servicesKey = view.Key{Version: "v1", Resource: "services"}

const (
	// lapseEvery is how often it is looked for what kubelet does not say any more, and lapseAfter how long it has been there without saying it again: it does so each ten seconds.
	lapseEvery, lapseAfter = 10 * time.Second, time.Minute
	// settleAfter is how long the API server has been there, since it was told of a pod, until its EndpointSlices are taken for what is to be.
	settleAfter = time.Minute
)

// knowingPods has it be known how a pod is, before kubelet's change of its status is handed on.
func (h *hub) knowingPods(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if t, ok := target.Parse(r.URL); ok && r.Method == http.MethodPatch && t.Group == "" && t.Resource == "pods" && t.Subresource == "status" {
			if known := h.podKnown(t.Namespace, t.Name); known != nil {
				if end, err := h.podStates.Begin(known); err == nil { // what is in a view was read once
					defer end()
				}
			}
		}
		next.ServeHTTP(rw, r)
	})
}

// podKnown is a pod of the node as the API server has told of it; nil if it has not.
func (h *hub) podKnown(namespace, name string) []byte {
	o, _, err := h.cache.View(podsKey(h.node)).Get(namespace + "/" + name)
	if err != nil || o == nil {
		return nil
	}
	return o.Body
}

// podStatus takes how kubelet says that a pod is, for EndpointSlices that have it otherwise: by the pod as the API server has it since, or, while that is away, by what kubelet would change of what it has read.
func (h *hub) podStatus(namespace, name string, patch, taken []byte) {
	var (
		of      podstate.Pod
		differs bool
		err     error
	)
	if taken != nil {
		if known := h.podKnown(namespace, name); known != nil {
			of, differs, err = h.podStates.Taken(taken, known, time.Now())
		}
	} else if read := h.readAsNode("/api/v1/namespaces/" + namespace + "/pods/" + name); read != nil {
		of, differs, err = h.podStates.Said(read, patch, time.Now())
	}
	if err != nil {
		h.logger.Debug("Failed to read what kubelet says of a pod", "pod", namespace+"/"+name, "err", err)
	}
	if differs {
		h.logger.Debug("Saw a pod become otherwise: EndpointSlices are seen with it as it is", "pod", namespace+"/"+name, "uid", of.UID)
		h.closure.Moved(of.Namespace, of.UID)
	}
}

// readAsNode is an object as a program of the node reads it; nil if it is not there, or not known.
func (h *hub) readAsNode(path string) []byte {
	ctx, cancel := context.WithTimeout(callers.With(context.Background(), &callers.Caller{Local: true}), lapseAfter)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil
	}
	answer := &kept{header: http.Header{}}
	if h.handler.ServeHTTP(answer, request); answer.code != http.StatusOK {
		return nil
	}
	return answer.body.Bytes()
}

// keepPodStates forgets what is not so any more, and pods that are gone, until ctx ends.
func (h *hub) keepPodStates(ctx context.Context) {
	ticker := time.NewTicker(lapseEvery)
	defer ticker.Stop()
	var connected time.Time // since when; zero while the API server is away
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if h.away() {
			connected = time.Time{}
		} else if connected.IsZero() {
			connected = time.Now()
		}
		h.forgetPodStates(connected)
	}
}

// forgetPodStates forgets what kubelet does not say any more, what EndpointSlices say themselves, and pods that are gone, as far as it is known which there are. connected is since when the API server has been there; zero if it is not.
func (h *hub) forgetPodStates(connected time.Time) {
	var gone []podstate.Pod
	if began, latest := h.kubelet.series(); latest.Sub(began) > lapseAfter { // else it has not had the time to say it again
		gone = h.podStates.Lapse(latest.Add(-lapseAfter))
	}
	if before := time.Now().Add(-settleAfter); !connected.IsZero() && connected.Before(before) {
		gone = append(gone, h.podStates.Settle(before)...)
	}
	for _, p := range gone {
		h.closure.Moved(p.Namespace, p.UID)
	}
	pods := h.cache.View(podsKey(h.node)) // another one, once that of before was forgotten
	h.podStates.Keep(func(p podstate.Pod) bool {
		o, _, err := pods.Get(p.Namespace + "/" + p.Name)
		return err != nil || o != nil && bytes.Contains(o.Body, []byte(p.UID))
	})
}

// correct is an EndpointSlice with the pods of the node as they are now.
func (h *hub) correct(slice []byte) []byte {
	return h.podStates.Correct(slice, sync.OnceValue(func() bool { return h.publishesUnready(slice) }))
}

// publishesUnready reports whether an EndpointSlice is of a Service that is about pods that are not ready, too, or of none that is known.
func (h *hub) publishesUnready(slice []byte) bool {
	var of struct {
		Metadata struct {
			Namespace string `json:"namespace"`
			Labels    struct {
				Service string `json:"kubernetes.io/service-name"`
			} `json:"labels"`
		} `json:"metadata"`
	}
	if json.Unmarshal(slice, &of) != nil {
		return true
	}
	service, _, err := h.cache.View(servicesKey).Get(of.Metadata.Namespace + "/" + of.Metadata.Labels.Service)
	if err != nil || service == nil {
		return true
	}
	var is struct {
		Spec struct {
			PublishNotReadyAddresses bool `json:"publishNotReadyAddresses"`
		} `json:"spec"`
	}
	return json.Unmarshal(service.Body, &is) != nil || is.Spec.PublishNotReadyAddresses
}
