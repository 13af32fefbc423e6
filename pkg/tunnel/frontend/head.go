package frontend

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/koinon-io/koinon/pkg/tunnel"
)

const (
	headBytes  = 8 << 10
	maxHeaders = 64
)

var heads = sync.Pool{New: func() any {
	b := make([]byte, headBytes)
	return &b
}}

// head is what a request says.
type head struct {
	target string
	asked  tunnel.Name
}

var (
	errTooLong = &Error{Status: http.StatusRequestHeaderFieldsTooLarge, Text: "the head of the request is too long: 8 KiB and 64 headers are allowed"}
	errSlow    = &Error{Status: http.StatusRequestTimeout, Text: "the head of the request did not come in time: it may take 5 s"}
	errLineEnd = &Error{Status: http.StatusBadRequest, Text: "a line of the request ends with a line feed alone: a carriage return has to be before it"}
	errMethod  = &Error{Status: http.StatusMethodNotAllowed, Text: "this is the tunnel's proxy: CONNECT is the only method here"}
)

// readHead reads the head of a request, and no more. It keeps no buffer.
func readHead(r io.Reader) (head, error) {
	buffer := heads.Get().(*[]byte)
	defer heads.Put(buffer)
	for n := 0; ; {
		more, err := r.Read((*buffer)[n:])
		from := max(n-3, 0)
		n += more
		at := bytes.Index((*buffer)[from:n], []byte("\r\n\r\n"))
		switch {
		case at >= 0 && from+at+4 != n:
			return head{}, errEarly
		case loneFeed((*buffer)[max(from-1, 0):n]): // who sends such ends with one, too, and would be waited for in vain
			return head{}, errLineEnd
		case at >= 0:
			return parseHead(string((*buffer)[:n-4]))
		}
		switch {
		case n == len(*buffer):
			return head{}, errTooLong
		case errors.Is(err, os.ErrDeadlineExceeded):
			return head{}, errSlow
		case err != nil:
			return head{}, ErrLeft
		}
	}
}

// loneFeed reports whether there is a line feed, but for the first byte, without a carriage return before it.
func loneFeed(b []byte) bool {
	for i := 1; i < len(b); i++ {
		if b[i] == '\n' && b[i-1] != '\r' {
			return true
		}
	}
	return false
}

// parseHead takes a head apart, without the empty line at its end.
func parseHead(text string) (head, error) {
	lines := strings.Split(text, "\r\n")
	if len(lines) > maxHeaders+1 {
		return head{}, errTooLong
	}
	method, rest, _ := strings.Cut(lines[0], " ")
	target, version, ok := strings.Cut(rest, " ")
	switch {
	case !ok || !isToken(method) || !isGraphic(target) || version != "HTTP/1.1" && version != "HTTP/1.0":
		return head{}, badRequest("the request does not begin with CONNECT HOST:PORT HTTP/1.1")
	case method != http.MethodConnect:
		return head{}, errMethod
	}
	h := head{target: strings.Clone(target)}
	user := ""
	seen := map[string]bool{}
	for _, line := range lines[1:] {
		name, value, ok := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		if !ok || !isToken(name) || !isText(value) {
			return head{}, badRequest("a header of the request is not NAME: VALUE of printable characters")
		}
		name = http.CanonicalHeaderKey(name)
		switch name {
		case HeaderCluster:
			h.asked.Cluster = strings.Clone(value)
		case HeaderNode:
			h.asked.Node = strings.Clone(value)
		case "Proxy-Authorization":
			var err error
			if user, err = proxyUser(value); err != nil {
				return head{}, err
			}
		case "Host":
			if !isHostField(value) {
				return head{}, badRequest("the header Host is not HOST or HOST:PORT")
			}
		case "Content-Length":
			if value != "0" {
				return head{}, badRequest("the request has a body: CONNECT has none")
			}
		case "Transfer-Encoding":
			return head{}, badRequest("the request has a body: CONNECT has none")
		default:
			continue
		}
		if seen[name] || value == "" {
			return head{}, badRequest("the header %s is there twice, or empty", name)
		}
		seen[name] = true
	}
	if version == "HTTP/1.1" && !seen["Host"] {
		return head{}, badRequest("the request has no header Host, which HTTP/1.1 needs: what it says is not read")
	}
	if user != "" {
		if h.asked.Cluster != "" && h.asked.Cluster != user {
			return head{}, badRequest("the user of the proxy's URL says the cluster %q, and the header %s says another", user, HeaderCluster)
		}
		h.asked.Cluster = user
	}
	return h, nil
}

// proxyUser is the user of a proxy's URL, which clients send as RFC 7617 has it: the name of a cluster. There is no password: who
// a client is says its certificate, and a secret that is sent here is sent to the wrong place.
func proxyUser(value string) (string, error) {
	scheme, encoded, _ := strings.Cut(value, " ")
	decoded, err := base64.StdEncoding.DecodeString(strings.Trim(encoded, " "))
	user, password, _ := strings.Cut(string(decoded), ":")
	switch {
	case !strings.EqualFold(scheme, "Basic") || err != nil:
		return "", badRequest("the header Proxy-Authorization is not that of https://CLUSTER@PROXY: who a client is says its certificate")
	case password != "":
		return "", badRequest("the proxy's URL has a password: https://CLUSTER@PROXY is allowed, and who a client is says its certificate")
	}
	if err := (tunnel.Name{Cluster: user}).Validate(); err != nil {
		return "", badRequest("the user of the proxy's URL: %s", err)
	}
	return user, nil
}

// isToken reports whether a text is a name of HTTP: see RFC 9110, 5.6.2.
func isToken(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	}) < 0
}

// isGraphic reports whether a text has only visible characters of ASCII.
func isGraphic(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// isHostField reports whether a text may be a host, with a port or without: see RFC 9110, 7.2, and RFC 3986, 3.2.2. Names with commas, which could be
// two headers in one, are none.
func isHostField(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._~%:[]", r))
	}) < 0
}

// isText reports whether a text has no control characters but tabs. Bytes beyond ASCII are allowed, as HTTP has it.
func isText(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) < 0
}
