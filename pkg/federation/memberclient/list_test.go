package memberclient

import (
	"fmt"
	"net/http"
	"testing"
)

// TestListsAreReadPageByPage: whatever comes is kept as NewLive keeps it.
func TestListsAreReadPageByPage(t *testing.T) {
	first := `{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"10","continue":"more"},"items":[
		{"metadata":{"name":"a","namespace":"ns","uid":"u","resourceVersion":"5","generation":3,"managedFields":[{"manager":"x"}]},
		 "spec":{"replicas":1},"status":{"z":1,"big":9007199254740993,"a":"<"}}],"later":{"skipped":[1,2]}}`
	second := `{"items":[{"metadata":{"name":"b","namespace":"ns"}}],"metadata":{"resourceVersion":"10"}}`
	member := &fakeMember{list: func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		if query.Get("limit") != "500" || query.Get("labelSelector") != "kubefed.io/managed=true" || query.Has("resourceVersion") {
			t.Errorf("got query %s", r.URL.RawQuery)
		}
		if query.Get("continue") == "more" {
			say(second)(w, r)
			return
		}
		say(first)(w, r)
	}}
	var got []string
	version, err := serve(t, member).list(t.Context(), query{resource: configMaps.Resource, keep: Keep{Status: true}}, func(live *Live) error {
		got = append(got, fmt.Sprintf("%s/%s %s %s %s", live.Namespace, live.Name, live.UID, live.Version(), live.Status))
		return nil
	})
	want := `[ns/a u gen:3 {"a":"\u003c","big":9007199254740993,"z":1} ns/b  rv: ]`
	if err != nil || version != "10" || fmt.Sprint(got) != want {
		t.Errorf("got version %q, error %v, objects\n%v, want\n%s", version, err, got, want)
	}
}

func TestWhatIsNoListIsNoEmptyList(t *testing.T) {
	for name, body := range map[string]string{
		"nothing":            ``,
		"an object":          `{"kind":"Status","metadata":{}}`,
		"an array":           `[]`,
		"a text":             `"items"`,
		"items of one thing": `{"items":{}}`,
		"a torn list":        `{"metadata":{"resourceVersion":"10"},"items":[`,
		"a torn end":         `{"metadata":{"resourceVersion":"10"},"items":[]`,
		"a page":             `<html></html>`,
	} {
		t.Run(name, func(t *testing.T) {
			if err := calls(serve(t, &fakeMember{list: say(body)}))["a list"](t.Context()); err == nil {
				t.Error("it was taken for a list without objects")
			}
		})
	}
}
