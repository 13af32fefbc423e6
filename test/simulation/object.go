package simulation

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
)

var (
	deleteOptionsKind = new(schema.GroupVersionKind{Version: "v1", Kind: "DeleteOptions"})
	noResource        = schema.GroupResource{}
)

// intent is how an object is written.
type intent struct {
	dryRun      bool
	subresource string
	// manager is who writes; applied: its fields are in managedFields already.
	manager string
	applied bool
	// direct: by the simulation itself, status, managedFields and all.
	direct bool
}

// metadataOf returns the metadata of an object; it is made if there is none.
func metadataOf(object map[string]any) map[string]any {
	meta, ok := object["metadata"].(map[string]any)
	if !ok {
		meta = map[string]any{}
		object["metadata"] = meta
	}
	return meta
}

func text(meta map[string]any, field string) string {
	value, _ := meta[field].(string)
	return value
}

// create makes an object, which it takes over. m.mu is held.
func (m *Member) create(of *registry, namespace string, object map[string]any, how intent) (*stored, error) {
	meta := metadataOf(object)
	if err := m.identify(of, namespace, meta); err != nil {
		return nil, err
	}
	name := text(meta, "name")
	if of.objects[objectKey(namespace, name)] != nil {
		return nil, apierrors.NewAlreadyExists(of.GroupResource(), name)
	}
	if err := m.mayHold(of, namespace, name); err != nil {
		return nil, err
	}
	if text(meta, "resourceVersion") != "" {
		return nil, apierrors.NewInternalError(errors.New("resourceVersion should not be set on objects to be created"))
	}
	for _, field := range []string{"selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"} {
		delete(meta, field)
	}
	if !how.direct && !how.applied {
		delete(meta, "managedFields")
	}
	if !how.direct && of.Status {
		delete(object, "status")
	}
	meta["uid"], meta["creationTimestamp"] = string(m.nextUID()), m.now()
	if of.Generation {
		meta["generation"] = int64(1)
	}
	foldSecret(of, object)
	furnishNamespace(of, object)
	if err := m.admit(of, how, object, nil); err != nil {
		return nil, err
	}
	return m.store(of, nil, m.own(of, how, object, nil), how), nil
}

// identify sees to name and namespace of a new object.
func (m *Member) identify(of *registry, namespace string, meta map[string]any) error {
	if given := text(meta, "namespace"); given != "" && given != namespace {
		return apierrors.NewBadRequest("the namespace of the provided object does not match the namespace sent on the request")
	}
	if namespace != "" {
		meta["namespace"] = namespace
	}
	name := text(meta, "name")
	if prefix := text(meta, "generateName"); name == "" && prefix != "" {
		name = prefix + string(m.nextUID()[:5])
		meta["name"] = name
	}
	if name == "" {
		return invalid(of, name, "metadata.name", "Required value: name or generateName is required")
	}
	valid := validation.IsDNS1123Subdomain
	if strings.HasPrefix(of.Group, "rbac.") {
		valid = func(string) []string { return nil }
	}
	if problems := valid(name); len(problems) > 0 {
		return invalid(of, name, "metadata.name", fmt.Sprintf("Invalid value: %q: %s", name, strings.Join(problems, ", ")))
	}
	return nil
}

// mayHold checks the namespace of a new object.
func (m *Member) mayHold(of *registry, namespace, name string) error {
	namespaces := m.registry[Namespaces]
	if !of.Namespaced || namespaces == nil {
		return nil
	}
	in := namespaces.objects[namespace]
	if in == nil {
		return apierrors.NewNotFound(Namespaces.GroupResource(), namespace)
	}
	if text(metadataOf(in.decode()), "deletionTimestamp") != "" {
		err := apierrors.NewForbidden(of.GroupResource(), name, fmt.Errorf("unable to create new content in namespace %s because it is being terminated", namespace))
		err.ErrStatus.Details.Causes = []metav1.StatusCause{{
			Type: "NamespaceTerminating", Message: fmt.Sprintf("namespace %s is being terminated", namespace), Field: "metadata.namespace"}}
		return err
	}
	return nil
}

func furnishNamespace(of *registry, object map[string]any) {
	if of.GroupVersionResource != Namespaces {
		return
	}
	u := unstructured.Unstructured{Object: object}
	labels := u.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels["kubernetes.io/metadata.name"] = u.GetName()
	u.SetLabels(labels)
	object["spec"] = map[string]any{"finalizers": []any{"kubernetes"}}
	if object["status"] == nil {
		object["status"] = map[string]any{"phase": "Active"}
	}
}

// foldSecret does what API servers do with stringData, which is never read back.
func foldSecret(of *registry, object map[string]any) {
	added, ok := object["stringData"].(map[string]any)
	if of.GroupVersionResource != Secrets || !ok {
		return
	}
	data, ok := object["data"].(map[string]any)
	if !ok {
		data = map[string]any{}
	}
	for key, value := range added {
		if s, ok := value.(string); ok {
			data[key] = base64.StdEncoding.EncodeToString([]byte(s))
		}
	}
	object["data"] = data
	delete(object, "stringData")
}

func (m *Member) admit(of *registry, how intent, object, old map[string]any) error {
	if m.options.Admit == nil || how.direct {
		return nil
	}
	err := m.options.Admit(of.Type, how.subresource, object, old)
	var known apierrors.APIStatus
	if err != nil && !errors.As(err, &known) {
		return apierrors.NewForbidden(of.GroupResource(), text(metadataOf(object), "name"), err)
	}
	return err
}

// store encodes an object and records it, unless it is what is there, or a dry run. m.mu is
// held. It returns what the writer is answered.
func (m *Member) store(of *registry, old *stored, object map[string]any, how intent) *stored {
	u := &unstructured.Unstructured{Object: object}
	if old != nil {
		u.SetResourceVersion(strconv.FormatUint(old.revision, 10))
		if bytes.Equal(encode(object), old.data) {
			return old
		}
	}
	o := &stored{namespace: u.GetNamespace(), name: u.GetName(), uid: u.GetUID(), labels: u.GetLabels()}
	if how.dryRun {
		if old == nil {
			u.SetResourceVersion("")
		}
		o.data = encode(object)
		return o
	}
	m.revision++
	o.revision = m.revision
	u.SetResourceVersion(strconv.FormatUint(m.revision, 10))
	o.data = encode(object)
	m.record(of, old, o)
	return o
}

// update replaces an object by another one, which it takes over. m.mu is held.
func (m *Member) update(of *registry, old *stored, object map[string]any, how intent) (*stored, error) {
	was := old.decode()
	if err := mayReplace(of, old, object); err != nil {
		return nil, err
	}
	if how.subresource == "status" {
		object = withStatus(was, object)
	}
	settle(of, was, object, how, m.options.ManagedFields)
	foldSecret(of, object)
	if err := m.admit(of, how, object, was); err != nil {
		return nil, err
	}
	object = m.own(of, how, object, was)
	meta, oldMeta := metadataOf(object), metadataOf(was)
	if text(oldMeta, "deletionTimestamp") != "" {
		for _, finalizer := range list(meta, "finalizers") {
			if !slices.Contains(list(oldMeta, "finalizers"), finalizer) {
				return nil, invalid(of, old.name, "metadata.finalizers", fmt.Sprintf(
					"Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{%q}", finalizer))
			}
		}
	}
	if of.Generation && changed(of, was, object) {
		generation, _ := oldMeta["generation"].(int64)
		meta["generation"] = generation + 1
	}
	if text(oldMeta, "deletionTimestamp") != "" && len(list(meta, "finalizers")) == 0 && !how.dryRun && m.empty(of, old.name) {
		result := *old
		result.data = encode(object)
		m.remove(of, old)
		return &result, nil
	}
	return m.store(of, old, object, how), nil
}

func list(meta map[string]any, field string) []string {
	values, _ := meta[field].([]any)
	var texts []string
	for _, value := range values {
		if s, ok := value.(string); ok {
			texts = append(texts, s)
		}
	}
	return texts
}

// mayReplace checks what a new version says that it is of.
func mayReplace(of *registry, old *stored, object map[string]any) error {
	meta := metadataOf(object)
	if name := text(meta, "name"); name != old.name {
		return apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", name, old.name))
	}
	if namespace := text(meta, "namespace"); namespace != "" && namespace != old.namespace {
		return apierrors.NewBadRequest("the namespace of the provided object does not match the namespace sent on the request")
	}
	if uid := text(meta, "uid"); uid != "" && uid != string(old.uid) {
		return conflict(of, old.name, fmt.Sprintf("Precondition failed: UID in precondition: %v, UID in object meta: %v", uid, old.uid))
	}
	if version := text(meta, "resourceVersion"); version != "" && version != strconv.FormatUint(old.revision, 10) {
		return conflict(of, old.name, "the object has been modified; please apply your changes to the latest version and try again")
	}
	return nil
}

// withStatus is the old object with the status of the new one.
func withStatus(was, object map[string]any) map[string]any {
	result := maps.Clone(was)
	delete(result, "status")
	if status, ok := object["status"]; ok {
		result["status"] = status
	}
	result["metadata"] = maps.Clone(metadataOf(was))
	return result
}

// settle sets what an update cannot change.
// It leaves managedFields alone if they are kept.
func settle(of *registry, was, object map[string]any, how intent, owned bool) {
	meta, oldMeta := metadataOf(object), metadataOf(was)
	fields := []string{"namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "managedFields", "generateName"}
	if how.direct || owned {
		fields = slices.DeleteFunc(fields, func(field string) bool { return field == "managedFields" })
	}
	for _, field := range fields {
		carry(field, oldMeta, meta)
	}
	carry("kind", was, object)
	carry("apiVersion", was, object)
	if of.Status && how.subresource == "" && !how.direct {
		carry("status", was, object)
	}
	if of.GroupVersionResource == Namespaces {
		carry("spec", was, object)
		furnishNamespace(of, object)
		carry("spec", was, object)
	}
}

func carry(field string, from, to map[string]any) {
	if value, ok := from[field]; ok {
		to[field] = value
	} else {
		delete(to, field)
	}
}

// changed reports whether a change counts for the generation.
func changed(of *registry, was, object map[string]any) bool {
	if of.GroupVersionResource == Deployments && !equality.Semantic.DeepEqual(metadataOf(was)["annotations"], metadataOf(object)["annotations"]) {
		return true
	}
	rest := func(object map[string]any) []byte {
		counted := maps.Clone(object)
		delete(counted, "metadata")
		delete(counted, "status")
		return encode(counted)
	}
	return !bytes.Equal(rest(was), rest(object))
}

// delete begins to delete an object, and ends it unless something holds it. It returns what is
// left, nil if nothing is. m.mu is held.
func (m *Member) delete(of *registry, old *stored, dryRun bool) *stored {
	object := old.decode()
	meta := metadataOf(object)
	if text(meta, "deletionTimestamp") != "" {
		return old
	}
	held := len(list(meta, "finalizers")) > 0
	if dryRun {
		if held {
			return old
		}
		return nil
	}
	if !held && of.GroupVersionResource != Namespaces {
		m.remove(of, old)
		return nil
	}
	meta["deletionTimestamp"], meta["deletionGracePeriodSeconds"] = m.now(), int64(0)
	if generation, ok := meta["generation"].(int64); ok {
		meta["generation"] = generation + 1
	}
	if of.GroupVersionResource == Namespaces {
		object["status"] = map[string]any{"phase": "Terminating"}
	}
	left := m.store(of, old, object, intent{})
	if of.GroupVersionResource == Namespaces {
		m.clear(old.name)
	}
	return left
}

// clear deletes what a namespace holds, and the namespace with the last of it.
func (m *Member) clear(namespace string) {
	for _, r := range m.order {
		if !r.Namespaced {
			continue
		}
		for _, key := range r.in(namespace) {
			if o := r.objects[key]; o != nil {
				m.delete(r, o, false)
			}
		}
	}
	m.sweep(namespace)
}

// empty reports whether a namespace, or anything else of that name, holds nothing.
func (m *Member) empty(of *registry, name string) bool {
	if of.GroupVersionResource != Namespaces {
		return true
	}
	for _, r := range m.order {
		if r.Namespaced && len(r.in(name)) > 0 {
			return false
		}
	}
	return true
}

// remove ends an object, and its namespace if that waits for it.
func (m *Member) remove(of *registry, old *stored) {
	m.revision++
	m.record(of, old, nil)
	if of.Namespaced {
		m.sweep(old.namespace)
	}
}

// sweep ends a namespace that is being deleted and holds nothing any more.
func (m *Member) sweep(namespace string) {
	namespaces := m.registry[Namespaces]
	if namespaces == nil {
		return
	}
	o := namespaces.objects[namespace]
	if o == nil {
		return
	}
	meta := metadataOf(o.decode())
	if text(meta, "deletionTimestamp") != "" && len(list(meta, "finalizers")) == 0 && m.empty(namespaces, namespace) {
		m.remove(namespaces, o)
	}
}

// Put writes an object as it is, status and managedFields included, past faults and counts of
// requests: as somebody in the member does, or its controllers. It is created, or replaced
// whatever its version. Put takes object over, and fails if the member could not hold it.
func (m *Member) Put(gvr schema.GroupVersionResource, object map[string]any) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	of := m.registry[gvr]
	if of == nil {
		return fmt.Errorf("member %s has no type %s", m.name, gvr)
	}
	object["kind"], object["apiVersion"] = of.Kind, of.GroupVersion().String()
	meta := metadataOf(object)
	delete(meta, "resourceVersion")
	namespace, how := text(meta, "namespace"), intent{direct: true}
	old := of.objects[objectKey(namespace, text(meta, "name"))]
	if old == nil {
		_, err := m.create(of, namespace, object, how)
		return err
	}
	delete(meta, "uid")
	_, err := m.update(of, old, object, how)
	return err
}

// Change changes an object as it is at that moment, as Put does: nobody else writes it in
// between. It reports whether there is such an object; change is not called if not.
func (m *Member) Change(gvr schema.GroupVersionResource, namespace, name string, change func(object map[string]any)) (found bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	of := m.registry[gvr]
	if of == nil {
		return false, fmt.Errorf("member %s has no type %s", m.name, gvr)
	}
	old := of.objects[objectKey(namespace, name)]
	if old == nil {
		return false, nil
	}
	object := old.decode()
	change(object)
	_, err = m.update(of, old, object, intent{direct: true})
	return true, err
}

// Remove deletes an object as somebody in the member does: finalizers hold it. It is no error
// if there is none.
func (m *Member) Remove(gvr schema.GroupVersionResource, namespace, name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if of := m.registry[gvr]; of != nil {
		if old := of.objects[objectKey(namespace, name)]; old != nil {
			m.delete(of, old, false)
		}
	}
}
