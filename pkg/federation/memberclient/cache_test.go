package memberclient

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

func live(uid types.UID, resourceVersion string) *Live {
	return &Live{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "a", UID: uid, ResourceVersion: resourceVersion}}
}

// TestOwnWritesAreSeenAtOnce: what we wrote counts until the watch has caught up.
func TestOwnWritesAreSeenAtOnce(t *testing.T) {
	for name, test := range map[string]struct {
		shown *Live
		write write
		// event arrives after the write, if set.
		event *Live
		want  *Live
	}{
		"a creation that the watch has not shown":   {nil, write{live: live("u", "5")}, nil, live("u", "5")},
		"an update that the watch has not shown":    {live("u", "4"), write{live: live("u", "5")}, nil, live("u", "5")},
		"a later version wins":                      {live("u", "6"), write{live: live("u", "5")}, nil, live("u", "6")},
		"versions are numbers":                      {live("u", "10"), write{live: live("u", "9")}, nil, live("u", "10")},
		"a deletion that the watch has not shown":   {live("u", "5"), write{gone: "u"}, nil, nil},
		"another object of the name is not deleted": {live("v", "6"), write{gone: "u"}, nil, live("v", "6")},
		"an event of the write ends its memory":     {nil, write{live: live("u", "5")}, live("u", "5"), nil},
		"an event of an earlier version does not":   {nil, write{live: live("u", "5")}, live("u", "4"), live("u", "5")},
	} {
		t.Run(name, func(t *testing.T) {
			conn := &Conn{budget: &budget{limitBytes: maxCachedBytes}, onEvent: func(schema.GroupVersionResource, Event) {}}
			c := &Cache{conn: conn, state: Synced, objects: map[string]*Live{}, writes: map[string]write{}}
			if test.shown != nil {
				c.objects["ns/a"] = test.shown
			}
			c.wrote("ns", "a", test.write)
			if test.event != nil {
				c.saw(test.event)
			}
			got, _, _ := c.get("ns", "a")
			if (got == nil) != (test.want == nil) || (got != nil && (got.UID != test.want.UID || got.ResourceVersion != test.want.ResourceVersion)) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestNewLiveKeepsLittle(t *testing.T) {
	object := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{
			"name": "a", "generation": int64(3), "resourceVersion": "9",
			"managedFields": []any{map[string]any{"manager": "x"}},
			"annotations":   map[string]any{"kubectl.kubernetes.io/last-applied-configuration": "{}", "kept": "1"},
		},
		"status": map[string]any{"replicas": int64(1)},
	}}
	got, err := NewLive(object, Keep{Status: true})
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Status) != `{"replicas":1}` || got.Version() != "gen:3" || len(got.ManagedFields) != 0 || len(got.Annotations) != 1 {
		t.Errorf("got %+v", got)
	}
	if len(object.GetAnnotations()) != 2 {
		t.Error("the object was modified")
	}
	if got, err = NewLive(object, Keep{}); err != nil || got.Status != nil {
		t.Errorf("got status %s, error %v, want none of a type that does not collect it", got.Status, err)
	}
	object.SetGeneration(0)
	if got, err = NewLive(object, Keep{}); err != nil || got.Version() != "rv:9" {
		t.Errorf("got version %s, error %v", got.Version(), err)
	}
}
