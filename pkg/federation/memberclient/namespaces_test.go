package memberclient

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// member serves one namespace, ns, as a cluster does. before is called before a request is
// answered: somebody else is at work.
type member struct {
	*testing.T
	labels      map[string]string
	annotations map[string]string // nil if there is no namespace
	version     int
	requests    []string
	before      map[string]func()
}

func (m *member) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.requests = append(m.requests, r.Method)
	if act := m.before[r.Method]; act != nil {
		delete(m.before, r.Method)
		act()
	}
	var body struct {
		Metadata struct {
			Annotations     map[string]string
			ResourceVersion string
		}
	}
	if r.Method != http.MethodGet {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			m.Error(err)
		}
	}
	refuse := func(status *apierrors.StatusError) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(int(status.ErrStatus.Code))
		status.ErrStatus.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
		_ = json.NewEncoder(w).Encode(status.ErrStatus)
	}
	resource := schema.GroupResource{Resource: "namespaces"}
	switch {
	case r.Method == http.MethodPost && m.annotations != nil:
		refuse(apierrors.NewAlreadyExists(resource, "ns"))
		return
	case r.Method != http.MethodPost && m.annotations == nil:
		refuse(apierrors.NewNotFound(resource, "ns"))
		return
	case r.Method == http.MethodPatch && body.Metadata.ResourceVersion != m.revision():
		refuse(apierrors.NewConflict(resource, "ns", errors.New("another version")))
		return
	case r.Method != http.MethodGet:
		m.set(body.Metadata.Annotations)
	}
	w.Header().Set("Content-Type", "application/json")
	kind := metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadata"}
	_ = json.NewEncoder(w).Encode(metav1.PartialObjectMetadata{TypeMeta: kind, ObjectMeta: metav1.ObjectMeta{
		Name: "ns", ResourceVersion: m.revision(), Labels: m.labels, Annotations: m.annotations}})
}

func (m *member) revision() string { return strings.Repeat("1", m.version+1) }

func (m *member) set(annotations map[string]string) {
	m.version++
	if m.annotations == nil {
		m.annotations = map[string]string{}
	}
	maps.Copy(m.annotations, annotations)
}

func hold() Hold {
	return Hold{
		Name: "ns", Annotations: map[string]string{"made": "by us"}, Marks: map[string]string{"owner": "us"},
		Marked: func(annotations map[string]string) (bool, string) {
			if owner := annotations["owner"]; owner != "" && owner != "us" {
				return false, "it belongs to " + owner
			}
			return annotations["owner"] == "us", ""
		},
	}
}

func TestHold(t *testing.T) {
	taken := func(m *member) func() { return func() { m.set(map[string]string{"owner": "them"}) } }
	for name, test := range map[string]struct {
		annotations map[string]string
		labels      map[string]string
		leave       bool
		race        func(*member)
		want        map[string]string
		requests    string
		refused     bool
	}{
		"a namespace that is not there is made with the marks": {
			want: map[string]string{"made": "by us", "owner": "us"}, requests: "GET POST"},
		"one without marks gets them": {
			annotations: map[string]string{"their": "own"}, want: map[string]string{"their": "own", "owner": "us"}, requests: "GET PATCH"},
		"one that says hands off does not": {
			annotations: map[string]string{}, labels: map[string]string{v1beta1.ManagedLabel: "false"}, want: map[string]string{}, requests: "GET"},
		"nor does one that may not be adopted": {
			annotations: map[string]string{}, leave: true, want: map[string]string{}, requests: "GET"},
		"one with the marks is not written": {
			annotations: map[string]string{"owner": "us"}, want: map[string]string{"owner": "us"}, requests: "GET"},
		"somebody else's is left alone": {
			annotations: map[string]string{"owner": "them"}, want: map[string]string{"owner": "them"}, requests: "GET", refused: true},
		"one that somebody else makes first is theirs": {
			race: func(m *member) { m.before[http.MethodPost] = taken(m) },
			want: map[string]string{"owner": "them"}, requests: "GET POST GET", refused: true},
		"one that somebody else marks first is theirs": {
			annotations: map[string]string{},
			race:        func(m *member) { m.before[http.MethodPatch] = taken(m) },
			want:        map[string]string{"owner": "them"}, requests: "GET PATCH GET", refused: true},
		"one that somebody else changes is looked at again": {
			annotations: map[string]string{},
			race:        func(m *member) { m.before[http.MethodPatch] = func() { m.set(map[string]string{"their": "own"}) } },
			want:        map[string]string{"their": "own", "owner": "us"}, requests: "GET PATCH GET PATCH"},
		"one that is deleted meanwhile is made anew": {
			annotations: map[string]string{},
			race:        func(m *member) { m.before[http.MethodPatch] = func() { m.annotations = nil } },
			want:        map[string]string{"made": "by us", "owner": "us"}, requests: "GET PATCH GET POST"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &member{T: t, labels: test.labels, annotations: test.annotations, before: map[string]func(){}}
			if test.race != nil {
				test.race(m)
			}
			conn := connect(t, m)
			hold := hold()
			hold.LeaveUnmarked = test.leave
			err := conn.Hold(t.Context(), hold)
			var foreign *ForeignNamespaceError
			if errors.As(err, &foreign) != test.refused || (err != nil) != test.refused {
				t.Fatalf("got error %v, want a refusal: %v", err, test.refused)
			}
			if diff := cmp.Diff(test.want, m.annotations); diff != "" {
				t.Errorf("annotations (-want +got):\n%s", diff)
			}
			if got := strings.Join(m.requests, " "); got != test.requests {
				t.Errorf("got requests %s, want %s", got, test.requests)
			}
			m.requests = nil
			if err := conn.Hold(t.Context(), hold); (err != nil) != test.refused {
				t.Errorf("the second time: got error %v", err)
			}
			if asked := len(m.requests) > 0; asked != test.refused {
				t.Errorf("the second time: asked %v; what is held is not looked at again within a minute", m.requests)
			}
		})
	}
}

func TestCheckHoldWritesNothing(t *testing.T) {
	for name, test := range map[string]struct {
		annotations map[string]string
		refused     bool
	}{
		"a namespace that is not there": {},
		"one without marks":             {annotations: map[string]string{}},
		"ours":                          {annotations: map[string]string{"owner": "us"}},
		"somebody else's":               {annotations: map[string]string{"owner": "them"}, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			m := &member{T: t, annotations: test.annotations}
			if err := connect(t, m).CheckHold(t.Context(), hold()); (err != nil) != test.refused {
				t.Errorf("got error %v, want a refusal: %v", err, test.refused)
			}
			if got := strings.Join(m.requests, " "); got != "GET" {
				t.Errorf("got requests %s, want one GET", got)
			}
		})
	}
}

func connect(t *testing.T, m *member) *Conn {
	t.Helper()
	server := httptest.NewServer(m)
	t.Cleanup(server.Close)
	conn, err := NewConn(t.Context(), &rest.Config{Host: server.URL}, func(schema.GroupVersionResource, Event) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}
