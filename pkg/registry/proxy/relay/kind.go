package relay

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// kind is how a request lives.
type kind int

const (
	// brief requests end by themselves.
	brief kind = iota
	// watching requests go on until somebody ends them, and can be made anew.
	watching
	// upgraded connections are another protocol's.
	upgraded

	kinds
)

// kindOf tells from a request how it will live.
func kindOf(method, path, rawQuery, protocol string) kind {
	if protocol != "" {
		return upgraded
	}
	if method != http.MethodGet {
		return brief
	}
	query, _ := url.ParseQuery(rawQuery) // what cannot be parsed is not followed
	segments := strings.Split(path, "/") // /api/v1/watch/pods, /apis/apps/v1/watch/deployments
	switch {
	case isTrue(query, "watch"),
		isTrue(query, "follow") && segments[len(segments)-1] == "log",
		len(segments) > 3 && segments[1] == "api" && segments[3] == "watch",
		len(segments) > 4 && segments[1] == "apis" && segments[4] == "watch":
		return watching
	}
	return brief
}

// isTrue reads a parameter as API servers do: the first value counts, and all is true but these two.
func isTrue(query url.Values, parameter string) bool {
	values, ok := query[parameter]
	return ok && !strings.EqualFold(values[0], "false") && values[0] != "0"
}

// isWatch reports whether a request that goes on is a watch, of which clients begin another when it
// ends. The end of a log is that of its container, and what is behind …/proxy/ is not known here.
func isWatch(path string) bool {
	segments := strings.Split(path, "/") // /api/v1/namespaces/NAMESPACE/pods/NAME/log
	isLog := len(segments) == 8 && segments[5] == "pods" && segments[7] == "log"
	return !isLog && !IsInner(path)
}

// Protocols that a request may change to.
const (
	protocolSPDY      = "SPDY/3.1"
	protocolWebSocket = "websocket"
)

// upgradeProtocol returns the protocol that a request changes to; empty if it does not.
func upgradeProtocol(header http.Header) (string, error) {
	if !IsUpgrade(header) {
		header.Del("Upgrade")
		return "", nil
	}
	values := header.Values("Upgrade")
	if len(values) == 1 {
		for _, known := range []string{protocolSPDY, protocolWebSocket} {
			if strings.EqualFold(values[0], known) {
				return known, nil
			}
		}
	}
	return "", apierrors.NewBadRequest("the request changes to a protocol that is not carried on to clusters; " + protocolSPDY + " and " + protocolWebSocket + " are")
}

// IsUpgrade reports whether a request changes its protocol.
func IsUpgrade(header http.Header) bool {
	for _, value := range header.Values("Connection") {
		for token := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(token), "upgrade") {
				return true
			}
		}
	}
	return false
}

// buffers are what bodies are copied through: small ones for what is idle most of the time, and
// there in thousands.
var buffers = [kinds]httputil.BufferPool{brief: newPool(4 * recordBytes), watching: newPool(4 << 10), upgraded: newPool(4 << 10)}

type pool struct {
	sync.Pool
}

func newPool(sizeBytes int) *pool {
	return &pool{sync.Pool{New: func() any {
		b := make([]byte, sizeBytes)
		return &b
	}}}
}

// Get implements httputil.BufferPool.
func (p *pool) Get() []byte { return *p.Pool.Get().(*[]byte) }

// Put implements httputil.BufferPool.
func (p *pool) Put(b []byte) { p.Pool.Put(&b) }
