package targets

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conditions"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
	"github.com/koinon-io/koinon/pkg/memberaccess"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// seen is what came of asking for the object of a target.
type seen struct {
	answer conditions.Answer
	// why says more on all answers but Found.
	why string
	// code is that of HTTP for an answer that is Unknown.
	code           int
	object, status rawjson.Value
}

func unknown(code int, format string, args ...any) seen {
	return seen{answer: conditions.Unknown, code: code, why: memberaccess.Said(fmt.Sprintf(format, args...), maxWhyBytes)}
}

// query is what is asked: for the objects of one federated object.
type query struct {
	kind       federated.Kind
	object     *typesv1beta2.FederatedObject
	federation string
}

// look asks the member of a target for its object, once the guard has let it, and there is room in the
// gate. list asks for it by a list, whose version a watch can go on from.
func (r *Reader) look(ctx context.Context, g *gate, q query, record *typesv1beta2.TargetStatus, list bool) (s seen, version string) {
	at, ok := placeOf(q.kind, q.object, record)
	if !ok {
		return seen{}, ""
	}
	if s, refused := r.guard(ctx, q, record.Name, at); refused {
		return s, ""
	}
	asked := ear{at.member, q.kind.TargetResource}
	if r.silences.of(asked) {
		return r.tooSlow(at), ""
	}
	came := time.Now()
	waiting, cancel := context.WithTimeout(ctx, r.patienceInAll)
	defer cancel()
	leave, ok := g.enter(waiting, at.member)
	if !ok {
		return unknown(http.StatusGatewayTimeout, "cluster %q was not asked: other requests took all the time that there was", at.member), ""
	}
	defer leave()
	if time.Since(came) > r.guardAge {
		if s, refused := r.guard(ctx, q, record.Name, at); refused {
			return s, ""
		}
	}
	if !r.silences.try(asked) {
		return r.tooSlow(at), ""
	}
	what := givenUp
	defer func() { r.silences.tried(asked, what) }() // before there is room for those who wait
	begun := time.Now()
	s, version = r.ask(ctx, q, at, list)
	switch {
	case ctx.Err() != nil:
	case s.answer == conditions.Unknown && time.Since(begun) >= r.patience/2: // the way to a member has deadlines too
		what = silent
	default:
		what = answered
	}
	return s, version
}

// ask asks a member.
func (r *Reader) ask(ctx context.Context, q query, at place, list bool) (s seen, version string) {
	ctx, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	answer, err := r.send(ctx, at, path(q.kind, at, list), "application/json")
	if err != nil {
		return r.unanswered(ctx, at, err), ""
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, objectBytes+1))
	switch {
	case err != nil:
		return r.unanswered(ctx, at, err), ""
	case len(body) > objectBytes:
		return unknown(http.StatusServiceUnavailable, "cluster %q: its object is longer than %d MiB", at.member, objectBytes>>20), ""
	case answer.StatusCode != http.StatusOK:
		return notShown(q.kind, at, answer.StatusCode, body), ""
	case list:
		return q.fromList(at, body)
	}
	return q.fromObject(at, body), ""
}

// tooSlow is said of all targets of a member that did not answer for one of them.
func (r *Reader) tooSlow(at place) seen {
	return unknown(http.StatusGatewayTimeout, "cluster %q did not answer within %s", at.member, r.patience)
}

// guard has what is to be said of a target whose member may not be asked.
func (r *Reader) guard(ctx context.Context, q query, target string, at place) (s seen, refused bool) {
	refusal, err := r.refusal(ctx, q.kind, q.object, target, at)
	switch {
	case err != nil:
		return unknown(http.StatusServiceUnavailable, "whether cluster %q may be asked is not known: %v", at.member, err), true
	case refusal != "":
		return seen{answer: conditions.Refused, code: http.StatusForbidden, why: refusal}, true
	}
	return seen{}, false
}

// path is what a member is asked for; a list is of one object at most.
func path(kind federated.Kind, at place, list bool) *url.URL {
	if list {
		return collectionURL(at.collection(kind), url.Values{"fieldSelector": {"metadata.name=" + at.name}})
	}
	return collectionURL(at.collection(kind)+"/"+url.PathEscape(at.name), nil)
}

func collectionURL(escapedPath string, parameters url.Values) *url.URL {
	path, err := url.PathUnescape(escapedPath)
	if err != nil { // it was escaped here
		path = escapedPath
	}
	return &url.URL{Path: path, RawPath: escapedPath, RawQuery: parameters.Encode()}
}

// send sends a GET, and returns the answer, whatever it is.
func (r *Reader) send(ctx context.Context, at place, from *url.URL, accept string) (*http.Response, error) {
	member, err := r.Members.To(ctx, at.member)
	if err != nil {
		return nil, err
	}
	request := (&http.Request{
		Method: http.MethodGet, URL: from, Header: http.Header{"Accept": {accept}}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	answer, err := member.Transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if encoding := answer.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		_ = answer.Body.Close()
		return nil, fmt.Errorf("its answer is encoded as %.50q, which was not asked for", encoding)
	}
	return answer, nil
}

// unanswered says why there is no answer.
func (r *Reader) unanswered(ctx context.Context, at place, err error) seen {
	var status apierrors.APIStatus
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return r.tooSlow(at)
	case apierrors.IsNotFound(err):
		return unknown(http.StatusServiceUnavailable, "there is no cluster %q any more, so that nobody can be asked", at.member)
	case errors.As(err, &status):
		return unknown(http.StatusServiceUnavailable, "%s", status.Status().Message) // it names the cluster
	}
	return unknown(http.StatusServiceUnavailable, "cluster %q: %v", at.member, err)
}

// notShown is an answer that is a refusal: that there is no such object is known only where the
// member says it of the object, and not of its type or path.
func notShown(kind federated.Kind, at place, code int, body []byte) seen {
	var status metav1.Status
	told := json.Unmarshal(body, &status) == nil && status.Status == metav1.StatusFailure
	switch {
	case code == http.StatusNotFound && told && status.Reason == metav1.StatusReasonNotFound && status.Details != nil && status.Details.Name == at.name:
		return notThere(at)
	case code == http.StatusNotFound:
		return unknown(http.StatusServiceUnavailable, "cluster %q does not serve %s in the version %s", at.member, kind.Target.Kind, kind.TargetAPIVersion())
	case told && status.Message != "":
		return unknown(http.StatusServiceUnavailable, "cluster %q answers with %d: %s", at.member, code, status.Message)
	}
	return unknown(http.StatusServiceUnavailable, "cluster %q answers with %d", at.member, code)
}

func notThere(at place) seen {
	return seen{answer: conditions.NotFound, code: http.StatusNotFound, why: fmt.Sprintf("cluster %q has no such object", at.member)}
}

// fromList reads a list of at most one object.
func (q query) fromList(at place, body []byte) (s seen, version string) {
	var list struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
			Continue        string `json:"continue"`
		} `json:"metadata"`
		Items []json.RawMessage `json:"items"`
	}
	switch err := json.Unmarshal(body, &list); {
	case err != nil:
		return malformed(at), ""
	case list.Metadata.ResourceVersion == "" || list.Metadata.Continue != "" || len(list.Items) > 1:
		return unknown(http.StatusServiceUnavailable, "cluster %q: its answer is not a list of the one object that was asked for", at.member), ""
	case len(list.Items) == 0:
		return notThere(at), list.Metadata.ResourceVersion
	}
	return q.fromObject(at, list.Items[0]), list.Metadata.ResourceVersion
}

func malformed(at place) seen {
	return unknown(http.StatusServiceUnavailable, "cluster %q: its answer is not what was asked for: it is no JSON of that form", at.member)
}

// shownObject is the part of an object that is shown.
type shownObject struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   metav1.ObjectMeta `json:"metadata"`
}

// copies are annotations that may have the object in them, with its data.
var copies = []string{"kubectl.kubernetes.io/last-applied-configuration", manifest.RecordAnnotation}

// fromObject reads an object, and shows it only if it comes from the federated object.
func (q query) fromObject(at place, body []byte) seen {
	var whole struct {
		shownObject
		Status json.RawMessage `json:"status"`
	}
	if json.Unmarshal(body, &whole) != nil {
		return malformed(at)
	}
	object := &whole.shownObject
	if object.Metadata.Name != at.name || object.Metadata.Namespace != at.namespace || object.Kind != "" && object.Kind != q.kind.Target.Kind {
		return unknown(http.StatusServiceUnavailable, "cluster %q: its answer is another object than was asked for", at.member)
	}
	if why := q.notOurs(&object.Metadata); why != "" {
		return seen{answer: conditions.NotOurs, code: http.StatusNotFound, why: why}
	}
	object.APIVersion, object.Kind = q.kind.TargetAPIVersion(), q.kind.Target.Kind // items of lists do not say
	object.Metadata.ManagedFields = nil
	for _, annotation := range copies {
		delete(object.Metadata.Annotations, annotation)
	}
	shown, err := json.Marshal(object)
	if err != nil {
		return malformed(at)
	}
	s := seen{answer: conditions.Found, object: shown}
	var status bytes.Buffer
	if len(whole.Status) > 0 && json.Compact(&status, whole.Status) == nil && status.String() != "null" {
		s.status = status.Bytes()
	}
	return s
}

// notOurs says why an object does not count as one of the federated object.
func (q query) notOurs(metadata *metav1.ObjectMeta) string {
	source := manifest.Source(q.object.Namespace, q.object.Name)
	if foreign := manifest.Foreign(metadata.Annotations, source, q.federation); foreign != "" {
		return foreign
	}
	if metadata.Labels[corev1beta1.ManagedLabel] != "true" || metadata.Annotations[manifest.SourceAnnotation] != source {
		return fmt.Sprintf("the object there does not have the marks of this federated object, and is not shown: the label %s=true and the annotation %s=%s",
			corev1beta1.ManagedLabel, manifest.SourceAnnotation, source)
	}
	return ""
}

// maxWhyBytes is how much of what a member says is shown.
const maxWhyBytes = 512

// wait pauses; it is false if ctx ends first.
func wait(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
