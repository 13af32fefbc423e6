package simulation

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

var everything = selection{labels: labels.Everything(), fields: fields.Everything()}

func notAcceptable() error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotAcceptable, Reason: metav1.StatusReasonNotAcceptable,
		Message: "only the following media types are accepted: application/json, and " + protobufType + " for metadata in watches",
	}}
}

func (m *Member) serveGet(w http.ResponseWriter, r *http.Request, of *registry, q *request) error {
	f, err := negotiate(r, false)
	if err != nil {
		return err
	}
	m.mu.Lock()
	o := of.objects[objectKey(q.namespace, q.name)]
	m.mu.Unlock()
	if o == nil {
		return apierrors.NewNotFound(of.GroupResource(), q.name)
	}
	write(w, http.StatusOK, f.of(o))
	return nil
}

func write(w http.ResponseWriter, code int, data []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(data)
}

// snapshot is a list that is read page by page. It is never modified.
type snapshot struct {
	items    []*stored
	revision uint64
	of       *registry
	query    string // the selectors
}

// maxSnapshots is how many lists may be under way; older ones have expired.
const maxSnapshots = 16

// continuation is what the token of a page says.
type continuation struct {
	Revision uint64 `json:"rv"`
	Query    string `json:"query"`
	Next     int    `json:"next"`
}

func (c continuation) encode() string {
	data, _ := json.Marshal(c) // cannot fail
	return base64.RawURLEncoding.EncodeToString(data)
}

func selectionOf(query url.Values, namespace string, of *registry) (selection, error) {
	s := selection{namespace: namespace}
	var err error
	if s.labels, err = labels.Parse(query.Get("labelSelector")); err != nil {
		return s, apierrors.NewBadRequest(fmt.Sprintf("unable to parse labelSelector: %v", err))
	}
	if s.fields, err = fields.ParseSelector(query.Get("fieldSelector")); err != nil {
		return s, apierrors.NewBadRequest(fmt.Sprintf("unable to parse fieldSelector: %v", err))
	}
	for _, requirement := range s.fields.Requirements() {
		if !slices.Contains(fieldsOf(of), requirement.Field) {
			return s, apierrors.NewBadRequest(fmt.Sprintf("field label not supported: %s", requirement.Field))
		}
	}
	return s, nil
}

// fieldsOf are the fields that lists and watches of a type may select.
func fieldsOf(of *registry) []string {
	selectable := []string{"metadata.name", "metadata.namespace"}
	if of.Group == "" && of.Resource == "pods" {
		selectable = append(selectable, "spec.nodeName", "status.phase")
	}
	return selectable
}

func (m *Member) serveList(w http.ResponseWriter, r *http.Request, of *registry, q *request) error {
	f, err := negotiate(r, false)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	selected, err := selectionOf(query, q.namespace, of)
	if err != nil {
		return err
	}
	taken, first, err := m.snapshot(of, selected, query)
	if err != nil {
		return err
	}
	// As from a watch cache, which has no pages.
	limit, _ := strconv.Atoi(query.Get("limit"))
	if query.Get("resourceVersion") == "0" && query.Get("continue") == "" {
		limit = 0
	}
	last := len(taken.items)
	if limit > 0 {
		last = min(last, first+limit)
	}
	meta := metav1.ListMeta{ResourceVersion: strconv.FormatUint(taken.revision, 10)}
	if last < len(taken.items) {
		m.keep(taken)
		meta.Continue = continuation{taken.revision, taken.query, last}.encode()
		if selected.labels.Empty() && selected.fields.Empty() {
			meta.RemainingItemCount = new(int64(len(taken.items) - last))
		}
	}
	m.counts.showed(of.GroupVersionResource, last-first)
	return writeList(w, of, f, meta, taken.items[first:last])
}

// snapshot returns the list that is asked for, and where in it to begin.
func (m *Member) snapshot(of *registry, selected selection, query url.Values) (*snapshot, int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	what := selectors(query, selected.namespace)
	if token := query.Get("continue"); token != "" {
		return m.resume(of, token, what)
	}
	revision := m.revision
	if text := query.Get("resourceVersion"); text != "" && text != "0" {
		wanted, err := strconv.ParseUint(text, 10, 64)
		switch {
		case err != nil:
			return nil, 0, apierrors.NewBadRequest("resourceVersion: Invalid value: " + strconv.Quote(text))
		case wanted > m.revision:
			return nil, 0, tooLarge(wanted, m.revision)
		case query.Get("resourceVersionMatch") == "Exact":
			if wanted < of.compacted || len(of.since(wanted)) > 0 {
				return nil, 0, apierrors.NewResourceExpired("The provided resource version is too old to display")
			}
			revision = wanted
		}
	}
	return &snapshot{items: of.list(selected), revision: revision, of: of, query: what}, 0, nil
}

func selectors(query url.Values, namespace string) string {
	return namespace + "&" + query.Get("labelSelector") + "&" + query.Get("fieldSelector")
}

func (m *Member) resume(of *registry, token, what string) (*snapshot, int, error) {
	var c continuation
	data, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err != nil || c.Query != what {
		return nil, 0, apierrors.NewBadRequest("continue key is not valid")
	}
	for _, s := range m.snapshots {
		if s.of == of && s.revision == c.Revision && s.query == what && c.Next <= len(s.items) {
			return s, c.Next, nil
		}
	}
	return nil, 0, apierrors.NewResourceExpired("The provided continue parameter is too old to display a consistent list result. " +
		"You can start a new list without the continue parameter.")
}

func (m *Member) keep(s *snapshot) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, kept := range m.snapshots {
		if kept == s {
			return
		}
	}
	m.snapshots = append(m.snapshots, s)
	if len(m.snapshots) > maxSnapshots {
		m.snapshots = m.snapshots[1:]
	}
}

func tooLarge(wanted, current uint64) error {
	err := apierrors.NewTimeoutError(fmt.Sprintf("Too large resource version: %d, current: %d", wanted, current), 1)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge, Message: "Too large resource version"}}
	return err
}

func writeList(w http.ResponseWriter, of *registry, f form, meta metav1.ListMeta, items []*stored) error {
	kind, apiVersion := of.Kind+"List", of.GroupVersion().String()
	if f.metadataOnly {
		kind, apiVersion = "PartialObjectMetadataList", "meta.k8s.io/v1"
	}
	head, err := json.Marshal(meta)
	if err != nil {
		return err
	}
	data := fmt.Appendf(nil, `{"kind":%q,"apiVersion":%q,"metadata":%s,"items":[`, kind, apiVersion, head)
	for i, item := range items {
		if i > 0 {
			data = append(data, ',')
		}
		data = append(data, f.of(item)...)
	}
	write(w, http.StatusOK, append(data, "]}"...))
	return nil
}
