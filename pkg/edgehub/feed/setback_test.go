package feed

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

// does is a Doer.
type does func(*http.Request) (*http.Response, error)

func (d does) Do(r *http.Request) (*http.Response, error) { return d(r) }

// answered is an answer whose body has a text, and then an error; it stays open for as long as the request if that is nil.
func answered(r *http.Request, code int, text string, end error) *http.Response {
	body, write := io.Pipe()
	go func() { // ends with the request, or when the body is closed
		if _, err := io.WriteString(write, text); err == nil && end == nil {
			<-r.Context().Done()
			end = r.Context().Err()
		}
		_ = write.CloseWithError(end)
	}()
	return &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Body: body}
}

const (
	beforeIt = `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"old","namespace":"ns","resourceVersion":"50"}}`
	afterIt  = `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"new","namespace":"ns","resourceVersion":"95"}}`
	at120    = `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":"120","annotations":{"k8s.io/initial-events-end":"true"}}}`
)

// setBack is an API server that was at 100, is at 90 when it is looked at first, without "old", and at 120 then, with "new" since 95. cut answers the first streaming list.
func setBack(cut func(r *http.Request) (*http.Response, error)) Doer {
	var looks, streams int
	return does(func(r *http.Request) (*http.Response, error) {
		query := r.URL.Query()
		switch {
		case query.Has("sendInitialEvents"):
			if streams++; streams == 1 {
				return cut(r)
			}
			return answered(r, http.StatusOK, added(afterIt)+`{"type":"BOOKMARK","object":`+at120+`}`, nil), nil
		case query.Has("watch"):
			return answered(r, http.StatusOK, `{"type":"BOOKMARK","object":`+at120+`}`, nil), nil
		}
		version := "120"
		if looks++; looks == 1 {
			version = "90"
		}
		return answered(r, http.StatusOK, strings.Replace(listOf("[]"), `"30"`, `"`+version+`"`, 1), io.EOF), nil
	})
}

// A while later nobody would see it: the API server has come to where the view was.
func TestASetBackIsNotForgottenWhenAListFails(t *testing.T) {
	broken := errors.New("the link is cut")
	for name, test := range map[string]struct {
		stale bool
		cut   func(r *http.Request) (*http.Response, error)
	}{
		"it was cut off for long, and the list breaks at its beginning": {true, func(r *http.Request) (*http.Response, error) { return answered(r, http.StatusOK, "", broken), nil }},
		"it was cut off for long, and the list breaks after an object": {true, func(r *http.Request) (*http.Response, error) {
			return answered(r, http.StatusOK, added(afterIt), broken), nil
		}},
		"it was cut off for long, and the list ends as watches do": {true, func(r *http.Request) (*http.Response, error) {
			return answered(r, http.StatusOK, added(afterIt), io.EOF), nil
		}},
		"it was seen, and the list is refused for now": {false, func(r *http.Request) (*http.Response, error) {
			return answered(r, http.StatusServiceUnavailable, "{}", io.EOF), nil
		}},
		"it was seen, and the link is cut": {false, func(*http.Request) (*http.Response, error) { return nil, broken }},
		"it was seen, and the list breaks": {false, func(r *http.Request) (*http.Response, error) {
			return answered(r, http.StatusOK, added(afterIt), broken), nil
		}},
		"it was seen, and the list ends as watches do": {false, func(r *http.Request) (*http.Response, error) {
			return answered(r, http.StatusOK, added(afterIt), io.EOF), nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newView(t)
				v.Replace([]*view.Object{parsed(t, v, beforeIt)}, 100)
				watcher, err := v.Watch(100)
				if err != nil {
					t.Fatal(err)
				}
				f, err := New(Config{View: v, Path: "/x", Client: setBack(test.cut), Logger: slog.New(slog.DiscardHandler)})
				if err != nil {
					t.Fatal(err)
				}
				if !test.stale {
					f.heard()
					f.doubt, f.cut = true, time.Now()
				}
				ctx, cancel := context.WithCancel(t.Context())
				var running sync.WaitGroup
				running.Go(func() { f.Run(ctx) })
				time.Sleep(5 * time.Minute)
				list, at, err := v.List()
				if err != nil || at != 120 || len(list) != 1 || list[0].Name != "ns/new" {
					t.Errorf("at %d there are %d objects, %v", at, len(list), err)
				}
				if _, err := watcher.Next(ctx); !errors.Is(err, view.ErrExpired) {
					t.Errorf("who watches is told %v", err)
				}
				cancel()
				running.Wait()
			})
		})
	}
}

// What was written in between may have just the resourceVersions of what was there before.
func TestAListAfterASetBackThatWasSeenIsNoChange(t *testing.T) {
	v := newView(t)
	o := parsed(t, v, beforeIt)
	v.Replace([]*view.Object{o}, 100)
	v.SetBack()
	if v.Replace([]*view.Object{o}, 120) {
		t.Error("it passes for what has changed")
	}
	if !v.Replace([]*view.Object{o}, 130) {
		t.Error("so does the one after it")
	}
}

func parsed(t *testing.T, v *view.View, body string) *view.Object {
	t.Helper()
	o, err := v.Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return o
}
