package table

import (
	"cmp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
)

var (
	eventDoc = corev1.Event{}.SwaggerDoc()

	eventColumns = []column{
		timed("Last Seen", eventDoc["lastTimestamp"], lastSeen),
		text("Type", eventDoc["type"], func(e *corev1.Event) any { return e.Type }),
		text("Reason", eventDoc["reason"], func(e *corev1.Event) any { return e.Reason }),
		text("Object", eventDoc["involvedObject"], func(e *corev1.Event) any {
			of := strings.ToLower(e.InvolvedObject.Kind)
			if e.InvolvedObject.Name != "" {
				of += "/" + e.InvolvedObject.Name
			}
			return of
		}),
		wide(text("Subobject", corev1.ObjectReference{}.SwaggerDoc()["fieldPath"], func(e *corev1.Event) any { return e.InvolvedObject.FieldPath })),
		wide(text("Source", eventDoc["source"], func(e *corev1.Event) any {
			source := cmp.Or(e.Source.Component, e.ReportingController)
			if instance := cmp.Or(e.Source.Host, e.ReportingInstance); instance != "" {
				source += ", " + instance
			}
			return source
		})),
		text("Message", eventDoc["message"], func(e *corev1.Event) any { return strings.TrimSpace(e.Message) }),
		wide(timed("First Seen", eventDoc["firstTimestamp"], func(e *corev1.Event, now time.Time) any { return since(first(e), now) })),
		wide(text("Count", eventDoc["count"], func(e *corev1.Event) any {
			if e.Series != nil {
				return int64(e.Series.Count)
			}
			return int64(cmp.Or(e.Count, 1)) // what was seen once is not counted
		})),
		wide(name),
	}

	// newEventColumns are the same of events.k8s.io, which has other names for them.
	newEventColumns = func() []column {
		columns := slices.Clone(eventColumns)
		for i := range columns {
			cell := columns[i].cell
			columns[i].cell = func(o object, now time.Time) any { return cell(asCore(o.(*eventsv1.Event)), now) }
		}
		return columns
	}()
)

func asCore(e *eventsv1.Event) *corev1.Event {
	core := &corev1.Event{
		ObjectMeta: e.ObjectMeta, InvolvedObject: e.Regarding, Reason: e.Reason, Message: e.Note, Source: e.DeprecatedSource, Type: e.Type,
		FirstTimestamp: e.DeprecatedFirstTimestamp, LastTimestamp: e.DeprecatedLastTimestamp, Count: e.DeprecatedCount, EventTime: e.EventTime,
		ReportingController: e.ReportingController, ReportingInstance: e.ReportingInstance,
	}
	if e.Series != nil {
		core.Series = &corev1.EventSeries{Count: e.Series.Count, LastObservedTime: e.Series.LastObservedTime}
	}
	return core
}

func lastSeen(e *corev1.Event, now time.Time) any {
	switch {
	case e.Series != nil:
		return since(e.Series.LastObservedTime.Time, now)
	case !e.LastTimestamp.IsZero():
		return since(e.LastTimestamp.Time, now)
	}
	return since(first(e), now)
}

// first is when an event was seen first.
func first(e *corev1.Event) time.Time {
	if e.FirstTimestamp.IsZero() {
		return e.EventTime.Time
	}
	return e.FirstTimestamp.Time
}
