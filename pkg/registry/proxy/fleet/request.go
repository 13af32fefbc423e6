package fleet

import (
	"fmt"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type verb int

const (
	verbGet verb = iota
	verbList
	verbWatch
	verbDiscovery // answered with what all members say
	verbFirst     // answered with what the first member says that answers
)

// query is what a request asks for.
type query struct {
	verb verb
	path []string

	group, version, resource, namespace, name string

	form   form
	accept []accepted // the Accept header, for documents
	// acceptText is the header itself, tag that of a document which the client has.
	acceptText, tag string
	raw             url.Values

	limit                        int
	continuation                 string
	resourceVersion, match       string
	bookmarks, initial, noObject bool
	timeout                      time.Duration // 0: not said
}

// parse reads a request, or says why it is refused.
func parse(r *http.Request, via string) (*query, error) {
	if r.Method != http.MethodGet {
		return nil, readOnly(via, "a "+r.Method)
	}
	path, err := segments(r.URL)
	if err != nil {
		return nil, err
	}
	q := &query{path: path, raw: r.URL.Query()}
	if err := q.locate(via); err != nil {
		return nil, err
	}
	if q.verb == verbFirst || q.verb == verbDiscovery {
		q.accept, q.acceptText, q.tag = parseAccept(r.Header), r.Header.Get("Accept"), r.Header.Get("If-None-Match")
		return q, nil
	}
	if q.form, err = negotiate(parseAccept(r.Header)); err != nil {
		return nil, err
	}
	return q, q.options()
}

func readOnly(via, what string) error {
	return status(http.StatusMethodNotAllowed, fmt.Sprintf(
		"the fleet is read only, and has whole objects only: %s goes to one cluster, through %s", what, fmt.Sprintf(via, "NAME")))
}

// segments splits a path. Nothing of it may be read in two ways by us and by a member.
func segments(u *url.URL) ([]string, error) {
	var path []string
	for part := range strings.SplitSeq(strings.Trim(u.EscapedPath(), "/"), "/") {
		segment, err := url.PathUnescape(part)
		if err != nil || segment == "" || segment == "." || segment == ".." || strings.ContainsAny(segment, "/\\%\x00") {
			return nil, status(http.StatusBadRequest, fmt.Sprintf("the path %.200q is not one of an API server", u.EscapedPath()))
		}
		path = append(path, segment)
	}
	return path, nil
}

// locate finds out what a path is about.
func (q *query) locate(via string) error {
	rest := q.path
	switch {
	case slices.Contains([]string{"version", "healthz", "livez", "readyz", "openapi"}, rest[0]):
		q.verb = verbFirst
		return nil
	case rest[0] == "api" && len(rest) <= 2, rest[0] == "apis" && len(rest) <= 3:
		q.verb = verbDiscovery
		return nil
	case rest[0] == "api":
		q.version, rest = rest[1], rest[2:]
	case rest[0] == "apis":
		q.group, q.version, rest = rest[1], rest[2], rest[3:]
	default:
		return status(http.StatusNotFound, fmt.Sprintf("the fleet does not serve /%s: it goes to one cluster, through %s", strings.Join(q.path, "/"), fmt.Sprintf(via, "NAME")))
	}
	if rest[0] == "namespaces" && len(rest) > 2 && rest[2] != "status" && rest[2] != "finalize" {
		q.namespace, rest = rest[1], rest[2:]
	}
	q.resource, q.verb = rest[0], verbList
	if len(rest) > 1 {
		q.name, q.verb = rest[1], verbGet
	}
	if len(rest) > 2 {
		return readOnly(via, fmt.Sprintf("a subresource (%s/%s)", q.resource, strings.Join(rest[2:], "/")))
	}
	if q.resource == "watch" && q.name != "" {
		return status(http.StatusNotFound, "the fleet does not serve paths with /watch/: a list with watch=true is the same")
	}
	return nil
}

// options reads the query of a get, list or watch.
func (q *query) options() error {
	flag := func(key string) bool {
		value, err := strconv.ParseBool(q.raw.Get(key))
		return q.raw.Has(key) && (value || q.raw.Get(key) == "" && err != nil)
	}
	number := func(key string) (int, error) {
		text := q.raw.Get(key)
		if text == "" {
			return 0, nil
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return 0, status(http.StatusBadRequest, fmt.Sprintf("%s is %.100q, and must be a number that is not negative", key, text))
		}
		return int(min(n, math.MaxInt32)), nil
	}
	var err error
	if q.limit, err = number("limit"); err != nil {
		return err
	}
	seconds, err := number("timeoutSeconds")
	if err != nil {
		return err
	}
	q.timeout = time.Duration(seconds) * time.Second
	q.continuation, q.resourceVersion, q.match = q.raw.Get("continue"), q.raw.Get("resourceVersion"), q.raw.Get("resourceVersionMatch")
	q.bookmarks, q.initial, q.noObject = flag("allowWatchBookmarks"), flag("sendInitialEvents"), q.raw.Get("includeObject") == string(metav1.IncludeNone)
	if q.verb == verbList && flag("watch") {
		q.verb = verbWatch
	}
	return q.versionOptions()
}

// versionOptions refuses what API servers refuse.
func (q *query) versionOptions() error {
	exact, notOlder := string(metav1.ResourceVersionMatchExact), string(metav1.ResourceVersionMatchNotOlderThan)
	bad := ""
	switch {
	case q.verb == verbGet:
	case q.verb == verbWatch && q.initial && q.match != notOlder:
		bad = "sendInitialEvents needs resourceVersionMatch=" + notOlder
	case q.verb == verbWatch && !q.initial && q.match != "":
		bad = "resourceVersionMatch is for watches with sendInitialEvents only"
	case q.verb == verbList && q.initial:
		bad = "sendInitialEvents is for watches only"
	case q.verb == verbList && q.match != "" && q.match != exact && q.match != notOlder:
		bad = fmt.Sprintf("resourceVersionMatch is %.100q, and must be %s or %s", q.match, exact, notOlder)
	case q.verb == verbList && q.match != "" && q.resourceVersion == "":
		bad = "resourceVersionMatch needs a resourceVersion"
	case q.verb == verbList && q.match == exact && q.resourceVersion == "0":
		bad = "resourceVersionMatch=Exact needs a resourceVersion that is not 0"
	case q.verb == verbList && q.continuation != "" && (q.match != "" || q.resourceVersion != "" && q.resourceVersion != "0"):
		bad = "resourceVersion and resourceVersionMatch cannot be used with continue"
	}
	if bad != "" {
		return status(http.StatusBadRequest, bad)
	}
	return nil
}

// selectors are what every member is asked.
func (q *query) selectors() url.Values {
	out := url.Values{}
	for _, key := range []string{"labelSelector", "fieldSelector"} {
		if value := q.raw.Get(key); value != "" {
			out.Set(key, value)
		}
	}
	if q.form == formTable && !q.noObject {
		if value := q.raw.Get("includeObject"); value != "" {
			out.Set("includeObject", value)
		}
	}
	return out
}

// form is how objects are answered.
type form int

const (
	formWhole form = iota
	formTable
	formPartial
)

// accepted is one media type of an Accept header.
type accepted struct {
	media      string
	parameters map[string]string
}

func parseAccept(header http.Header) []accepted {
	var out []accepted
	for part := range strings.SplitSeq(strings.Join(header.Values("Accept"), ","), ",") {
		media, parameters, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err == nil {
			out = append(out, accepted{media, parameters})
		}
	}
	return out
}

// negotiate takes the first form that there is. The encoding is always JSON, also for who asks for
// protobuf or CBOR: clients go by what the answer says.
func negotiate(accept []accepted) (form, error) {
	if len(accept) == 0 {
		return formWhole, nil
	}
	media := []string{"application/json", "*/*", "application/*", "application/vnd.kubernetes.protobuf", "application/cbor", "application/cbor-seq"}
	for _, a := range accept {
		as := a.parameters["as"]
		switch {
		case !slices.Contains(media, a.media):
		case as == "":
			return formWhole, nil
		case a.parameters["g"] != metav1.GroupName || a.parameters["v"] != "v1":
		case as == tableKind:
			return formTable, nil
		case as == partialKind || as == partialKind+"List":
			return formPartial, nil
		}
	}
	return 0, status(http.StatusNotAcceptable, "the fleet answers application/json only, of whole objects, tables and metadata of meta.k8s.io/v1")
}

// ask is the Accept header for members. One that does not know the form sends whole objects,
// which are brought into it here.
func (f form) ask(v verb) string {
	as := map[form]string{formTable: tableKind, formPartial: partialKind}[f]
	if as == "" {
		return "application/json"
	}
	if f == formPartial && v == verbList {
		as += "List"
	}
	return "application/json;as=" + as + ";v=v1;g=" + metav1.GroupName + ",application/json"
}
