package memberclient

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// finished is a rule like that of completion: the object says so in its status.
var finished = Keep{Rule: "finished", Ended: func(object map[string]any) bool {
	done, _, _ := unstructured.NestedBool(object, "status", "done")
	return done
}}

func job(name, version string, done bool) string {
	return fmt.Sprintf(`{"kind":"Job","apiVersion":"batch/v1","metadata":{"name":%q,"namespace":"ns","uid":"u-%s","resourceVersion":%q},"status":{"done":%v}}`, name, name, version, done)
}

// TestHowAnObjectEndedIsKnownAfterItIsGone: from the list, from the watch, and from the event
// of the deletion, which carries the last state.
func TestHowAnObjectEndedIsKnownAfterItIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := make(chan string, 10)
		member := &fakeMember{
			list: func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Accept") != "application/json" && r.URL.Query().Get("resourceVersion") != "0" {
					t.Errorf("a list accepts %s", r.Header.Get("Accept"))
				}
				say(fmt.Sprintf(`{"metadata":{"resourceVersion":"10"},"items":[%s,%s,%s]}`, job("listed", "5", true), job("runs", "6", false), job("cut", "7", false)))(w, r)
			},
			watch: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				for {
					w.(http.Flusher).Flush()
					select {
					case <-r.Context().Done():
						return
					case event := <-events:
						_, _ = w.Write([]byte(event))
					}
				}
			},
		}
		conn, _ := observe(t, member, finished)
		last := map[string]bool{}
		conn.onEvent = func(_ schema.GroupVersionResource, event Event) {
			if event.Deleted {
				last[event.Live.Name] = event.Live.Ended
			}
		}
		ended := func(name string) bool {
			live, _, _ := conn.Cached(configMaps.Resource, "ns", name)
			return live != nil && live.Ended
		}
		if !ended("listed") || ended("runs") || ended("cut") {
			t.Error("the list is not what the cache has")
		}
		event := func(kind, object string) { events <- fmt.Sprintf(`{"type":%q,"object":%s}`+"\n", kind, object) }
		event("MODIFIED", job("runs", "11", true))
		synctest.Wait()
		if !ended("runs") {
			t.Error("a change is not what the cache has")
		}
		event("DELETED", job("runs", "12", false)) // it had ended
		event("DELETED", job("cut", "13", false))
		event("DELETED", job("listed", "14", true))
		synctest.Wait()
		for name, want := range map[string]bool{"listed": true, "runs": true, "cut": false} {
			deletion, seen := conn.SeenDeleted(configMaps.Resource, "ns", name)
			if got, told := last[name]; !told || got != want || !seen || deletion.Ended != want || string(deletion.UID) != "u-"+name {
				t.Errorf("%s: told %v that it had ended: %v; seen %v: %+v; want %v", name, told, got, seen, deletion, want)
			}
		}
		if _, seen := conn.SeenDeleted(configMaps.Resource, "ns", "never"); seen {
			t.Error("an object that was never there was seen deleted")
		}
		event("ADDED", job("cut", "15", false))
		event("ERROR", `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410}`)
		time.Sleep(time.Minute) // of the bubble
		if _, seen := conn.SeenDeleted(configMaps.Resource, "ns", "runs"); seen {
			t.Error("what happened since a list is not what happened before it")
		}
	})
}

func TestTheAnswerToAWriteSaysWhetherTheObjectEnded(t *testing.T) {
	conn := serve(t, &fakeMember{object: say(job("a", "7", true))})
	conn.Watch(configMaps, finished)
	written, err := conn.Update(t.Context(), configMaps.Resource, "ns", "a", configMap(map[string]any{"name": "a", "namespace": "ns", "resourceVersion": "5"}))
	if err != nil || !written.Live.Ended {
		t.Errorf("got %+v, error %v", written.Live, err)
	}
}

// TestACacheIsFilledAnewForAnotherRule, and not for the same.
func TestACacheIsFilledAnewForAnotherRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		member := &fakeMember{}
		conn, _ := observe(t, member, finished)
		for i, step := range []struct {
			keep  Keep
			lists int64
		}{{finished, 1}, {Keep{Rule: "other", Ended: finished.Ended}, 2}, {Keep{Status: true}, 3}, {Keep{Status: true}, 3}, {Keep{}, 4}} {
			conn.Watch(configMaps, step.keep)
			synctest.Wait()
			if n := member.lists.Load(); n != step.lists {
				t.Errorf("step %d: got %d lists, want %d", i, n, step.lists)
			}
		}
	})
}

func TestDeletionsAreRememberedForAWhile(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var d deletions
	for i := range 3 * maxDeletions {
		d.add(fmt.Sprint(i), Deletion{At: start})
		d.forget(fmt.Sprint(i - 1)) // it was made again
	}
	if len(d.byKey) != 1 || len(d.order) > maxDeletions {
		t.Errorf("got %d and %d entries", len(d.byKey), len(d.order))
	}
	for i := range 3 * maxDeletions {
		d.add(fmt.Sprint(i), Deletion{At: start.Add(time.Minute)})
	}
	if _, ok := d.of(fmt.Sprint(3*maxDeletions - 1)); !ok || len(d.byKey) != maxDeletions {
		t.Errorf("got %d entries, the last one: %v", len(d.byKey), ok)
	}
	d.expire(start.Add(time.Minute + deletionMemory + 1))
	if len(d.byKey) != 0 || d.order != nil {
		t.Errorf("got %d entries after their time", len(d.byKey))
	}
}
