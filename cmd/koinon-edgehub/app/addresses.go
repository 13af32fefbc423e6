package app

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/fields"

	"github.com/koinon-io/koinon/pkg/edgehub/callers"
	"github.com/koinon-io/koinon/pkg/edgehub/ipam/book"
	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

// releaseEvery is how often it is looked whether pods are gone whose addresses are kept.
const releaseEvery = 5 * time.Second

// podsKey is the view of the node's pods, as kubelet wants it.
func podsKey(node string) view.Key {
	return view.Key{Version: "v1", Resource: "pods", Fields: fields.OneTermEqualSelector("spec.nodeName", node).String()}
}

// want has a view be filled until done is called, for the hub itself.
func (h *hub) want(ctx context.Context, key view.Key, path string) (state func() (settled bool, err error), done func()) {
	return h.pool.Want(key, path, (&http.Request{}).WithContext(callers.With(ctx, &callers.Caller{Local: true})))
}

// keepAddresses tells koinon-ipam which pods are gone, until ctx ends, if the node has it. It does so only while the API server tells of changes: which pods there are is not
// known otherwise.
func (h *hub) keepAddresses(ctx context.Context, dir string) {
	state, done := h.want(ctx, podsKey(h.node), "/api/v1/pods")
	defer done()
	ticker := time.NewTicker(releaseEvery)
	defer ticker.Stop()
	told := uint64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			continue // the node has no koinon-ipam
		}
		if settled, err := state(); !settled || err != nil {
			continue
		}
		at, err := h.release(ctx, dir, told)
		if err != nil && ctx.Err() == nil {
			h.logger.Error("Failed to tell koinon-ipam which pods are gone: it is tried again", "err", err)
		}
		told = at
	}
}

// release tells koinon-ipam which pods are gone, if they are others than it was told last, and returns what it was told of.
func (h *hub) release(ctx context.Context, dir string, told uint64) (uint64, error) {
	v := h.cache.View(podsKey(h.node))
	objects, at, err := v.List()
	if err != nil || at == told {
		return told, err
	}
	pods := make([]book.Pod, len(objects))
	for i, o := range objects {
		if err := json.Unmarshal(o.Body, &pods[i]); err != nil {
			return told, err
		}
	}
	gone, err := book.In(dir).Release(ctx, book.Among(pods))
	if err != nil {
		return told, err
	}
	for _, r := range gone {
		h.logger.Info("Told koinon-ipam that a pod is gone", "pod", r.Namespace+"/"+r.Name, "uid", r.UID)
	}
	return at, nil
}
