package feed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

// chunk is how many objects one answer to a list has.
const chunk = 500

// event is one of a watch.
type event struct {
	Type   string          `json:"type"`
	Object json.RawMessage `json:"object"`
}

// initial is what a streaming list has brought, until its end.
type initial struct {
	*listing
	objects map[string]*view.Object
	// kind is what they are, empty if there was none yet.
	kind string
}

// event takes one.
func (i *initial) event(o *view.Object, kind string, gone bool) error {
	if i.kind != "" && i.kind != kind {
		return fmt.Errorf("a list of %s has a %s", i.kind, kind)
	}
	i.kind = kind
	if err := i.take(int64(len(o.Body))); err != nil {
		return err
	}
	if gone { // since the list was begun
		delete(i.objects, o.Name)
		return nil
	}
	i.objects[o.Name] = o
	return nil
}

// errWatchEnded is the end of a watch as all have one.
var errWatchEnded = errors.New("the API server ended the watch")

// errTooLarge: what upstream says is more than is taken.
var errTooLarge = errors.New("it is too large")

// bounded reads no more than is left, and fails then.
type bounded struct {
	io.Reader
	left int64
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLarge
	}
	n, err := b.Reader.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// kindOf returns what an object is, if it is of what the view is of.
func (f *Feed) kindOf(object []byte) (string, error) {
	var is metav1.TypeMeta
	if err := utiljson.Unmarshal(object, &is); err != nil {
		return "", fmt.Errorf("an object that is no JSON: %w", err)
	}
	return is.Kind, f.fits(is.APIVersion, is.Kind)
}

// fits is an error if the view is not of objects of a kind.
func (f *Feed) fits(apiVersion, kind string) error {
	v := f.config.View
	known := v.ObjectKind()
	if apiVersion != strings.TrimPrefix(v.Key.Group+"/"+v.Key.Version, "/") || kind == "" || known != "" && kind != known {
		return fmt.Errorf("it is of the kind %q of %q, and not one of %s", kind, apiVersion, v.Key.Kind())
	}
	return nil
}

// follow takes events until they end. One that cannot be taken would come again, so it is listed after it: the error is errList. list is not nil while those of a streaming list come.
func (f *Feed) follow(ctx context.Context, body io.Reader, list *initial) error {
	reader := &bounded{Reader: body}
	decoder := json.NewDecoder(reader)
	f.came = false
	for {
		var e event
		reader.left = largestEvent
		if err := decoder.Decode(&e); err != nil {
			if errors.Is(err, io.EOF) {
				return errWatchEnded
			}
			if errors.Is(err, errTooLarge) {
				return fmt.Errorf("%w, after an event: %w", errList, err)
			}
			return err
		}
		f.heard()
		f.came = list == nil
		if list != nil {
			list.heard()
		}
		switch view.Type(e.Type) {
		case view.Added, view.Modified, view.Deleted:
			if err := f.event(&e, list); err != nil {
				return fmt.Errorf("%w, after an event: %w", errList, err)
			}
		case view.Bookmark:
			whole, err := f.bookmark(ctx, e.Object, list)
			if err != nil {
				return fmt.Errorf("%w, after a bookmark: %w", errList, err)
			}
			if whole {
				list.end()
				list = nil
				f.follows()
			}
		case "ERROR":
			return failed(e.Object)
		default:
			return fmt.Errorf("%w, after an event of the type %q", errList, e.Type)
		}
	}
}

// event takes one of an object.
func (f *Feed) event(e *event, list *initial) error {
	kind, err := f.kindOf(e.Object)
	if err != nil {
		return err
	}
	o, err := f.config.View.Parse(e.Object)
	if err != nil {
		return err
	}
	gone := e.Type == string(view.Deleted)
	if list != nil {
		return list.event(o, kind, gone)
	}
	f.config.View.Apply(o, gone)
	return nil
}

// bookmark takes one, and reports whether it was the end of a streaming list.
func (f *Feed) bookmark(ctx context.Context, body []byte, list *initial) (whole bool, err error) {
	var p metav1.PartialObjectMetadata
	if err := json.Unmarshal(body, &p); err != nil {
		return false, err
	}
	if err := f.fits(p.APIVersion, p.Kind); err != nil {
		return false, err
	}
	version, err := view.ParseVersion(p.ResourceVersion)
	if err != nil {
		return false, err
	}
	if list == nil {
		f.config.View.SetObjectKind(p.Kind)
		f.config.View.Advance(version)
		return false, nil
	}
	if p.Annotations[metav1.InitialEventsAnnotationKey] != "true" {
		return false, nil
	}
	if list.kind != "" && list.kind != p.Kind {
		return false, fmt.Errorf("a list of %s ends as one of %s", list.kind, p.Kind)
	}
	return true, f.listed(ctx, p.Kind, slices.Collect(maps.Values(list.objects)), version)
}

// listed has the view be what a list has.
func (f *Feed) listed(ctx context.Context, kind string, objects []*view.Object, version uint64) error {
	for _, o := range objects {
		if o.Version > version { // the view would take what comes next as known
			return fmt.Errorf("a list of resourceVersion %d has %s of %d", version, o.Name, o.Version)
		}
	}
	f.config.View.SetObjectKind(kind)
	if !f.config.View.Replace(objects, version) {
		f.config.Logger.Warn("The API server was set back: what it has now is taken", "view", f.config.View.Key.String(), "version", version)
	}
	f.mustList = false
	if f.config.Listed != nil {
		f.config.Listed(ctx)
	}
	return nil
}

// failed is the error of an event that is one.
func failed(body []byte) error {
	var status metav1.Status
	if err := json.Unmarshal(body, &status); err != nil {
		return fmt.Errorf("the API server ended the watch with what is no Status: %w", err)
	}
	if status.Code == http.StatusGone || status.Reason == metav1.StatusReasonExpired || isTooLarge(body) {
		return fmt.Errorf("%w: %s", errList, status.Message)
	}
	return &RefusedError{Code: int(status.Code), Body: body}
}

// isTooLarge reports whether a Status says that the API server has not come to a resourceVersion.
func isTooLarge(body []byte) bool {
	var status metav1.Status
	if json.Unmarshal(body, &status) != nil || status.Details == nil {
		return false
	}
	return slices.ContainsFunc(status.Details.Causes, func(c metav1.StatusCause) bool { return c.Type == metav1.CauseTypeResourceVersionTooLarge })
}

// messageOf is what a Status says, or the beginning of what is none.
func messageOf(body []byte) string {
	var status metav1.Status
	if json.Unmarshal(body, &status) == nil && status.Message != "" {
		return status.Message
	}
	return strings.TrimSpace(string(body[:min(len(body), 200)]))
}

// page is an answer to a list.
type page struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		ResourceVersion string `json:"resourceVersion"`
		Continue        string `json:"continue"`
	} `json:"metadata"`
	// Items are nil if there are none, which is no list: API servers write [].
	Items []json.RawMessage `json:"items"`
}

// list lists in chunks, all of one resourceVersion, and has the view be that.
func (f *Feed) list(ctx context.Context) (uint64, error) {
	var (
		all     []*view.Object
		version uint64
		kind    string
	)
	l, err := f.begin(ctx)
	if err != nil {
		return 0, err
	}
	defer l.close()
	for next := ""; ; {
		query := url.Values{"limit": {strconv.Itoa(chunk)}}
		if next != "" {
			query.Set("continue", next)
		}
		p, err := f.page(l, query)
		if err != nil {
			return 0, fmt.Errorf("a list: %w", l.why(err))
		}
		of, at, err := f.head(p)
		switch {
		case err != nil:
			return 0, fmt.Errorf("a list: %w", err)
		case next != "" && (at != version || of != kind):
			return 0, fmt.Errorf("a list of resourceVersion %d goes on as one of %d", version, at)
		}
		version, kind = at, of
		objects, err := f.items(p, kind)
		if err != nil {
			return 0, fmt.Errorf("a list: %w", err)
		}
		all = append(all, objects...)
		if next = p.Metadata.Continue; next == "" {
			return version, f.listed(ctx, kind, all, version)
		}
	}
}

// page asks for one of a list. How long an answer takes to begin is bounded by who makes requests.
func (f *Feed) page(l *listing, query url.Values) (*page, error) {
	if err := l.take(leastPage); err != nil {
		return nil, err
	}
	response, err := f.ask(l.ctx, query)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	l.heard()
	defer l.silent.Stop()
	p := &page{}
	if err := json.NewDecoder(&counted{response.Body, l}).Decode(p); err != nil {
		return nil, err
	}
	f.heard()
	return p, nil
}

// head returns what the objects of a list are, and its resourceVersion, if it is a list of what the view is of.
func (f *Feed) head(p *page) (kind string, version uint64, err error) {
	kind, is := strings.CutSuffix(p.Kind, "List")
	if !is || p.Items == nil {
		return "", 0, fmt.Errorf("what is answered is of the kind %q, and no list, or has no items", p.Kind)
	}
	if err := f.fits(p.APIVersion, kind); err != nil {
		return "", 0, err
	}
	version, err = view.ParseVersion(p.Metadata.ResourceVersion)
	return kind, version, err
}

// items are the objects of a list, each as a watch would have it: in a list they do not say what they are, as a rule.
func (f *Feed) items(p *page, kind string) ([]*view.Object, error) {
	head, err := json.Marshal(metav1.TypeMeta{Kind: kind, APIVersion: p.APIVersion})
	if err != nil {
		return nil, err
	}
	head[len(head)-1] = ','
	objects := make([]*view.Object, 0, len(p.Items))
	for _, item := range p.Items {
		if rest := bytes.TrimPrefix(bytes.TrimSpace(item), []byte("{")); !bytes.HasPrefix(rest, []byte(`"kind"`)) && !bytes.HasPrefix(rest, []byte(`"apiVersion"`)) {
			item = append(head[:len(head):len(head)], rest...)
		} else if is, err := f.kindOf(item); err != nil {
			return nil, err
		} else if is != kind {
			return nil, fmt.Errorf("one of %s has a %s", kind, is)
		}
		o, err := f.config.View.Parse(item)
		if err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
	return objects, nil
}
