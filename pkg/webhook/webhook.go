package webhook

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "sigs.k8s.io/json"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// Config says what is served, and what clients may make it hold. The zero value is a good
// one.
type Config struct {
	// Group of the federated kinds. Default: types.kubefed.io.
	Group string
	// ConvertLimitBytes is the largest body of /convert. Default: DefaultConvertLimitBytes.
	ConvertLimitBytes int64
	// AdmissionLimitBytes is the largest body of /validate and /mutate. Default:
	// DefaultAdmissionLimitBytes.
	AdmissionLimitBytes int64
	// ObjectLimitBytes is the largest single object. Default: DefaultObjectLimitBytes.
	ObjectLimitBytes int64
	// DecodedLimitBytes is what is decoded at a time for one request: an object of a
	// conversion review, or a whole admission review. Default: DefaultDecodedLimitBytes.
	DecodedLimitBytes int64
	// MemoryLimitBytes is what all requests to /convert may hold at a time, as bodies,
	// decoded and as answers, and again all to /validate and /mutate. Default:
	// DefaultMemoryLimitBytes.
	MemoryLimitBytes int64
	// MaxInFlight is how many requests there may be at a time, likewise. Default:
	// DefaultMaxInFlight.
	MaxInFlight int64
	// TransferTimeout is how long a client may take to send a review, and again to read
	// the answer. Default: DefaultTransferTimeout.
	TransferTimeout time.Duration
}

func (c Config) withDefaults() Config {
	c.Group = cmp.Or(c.Group, v1beta2.GroupName)
	c.ConvertLimitBytes = cmp.Or(c.ConvertLimitBytes, DefaultConvertLimitBytes)
	c.AdmissionLimitBytes = cmp.Or(c.AdmissionLimitBytes, DefaultAdmissionLimitBytes)
	c.ObjectLimitBytes = cmp.Or(c.ObjectLimitBytes, DefaultObjectLimitBytes)
	c.DecodedLimitBytes = cmp.Or(c.DecodedLimitBytes, DefaultDecodedLimitBytes)
	c.MemoryLimitBytes = cmp.Or(c.MemoryLimitBytes, DefaultMemoryLimitBytes)
	c.MaxInFlight = cmp.Or(c.MaxInFlight, DefaultMaxInFlight)
	c.TransferTimeout = cmp.Or(c.TransferTimeout, DefaultTransferTimeout)
	return c
}

// New returns a handler of /convert, /validate and /mutate.
func New(config Config) http.Handler {
	config = config.withDefaults()
	s := shapes{group: config.Group, objectLimitBytes: config.ObjectLimitBytes, decodedLimitBytes: config.DecodedLimitBytes}
	// Who fills one of them up does not hold up the other.
	conversions := &gate{limitBytes: config.MemoryLimitBytes, maxInFlight: config.MaxInFlight}
	admissions := &gate{limitBytes: config.MemoryLimitBytes, maxInFlight: config.MaxInFlight}
	mux := http.NewServeMux()
	mux.Handle("POST /convert", &reviewer{conversions, config.ConvertLimitBytes, config.TransferTimeout, s.convert})
	mux.Handle("POST /validate", &reviewer{admissions, config.AdmissionLimitBytes, config.TransferTimeout, s.admission(s.validate)})
	mux.Handle("POST /mutate", &reviewer{admissions, config.AdmissionLimitBytes, config.TransferTimeout, s.admission(s.mutate)})
	return mux
}

// answer makes the answer to a review from its body, and holds what that takes. An error
// means that the body is no review at all, or more than may be held.
type answer func(ctx context.Context, body []byte, held *account) ([]byte, error)

// reviewer reads bodies within its limits, and writes the answers.
type reviewer struct {
	gate       *gate
	limitBytes int64
	timeout    time.Duration
	do         answer
}

// ServeHTTP implements http.Handler.
func (r *reviewer) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	client := transfer{control: http.NewResponseController(w), timeout: r.timeout}
	// First of all: after any answer, the server may read what is left of the body.
	if err := client.beginBody(); err != nil {
		refuse(w, err, r.timeout)
		return
	}
	if mediaType, _, err := mime.ParseMediaType(req.Header.Get("Content-Type")); err == nil && mediaType != "application/json" {
		http.Error(w, fmt.Sprintf("Content-Type %q is not supported: send application/json", mediaType), http.StatusUnsupportedMediaType)
		return
	}
	held, err := r.gate.enter()
	if err != nil {
		refuse(w, err, r.timeout)
		return
	}
	defer held.close()
	body, err := held.read(http.MaxBytesReader(w, req.Body, r.limitBytes))
	if err != nil {
		refuse(w, err, r.timeout)
		return
	}
	if err := client.endBody(); err != nil {
		return // the connection is gone
	}
	out, err := r.do(req.Context(), body, held)
	if err != nil {
		refuse(w, err, r.timeout)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(out)))
	if err := client.write(w, out); err != nil {
		// There is nobody to tell; what is left of the answer must not be waited for.
		panic(http.ErrAbortHandler)
	}
}

// encodeJSON leaves the bytes of raw values as they are.
func encodeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// shapes decodes federated objects of one group in either version.
type shapes struct {
	group                               string
	objectLimitBytes, decodedLimitBytes int64
}

// checkSize returns a tooLargeError if an object is larger than it may be.
func (s shapes) checkSize(raw []byte) error {
	if int64(len(raw)) > s.objectLimitBytes {
		return tooLargeError(fmt.Sprintf("an object of %d bytes is larger than %d", len(raw), s.objectLimitBytes))
	}
	return nil
}

// check reports whether an object of that version and kind is served.
func (s shapes) check(apiVersion, kind string) (version string, err error) {
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil || gv.Group != s.group || (gv.Version != v1beta1.SchemeGroupVersion.Version && gv.Version != v1beta2.SchemeGroupVersion.Version) {
		return "", fmt.Errorf("apiVersion %q is not served here: %s/v1beta1 and %s/v1beta2 are", apiVersion, s.group, s.group)
	}
	if name, ok := strings.CutPrefix(kind, "Federated"); !ok || name == "" {
		return "", fmt.Errorf("kind %q is not served here: Federated<Kind> is, such as FederatedDeployment", kind)
	}
	return gv.Version, nil
}

// object is a federated object as it came, in one of its shapes.
type object struct {
	version string
	// cluster is set in version v1beta1.
	cluster *v1beta1.FederatedObject
	// topology is set in version v1beta2, and by toTopology.
	topology *v1beta2.FederatedObject
}

// decode decodes raw into the shape of the given version.
func decode(raw []byte, version string) (*object, error) {
	o := &object{version: version}
	var into any
	if version == v1beta1.SchemeGroupVersion.Version {
		o.cluster = &v1beta1.FederatedObject{}
		into = o.cluster
	} else {
		o.topology = &v1beta2.FederatedObject{}
		into = o.topology
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(raw, into); err != nil {
		return nil, fmt.Errorf("decode object: %w", err)
	}
	return o, nil
}

// toTopology returns the object in v1beta2, converting it if need be. The error is a
// *field.Error.
func (o *object) toTopology() (*v1beta2.FederatedObject, error) {
	if o.topology != nil {
		return o.topology, nil
	}
	out, err := conversion.ToV1beta2(o.cluster)
	if err != nil {
		return nil, err
	}
	// Conversion may tell the namespace from names, but a webhook may not change it.
	out.Namespace = o.cluster.Namespace
	o.topology = out
	return out, nil
}
