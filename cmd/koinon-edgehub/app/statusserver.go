package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// statusHandler serves how the hub is.
func (h *hub) statusHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprintln(rw, "ok") })
	mux.HandleFunc("GET /readyz", h.readyz)
	mux.HandleFunc("GET /metrics", h.metrics)
	mux.HandleFunc("GET /status", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(rw).Encode(h.report())
	})
	return mux
}

// readyz is whether the node can run on what the hub has: an API server, or the node itself from before.
func (h *hub) readyz(rw http.ResponseWriter, _ *http.Request) {
	if !h.upstream.Available() && h.nodeObject() == nil {
		http.Error(rw, "no API server answers, and nothing of this node is known yet", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(rw, "ok")
}

// metrics are written by hand, as koinon-agent's: Prometheus' library would be a third of the hub.
func (h *hub) metrics(rw http.ResponseWriter, _ *http.Request) {
	r := h.report()
	rw.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	var b strings.Builder
	gauge := func(name, help string, value any) {
		fmt.Fprintf(&b, "# HELP koinon_edgehub_%s %s\n# TYPE koinon_edgehub_%s gauge\nkoinon_edgehub_%s %v\n", name, help, name, name, value)
	}
	is := map[bool]int{true: 1}
	var views, complete, connected, objects int
	for i := range r.Views {
		views, complete, connected, objects = views+1, complete+is[r.Views[i].Complete], connected+is[r.Views[i].Connected], objects+r.Views[i].Objects
	}
	gauge("available", "Whether an API server answers.", is[r.Available])
	gauge("views", "Lists that are kept.", views)
	gauge("views_complete", "Lists that are kept, and served.", complete)
	gauge("views_connected", "Lists of which an API server tells changes.", connected)
	gauge("view_objects", "Objects of all lists; one of several lists counts for each.", objects)
	gauge("writes_queued", "Writes that are kept for when an API server is back.", r.Queued)
	gauge("disk_bytes", "Bytes on disk.", r.Disk.Bytes)
	gauge("disk_failing", "Whether what has changed cannot be written to disk.", is[r.Disk.Failing])
	gauge("heap_bytes", "Bytes of objects in memory, those that nobody has any more included until they are collected.", memoryOf("/memory/classes/heap/objects:bytes"))
	if !r.Certificate.Until.IsZero() {
		gauge("certificate_expiry_timestamp_seconds", "When the certificate of the node ends.", r.Certificate.Until.Unix())
	}
	fmt.Fprintf(&b, "# HELP koinon_edgehub_server_healthy Whether an API server was well when it was asked last.\n# TYPE koinon_edgehub_server_healthy gauge\n")
	for _, s := range r.Servers {
		fmt.Fprintf(&b, "koinon_edgehub_server_healthy{server=%q} %d\n", s.URL, is[s.Healthy])
	}
	_, _ = rw.Write([]byte(b.String()))
}

// serveStatus serves how the hub is until ctx ends.
func serveStatus(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, MaxHeaderBytes: 8 << 10, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute}
	var stopping sync.WaitGroup
	stopping.Go(func() { // ends with ctx
		<-ctx.Done()
		_ = server.Close()
	})
	err := server.Serve(listener)
	stopping.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
