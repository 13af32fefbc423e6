package schema

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"
	clocktesting "k8s.io/utils/clock/testing"
)

// widgetDocument is the OpenAPI document of a group with one kind, whose spec has one field.
func widgetDocument(field string) string {
	return `{"openapi":"3.0.0","components":{"schemas":{"com.example.v1.Widget":{"type":"object",
		"x-kubernetes-group-version-kind":[{"group":"example.com","version":"v1","kind":"Widget"}],
		"properties":{"spec":{"type":"object","properties":{"` + field + `":{"type":"string"}}}}}}}}`
}

// serveDocument returns a client of a server that answers what document holds.
func serveDocument(t *testing.T, document *atomic.Value) rest.Interface {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(document.Load().(string)))
	}))
	t.Cleanup(server.Close)
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL, QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	return client.RESTClient()
}

var widget = schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Widget"}

func (r *Remote) widget() *Target {
	return r.TargetSchemas([]schema.GroupVersionKind{widget})[widget]
}

// remoteOf asks servers with these documents, in this order, at times that the clock says.
func remoteOf(t *testing.T, documents ...string) (*Remote, []*atomic.Value, *clocktesting.FakeClock) {
	t.Helper()
	var servers []rest.Interface
	var values []*atomic.Value
	for _, document := range documents {
		value := &atomic.Value{}
		value.Store(document)
		values, servers = append(values, value), append(servers, serveDocument(t, value))
	}
	now := clocktesting.NewFakeClock(time.Now())
	remote := NewRemote(func(context.Context) []rest.Interface { return servers }, func() {})
	remote.changes = flowcontrol.NewFakeBackOff(changeWait, maxChangeWait, now)
	remote.widget() // now it is wanted
	return remote, values, now
}

func TestASchemaThatIsNotUsableIsAskedOfTheNextServerAndSaid(t *testing.T) {
	broken := strings.Replace(widgetDocument("color"), `"string"`, `""`, 1)
	remote, documents, now := remoteOf(t, broken, broken)
	if !remote.update(t.Context()) || remote.widget() != nil {
		t.Fatal("a schema that is not usable is none, and news")
	}
	got := remote.Problem(widget)
	for _, part := range []string{"The schema of example.com/v1 Widget that 127.0.0.1:", `spec.properties.color.type: "" is no type`, "Templates are not compared with a schema."} {
		if !strings.Contains(got, part) {
			t.Errorf("got %q, want it to say %q", got, part)
		}
	}
	if remote.update(t.Context()) {
		t.Error("the same problem is news again")
	}
	documents[1].Store(widgetDocument("color"))
	now.Step(changeWait)
	if !remote.update(t.Context()) || remote.widget() == nil || remote.Problem(widget) != "" {
		t.Errorf("the next server's schema is not used: %s", remote.Problem(widget))
	}
	documents[1].Store(broken)
	now.Step(2 * changeWait)
	if !remote.update(t.Context()) || remote.widget() == nil || !strings.Contains(remote.Problem(widget), "The schema before it stays in use.") {
		t.Errorf("got %v and %q, want the schema before it", remote.widget(), remote.Problem(widget))
	}
}

func TestAServerThatAlwaysAnswersSomethingElseIsHeardRarely(t *testing.T) {
	remote, documents, now := remoteOf(t, widgetDocument("a0"))
	changes := 0
	const rounds = 8 * 60 * 2 // of eight hours
	for i := range rounds {
		documents[0].Store(widgetDocument("a" + strconv.Itoa(i)))
		if remote.update(t.Context()) {
			changes++
		}
		now.Step(remoteInterval)
	}
	if most := 5 + 8*4; changes < 4 || changes > most {
		t.Errorf("got %d changes in eight hours, want at most %d", changes, most)
	}
	now.Step(2*maxChangeWait + time.Second)
	documents[0].Store(widgetDocument("last"))
	remote.update(t.Context())
	if got := remote.widget().Schemas[remote.widget().Root].Properties["spec"].Properties; len(got) != 1 || got["last"].Type == nil {
		t.Errorf("a change after a while is not heard: %v", got)
	}
}

func TestDocumentsThatDidNotChangeAreNotReadAgain(t *testing.T) {
	remote, _, _ := remoteOf(t, widgetDocument("color"))
	remote.update(t.Context())
	before := remote.read
	remote.update(t.Context())
	if len(remote.read) != 1 {
		t.Errorf("%d documents were read, want one", len(remote.read))
	}
	for id, kinds := range remote.read {
		if before[id][widget].target == nil || kinds[widget].target != before[id][widget].target {
			t.Error("the same document was read again")
		}
	}
}

func TestASchemaThatDidNotChangeIsNoNewsHoweverOftenItWasUsed(t *testing.T) {
	remote, documents, now := remoteOf(t, widgetDocument("color"))
	if !remote.update(t.Context()) {
		t.Fatal("a schema that was not known is no news")
	}
	remote.widget().shape(remote.widget().Schemas[remote.widget().Root]) // as when a template is compared with it
	if remote.update(t.Context()) {
		t.Error("the same schema is news, once a template was compared with it")
	}
	documents[0].Store(widgetDocument("colour"))
	now.Step(changeWait)
	if !remote.update(t.Context()) {
		t.Error("a schema that has changed is no news")
	}
	if got := remote.widget().Schemas[remote.widget().Root].Properties["spec"].Properties; len(got) != 1 || got["colour"].Type == nil {
		t.Errorf("properties: got %v, want the new ones", got)
	}
}
