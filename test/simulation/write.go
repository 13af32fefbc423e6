package simulation

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

// maxBody is what an API server reads of a request.
const maxBody = 3 << 20

func readBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if len(body) > maxBody {
		return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d", maxBody))
	}
	return body, nil
}

func mediaType(r *http.Request) string {
	name, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return name
}

func unsupported(name string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusUnsupportedMediaType, Reason: metav1.StatusReasonUnsupportedMediaType,
		Message: fmt.Sprintf("the body of the request was in an unknown format - accepted media types include: application/json; got %q", name),
	}}
}

func (m *Member) serveWrite(w http.ResponseWriter, r *http.Request, of *registry, q *request) error {
	f, err := negotiate(r, false)
	if err != nil {
		return err
	}
	body, err := readBody(r)
	if err != nil {
		return err
	}
	how := intent{dryRun: r.URL.Query().Get("dryRun") == metav1.DryRunAll, subresource: q.subresource, manager: managerOf(r)}
	if q.verb == "delete" {
		return m.serveDelete(w, of, q, body, how.dryRun)
	}
	code, result := http.StatusOK, (*stored)(nil)
	m.mu.Lock()
	switch q.verb {
	case "create":
		code = http.StatusCreated
		result, err = m.createFrom(r, of, q, body, how)
	case "update":
		result, err = m.updateFrom(r, of, q, body, how)
	case "patch":
		code, result, err = m.patchFrom(r, of, q, body, how)
	}
	m.mu.Unlock()
	if err != nil {
		return err
	}
	write(w, code, f.of(result))
	return nil
}

func (m *Member) createFrom(r *http.Request, of *registry, q *request, body []byte, how intent) (*stored, error) {
	object, err := decodeObject(r, of, body)
	if err != nil {
		return nil, err
	}
	return m.create(of, q.namespace, object, how)
}

func (m *Member) updateFrom(r *http.Request, of *registry, q *request, body []byte, how intent) (*stored, error) {
	object, err := decodeObject(r, of, body)
	if err != nil {
		return nil, err
	}
	old := of.objects[objectKey(q.namespace, q.name)]
	if old == nil {
		return nil, apierrors.NewNotFound(of.GroupResource(), q.name)
	}
	return m.update(of, old, object, how)
}

// decodeObject reads an object of the type from a request.
func decodeObject(r *http.Request, of *registry, body []byte) (map[string]any, error) {
	if name := mediaType(r); name != "application/json" && name != "" {
		return nil, unsupported(name)
	}
	object, err := decodeTree(body)
	if err != nil {
		return nil, err
	}
	kind, apiVersion := object["kind"], object["apiVersion"]
	if kind != of.Kind || apiVersion != of.GroupVersion().String() {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the object provided is unrecognized (must be of type %s): it is %v, %v", of.Kind, apiVersion, kind))
	}
	return object, nil
}

func decodeTree(body []byte) (map[string]any, error) {
	var object map[string]any
	if err := utiljson.Unmarshal(body, &object); err != nil || object == nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("couldn't get version/kind; json parse error: %v", err))
	}
	return object, nil
}

// patchFrom returns the status code too: apply creates what is not there.
func (m *Member) patchFrom(r *http.Request, of *registry, q *request, body []byte, how intent) (int, *stored, error) {
	old := of.objects[objectKey(q.namespace, q.name)]
	kind := types.PatchType(mediaType(r))
	if kind == types.ApplyPatchType {
		return m.apply(r, of, q, old, body, how)
	}
	if old == nil {
		return 0, nil, apierrors.NewNotFound(of.GroupResource(), q.name)
	}
	patched, err := patch(kind, old.data, body)
	if err != nil {
		return 0, nil, err
	}
	object, err := decodeTree(patched)
	if err != nil {
		return 0, nil, err
	}
	result, err := m.update(of, old, object, how)
	return http.StatusOK, result, err
}

func patch(kind types.PatchType, old, body []byte) ([]byte, error) {
	switch kind {
	case types.MergePatchType, types.StrategicMergePatchType:
		patched, err := jsonpatch.MergePatch(old, body)
		if err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		return patched, nil
	case types.JSONPatchType:
		operations, err := jsonpatch.DecodePatch(body)
		if err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		patched, err := operations.Apply(old)
		if err != nil {
			return nil, apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", noResource, "", err.Error(), 0, false)
		}
		return patched, nil
	}
	return nil, unsupported(string(kind))
}

func (m *Member) apply(r *http.Request, of *registry, q *request, old *stored, body []byte, how intent) (int, *stored, error) {
	if r.URL.Query().Get("fieldManager") == "" {
		return 0, nil, invalid(of, q.name, "fieldManager", "Required value: is required for apply patch")
	}
	data, err := yaml.YAMLToJSON(body)
	if err != nil {
		return 0, nil, apierrors.NewBadRequest(err.Error())
	}
	object, err := m.applied(r, of, old, data, how)
	if err != nil {
		return 0, nil, err
	}
	how.applied = m.options.ManagedFields
	if old == nil {
		metadataOf(object)["name"] = q.name
		result, err := m.create(of, q.namespace, object, how)
		return http.StatusCreated, result, err
	}
	result, err := m.update(of, old, object, how)
	return http.StatusOK, result, err
}

// applied returns what an object becomes with a manifest.
func (m *Member) applied(r *http.Request, of *registry, old *stored, data []byte, how intent) (map[string]any, error) {
	switch {
	case m.options.ManagedFields:
		manifest, err := decodeTree(data)
		if err != nil {
			return nil, err
		}
		return m.merge(of, r, how, old, manifest)
	case old != nil:
		patched, err := patch(types.MergePatchType, old.data, data)
		if err != nil {
			return nil, err
		}
		data = patched
	}
	return decodeTree(data)
}

func (m *Member) serveDelete(w http.ResponseWriter, of *registry, q *request, body []byte, dryRun bool) error {
	options, err := readDeleteOptions(body)
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	if policy := options.PropagationPolicy; policy != nil {
		switch *policy {
		case metav1.DeletePropagationBackground, metav1.DeletePropagationForeground, metav1.DeletePropagationOrphan:
		default:
			return invalid(of, q.name, "propagationPolicy", fmt.Sprintf("Unsupported value: %q", *policy))
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old := of.objects[objectKey(q.namespace, q.name)]
	if old == nil {
		return apierrors.NewNotFound(of.GroupResource(), q.name)
	}
	if err := checkPreconditions(of, old, options.Preconditions); err != nil {
		return err
	}
	left := m.delete(of, old, dryRun || len(options.DryRun) > 0)
	if left != nil {
		write(w, http.StatusOK, left.data)
		return nil
	}
	respond(w, http.StatusOK, &metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusSuccess,
		Details: &metav1.StatusDetails{Name: q.name, Group: of.Group, Kind: of.Resource, UID: old.uid},
	})
	return nil
}

// readDeleteOptions reads the body of a deletion, empty or not. In JSON it may be of any version:
// API servers have DeleteOptions in every one.
func readDeleteOptions(body []byte) (*metav1.DeleteOptions, error) {
	options := &metav1.DeleteOptions{}
	switch {
	case len(body) == 0:
		return options, nil
	case body[0] == '{':
		if err := utiljson.Unmarshal(body, options); err != nil {
			return nil, err
		}
		if options.Kind != "" && options.Kind != deleteOptionsKind.Kind {
			return nil, fmt.Errorf("the body is a %s, and no DeleteOptions", options.Kind)
		}
		return options, nil
	}
	decoded, _, err := codecs.UniversalDeserializer().Decode(body, deleteOptionsKind, options)
	if err != nil {
		return nil, err
	}
	options, ok := decoded.(*metav1.DeleteOptions)
	if !ok {
		return nil, errors.New("the body is no DeleteOptions")
	}
	return options, nil
}

func checkPreconditions(of *registry, old *stored, p *metav1.Preconditions) error {
	if p == nil {
		return nil
	}
	if p.UID != nil && *p.UID != old.uid {
		return conflict(of, old.name, fmt.Sprintf("Precondition failed: UID in precondition: %v, UID in object meta: %v", *p.UID, old.uid))
	}
	if version := strconv.FormatUint(old.revision, 10); p.ResourceVersion != nil && *p.ResourceVersion != version {
		return conflict(of, old.name, fmt.Sprintf("Precondition failed: ResourceVersion in precondition: %v, ResourceVersion in object meta: %v", *p.ResourceVersion, version))
	}
	return nil
}

func conflict(of *registry, name, why string) error {
	return apierrors.NewConflict(of.GroupResource(), name, errors.New(why))
}

// invalid is 422 with one cause.
func invalid(of *registry, name, path, why string) error {
	err := apierrors.NewInvalid(of.groupKind(), name, nil)
	err.ErrStatus.Message = fmt.Sprintf("%s %q is invalid: %s: %s", of.groupKind(), name, path, why)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeFieldValueInvalid, Message: why, Field: path}}
	return err
}
