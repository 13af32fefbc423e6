package events

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
)

// component is who Events come from.
const component = "koinon-controllers"

const (
	// perSecond and burst bound the Events of all objects, and objectSeconds and objectBurst those
	// of one object and type: one in so many seconds, once its burst is used up.
	perSecond, burst           = 10, 200
	objectSeconds, objectBurst = 120, 20
	// forWarnings is how much of the burst Normal Events leave to Warnings.
	forWarnings = burst / 2
	// deniedPause is how often the log says that the host takes no Events.
	deniedPause = 10 * time.Minute
	// writeTimeout bounds one write.
	writeTimeout = 10 * time.Second
)

// Recorder writes Events to the host.
type Recorder struct {
	client  corev1client.EventsGetter
	limiter *rate.Limiter
	now     func() time.Time

	// events is nil before Start.
	events record.EventRecorder
}

// NewRecorder returns a Recorder that writes nothing before Start.
func NewRecorder(client corev1client.EventsGetter) *Recorder {
	return &Recorder{client: client, limiter: rate.NewLimiter(perSecond, burst), now: time.Now}
}

// Start lets Events be written until ctx ends, or stop is called. It has to return before the first
// is recorded, and is called once.
func (r *Recorder) Start(ctx context.Context) (stop func()) {
	broadcaster := record.NewBroadcaster(record.WithContext(ctx), record.WithCorrelatorOptions(record.CorrelatorOptions{
		BurstSize: objectBurst, QPS: 1. / objectSeconds,
	}))
	broadcaster.StartRecordingToSink(&sink{ctx: ctx, client: r.client, now: r.now})
	r.events = broadcaster.NewRecorder(runtime.NewScheme(), corev1.EventSource{Component: component})
	return broadcaster.Shutdown
}

// Record has Events written that are about an object. It does not block: what is above the bounds,
// or what the host does not take, is dropped.
func (r *Recorder) Record(about *corev1.ObjectReference, happened ...Event) {
	for _, e := range happened {
		if r.events != nil && r.allows(e.Type) {
			r.events.Event(about, e.Type, e.Reason, e.Message)
		}
	}
}

func (r *Recorder) allows(eventType string) bool {
	now := r.now()
	if eventType == corev1.EventTypeNormal && r.limiter.TokensAt(now) < forWarnings+1 {
		return false
	}
	return r.limiter.AllowN(now, 1)
}

// sink writes to the host. A host whose rights are those of an earlier release takes no Events; that is
// said once in a while, and not for each of them.
type sink struct {
	ctx    context.Context
	client corev1client.EventsGetter
	now    func() time.Time

	mu   sync.Mutex
	said time.Time // guarded by mu
}

func (s *sink) Create(event *corev1.Event) (*corev1.Event, error) {
	return s.write(event, func(ctx context.Context, events corev1client.EventInterface) (*corev1.Event, error) {
		return events.CreateWithEventNamespaceWithContext(ctx, event)
	})
}

func (s *sink) Update(event *corev1.Event) (*corev1.Event, error) {
	return s.write(event, func(ctx context.Context, events corev1client.EventInterface) (*corev1.Event, error) {
		return events.UpdateWithEventNamespaceWithContext(ctx, event)
	})
}

func (s *sink) Patch(event *corev1.Event, data []byte) (*corev1.Event, error) {
	return s.write(event, func(ctx context.Context, events corev1client.EventInterface) (*corev1.Event, error) {
		return events.PatchWithEventNamespaceWithContext(ctx, event, data)
	})
}

func (s *sink) write(event *corev1.Event, send func(context.Context, corev1client.EventInterface) (*corev1.Event, error)) (*corev1.Event, error) {
	ctx, cancel := context.WithTimeout(s.ctx, writeTimeout)
	defer cancel()
	written, err := send(ctx, s.client.Events(event.Namespace))
	if !apierrors.IsForbidden(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return written, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.now(); now.Sub(s.said) > deniedPause {
		s.said = now
		klog.FromContext(s.ctx).Info("Failed to write an event, since the host denies it", "problem", err.Error())
	}
	return event, nil
}
