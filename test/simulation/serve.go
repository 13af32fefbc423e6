package simulation

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// request is what a path and a method ask for.
type request struct {
	path, verb      string
	gv              schema.GroupVersion
	namespace       string
	resource, name  string
	subresource     string
	parts           []string // of the path
	isResource, bad bool
}

// parse reads a request as API servers do.
func parse(r *http.Request) *request {
	q := &request{path: r.URL.Path, parts: strings.Split(strings.Trim(r.URL.Path, "/"), "/")}
	rest := q.parts
	switch {
	case rest[0] == "healthz" || rest[0] == "readyz" || rest[0] == "livez":
		q.verb = "health"
		return q
	case rest[0] == "version", rest[0] == "api" && len(rest) <= 2, rest[0] == "apis" && len(rest) <= 3:
		q.verb = "discovery"
		return q
	case rest[0] == "api":
		q.gv, rest = schema.GroupVersion{Version: rest[1]}, rest[2:]
	case rest[0] == "apis":
		q.gv, rest = schema.GroupVersion{Group: rest[1], Version: rest[2]}, rest[3:]
	default:
		q.verb = "other"
		return q
	}
	q.isResource = true
	// namespaces/NAME, and what is below it, are the namespace itself.
	if rest[0] == "namespaces" && len(rest) > 2 && rest[2] != "status" && rest[2] != "finalize" {
		q.namespace, rest = rest[1], rest[2:]
	}
	q.resource = rest[0]
	if len(rest) > 1 {
		q.name = rest[1]
	}
	if len(rest) > 2 {
		q.subresource = strings.Join(rest[2:], "/")
	}
	q.verb = q.verbOf(r)
	return q
}

func (q *request) verbOf(r *http.Request) string {
	watches, _ := strconv.ParseBool(r.URL.Query().Get("watch"))
	switch {
	case r.Method == http.MethodGet && q.name != "":
		return "get"
	case r.Method == http.MethodGet && watches:
		return "watch"
	case r.Method == http.MethodGet:
		return "list"
	case r.Method == http.MethodPost && q.name == "":
		return "create"
	case r.Method == http.MethodPut && q.name != "":
		return "update"
	case r.Method == http.MethodPatch && q.name != "":
		return "patch"
	case r.Method == http.MethodDelete && q.name != "":
		return "delete"
	}
	return "other"
}

// ServeHTTP implements http.Handler.
func (m *Member) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := parse(r)
	m.counts.asked(q.verb)
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if subtle.ConstantTimeCompare([]byte(token), []byte(m.token)) != 1 {
		fail(w, r, apierrors.NewUnauthorized("Unauthorized"))
		return
	}
	carryOut := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.answer(w, r, q) })
	if fault, ended := m.traps.catch(q); fault != nil {
		fault.suffer(w, r, ended, carryOut)
		return
	}
	carryOut(w, r)
}

func (m *Member) answer(w http.ResponseWriter, r *http.Request, q *request) {
	switch {
	case q.verb == "health":
		_, _ = w.Write([]byte("ok"))
	case q.parts[0] == "version":
		respond(w, http.StatusOK, map[string]string{"major": "1", "minor": "36", "gitVersion": "v1.36.0", "platform": "linux/amd64"})
	case q.verb == "discovery":
		found := m.discover(q.parts)
		if found == nil {
			fail(w, r, notServed(q))
			return
		}
		respond(w, http.StatusOK, found)
	case !q.isResource:
		http.NotFound(w, r)
	default:
		if err := m.serveResource(w, r, q); err != nil {
			fail(w, r, err)
		}
	}
}

func (m *Member) serveResource(w http.ResponseWriter, r *http.Request, q *request) error {
	m.mu.Lock()
	of := m.registry[q.gv.WithResource(q.resource)]
	served := of != nil && !of.lost
	m.mu.Unlock()
	subresources := []string{"", "status"}
	if !served || !slices.Contains(subresources, q.subresource) || (q.subresource != "" && !of.Status) || (!of.Namespaced && q.namespace != "") {
		return notServed(q)
	}
	if q.verb == "other" || (q.name != "" && of.Namespaced && q.namespace == "") || (q.verb == "create" && of.Namespaced && q.namespace == "") {
		return apierrors.NewMethodNotSupported(of.GroupResource(), strings.ToLower(r.Method))
	}
	switch q.verb {
	case "get":
		return m.serveGet(w, r, of, q)
	case "list":
		return m.serveList(w, r, of, q)
	case "watch":
		return m.serveWatch(w, r, of, q)
	}
	return m.serveWrite(w, r, of, q)
}

func notServed(q *request) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound,
		Message: "the server could not find the requested resource", Details: &metav1.StatusDetails{},
	}}
}

// refusal is the Status that API servers have for a code.
func refusal(r *http.Request, code, retryAfterSeconds int) error {
	q := parse(r)
	resource := schema.GroupResource{Group: q.gv.Group, Resource: q.resource}
	switch code {
	case http.StatusForbidden:
		return apierrors.NewForbidden(resource, q.name, errors.New("simulated"))
	case http.StatusTooManyRequests:
		return apierrors.NewTooManyRequests("too many requests, please try again later (simulated)", retryAfterSeconds)
	case http.StatusUnauthorized:
		return apierrors.NewUnauthorized("Unauthorized")
	case http.StatusInternalServerError:
		return apierrors.NewInternalError(errors.New("simulated"))
	}
	err := apierrors.NewGenericServerResponse(code, r.Method, resource, q.name, "simulated", retryAfterSeconds, false)
	return err
}

// fail answers an error as its Status.
func fail(w http.ResponseWriter, _ *http.Request, err error) {
	status := statusOf(err)
	if status.Details != nil && status.Details.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(status.Details.RetryAfterSeconds)))
	}
	respond(w, int(status.Code), status)
}

func statusOf(err error) *metav1.Status {
	var known apierrors.APIStatus
	if !errors.As(err, &known) {
		known = apierrors.NewInternalError(err)
	}
	status := known.Status()
	status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	return &status
}

func respond(w http.ResponseWriter, code int, value any) {
	data, err := json.Marshal(value)
	if err != nil {
		http.Error(w, fmt.Sprintf("simulation: %v", err), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(data)
}
