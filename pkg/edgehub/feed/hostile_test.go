package feed

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

// answers is an API server that says the same again and again. What it does not say is refused: streaming lists with 422, the others with 500.
type answers struct {
	stream, list, watch string
	// kind is the Content-Type, JSON by default.
	kind   string
	change func(rw http.ResponseWriter, r *http.Request) bool
}

func (an *answers) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	text, code := an.list, 500
	switch {
	case query.Get("sendInitialEvents") == "true":
		text, code = an.stream, 422
	case query.Get("watch") == "true":
		text = an.watch
	}
	rw.Header().Set("Content-Type", "application/json")
	if text == "" {
		status(rw, code, "No", "no", "")
		return
	}
	if an.kind != "" {
		rw.Header().Set("Content-Type", an.kind)
	}
	if an.change == nil || an.change(rw, r) {
		_, _ = io.WriteString(rw, text)
	}
}

const (
	anObject  = `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x","namespace":"ns","resourceVersion":"20"}}`
	noObject  = `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"namespace":"ns","resourceVersion":"20"}}`
	noVersion = `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x","namespace":"ns"}}`
	otherKind = `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"x","namespace":"ns","resourceVersion":"20"}}`
	otherNS   = `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x","namespace":"other","resourceVersion":"20"}}`
	aNUL      = `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x\u0000","namespace":"ns","resourceVersion":"20"}}`
	otherAPI  = `{"kind":"ConfigMap","apiVersion":"example.org/v1","metadata":{"name":"x","namespace":"ns","resourceVersion":"20"}}`
	theEnd    = `{"type":"BOOKMARK","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":"30","annotations":{"k8s.io/initial-events-end":"true"}}}}`
	aStatus   = `{"kind":"Status","apiVersion":"v1","metadata":{"resourceVersion":"30"},"status":"Failure","code":403}`
	aPortal   = `<html><body>Please log in</body></html>`
)

func added(objects ...string) string {
	text := ""
	for _, o := range objects {
		text += `{"type":"ADDED","object":` + o + "}\n"
	}
	return text
}

func listOf(items string) string {
	return `{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"30"},"items":` + items + `}`
}

var nested = strings.Repeat(`{"a":`, 200_000) + "1" + strings.Repeat("}", 200_000)

// None of it is what an API server says of ConfigMaps, whole: neither is a view empty or complete afterwards, nor otherwise than it was.
func TestWhatIsNoAnswerChangesNoView(t *testing.T) {
	big := `"` + strings.Repeat("x", 300_000) + `"`
	for name, an := range map[string]answers{
		"a stream with an object without a name":            {stream: added(anObject, noObject) + theEnd},
		"a stream with an object without a resourceVersion": {stream: added(anObject, noVersion) + theEnd},
		"a stream with an object of another kind":           {stream: added(anObject, otherKind) + theEnd},
		"a stream of another kind":                          {stream: added(otherKind) + theEnd},
		"a stream with an object of another group":          {stream: added(otherAPI) + theEnd},
		"a stream with an object of another namespace":      {stream: added(otherNS) + theEnd},
		"a stream with a name that no disk can have":        {stream: added(aNUL) + theEnd},
		"a stream with an unknown event":                    {stream: `{"type":"RENAMED","object":` + anObject + "}\n" + theEnd},
		"a stream with an event without a type":             {stream: `{"object":` + anObject + "}\n" + theEnd},
		"a stream with a Status in it":                      {stream: added(aStatus) + theEnd},
		"a stream that is a Status":                         {stream: aStatus},
		"a stream with an end without a resourceVersion":    {stream: added(anObject) + strings.Replace(theEnd, `"resourceVersion":"30",`, "", 1)},
		"a stream with an end of another kind":              {stream: added(anObject) + strings.Replace(theEnd, "ConfigMap", "Status", 1)},
		"a stream with an end of no kind":                   {stream: strings.Replace(theEnd, `"kind":"ConfigMap",`, "", 1)},
		"a stream that is older than its objects":           {stream: added(anObject) + strings.Replace(theEnd, `"30"`, `"15"`, 1)},
		"a stream without an end":                           {stream: added(anObject)},
		"a stream with a huge event":                        {stream: added(strings.Replace(anObject, `{"name"`, `{"big":"`+strings.Repeat("x", largestEvent)+`","name"`, 1)) + theEnd},
		"a stream that is too large":                        {stream: strings.Repeat(added(strings.Replace(anObject, `{"name"`, `{"big":`+big+`,"name"`, 1)), 5) + theEnd},
		"a stream that is nested without end":               {stream: added(strings.Replace(anObject, `{"name"`, `{"deep":`+nested+`,"name"`, 1)) + theEnd},
		"a stream of a captive portal":                      {stream: aPortal, kind: "text/html"},
		"a stream that is empty":                            {stream: " "},

		"a list with an object without a name":            {list: listOf(`[` + anObject + `,` + noObject + `]`)},
		"a list with an object without a resourceVersion": {list: listOf(`[` + noVersion + `]`)},
		"a list with an object of another kind":           {list: listOf(`[` + otherKind + `]`)},
		"a list with an object of another namespace":      {list: listOf(`[` + otherNS + `]`)},
		"a list with something else":                      {list: listOf(`[1]`)},
		"a list with null":                                {list: listOf(`[null]`)},
		"a list with an empty object":                     {list: listOf(`[{}]`)},
		"a list of null":                                  {list: listOf(`null`)},
		"a list without items":                            {list: strings.Replace(listOf(`[]`), `,"items":[]`, "", 1)},
		"a list of another group":                         {list: strings.Replace(listOf(`[]`), `"v1"`, `"example.org/v1"`, 1)},
		"a list of no kind":                               {list: strings.Replace(listOf(`[]`), `ConfigMapList`, `List`, 1)},
		"a list without a resourceVersion":                {list: strings.Replace(listOf(`[]`), `"resourceVersion":"30"`, "", 1)},
		"a list that is older than its objects":           {list: strings.Replace(listOf(`[`+anObject+`]`), `"30"`, `"15"`, 1)},
		"a list that is a Status":                         {list: aStatus},
		"a list that is cut":                              {list: strings.TrimSuffix(listOf(`[]`), "}")},
		"a list that is too large":                        {list: listOf(`[` + strings.Repeat(strings.Replace(anObject, `{"name"`, `{"big":`+big+`,"name"`, 1)+",", 5) + anObject + `]`)},
		"a list that is nested without end":               {list: listOf(`[` + strings.Replace(anObject, `{"name"`, `{"deep":`+nested+`,"name"`, 1) + `]`)},
		"a list of a captive portal":                      {list: aPortal, kind: "text/html"},
		"a list that another says is HTML":                {list: listOf(`[]`), kind: "text/html; charset=utf-8"},
		"a list that goes on without end":                 {list: strings.Replace(listOf(`[]`), `"30"`, `"30","continue":"again"`, 1)},
		"a list of two moments": {list: "by change", change: func(rw http.ResponseWriter, r *http.Request) bool {
			text := strings.Replace(listOf(`[]`), `"30"`, `"29","continue":"again"`, 1)
			if r.URL.Query().Get("continue") != "" {
				text = listOf(`[]`)
			}
			_, _ = io.WriteString(rw, text)
			return false
		}},
		"a list that is compressed, which nobody asked for": {list: "by change", change: func(rw http.ResponseWriter, _ *http.Request) bool {
			rw.Header().Set("Content-Encoding", "deflate")
			packed := gzip.NewWriter(rw)
			_, _ = io.WriteString(packed, listOf(`[]`))
			_ = packed.Close()
			return false
		}},
	} {
		for _, known := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, known %v", name, known), func(t *testing.T) {
				t.Parallel()
				v := newView(t)
				if known {
					fill(t, v)
				}
				f := fed(t, &an, v)
				f.mustList = true
				for range 2 {
					if err := f.once(t.Context()); err == nil {
						t.Fatal("it is taken")
					}
				}
				unchanged(t, v, known)
			})
		}
	}
}

// fill has a view have one ConfigMap.
func fill(t *testing.T, v *view.View) {
	t.Helper()
	o, err := v.Parse([]byte(`{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","namespace":"ns","resourceVersion":"10"}}`))
	if err != nil {
		t.Fatal(err)
	}
	v.SetObjectKind("ConfigMap")
	v.Replace([]*view.Object{o}, 12)
}

func unchanged(t *testing.T, v *view.View, known bool) {
	t.Helper()
	all, version, err := v.List()
	switch {
	case !known && (!errors.Is(err, view.ErrUnknown) || v.ObjectKind() != ""):
		t.Errorf("it is complete now, with %d objects of the kind %q, %v", len(all), v.ObjectKind(), err)
	case known && (len(all) != 1 || version != 12 || v.ObjectKind() != "ConfigMap"):
		t.Errorf("it has %d objects of the kind %q at %d now", len(all), v.ObjectKind(), version)
	}
}

// fed returns a feed of an API server, with bounds for which tests have the time.
func fed(t *testing.T, h http.Handler, v *view.View) *Feed {
	t.Helper()
	a := newAPIServer(t)
	a.Config.Handler = h
	f, err := New(Config{View: v, Path: "/api/v1/namespaces/ns/configmaps", Client: client{a.Listener.Addr().String(), a.Client()}})
	if err != nil {
		t.Fatal(err)
	}
	f.last, f.largest, f.silence = 20*time.Millisecond, 1<<20, 100*time.Millisecond
	return f
}

func TestAWatchThatIsNoneChangesNoView(t *testing.T) {
	for name, text := range map[string]string{
		"an object without a name":            added(noObject),
		"an object without a resourceVersion": added(noVersion),
		"an object of another kind":           added(otherKind),
		"an object of another group":          added(otherAPI),
		"an object of another namespace":      added(otherNS),
		"a Status":                            added(aStatus),
		"an unknown event":                    `{"type":"RENAMED","object":` + anObject + `}`,
		"a bookmark without a version":        `{"type":"BOOKMARK","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{}}}`,
		"a bookmark of another kind":          `{"type":"BOOKMARK","object":{"kind":"Secret","apiVersion":"v1","metadata":{"resourceVersion":"30"}}}`,
		"a bookmark that is nothing":          `{"type":"BOOKMARK","object":null}`,
		"a huge object":                       added(strings.Replace(anObject, `{"name"`, `{"big":"`+strings.Repeat("x", largestEvent)+`","name"`, 1)),
		"nothing":                             " ",
		"blanks without end":                  strings.Repeat(" ", largestEvent+1) + added(anObject),
		"a list":                              listOf(`[` + anObject + `]`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newView(t)
			fill(t, v)
			if err := fed(t, &answers{watch: text}, v).watch(t.Context(), 12); err == nil {
				t.Error("it is taken")
			}
			unchanged(t, v, true)
		})
	}
}

// An API server may go on with changes before it has told that the list is whole.
func TestWhatIsDeletedWhileAListStreamsIsNotThere(t *testing.T) {
	v := newView(t)
	deleted := strings.Replace(added(strings.Replace(anObject, `"20"`, `"21"`, 1)), "ADDED", "DELETED", 1)
	if err := fed(t, &answers{stream: added(anObject) + deleted + theEnd}, v).stream(t.Context()); err == nil {
		t.Error("it goes on")
	}
	if all, version, err := v.List(); err != nil || len(all) != 0 || version != 30 {
		t.Errorf("it has %v at %d, %v", all, version, err)
	}
}

// An API server whose storage tells nothing of its progress never ends a streaming list.
func TestAStreamingListThatDoesNotEndIsListed(t *testing.T) {
	v := newView(t)
	f := fed(t, &answers{stream: added(anObject), list: listOf(`[` + anObject + `]`), change: func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("sendInitialEvents") == "" {
			return true
		}
		_, _ = io.WriteString(rw, added(anObject))
		_ = http.NewResponseController(rw).Flush()
		<-r.Context().Done()
		return false
	}}, v)
	if err := f.once(t.Context()); err == nil {
		t.Error("it watches what cannot be watched")
	}
	if all, _, err := v.List(); err != nil || len(all) != 1 {
		t.Errorf("it has %v, %v", all, err)
	}
}

// What no API server says is not heard: else a feed would go on, after a captive portal of hours, where it was.
func TestACaptivePortalIsNotHeard(t *testing.T) {
	v := newView(t)
	fill(t, v)
	f := fed(t, &answers{watch: aPortal, kind: "text/html"}, v)
	if err := f.watch(t.Context(), 12); err == nil || !f.Status().Heard.IsZero() || f.Status().Connected {
		t.Errorf("got %v, %+v", err, f.Status())
	}
}

// Items of custom resources say what they are.
func TestItemsOfAListMaySayWhatTheyAre(t *testing.T) {
	v := newView(t)
	bare := strings.Replace(strings.Replace(anObject, `"kind":"ConfigMap","apiVersion":"v1",`, "", 1), `"x"`, `"y"`, 1)
	f := fed(t, &answers{list: listOf(`[` + anObject + `,` + bare + `]`)}, v)
	if _, err := f.list(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, _, _ := v.List()
	if !slices.ContainsFunc(all, func(o *view.Object) bool { return string(o.Body) == strings.Replace(anObject, `"x"`, `"y"`, 1) }) || len(all) != 2 {
		t.Errorf("got %d", len(all))
	}
}

// It would come again and again from where the view is, and the view stay there for good.
func TestAfterAnEventThatCannotBeTakenItLists(t *testing.T) {
	v := newView(t)
	fill(t, v)
	f := fed(t, &answers{watch: added(noObject), stream: added(anObject) + theEnd}, v)
	f.heard() // just now: there is no other reason to list
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); f.Run(ctx) }()
	eventually(t, func() bool { version, _ := v.Version(); return version == 30 }, func() string { return fmt.Sprint(f.Status().Err) })
	cancel()
	<-ended
}

// What is too large for an event may be in a list.
func TestAnObjectThatIsTooLargeForAnEventIsListed(t *testing.T) {
	v := newView(t)
	large := strings.Replace(anObject, `{"name"`, `{"big":"`+strings.Repeat("x", largestEvent)+`","name"`, 1)
	f := fed(t, &answers{stream: added(large) + theEnd, list: listOf(`[` + large + `]`)}, v)
	f.largest, f.silence = largest, silence
	if err := f.once(t.Context()); err == nil {
		t.Error("it watches what cannot be watched")
	}
	if all, _, err := v.List(); err != nil || len(all) != 1 {
		t.Errorf("it has %d, %v", len(all), err)
	}
}
