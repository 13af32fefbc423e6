package simulation

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

func TestFaults(t *testing.T) {
	m, client := start(t, Options{})
	shop := client.Resource(ConfigMaps).Namespace("shop")
	get := func() error {
		_, err := shop.Get(t.Context(), "a", metav1.GetOptions{})
		return err
	}
	made := func(name string) error {
		_, err := shop.Create(t.Context(), configMap(name, "1"), metav1.CreateOptions{})
		return err
	}
	m.SetFaults(Fault{Verbs: []string{"create"}, Code: http.StatusForbidden})
	if err := made("a"); !apierrors.IsForbidden(err) {
		t.Errorf("403: %v", err)
	}
	if err := get(); !apierrors.IsNotFound(err) {
		t.Errorf("a fault of other verbs: %v", err)
	}
	m.SetFaults(Fault{Verbs: []string{"create"}, Code: http.StatusInternalServerError, Late: true})
	if err := made("a"); !apierrors.IsInternalError(err) || m.Object(ConfigMaps, "shop", "a") == nil {
		t.Errorf("a late failure: %v, and the object must be there", err)
	}
	m.SetFaults(Fault{Resource: "configmaps", Cut: true})
	if err := get(); err == nil {
		t.Error("a cut answer is none")
	}
	m.SetFaults()
	if err := get(); err != nil {
		t.Errorf("without faults: %v", err)
	}
	m.SetServed(ConfigMaps, false)
	if err := get(); !apierrors.IsNotFound(err) {
		t.Errorf("a lost type: %v", err)
	}
	m.SetServed(ConfigMaps, true)
	m.Down()
	if err := made("b"); err == nil { // the client would try again to read
		t.Error("a member that is down answers")
	}
	m.Up()
	if err := get(); err != nil {
		t.Errorf("a member that is back: %v", err)
	}
}

func TestWatchesAreSentEventsTwiceOrNever(t *testing.T) {
	for name, test := range map[string]struct {
		fault Fault
		want  []string // the values of the events
	}{
		"never": {Fault{Verbs: []string{"watch"}, Drop: 1}, nil},
		"twice": {Fault{Verbs: []string{"watch"}, Duplicate: 1}, []string{"2", "2"}},
	} {
		t.Run(name, func(t *testing.T) {
			m, client := start(t, Options{})
			made := create(t, client, "a", "1")
			watch, err := client.Resource(ConfigMaps).Namespace("shop").Watch(t.Context(), metav1.ListOptions{ResourceVersion: made.GetResourceVersion()})
			if err != nil {
				t.Fatal(err)
			}
			defer watch.Stop()
			set := func(value string) {
				t.Helper()
				found, err := m.Change(ConfigMaps, "shop", "a", func(object map[string]any) { object["data"] = map[string]any{"key": value} })
				if err != nil || !found {
					t.Fatalf("change: found %v, %v", found, err)
				}
			}
			m.SetFaults(test.fault)
			set("2")
			for _, want := range append(test.want, "end") {
				if want == "end" {
					if name == "never" {
						eventually(t, "the event was dropped", func() bool { return m.Counts().Dropped == 1 })
					}
					m.SetFaults()
					set(want)
				}
				event := <-watch.ResultChan()
				got, _, _ := unstructured.NestedString(event.Object.(*unstructured.Unstructured).Object, "data", "key")
				if got != want {
					t.Fatalf("got an event of %q, want %q", got, want)
				}
			}
		})
	}
}

func TestAHangEndsWithItsClientOrWithTheFault(t *testing.T) {
	m, client := start(t, Options{})
	create(t, client, "a", "1")
	m.SetFaults(Fault{Verbs: []string{"get"}, Hang: true})
	answers := make(chan error, 2)
	ctx, cancel := context.WithCancel(t.Context())
	for _, ctx := range []context.Context{ctx, t.Context()} {
		go func() { // ends with its context, or when the fault does
			_, err := client.Resource(ConfigMaps).Namespace("shop").Get(ctx, "a", metav1.GetOptions{})
			answers <- err
		}()
	}
	eventually(t, "both have asked", func() bool { return m.Counts().Requests["get"] == 2 })
	cancel()
	if err := <-answers; !errors.Is(err, context.Canceled) {
		t.Errorf("the client that gave up: %v", err)
	}
	m.SetFaults()
	if err := <-answers; err != nil {
		t.Errorf("the client that waited: %v", err)
	}
}

func TestFaultsAreTheSameForTheSameSeed(t *testing.T) {
	outcome := func(seed int64) (failed string) {
		m, client := start(t, Options{Seed: seed})
		m.SetFaults(Fault{Verbs: []string{"get"}, Rate: 0.5, Code: http.StatusForbidden})
		for i := range 40 {
			_, err := client.Resource(ConfigMaps).Namespace("shop").Get(t.Context(), fmt.Sprint(i%4), metav1.GetOptions{})
			failed += fmt.Sprint(apierrors.IsForbidden(err), " ")
		}
		return failed
	}
	if outcome(1) != outcome(1) {
		t.Error("the same seed has other faults")
	}
	if outcome(1) == outcome(2) {
		t.Error("two seeds have the same faults")
	}
}

func TestDroppedEventsNeverCome(t *testing.T) {
	m, client := start(t, Options{})
	first := create(t, client, "a", "1")
	events, err := client.Resource(ConfigMaps).Namespace("shop").Watch(t.Context(), metav1.ListOptions{ResourceVersion: first.GetResourceVersion()})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Stop()
	m.SetFaults(Fault{Verbs: []string{"watch"}, Resource: "configmaps", Drop: 1})
	create(t, client, "lost", "1")
	eventually(t, "the event is dropped", func() bool { return m.Counts().Dropped == 1 })
	m.SetFaults()
	create(t, client, "sent", "1")
	if event := <-events.ResultChan(); event.Object.(metav1.Object).GetName() != "sent" {
		t.Errorf("got %v", event)
	}
}

func TestOthersTokensAreRefused(t *testing.T) {
	m, _ := start(t, Options{Members: 2})
	config := rest.CopyConfig(m.RESTConfig())
	config.BearerToken = "another"
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Resource(ConfigMaps).List(t.Context(), metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("got %v, want Unauthorized", err)
	}
}
