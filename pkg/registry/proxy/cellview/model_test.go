package cellview_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// server is an API server as far as a cell's endpoint could be deceived about one: it reads
// paths as leniently, decodes with the same libraries, and stores what they say.
type server struct {
	// objects by resource, namespace and name. Namespaces are in the namespace "".
	objects map[place]map[string]any
	// touched are the namespaces whose objects were written or answered since it was emptied.
	touched map[string]bool
}

type place struct{ resource, namespace, name string }

// modelled are the types it has. Nil types take no strategic patches.
var modelled = map[string]any{
	"configmaps": corev1.ConfigMap{}, "rolebindings": rbacv1.RoleBinding{}, "networkpolicies": networkingv1.NetworkPolicy{}, "widgets": nil,
}

var groups = map[string]string{
	"configmaps": "/api/v1", "rolebindings": "/apis/rbac.authorization.k8s.io/v1", "networkpolicies": "/apis/networking.k8s.io/v1", "widgets": "/apis/example.com/v1",
	"namespaces": "/api/v1",
}

func newServer(names ...string) *server {
	s := &server{objects: map[place]map[string]any{}, touched: map[string]bool{}}
	for _, name := range names {
		s.objects[place{"namespaces", "", name}] = map[string]any{"kind": "Namespace", "metadata": map[string]any{
			"name": name, "labels": map[string]any{"kubernetes.io/metadata.name": name}}}
	}
	return s
}

// response is an answer: a code and JSON.
type response struct {
	code int
	body any
}

func failed(code int, format string, args ...any) response {
	return response{code, map[string]any{"kind": "Status", "message": fmt.Sprintf(format, args...), "code": code}}
}

// incoming is a request as it arrives.
type incoming struct {
	method, target string
	header         http.Header
	body           []byte
}

func (s *server) serve(r incoming) response {
	u, err := url.ParseRequestURI(r.target)
	if err != nil {
		return failed(400, "target: %v", err)
	}
	// As RequestInfo: empty segments do not count.
	segments := strings.FieldsFunc(u.Path, func(r rune) bool { return r == '/' })
	switch {
	case len(segments) > 2 && segments[0] == "api":
		segments = segments[2:]
	case len(segments) > 3 && segments[0] == "apis":
		segments = segments[3:]
	default:
		return failed(404, "no such path")
	}
	at := place{}
	if segments[0] == "namespaces" && len(segments) > 2 {
		at.namespace, segments = segments[1], segments[2:]
	}
	at.resource = segments[0]
	if len(segments) > 1 {
		at.name = segments[1]
	}
	if _, ok := modelled[at.resource]; !ok && at.resource != "namespaces" || len(segments) > 2 || !strings.HasPrefix(u.Path, groups[at.resource]+"/") {
		return failed(404, "no such type")
	}
	return s.dispatch(at, r, u.Query())
}

func (s *server) dispatch(at place, r incoming, query url.Values) response {
	switch {
	case at.name == "" && r.method == http.MethodGet:
		return s.list(at, query, asTable(r.header))
	case at.name == "" && r.method == http.MethodDelete && at.namespace != "":
		return s.deleteAll(at, query)
	case at.name == "" && r.method == http.MethodPost && (at.namespace != "" || at.resource == "namespaces"):
		return s.create(at, r)
	case at.name == "" || at.namespace == "" && at.resource != "namespaces":
		return failed(405, "not allowed")
	}
	was, ok := s.objects[at]
	if r.method == http.MethodPatch && r.header.Get("Content-Type") == media["apply"] {
		return s.apply(at, r, was)
	}
	if !ok {
		return failed(404, "%s not found in %s", at.resource, at.namespace)
	}
	s.touch(at)
	switch r.method {
	case http.MethodGet:
		return response{200, was}
	case http.MethodDelete:
		delete(s.objects, at)
		return response{200, map[string]any{"kind": "Status", "message": "deleted in " + at.namespace, "status": "Success"}}
	case http.MethodPut:
		object, err := decode(r.body, r.header.Get("Content-Type"))
		if err != nil {
			return failed(400, "decode")
		}
		return s.store(at, object, 200)
	case http.MethodPatch:
		return s.patch(at, r, was)
	}
	return failed(405, "not allowed")
}

func (s *server) touch(at place) {
	if at.resource == "namespaces" {
		at.namespace = at.name
	}
	s.touched[at.namespace] = true
}

func asTable(header http.Header) bool { return strings.Contains(header.Get("Accept"), "as=Table") }

// selected are the objects that a request is for, in order.
func (s *server) selected(at place, query url.Values) ([]place, error) {
	byLabel, err := labels.Parse(query.Get("labelSelector"))
	if err != nil {
		return nil, err
	}
	byField, err := fields.ParseSelector(query.Get("fieldSelector"))
	if err != nil {
		return nil, err
	}
	var found []place
	for p, object := range s.objects {
		of := labels.Set{}
		metadata := object["metadata"].(map[string]any)
		for key, value := range child(metadata, "labels") {
			of[key], _ = value.(string)
		}
		if p.resource == at.resource && (at.namespace == "" || p.namespace == at.namespace) && byLabel.Matches(of) &&
			byField.Matches(fields.Set{"metadata.name": p.name, "metadata.namespace": p.namespace}) {
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(a, b place) int { return strings.Compare(a.namespace+"/"+a.name, b.namespace+"/"+b.name) })
	return found, nil
}

func (s *server) list(at place, query url.Values, table bool) response {
	found, err := s.selected(at, query)
	if err != nil {
		return failed(400, "selector")
	}
	items, rows := []any{}, []any{}
	for _, p := range found {
		s.touch(p)
		items = append(items, s.objects[p])
		rows = append(rows, map[string]any{"cells": []any{p.name}, "object": map[string]any{"metadata": s.objects[p]["metadata"]}})
	}
	if table {
		return response{200, ordered{{"kind", "Table"}, {"rows", rows}}}
	}
	return response{200, ordered{{"kind", "List"}, {"items", items}}}
}

func (s *server) deleteAll(at place, query url.Values) response {
	found, err := s.selected(at, query)
	if err != nil {
		return failed(400, "selector")
	}
	for _, p := range found {
		s.touch(p)
		delete(s.objects, p)
	}
	return response{200, map[string]any{"kind": "Status", "message": strconv.Itoa(len(found))}}
}

func (s *server) create(at place, r incoming) response {
	object, err := decode(r.body, r.header.Get("Content-Type"))
	if err != nil {
		return failed(400, "decode")
	}
	at.name, _ = child(object, "metadata")["name"].(string)
	if at.name == "" {
		return failed(422, "no name in %s", at.namespace)
	}
	if _, exists := s.objects[at]; exists {
		s.touch(at)
		return failed(409, "%s is there", at.resource)
	}
	return s.store(at, object, 201)
}

// store checks what API servers check of every object.
func (s *server) store(at place, object map[string]any, code int) response {
	metadata := child(object, "metadata")
	if name, named := metadata["name"]; named && name != at.name {
		return failed(400, "the name differs")
	}
	if namespace, named := metadata["namespace"]; named && namespace != nil && namespace != "" && namespace != at.namespace {
		return failed(400, "the namespace differs")
	}
	stored := maps.Clone(object)
	metadata = maps.Clone(metadata)
	if metadata == nil {
		metadata = map[string]any{}
	}
	metadata["name"] = at.name
	if at.resource != "namespaces" {
		metadata["namespace"] = at.namespace
	}
	stored["metadata"] = metadata
	s.objects[at] = stored
	s.touch(at)
	return response{code, stored}
}

func (s *server) patch(at place, r incoming, was map[string]any) response {
	old, err := json.Marshal(was)
	if err != nil {
		return failed(500, "%v", err)
	}
	var patched []byte
	switch r.header.Get("Content-Type") {
	case media["merge"]:
		patched, err = jsonpatch.MergePatch(old, r.body)
	case media["json"]:
		var patch jsonpatch.Patch
		if patch, err = jsonpatch.DecodePatch(r.body); err == nil {
			patched, err = patch.Apply(old)
		}
	case media["strategic"]:
		if modelled[at.resource] == nil {
			return failed(415, "no strategic patches")
		}
		patched, err = strategicpatch.StrategicMergePatch(old, r.body, modelled[at.resource])
	default:
		return failed(415, "no such patch")
	}
	if err != nil {
		return failed(422, "patch")
	}
	object, err := decode(patched, "")
	if err != nil {
		return failed(422, "patched")
	}
	return s.store(at, object, 200)
}

// apply merges maps; that is enough of it to see where an object goes.
func (s *server) apply(at place, r incoming, was map[string]any) response {
	if at.namespace == "" {
		return failed(405, "not allowed")
	}
	object, err := decode(r.body, media["yaml"])
	if err != nil {
		return failed(400, "decode")
	}
	return s.store(at, merged(was, object), 200)
}

func merged(old, patch map[string]any) map[string]any {
	out := maps.Clone(old)
	if out == nil {
		out = map[string]any{}
	}
	for key, value := range patch {
		if m, ok := value.(map[string]any); ok {
			value = merged(child(out, key), m)
		}
		out[key] = value
	}
	return out
}

// decode reads an object as API servers do.
func decode(data []byte, contentType string) (map[string]any, error) {
	if contentType == media["yaml"] {
		converted, err := yaml.YAMLToJSON(data)
		if err != nil {
			return nil, err
		}
		data = converted
	}
	var object map[string]any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &object); err != nil {
		return nil, err
	}
	if metadata, ok := object["metadata"]; ok && metadata != nil && reflect.TypeOf(metadata).Kind() != reflect.Map {
		return nil, fmt.Errorf("metadata is no object")
	}
	if object == nil {
		return nil, fmt.Errorf("no object")
	}
	return object, nil
}

func child(object map[string]any, key string) map[string]any {
	m, _ := object[key].(map[string]any)
	return m
}

// ordered is an object whose fields are written in this order, as those of structs are.
type ordered []struct {
	key   string
	value any
}

func (o ordered) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, field := range o {
		value, err := json.Marshal(field.value)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(strconv.AppendQuote(out, field.key), ':'), value...)
	}
	return append(out, '}'), nil
}
