package simulation

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
)

// somePods are n pods, of which the first has a label and waits for a node.
func somePods(n int) func() map[string]any {
	i := 0
	return func() map[string]any {
		if i++; i > n {
			return nil
		}
		pod := map[string]any{
			"metadata": map[string]any{"name": fmt.Sprintf("p%03d", i), "namespace": "default"},
			"spec":     map[string]any{"nodeName": "n1"}, "status": map[string]any{"phase": "Running"},
		}
		if i == 1 {
			pod["metadata"].(map[string]any)["labels"] = map[string]any{"app": "web"}
			pod["spec"], pod["status"] = map[string]any{}, map[string]any{"phase": "Pending"}
		}
		return pod
	}
}

func TestMembersArePopulatedWithTheSameObjects(t *testing.T) {
	fleet, err := Start(Options{Members: 2, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fleet.Close() })
	first := dynamic.NewForConfigOrDie(fleet.Members()[0].RESTConfig())
	watched, err := first.Resource(Pods).Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer watched.Stop()
	if err := fleet.Populate(Pods, somePods(7)); err != nil {
		t.Fatal(err)
	}
	if event, open := <-watched.ResultChan(); open {
		t.Errorf("who watches is told %v, and should list anew", event)
	}
	for _, m := range fleet.Members() {
		pods := dynamic.NewForConfigOrDie(m.RESTConfig()).Resource(Pods)
		for selected, test := range map[metav1.ListOptions]int{
			{}: 7, {Limit: 3}: 3, {LabelSelector: "app=web"}: 1, {LabelSelector: "kubefed.io/managed=true"}: 0,
			{FieldSelector: "spec.nodeName=,status.phase=Pending"}: 1,
		} {
			list, err := pods.List(t.Context(), selected)
			if err != nil || len(list.Items) != test {
				t.Errorf("%s: %+v lists %d pods, %v, want %d", m.Name(), selected, len(list.Items), err, test)
			}
		}
		if got := m.Sent(Pods); got != 12 {
			t.Errorf("%s has sent %d pods, want 12", m.Name(), got)
		}
	}
	second := fleet.Members()[1]
	if found, err := second.Change(Pods, "default", "p002", func(pod map[string]any) { pod["status"] = map[string]any{"phase": "Failed"} }); !found || err != nil {
		t.Fatal(found, err)
	}
	got, err := first.Resource(Pods).Namespace("default").Get(t.Context(), "p002", metav1.GetOptions{})
	if err != nil || got.Object["status"].(map[string]any)["phase"] != "Running" {
		t.Errorf("a change in one member changes the other one: %v, %v", got, err)
	}
}
