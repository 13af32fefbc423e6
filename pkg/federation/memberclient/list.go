package memberclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

const (
	// pageSize is how many objects are asked for at once. A list starts at the current
	// version, since API servers ignore the size of pages at an arbitrary one.
	pageSize = 500
	// pageTimeout bounds one page, listTimeout all pages of one list together: they end
	// when the member says so.
	pageTimeout, listTimeout = time.Minute, 10 * time.Minute
	// maxPages bounds the pages of one list: more objects than these hold are more than caches may.
	maxPages = 1000
	// managedSelector selects what caches hold.
	managedSelector = v1beta1.ManagedLabel + "=true"
)

// query says what to list.
type query struct {
	resource  schema.GroupVersionResource
	namespace string // empty: all
	keep      Keep
	// cached asks for what the member's cache has, which may be some time ago; else it is
	// what the member has now.
	cached bool
}

// path is where the objects are listed and watched.
func (q query) path() string {
	path := versionPath(q.resource.GroupVersion())
	if q.namespace != "" {
		path += "/namespaces/" + q.namespace
	}
	return path + "/" + q.resource.Resource
}

// accept asks for no more of objects than is kept; kind is what their metadata comes as.
func (q query) accept(kind string) string {
	if q.keep.whole() {
		return runtime.ContentTypeJSON
	}
	return "application/json;as=" + kind + ";g=meta.k8s.io;v=v1,application/json"
}

// list gives each all managed objects of a type, page by page and one at a time: neither a
// page nor a spec is ever in memory as a whole. It returns the version of the list, and
// ends with the first error of each.
func (c *Conn) list(ctx context.Context, q query, each func(*Live) error) (resourceVersion string, err error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	var meta metav1.ListMeta
	for range maxPages {
		if meta, err = c.page(ctx, q, meta.Continue, each); err != nil {
			return "", err
		}
		if meta.Continue == "" {
			return meta.ResourceVersion, nil
		}
	}
	return "", errEndless
}

// errEndless says that a list goes on and on.
var errEndless = &AnswerError{Problem: fmt.Sprintf("the member's list of objects has more than %d pages", maxPages)}

func (c *Conn) page(ctx context.Context, q query, token string, each func(*Live) error) (metav1.ListMeta, error) {
	ctx, cancel := context.WithTimeout(asStream(ctx), pageTimeout)
	defer cancel()
	path := q.path()
	// Who is told to wait waits as long as for any failure, and not as long as the member says.
	request := c.client.Get().AbsPath(path).MaxRetries(0).SetHeader("Accept", q.accept("PartialObjectMetadataList")).
		Param("labelSelector", managedSelector).Param("limit", strconv.Itoa(pageSize))
	switch {
	case token != "":
		request = request.Param("continue", token)
	case q.cached:
		request = request.Param("resourceVersion", "0")
	}
	body, err := request.Stream(ctx)
	if err != nil {
		return metav1.ListMeta{}, err
	}
	defer func() { _ = body.Close() }()
	meta, err := readPage(body, path, q.keep, each)
	if err != nil {
		return metav1.ListMeta{}, fmt.Errorf("read %s: %w", path, err)
	}
	return meta, nil
}

// versionPath is where a group's version is served.
func versionPath(gv schema.GroupVersion) string {
	if gv.Group == "" {
		return "/api/" + gv.Version
	}
	return "/apis/" + gv.String()
}

// listed is what is read of an object in a list or a watch; the decoder skips the rest.
type listed struct {
	Metadata struct {
		Name              string            `json:"name"`
		Namespace         string            `json:"namespace"`
		UID               types.UID         `json:"uid"`
		ResourceVersion   string            `json:"resourceVersion"`
		Generation        int64             `json:"generation"`
		DeletionTimestamp *metav1.Time      `json:"deletionTimestamp"`
		Finalizers        []string          `json:"finalizers"`
		Labels            map[string]string `json:"labels"`
		Annotations       map[string]string `json:"annotations"`
	} `json:"metadata"`
	Status json.RawMessage `json:"status"`
}

func (i *listed) live(keep Keep) (*Live, error) {
	m := &i.Metadata
	live, err := NewLive(&metav1.ObjectMeta{
		Name: m.Name, Namespace: m.Namespace, UID: m.UID, ResourceVersion: m.ResourceVersion, Generation: m.Generation,
		DeletionTimestamp: m.DeletionTimestamp, Finalizers: m.Finalizers, Labels: m.Labels, Annotations: m.Annotations,
	}, Keep{})
	if err != nil || !keep.Status || len(i.Status) == 0 {
		return live, err
	}
	if err := checkValues(i.Status); err != nil {
		return nil, err
	}
	var status any // as a watch and a write give it: the same object has the same bytes
	if err := utiljson.Unmarshal(i.Status, &status); err != nil {
		return nil, err
	}
	return live, live.setStatus(status)
}

var errNoList = errors.New("the member's answer is no list")

// readPage reads one page of a list in JSON. No value in it is longer than maxAnswerBytes.
func readPage(body io.Reader, path string, keep Keep, each func(*Live) error) (meta metav1.ListMeta, err error) {
	page := newPageReader(body, path)
	return page.list(func() error {
		live, err := page.live(keep)
		if err != nil {
			return err
		}
		return each(live)
	})
}

// pageReader decodes a page value by value, and bounds each.
type pageReader struct {
	*json.Decoder
	body *boundedBody
}

func newPageReader(body io.Reader, path string) *pageReader {
	bounded := &boundedBody{ReadCloser: io.NopCloser(body), length: newLength("an object in the member's list of "+path, maxAnswerBytes)}
	return &pageReader{Decoder: json.NewDecoder(bounded), body: bounded}
}

func (r *pageReader) value(into any) error {
	r.body.readBytes = 0
	return r.Decode(into)
}

func (r *pageReader) token() (json.Token, error) {
	r.body.readBytes = 0
	return r.Token()
}

func (r *pageReader) expect(delim json.Delim) error {
	token, err := r.token()
	if err == nil && token != delim {
		return errNoList
	}
	return err
}

// array has each read an item of an array.
func (r *pageReader) array(each func() error) error {
	token, err := r.token()
	if err != nil || token == nil { // Go writes an empty list as null
		return err
	}
	if token != json.Delim('[') {
		return errNoList
	}
	for r.More() {
		if err := each(); err != nil {
			return err
		}
	}
	return r.expect(json.Delim(']'))
}

// live reads an item.
func (r *pageReader) live(keep Keep) (*Live, error) {
	if !keep.decoded() {
		var item listed
		if err := r.value(&item); err != nil {
			return nil, err
		}
		return item.live(keep)
	}
	var raw json.RawMessage
	if err := r.value(&raw); err != nil {
		return nil, err
	}
	return readLive(raw, keep)
}

// readLive makes a Live of an object in JSON. All that is in it is decoded only if something is
// told from that.
func readLive(object json.RawMessage, keep Keep) (*Live, error) {
	if !keep.decoded() {
		var read listed
		if err := json.Unmarshal(object, &read); err != nil {
			return nil, err
		}
		return read.live(keep)
	}
	if err := checkValues(object); err != nil {
		return nil, err
	}
	whole := map[string]any{}
	if err := utiljson.Unmarshal(object, &whole); err != nil {
		return nil, err
	}
	return NewLive(&unstructured.Unstructured{Object: whole}, keep)
}
