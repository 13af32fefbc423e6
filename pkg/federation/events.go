package federation

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
)

// eventSource is what events of the host say that they come from.
const eventSource = "koinon"

// tell writes an event on an object. The same again within ten minutes only counts it.
func (t *term) tell(object corev1.ObjectReference, reason, message string) {
	t.events.Event(&object, corev1.EventTypeWarning, reason, message)
}

// newEvents returns where events are told, and what writes them into the host until ctx ends. What is
// told while nothing writes is lost: nobody relies on an event.
func (m *Manager) newEvents() (record.EventRecorder, func(context.Context) error) {
	broadcaster := record.NewBroadcaster()
	recorder := broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: eventSource})
	return recorder, func(ctx context.Context) error {
		broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: m.kube.CoreV1().Events("")})
		<-ctx.Done()
		broadcaster.Shutdown()
		return nil
	}
}
