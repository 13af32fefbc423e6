package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// clusterTimeout is how long the API server may take to say which cluster it is.
const clusterTimeout = 10 * time.Second

// errUnnamed: the API server does not say which cluster it is, as the node may not know.
var errUnnamed = errors.New("the node may not read the namespace kube-system")

// clusterOf returns which cluster the API server is, by the UID of a namespace that each has, and that a cluster which is restored from a backup keeps.
func (h *hub) clusterOf(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, clusterTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "/api/v1/namespaces/kube-system", nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("Accept", "application/json")
	answer, err := h.asNode.RoundTrip(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	var namespace metav1.PartialObjectMetadata
	switch err := json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&namespace); {
	case answer.StatusCode == http.StatusForbidden || answer.StatusCode == http.StatusUnauthorized:
		return "", errUnnamed
	case err != nil || answer.StatusCode != http.StatusOK || namespace.Kind != "Namespace" || namespace.Name != "kube-system" || namespace.UID == "": // everything depends on it
		return "", errors.Join(fmt.Errorf("which cluster it is: %s", answer.Status), err)
	}
	return string(namespace.UID), nil
}

// checkCluster forgets everything if the API server is of another cluster than what is kept.
func (h *hub) checkCluster(ctx context.Context) error {
	now, err := h.clusterOf(ctx)
	if errors.Is(err, errUnnamed) {
		h.logger.Debug("Left unchecked whether this is the cluster of before", "err", err)
		return nil
	}
	if err != nil {
		return err
	}
	onDisk, err := h.cacheDisk.Cluster()
	if err != nil {
		return err
	}
	if onDisk == now && h.forgotFor == "" {
		h.before.settle(true)
		return nil
	}
	if before := cmp.Or(h.forgotFor, onDisk); before != "" && before != now { // and not again, if that cannot be written
		h.logger.Error("Forgot everything: the API server is of another cluster than what was kept", "before", before, "now", now)
		h.pool.ForgetAll()
		h.book.Clear()
		h.forgotFor = now
	}
	if err := errors.Join(h.cache.Flush(h.cacheDisk), h.book.Flush()); err != nil {
		return err // what is on disk is not of this cluster
	}
	if err := h.cacheDisk.SetCluster(now); err != nil {
		return err
	}
	if h.forgotFor != "" {
		h.cache.Rewrite() // what feeds have brought, and written, in the meantime was taken for that of the cluster before
	}
	h.forgotFor = ""
	return nil
}
