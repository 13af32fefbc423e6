package memberclient

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sort"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/test/simulation"
)

// lossyMember is an API server with ConfigMaps in the namespace ns, as a test changes them:
// its watch may lose events, and what it lists from memory may be of an earlier time.
type lossyMember struct {
	fakeMember

	mu       sync.Mutex
	version  int
	objects  map[string]metav1.PartialObjectMetadata
	remember string // what is listed from memory, if set
	watchers map[chan string]bool
	gets     int
}

func newLossyMember() *lossyMember {
	m := &lossyMember{version: 10, objects: map[string]metav1.PartialObjectMetadata{}, watchers: map[chan string]bool{}}
	m.list, m.watch, m.object = m.serveList, m.serveWatch, m.serveObject
	return m
}

// change puts an object in, or takes it out if uid is empty, and returns it. Whoever watches
// is told, unless lost is set.
func (m *lossyMember) change(name string, uid types.UID, lost bool) *Live {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.version++
	object, there := m.objects[name]
	event := "MODIFIED"
	switch {
	case uid == "":
		event = "DELETED"
		delete(m.objects, name)
	case !there || object.UID != uid:
		event = "ADDED"
		object = metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Namespace: "ns", Name: name, UID: uid, Labels: map[string]string{v1beta1.ManagedLabel: "true"}}}
	}
	object.ResourceVersion = fmt.Sprint(m.version)
	if uid != "" {
		m.objects[name] = object
	}
	if !lost {
		m.send(event, object)
	}
	return &Live{ObjectMeta: object.ObjectMeta}
}

func (m *lossyMember) send(event string, object metav1.PartialObjectMetadata) {
	object.TypeMeta = metav1.TypeMeta{Kind: "PartialObjectMetadata", APIVersion: "meta.k8s.io/v1"}
	data, _ := json.Marshal(map[string]any{"type": event, "object": object})
	for watcher := range m.watchers {
		watcher <- string(data) + "\n"
	}
}

// bookmark says how far the watch has come.
func (m *lossyMember) bookmark() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.version++
	m.send("BOOKMARK", metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{ResourceVersion: fmt.Sprint(m.version)}})
}

// listing is what a list has now.
func (m *lossyMember) listing() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	items := []metav1.PartialObjectMetadata{}
	for _, object := range m.objects {
		items = append(items, object)
	}
	sort.Slice(items, func(i, j int) bool { return items[i].Name < items[j].Name })
	data, _ := json.Marshal(map[string]any{"metadata": map[string]string{"resourceVersion": fmt.Sprint(m.version)}, "items": items})
	return string(data)
}

// recall has a list answered from memory from now on.
func (m *lossyMember) recall(listing string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remember = listing
}

func (m *lossyMember) serveList(w http.ResponseWriter, r *http.Request) {
	text := m.listing()
	m.mu.Lock()
	if r.URL.Query().Get("resourceVersion") == "0" && m.remember != "" {
		text = m.remember
	}
	m.mu.Unlock()
	say(text)(w, r)
}

func (m *lossyMember) serveWatch(w http.ResponseWriter, r *http.Request) {
	events := make(chan string, 100)
	m.mu.Lock()
	m.watchers[events] = true
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		delete(m.watchers, events)
		m.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "application/json")
	for {
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
			return
		case event := <-events:
			_, _ = io.WriteString(w, event)
		}
	}
}

func (m *lossyMember) serveObject(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gets++
	name := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	object, ok := m.objects[name]
	if !ok {
		notThere("configmaps", name)(w, r)
		return
	}
	object.TypeMeta = metav1.TypeMeta{Kind: "PartialObjectMetadata", APIVersion: "meta.k8s.io/v1"}
	say(object)(w, r)
}

// notThere answers as an API server does that has no such object.
func notThere(resource, name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		say(metav1.Status{
			TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: http.StatusNotFound,
			Reason: metav1.StatusReasonNotFound, Details: &metav1.StatusDetails{Name: name, Kind: resource},
			Message: fmt.Sprintf("%s %q not found", resource, name),
		})(w, r)
	}
}

// heard are the events of a Conn since they were last asked for.
type heard struct {
	mu     sync.Mutex
	events []string
}

func (h *heard) hear(_ schema.GroupVersionResource, event Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case event.Live == nil:
		h.events = append(h.events, "state")
	case event.Deleted:
		h.events = append(h.events, event.Live.Name+" deleted")
	default:
		h.events = append(h.events, event.Live.Name+" "+event.Live.ResourceVersion)
	}
}

func (h *heard) take() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	events := h.events
	h.events = nil
	return strings.Join(events, ", ")
}

// observe watches ConfigMaps of a member, in a bubble of synctest, until everything is quiet.
func observe(t *testing.T, member http.Handler, keep Keep) (*Conn, *heard) {
	t.Helper()
	h := &heard{}
	conn, err := NewConn(t.Context(), guarded(&rest.Config{Host: "http://member", Transport: simulation.InProcess(member)}), h.hear)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	conn.Watch(configMaps, keep)
	synctest.Wait()
	return conn, h
}

// sees returns the version of an object as the cache has it, or what the cache knows.
func sees(conn *Conn, name string) string {
	live, state, err := conn.Cached(configMaps.Resource, "ns", name)
	switch {
	case state != Synced:
		return fmt.Sprintf("state %d, error %v", state, err)
	case live == nil:
		return "nothing"
	}
	return live.ResourceVersion
}
