package federation

import (
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

// newEvents returns where events are told, which are written into the host until end is called. Nobody relies
// on an event: what cannot be written is lost.
func (m *Manager) newEvents() (recorder record.EventRecorder, end func()) {
	broadcaster := record.NewBroadcaster()
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: m.kube.CoreV1().Events("")})
	return broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: eventSource}), broadcaster.Shutdown
}
