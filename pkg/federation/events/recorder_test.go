package events

import (
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// written counts what arrives at a host by the name of the object. until is closed with the first
// write about the object "last": Events are written in the order in which they are recorded.
type written struct {
	mu    sync.Mutex
	count map[string]int
	until chan struct{}
	deny  bool
}

func startRecorder(t *testing.T, deny bool) (*Recorder, *written) {
	t.Helper()
	w := &written{count: map[string]int{}, until: make(chan struct{}), deny: deny}
	client := fake.NewClientset()
	client.PrependReactor("*", "events", func(action clienttesting.Action) (bool, runtime.Object, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		name := ""
		switch a := action.(type) {
		case clienttesting.PatchAction:
			name = a.GetName()[:len("object")]
		case clienttesting.CreateAction:
			name = a.GetObject().(*corev1.Event).InvolvedObject.Name
		}
		if w.count[name]++; name == "last" && w.count[name] == 1 {
			close(w.until)
		}
		if w.deny {
			return true, nil, apierrors.NewForbidden(corev1.Resource("events"), "", nil)
		}
		return false, nil, nil
	})
	r := NewRecorder(client.CoreV1())
	t.Cleanup(r.Start(t.Context()))
	return r, w
}

func (w *written) all(t *testing.T, r *Recorder) map[string]int {
	t.Helper()
	r.Record(about("last"), Event{corev1.EventTypeWarning, "Last", "last"})
	<-w.until
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}

func about(name string) *corev1.ObjectReference {
	return &corev1.ObjectReference{
		APIVersion: v1beta2.SchemeGroupVersion.String(), Kind: "FederatedConfigMap", Namespace: "shop", Name: name, UID: types.UID(name),
	}
}

func TestAnObjectThatFlapsMakesFewEvents(t *testing.T) {
	r, w := startRecorder(t, false)
	for i := range 60 {
		r.Record(about("object"), Event{corev1.EventTypeWarning, "Contested", fmt.Sprint("m1: somebody sets ", i%2)})
	}
	if got := w.all(t, r)["object"]; got != objectBurst {
		t.Errorf("got %d writes, want the burst of %d", got, objectBurst)
	}
}

func TestManyObjectsAtOnceLeaveRoomForWarnings(t *testing.T) {
	now := time.Now()
	r := NewRecorder(nil)
	r.now = func() time.Time { return now }
	allowed := map[string]int{}
	for range 1000 {
		if r.allows(corev1.EventTypeNormal) {
			allowed[corev1.EventTypeNormal]++
		}
	}
	for range 1000 {
		if r.allows(corev1.EventTypeWarning) {
			allowed[corev1.EventTypeWarning]++
		}
	}
	if allowed[corev1.EventTypeNormal] != burst-forWarnings || allowed[corev1.EventTypeWarning] != forWarnings {
		t.Errorf("got %v", allowed)
	}
	now = now.Add(10 * time.Second)
	more := 0
	for range 1000 {
		if r.allows(corev1.EventTypeWarning) {
			more++
		}
	}
	if more != 10*perSecond {
		t.Errorf("got %d in ten seconds, want %d", more, 10*perSecond)
	}
}

// Rights may be those of an earlier release: that is not tried again and again.
func TestAHostThatDeniesEventsIsAskedOnceForEach(t *testing.T) {
	r, w := startRecorder(t, true)
	for i := range 3 {
		r.Record(about("object"), Event{corev1.EventTypeWarning, "Conflict", fmt.Sprint("m", i)})
	}
	if got := w.all(t, r)["object"]; got != 3 {
		t.Errorf("got %d requests for 3 Events", got)
	}
}

func TestNothingIsRecordedBeforeStart(t *testing.T) {
	NewRecorder(nil).Record(about("object"), Event{corev1.EventTypeWarning, "Conflict", "m1"})
}
