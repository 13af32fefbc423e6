package memberclient

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func configMap(metadata map[string]any) map[string]any {
	return map[string]any{"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": map[string]any{"k": "v"}}
}

// echo answers a write with what was written, as version 7 of the object u.
func echo(t *testing.T, want string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if got := r.Method + " " + r.URL.Path + "?" + r.URL.RawQuery; got != want {
			t.Errorf("got request %s, want %s", got, want)
		}
		var object map[string]any
		if err := json.NewDecoder(r.Body).Decode(&object); err != nil {
			t.Error(err)
		}
		metadata := object["metadata"].(map[string]any)
		metadata["uid"], metadata["resourceVersion"] = "u", "7"
		for _, warning := range []string{`299 - "unknown field \"spec.b\""`, `299 - "unknown field \"spec.a\""`, `299 - "unknown field \"spec.b\""`, `199 - "of a proxy"`} {
			w.Header().Add("Warning", warning)
		}
		say(object)(w, r)
	}
}

const writeQuery = "fieldManager=koinon&fieldValidation=Warn"

func TestObjectsAreCreatedAndReplaced(t *testing.T) {
	object := configMap(map[string]any{"name": "a", "namespace": "ns", "uid": "u", "resourceVersion": "5"})
	for name, test := range map[string]struct {
		request string
		write   func(*Conn) (Written, error)
	}{
		"a creation": {"POST /api/v1/namespaces/ns/configmaps?" + writeQuery, func(c *Conn) (Written, error) {
			return c.Create(t.Context(), configMaps.Resource, "ns", "a", object, Hold{})
		}},
		"an update": {"PUT /api/v1/namespaces/ns/configmaps/a?" + writeQuery, func(c *Conn) (Written, error) {
			return c.Update(t.Context(), configMaps.Resource, "ns", "a", object)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			written, err := test.write(serve(t, &fakeMember{object: echo(t, test.request)}))
			if err != nil {
				t.Fatal(err)
			}
			if written.Live.Version() != "rv:7" || written.Live.UID != "u" || written.Object.Object["data"].(map[string]any)["k"] != "v" {
				t.Errorf("got %+v, %v", written.Live, written.Object)
			}
			if diff := cmp.Diff([]string{`unknown field "spec.a"`, `unknown field "spec.b"`}, written.Warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			if metadata := object["metadata"].(map[string]any); metadata["resourceVersion"] != "5" {
				t.Error("the object was modified")
			}
		})
	}
	if _, err := serve(t, &fakeMember{}).Update(t.Context(), configMaps.Resource, "ns", "a", configMap(map[string]any{"name": "a"})); err == nil {
		t.Error("an update without a version was sent")
	}
}

func TestAnswersThatNoAPIServerGivesAreRefused(t *testing.T) {
	object := configMap(map[string]any{"name": "a", "namespace": "ns", "uid": "u", "resourceVersion": "5"})
	for name, metadata := range map[string]map[string]any{
		"another name":      {"name": "z", "namespace": "ns", "uid": "u"},
		"another namespace": {"name": "a", "namespace": "other", "uid": "u"},
		"another object":    {"name": "a", "namespace": "ns", "uid": "v"},
	} {
		t.Run(name, func(t *testing.T) {
			conn := serve(t, &fakeMember{object: say(configMap(metadata))})
			var answer *AnswerError
			if _, err := conn.Update(t.Context(), configMaps.Resource, "ns", "a", object); !errors.As(err, &answer) {
				t.Errorf("update: got error %v", err)
			}
			if _, err := conn.Create(t.Context(), configMaps.Resource, "ns", "a", object, Hold{}); (err == nil) != (name == "another object") {
				t.Errorf("create: got error %v", err)
			}
			read := &unstructured.Unstructured{Object: configMap(metadata)}
			if _, err := conn.Read(configMaps.Resource, "ns", "a", read); (err == nil) != (name == "another object") {
				t.Errorf("read: got error %v", err)
			}
		})
	}
}

// refuse answers as API servers do.
func refuse(failed *apierrors.StatusError) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		failed.ErrStatus.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(int(failed.ErrStatus.Code))
		say(failed.ErrStatus)(w, r)
	}
}

func TestConflictsComeBackAsTheyAre(t *testing.T) {
	resource := schema.GroupResource{Resource: "configmaps"}
	object := configMap(map[string]any{"name": "a", "namespace": "ns", "resourceVersion": "5"})
	conn := serve(t, &fakeMember{object: refuse(apierrors.NewConflict(resource, "a", errors.New("changed")))})
	if _, err := conn.Update(t.Context(), configMaps.Resource, "ns", "a", object); !apierrors.IsConflict(err) {
		t.Errorf("update: got error %v", err)
	}
	conn = serve(t, &fakeMember{object: refuse(apierrors.NewAlreadyExists(resource, "a"))})
	if _, err := conn.Create(t.Context(), configMaps.Resource, "ns", "a", object, Hold{}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("create: got error %v", err)
	}
}

// TestACreationInANamespaceThatIsGoneHoldsItAnew, once.
func TestACreationInANamespaceThatIsGoneHoldsItAnew(t *testing.T) {
	var made, sent atomic.Int64
	made.Store(1)
	always := false
	member := &fakeMember{object: func(w http.ResponseWriter, r *http.Request) {
		kind := `{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"ns","annotations":{"owner":"us"}}}`
		switch {
		case r.URL.Path == "/api/v1/namespaces/ns" && made.Load() == 0:
			notThere("namespaces", "ns")(w, r)
		case strings.HasSuffix(r.URL.Path, "/ns"):
			say(kind)(w, r)
		case r.URL.Path == "/api/v1/namespaces":
			made.Add(1)
			say(kind)(w, r)
		case sent.Add(1) == 1 || always:
			made.Store(0)
			notThere("namespaces", "ns")(w, r)
		default:
			say(configMap(map[string]any{"name": "a", "namespace": "ns", "uid": "u", "resourceVersion": "7"}))(w, r)
		}
	}}
	conn := serve(t, member)
	if err := conn.Hold(t.Context(), hold()); err != nil {
		t.Fatal(err)
	}
	create := func() error {
		_, err := conn.Create(t.Context(), configMaps.Resource, "ns", "a", configMap(map[string]any{"name": "a", "namespace": "ns"}), hold())
		return err
	}
	if err := create(); err != nil || made.Load() != 1 || sent.Load() != 2 {
		t.Errorf("got error %v, %d namespaces made, %d creations", err, made.Load(), sent.Load())
	}
	always = true
	sent.Store(1)
	if err := create(); !isNamespaceMissing(err) || sent.Load() != 3 {
		t.Errorf("got error %v, %d creations, want the last refusal of two", err, sent.Load()-1)
	}
}

func TestWarningsAreBounded(t *testing.T) {
	ctx, collected := collectWarnings(t.Context())
	for i := range 1000 {
		warningCollector{}.HandleWarningHeaderWithContext(ctx, warningCode, "", fmt.Sprintf("%03d of pod 1b4e28ba-2fa1-11d2-883f-0016d3cca427 %s", 999-i, strings.Repeat("x", 1<<10)))
	}
	warningCollector{}.HandleWarningHeaderWithContext(t.Context(), warningCode, "", "nobody collects this")
	list := collected.list()
	if len(list) != maxWarnings+1 || list[maxWarnings] != moreWarnings || !strings.HasPrefix(list[0], "000 of pod <uid> ") {
		t.Errorf("got %d warnings, of which the first is %.40q and the last %q", len(list), list[0], list[len(list)-1])
	}
	for _, warning := range list {
		if len(warning) > maxWarningBytes {
			t.Errorf("got a warning of %d bytes", len(warning))
		}
	}
}

func TestAVersionThatIsNotServedIsToldFromAnObjectThatIsGone(t *testing.T) {
	object := configMap(map[string]any{"name": "a", "namespace": "ns", "uid": "u", "resourceVersion": "5"})
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		want   bool
	}{
		"no such path":             {http.NotFound, true},
		"no such object":           {refuse(apierrors.NewNotFound(schema.GroupResource{Resource: "configmaps"}, "a")), false},
		"a webhook says not found": {refuse(&apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: 404, Reason: metav1.StatusReasonNotFound, Message: "no such team"}}), false},
	} {
		conn := serve(t, &fakeMember{object: test.answer})
		_, created := conn.Create(t.Context(), configMaps.Resource, "ns", "a", object, Hold{})
		_, updated := conn.Update(t.Context(), configMaps.Resource, "ns", "a", object)
		_, tried := conn.TryUpdate(t.Context(), configMaps.Resource, "ns", "a", object)
		for what, err := range map[string]error{"create": created, "update": updated, "a dry run": tried} {
			if errors.Is(err, ErrTypeNotServed) != test.want {
				t.Errorf("%s: got %v on %s", name, err, what)
			}
		}
	}
}
