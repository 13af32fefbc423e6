package memberclient

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

func podJSON(conditions, metadata string) string {
	return fmt.Sprintf(`{"metadata":{"name":"p"%s},"spec":{"containers":[{"name":"c"}]},"status":{"phase":"Pending","conditions":[%s]}}`, metadata, conditions)
}

func TestPodsWithoutANodeAreCountedPageByPage(t *testing.T) {
	const (
		long    = `{"type":"PodScheduled","status":"False","reason":"Unschedulable","lastTransitionTime":"2026-01-01T00:00:00Z"}`
		recent  = `{"type":"PodScheduled","status":"False","reason":"Unschedulable","lastTransitionTime":"2026-01-01T00:01:30Z"}`
		gated   = `{"type":"PodScheduled","status":"False","reason":"SchedulingGated","lastTransitionTime":"2026-01-01T00:00:00Z"}`
		another = `{"type":"Ready","status":"False","reason":"Unschedulable","lastTransitionTime":"2026-01-01T00:00:00Z"}`
	)
	first := fmt.Sprintf(`{"kind":"PodList","apiVersion":"v1","metadata":{"continue":"more"},"items":[%s,%s,%s]}`,
		podJSON(long, ""), podJSON(recent, ""), podJSON(gated, ""))
	second := fmt.Sprintf(`{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[%s,%s,%s,%s]}`,
		podJSON(another+","+long, ""), podJSON(another, ""), podJSON("", ""), podJSON(long, `,"deletionTimestamp":"2026-01-01T00:00:00Z"`))
	member := &fakeMember{object: func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		if r.URL.Path != "/api/v1/namespaces/shop/pods" || query.Get("labelSelector") != "app=web" || query.Get("limit") != "500" ||
			query.Get("fieldSelector") != "spec.nodeName=,status.phase=Pending" {
			t.Errorf("got request %s", r.URL)
		}
		if query.Get("continue") == "more" {
			say(second)(w, r)
			return
		}
		say(first)(w, r)
	}}
	before := time.Date(2026, 1, 1, 0, 1, 0, 0, time.UTC)
	got, err := serve(t, member).Unschedulable(t.Context(), "shop", "app=web", before)
	if err != nil || got != 2 {
		t.Errorf("got %d, error %v, want 2", got, err)
	}
}

func TestPodsThatAreNotListedAreNotNone(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"an error":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		"no list":     say(`{"kind":"Status"}`),
		"a torn list": say(`{"metadata":{},"items":[`),
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := serve(t, &fakeMember{object: answer}).Unschedulable(t.Context(), "shop", "app=web", time.Now()); err == nil {
				t.Errorf("got %d and no error", got)
			}
		})
	}
}
