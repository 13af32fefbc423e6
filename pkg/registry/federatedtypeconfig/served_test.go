package federatedtypeconfig

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

func typeConfig(name, version string) *v1beta1.FederatedTypeConfig {
	config := stored()
	config.Name, config.UID, config.ResourceVersion = name, types.UID(name), version
	config.Status.Conditions = nil
	return config
}

func servedOf(config *v1beta1.FederatedTypeConfig) string {
	condition := apimeta.FindStatusCondition(config.Status.Conditions, v1beta1.TypeServed)
	if condition == nil {
		return "none"
	}
	return string(condition.Status) + " " + condition.Reason
}

func TestServedIsWhatIsServedNow(t *testing.T) {
	served := NewServed("system")
	a, b, elsewhere := typeConfig("a", "1"), typeConfig("b", "2"), typeConfig("elsewhere", "3")
	elsewhere.Namespace = "shop"
	// Whatever was stored by an older version, or came back from a client.
	a.Status.Conditions = []metav1.Condition{{Type: v1beta1.TypeServed, Status: metav1.ConditionFalse, Reason: "Old"}}

	list := &v1beta1.FederatedTypeConfigList{Items: []v1beta1.FederatedTypeConfig{*a, *b, *elsewhere}}
	check := func(want ...string) {
		t.Helper()
		served.decorate(list)
		var got []string
		for i := range list.Items {
			got = append(got, servedOf(&list.Items[i]))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("conditions (-want +got):\n%s", diff)
		}
	}
	check("Unknown Loading", "Unknown Loading", "False ForeignNamespace")
	served.Set([]*v1beta1.FederatedTypeConfig{a}, map[*v1beta1.FederatedTypeConfig]string{b: "taken"}, nil)
	check("True Served", "False NameConflict", "False ForeignNamespace")
	served.Set([]*v1beta1.FederatedTypeConfig{a}, nil, map[*v1beta1.FederatedTypeConfig]string{a: "Its schema is odd."})
	check("True Served", "Unknown Loading", "False ForeignNamespace")
	if got, want := served.condition(a).Message, "Served in v1beta1 and v1beta2. Its schema is odd."; got != want {
		t.Errorf("message: got %q, want %q", got, want)
	}
	served.Set(nil, nil, nil)
	check("Unknown Loading", "Unknown Loading", "False ForeignNamespace")
	if servedOf(a) != "False Old" {
		t.Errorf("the array of conditions that a copy shares was written to: %s", servedOf(a))
	}
}

// watched is a watch over objects that are stored, and what it is told.
type watched struct {
	t      *testing.T
	served *Served
	stored *watch.FakeWatcher
	items  []v1beta1.FederatedTypeConfig
	watch  watch.Interface
}

func newWatched(t *testing.T, served *Served, from string, items ...*v1beta1.FederatedTypeConfig) *watched {
	w := &watched{t: t, served: served, stored: watch.NewFake()}
	for _, item := range items {
		w.items = append(w.items, *item)
	}
	w.watch = watchServed(t.Context(), w.stored, served, from, func(context.Context) (*v1beta1.FederatedTypeConfigList, error) {
		return &v1beta1.FederatedTypeConfigList{Items: append([]v1beta1.FederatedTypeConfig(nil), w.items...)}, nil
	})
	t.Cleanup(w.watch.Stop)
	return w
}

func (w *watched) expect(kind watch.EventType, name, served string) {
	w.t.Helper()
	select {
	case event, ok := <-w.watch.ResultChan():
		if !ok {
			w.t.Fatal("the watch ended")
		}
		config := event.Object.(*v1beta1.FederatedTypeConfig)
		got := [3]string{string(event.Type), config.Name, servedOf(config)}
		if want := [3]string{string(kind), name, served}; got != want {
			w.t.Fatalf("event: got %v, want %v", got, want)
		}
	case <-w.t.Context().Done():
		w.t.Fatal("no event")
	}
}

func TestAWatchIsToldWhenAKindIsServedAlthoughNothingIsStored(t *testing.T) {
	served := NewServed("system")
	a := typeConfig("a", "5")
	w := newWatched(t, served, "5", a)
	served.Set([]*v1beta1.FederatedTypeConfig{a}, nil, nil)
	w.expect(watch.Modified, "a", "True Served")
	served.Set(nil, map[*v1beta1.FederatedTypeConfig]string{a: "taken"}, nil)
	w.expect(watch.Modified, "a", "False NameConflict")
}

func TestAWatchTellsWhatBecameServedBetweenListAndWatch(t *testing.T) {
	served := NewServed("system")
	a := typeConfig("a", "5")
	served.Set([]*v1beta1.FederatedTypeConfig{a}, nil, nil)
	newWatched(t, served, "5", a).expect(watch.Modified, "a", "True Served")
}

func TestAWatchNeverGoesBackInVersions(t *testing.T) {
	served := NewServed("system")
	a, b := typeConfig("a", "5"), typeConfig("b", "7")
	w := newWatched(t, served, "5", a, b)
	// b is stored, and its event is still on the way when it is served: an event of our own
	// now would be followed by one of the past.
	served.Set([]*v1beta1.FederatedTypeConfig{a, b}, nil, nil)
	w.expect(watch.Modified, "a", "True Served")
	go w.stored.Add(b)
	w.expect(watch.Added, "b", "True Served")
}

func TestAWatchThatIsStoppedEnds(t *testing.T) {
	w := newWatched(t, NewServed("system"), "5")
	w.watch.Stop()
	for range w.watch.ResultChan() {
	}
}
