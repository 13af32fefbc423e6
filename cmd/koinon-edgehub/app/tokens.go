package app

import (
	"context"
	"encoding/json"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/edgehub/callers"
)

const (
	// forgetEvery is how often it is looked whether pods are gone whose tokens are kept.
	forgetEvery = 10 * time.Second
	// goneFor is for how long a pod is not there until it is gone: right after a feed has begun again the API server may still have to tell of a pod that kubelet knows.
	goneFor = 30 * time.Second
)

// missing is since when pods are not there, by UID.
type missing map[string]time.Time

// keepTokens forgets tokens of pods that are gone, until ctx ends. It does so only while the API server tells of changes: which pods there are is not known otherwise.
func (h *hub) keepTokens(ctx context.Context) {
	state, done := h.want(ctx, podsKey(h.node), "/api/v1/pods")
	defer done()
	ticker := time.NewTicker(forgetEvery)
	defer ticker.Stop()
	var before missing
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if settled, err := state(); !settled || err != nil {
			before = nil
			continue
		}
		before = h.forgetTokens(before, time.Now())
	}
}

// forgetTokens forgets the tokens of pods of the node that have been missing for long enough, and returns what is missing now: nil if it is not known which pods there are.
func (h *hub) forgetTokens(before missing, now time.Time) missing {
	objects, _, err := h.cache.View(podsKey(h.node)).List()
	if err != nil {
		return nil
	}
	here := map[string]bool{}
	for _, o := range objects {
		var pod metav1.PartialObjectMetadata
		if json.Unmarshal(o.Body, &pod) != nil {
			return nil
		}
		here[string(pod.UID)] = true
	}
	after := missing{}
	gone := func(uid string) bool {
		if here[uid] {
			return false
		}
		since, ok := before[uid]
		if !ok {
			since = now
		}
		after[uid] = since
		return now.Sub(since) >= goneFor
	}
	h.writes.Forget(gone)
	h.tokens.Forget(func(p callers.Pod) bool { // one that does not say where it is is here: nobody else comes to the hub
		return (p.Node == "" || p.Node == h.node) && gone(p.UID)
	})
	return after
}
