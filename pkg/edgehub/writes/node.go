package writes

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/koinon-io/koinon/pkg/edgehub/status"
)

// maxLeases are kept: a node has one.
const maxLeases = 4

// lease is that of the node, as the API server said it last, as JSON.
type lease struct {
	Body json.RawMessage `json:"body"`
}

func isLease(x *exchange, r *http.Request) bool {
	if !x.caller.Local || x.target.Group != "coordination.k8s.io" || x.target.Resource != "leases" || x.target.Namespace != corev1.NamespaceNodeLease || x.target.Subresource != "" {
		return false
	}
	switch r.Method {
	case http.MethodGet, http.MethodPut:
		return x.target.Name == x.config.Node && r.URL.Query().Get("watch") == ""
	case http.MethodPost:
		return x.target.Name == ""
	}
	return false
}

// leaseEvery is how often the Lease is kept on disk, which is renewed each ten seconds. A hub that was started anew may know an older one: kubelet then reads it, and renews that.
const leaseEvery = 10 * time.Minute

// lastLease is the Lease as the API server said it last.
type lastLease struct {
	mu   sync.Mutex
	last *coordinationv1.Lease // guarded by mu; nil if it has said none since the start
	kept time.Time             // guarded by mu; when one was put on the disk
}

// sawLease keeps what the API server has. When that was renewed is in what the node sends.
func (x *exchange) sawLease(_ *http.Request, said *recorded) {
	if !said.isSuccess() {
		return
	}
	var l coordinationv1.Lease
	if err := decode(said.body.Bytes(), &l); err != nil || l.Name != x.config.Node {
		return
	}
	if before, ok := x.leaseOf(); ok && before.UID == l.UID && before.ResourceVersion == l.ResourceVersion {
		return
	}
	l.APIVersion, l.Kind, l.ManagedFields = "coordination.k8s.io/v1", "Lease", nil
	x.lease.mu.Lock()
	defer x.lease.mu.Unlock()
	_, isKept := x.leases.Get(x.config.Node) // else it was of another cluster
	isOther := !isKept || x.lease.last == nil || x.lease.last.UID != l.UID
	if x.lease.last = &l; !isOther && x.now().Sub(x.lease.kept) < leaseEvery {
		return
	}
	if body, err := json.Marshal(&l); err == nil {
		x.leases.Put(x.config.Node, lease{body})
		x.lease.kept = x.now()
	}
}

func (x *exchange) leaseOf() (*coordinationv1.Lease, bool) {
	kept, ok := x.leases.Get(x.config.Node)
	if !ok {
		return nil, false
	}
	x.lease.mu.Lock()
	defer x.lease.mu.Unlock()
	if x.lease.last != nil {
		return x.lease.last.DeepCopy(), true
	}
	var l coordinationv1.Lease
	if json.Unmarshal(kept.Body, &l) != nil {
		return nil, false
	}
	return &l, true
}

// answerLease answers as if it were renewed, with the resourceVersion that it has.
func (x *exchange) answerLease(rw http.ResponseWriter, r *http.Request) bool {
	kept, ok := x.leaseOf()
	if !ok {
		return false
	}
	switch r.Method {
	case http.MethodGet:
		answer(rw, http.StatusOK, kept)
	case http.MethodPost:
		status.Write(rw, apierrors.NewAlreadyExists(schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}, x.config.Node))
	default:
		var l coordinationv1.Lease
		if err := decode(x.body, &l); err != nil || l.Name != x.config.Node {
			status.Write(rw, apierrors.NewBadRequest(fmt.Sprintf("it is no Lease of %s: %v", x.config.Node, err)))
			return true
		}
		if l.ResourceVersion != "" && l.ResourceVersion != kept.ResourceVersion {
			status.Write(rw, apierrors.NewConflict(schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}, l.Name, fmt.Errorf("its resourceVersion is %s", kept.ResourceVersion)))
			return true
		}
		kept.Spec = l.Spec
		answer(rw, http.StatusOK, kept)
	}
	return true
}

func isRegistration(x *exchange, r *http.Request) bool {
	return x.caller.Local && r.Method == http.MethodPost && x.isNode("", "")
}

// isNode reports whether a target is a node, of a name.
func (x *exchange) isNode(name, subresource string) bool {
	t := &x.target
	return t.Group == "" && t.Resource == "nodes" && t.Name == name && t.Subresource == subresource
}

// registration says that the node exists, if it does.
func (x *exchange) registration(rw http.ResponseWriter, _ *http.Request) bool {
	var n corev1.Node
	if err := decode(x.body, &n); err != nil || n.Name != x.config.Node || x.config.NodeObject() == nil {
		return false
	}
	status.Write(rw, apierrors.NewAlreadyExists(schema.GroupResource{Resource: "nodes"}, n.Name))
	return true
}

func isNodeStatus(x *exchange, r *http.Request) bool {
	return x.caller.Local && r.Method == http.MethodPatch && x.isNode(x.config.Node, "status")
}

// nodeStatus answers with the node as it would be.
func (x *exchange) nodeStatus(rw http.ResponseWriter, r *http.Request) bool {
	node := x.config.NodeObject()
	if node == nil {
		return false
	}
	patched, err := patch(node, x.body, r.Header.Get("Content-Type"))
	if err != nil {
		status.Write(rw, apierrors.NewBadRequest(err.Error()))
		return true
	}
	rw.Header().Set("Content-Type", "application/json")
	_, _ = rw.Write(patched)
	return true
}

// isPodStatus reports whether kubelet says how a pod is.
func isPodStatus(x *exchange, r *http.Request) bool {
	t := &x.target
	return x.caller.Local && r.Method == http.MethodPatch && t.Group == "" && t.Resource == "pods" && t.Namespace != "" && t.Name != "" && t.Subresource == "status" &&
		types.PatchType(r.Header.Get("Content-Type")) == types.StrategicMergePatchType
}

// sawPodStatus has it be known, if the API server has taken it.
func (x *exchange) sawPodStatus(_ *http.Request, said *recorded) {
	if said.isSuccess() {
		x.config.PodStatus(x.target.Namespace, x.target.Name, x.body, said.body.Bytes())
	}
}

// podStatus has it be known. It is an error all the same: kubelet says it again until it is written.
func (x *exchange) podStatus(http.ResponseWriter, *http.Request) bool {
	x.config.PodStatus(x.target.Namespace, x.target.Name, x.body, nil)
	return false
}

// patch applies a patch to a node. Fields that are not known here stay.
func patch(node, body []byte, contentType string) ([]byte, error) {
	switch types.PatchType(contentType) {
	case types.StrategicMergePatchType:
		return strategicpatch.StrategicMergePatch(node, body, &corev1.Node{})
	case types.MergePatchType:
		return jsonpatch.MergePatch(node, body)
	}
	return nil, fmt.Errorf("a patch of the type %q is not applied while the API server is away", contentType)
}
