package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "sigs.k8s.io/json"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// Default limits on what a request may hold.
const (
	// DefaultConvertLimitBytes allows for a list of 10,000 objects of 20 KiB, which an API
	// server sends in one request.
	DefaultConvertLimitBytes = 256 << 20
	// DefaultAdmissionLimitBytes allows for two objects, each as large as an API server
	// accepts, and the review around them.
	DefaultAdmissionLimitBytes = 8 << 20
	// DefaultInFlightLimitBytes is what all bodies may hold at a time. Decoding takes
	// about three times as much memory.
	DefaultInFlightLimitBytes = 512 << 20
)

// Config says what is served. The zero value is a good one.
type Config struct {
	// Group of the federated kinds. Default: types.kubefed.io.
	Group string
	// ConvertLimitBytes is the largest body of /convert. Default: DefaultConvertLimitBytes.
	ConvertLimitBytes int64
	// AdmissionLimitBytes is the largest body of /validate and /mutate. Default:
	// DefaultAdmissionLimitBytes.
	AdmissionLimitBytes int64
	// InFlightLimitBytes is what the bodies of all requests may hold at a time; one more
	// gets 503, since API servers call webhooks without credentials and anybody else can,
	// too. Default: DefaultInFlightLimitBytes.
	InFlightLimitBytes int64
}

func (c Config) withDefaults() Config {
	if c.Group == "" {
		c.Group = v1beta2.GroupName
	}
	if c.ConvertLimitBytes <= 0 {
		c.ConvertLimitBytes = DefaultConvertLimitBytes
	}
	if c.AdmissionLimitBytes <= 0 {
		c.AdmissionLimitBytes = DefaultAdmissionLimitBytes
	}
	if c.InFlightLimitBytes <= 0 {
		c.InFlightLimitBytes = DefaultInFlightLimitBytes
	}
	return c
}

// New returns a handler of /convert, /validate and /mutate.
func New(config Config) http.Handler {
	config = config.withDefaults()
	s := shapes{group: config.Group}
	held := &budget{limitBytes: config.InFlightLimitBytes}
	mux := http.NewServeMux()
	mux.Handle("POST /convert", review(held, config.ConvertLimitBytes, s.convert))
	mux.Handle("POST /validate", review(held, config.AdmissionLimitBytes, s.admission(s.validate)))
	mux.Handle("POST /mutate", review(held, config.AdmissionLimitBytes, s.admission(s.mutate)))
	return mux
}

// answer makes the answer to a review from its body. An error means that the body is no
// review at all.
type answer func(body []byte) (any, error)

// review reads a body of limited size, and writes the answer.
func review(held *budget, limitBytes int64, do answer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if mediaType, _, err := mime.ParseMediaType(req.Header.Get("Content-Type")); err == nil && mediaType != "application/json" {
			http.Error(w, fmt.Sprintf("Content-Type %q is not supported: send application/json", mediaType), http.StatusUnsupportedMediaType)
			return
		}
		out, err := held.answer(http.MaxBytesReader(w, req.Body, limitBytes), do)
		if err != nil {
			refuse(w, err)
			return
		}
		writeJSON(w, out)
	})
}

func refuse(w http.ResponseWriter, err error) {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		http.Error(w, fmt.Sprintf("the review is larger than %d bytes", tooLarge.Limit), http.StatusRequestEntityTooLarge)
	case errors.Is(err, errBusy):
		w.Header().Set("Retry-After", "1")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	default:
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

// errBusy occurs while other requests hold all the memory that bodies may have; the
// client should try again.
var errBusy = errors.New("too many requests are being answered: try again")

// budget is how many bytes of bodies are held at a time.
type budget struct {
	limitBytes int64
	used       atomic.Int64
}

// answer reads a body and answers it. What the body holds is given back before the answer
// is written, so that a client that got one can ask again.
func (b *budget) answer(from io.Reader, do answer) (any, error) {
	body := meteredBody{from: from, held: b}
	defer body.release()
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(&body); err != nil {
		return nil, fmt.Errorf("read review: %w", err)
	}
	return do(buf.Bytes())
}

// meteredBody reads a body and counts it against the budget until it is released.
type meteredBody struct {
	from io.Reader
	held *budget
	size int64
}

func (b *meteredBody) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	b.size += int64(n)
	if b.held.used.Add(int64(n)) > b.held.limitBytes {
		return n, errBusy
	}
	return n, err
}

func (b *meteredBody) release() { b.held.used.Add(-b.size) }

// writeJSON encodes before it writes, so that an error still has a status code.
func writeJSON(w http.ResponseWriter, v any) {
	var buf bytes.Buffer
	if err := encodeJSON(&buf, v); err != nil {
		http.Error(w, "encode answer: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// The client hung up if this fails: there is nobody to tell.
	_, _ = w.Write(buf.Bytes())
}

// encodeJSON leaves the bytes of raw values as they are.
func encodeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// shapes decodes federated objects of one group in either version.
type shapes struct{ group string }

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
