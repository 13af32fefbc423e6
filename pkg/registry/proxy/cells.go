package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/registry/proxy/cellview"
	"github.com/koinon-io/koinon/pkg/registry/proxy/links"
	"github.com/koinon-io/koinon/pkg/registry/proxy/relay"
)

// Cell is where a cell is.
type Cell struct {
	Member, MemberNamespace string
}

// Cells find cells.
type Cells interface {
	// Cell returns where a cell is, or an error of the API: NotFound if there is none, Forbidden
	// with a sentence if it may not be there.
	Cell(ctx context.Context, namespace, name string) (*Cell, error)
	// Account returns the cell that a caller is the account of, if it is one.
	Account(caller user.Info) (namespace, cell string, is bool)
	// Revoked returns an error of the API if it is known that the credential by which the account of a
	// cell has called is good no more.
	Revoked(namespace, cell string, caller user.Info) error
	// HeldBack returns an error of the API if a mask keeps an object of the namespace in a cell as it
	// is; or the namespace itself, whose name is empty then. kind is that of the object.
	HeldBack(ctx context.Context, namespace, cell string, kind schema.GroupKind, name string) error
}

// CellREST serves cells/proxy: see package cellview.
type CellREST struct{ connecter }

var _ rest.Connecter = &CellREST{}

// CellProxy returns the storage of cells/proxy.
func (p *Proxies) CellProxy() *CellREST { return &CellREST{connecter{p}} }

// Connect returns what carries the request on to the cell's namespace in its member.
func (c *CellREST) Connect(ctx context.Context, name string, _ runtime.Object, _ rest.Responder) (http.Handler, error) {
	caller, to, err := asked(ctx)
	if err != nil {
		return nil, err
	}
	namespace := request.NamespaceValue(ctx)
	controller, err := c.proxies.ownCell(caller, namespace, name)
	if err != nil {
		return nil, err
	}
	cell, err := c.proxies.Cells.Cell(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	link, err := c.proxies.Links.To(ctx, cell.Member)
	if err != nil {
		return nil, ofCell(namespace, name, cell.Member, err)
	}
	view := cellview.View{Namespace: namespace, MemberNamespace: cell.MemberNamespace, Cell: name, Controller: controller}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := c.proxies.mayUpgrade(r, caller); err != nil {
			c.proxies.fail(w, r, err)
			return
		}
		there, stop := c.proxies.whileThere(r.Context(), place{namespace: namespace, name: name, cell: *cell, caller: caller, controller: controller})
		defer stop()
		sent := relay.Request{
			Cluster: cell.Member, Link: link, Prefix: to.prefix, Path: to.path, RawQuery: to.rawQuery, Caller: caller,
			While: there, Reticent: true,
		}
		if controller && c.answersNothing(w, r, view, link, sent) {
			return
		}
		sent.Map = func(r *http.Request, sent *relay.Request) (*http.Request, error) {
			defer c.proxies.bodySoon(w)()
			return c.mapRequest(view, link, r, sent)
		}
		c.proxies.relay.Serve(w, r, sent)
	}), nil
}

// ownCell reports whether a caller is the account of a cell. The account of another cell is refused,
// whatever rights somebody has given to it, or to all accounts.
func (p *Proxies) ownCell(caller user.Info, namespace, name string) (own bool, err error) {
	itsNamespace, its, is := p.Cells.Account(caller)
	if !is {
		return false, nil
	}
	if itsNamespace != namespace || its != name {
		return false, apierrors.NewForbidden(v1alpha1.Resource("cells/proxy"), name, fmt.Errorf("you are the account of cell %q of namespace %q, which may use no other cell", its, itsNamespace))
	}
	return true, p.Cells.Revoked(namespace, name, caller)
}

// noCell refuses the account of a cell what is not the endpoint of its cell: in a member it may still have rights
// where the cell was before, and there is no mask.
func (p *Proxies) noCell(caller user.Info, resource, name string) error {
	namespace, cell, is := p.Cells.Account(caller)
	if !is {
		return nil
	}
	return apierrors.NewForbidden(v1alpha1.Resource(resource+"/"+Subresource), name, fmt.Errorf("you are the account of cell %q of namespace %q, which may use the endpoint of this cell only", cell, namespace))
}

// bodyTimeout is how long a body that is read whole may take to come.
const bodyTimeout = time.Minute

// bodySoon has reading of a request end in some time, until it is called off. What cannot be bounded
// in that way is not.
func (p *Proxies) bodySoon(w http.ResponseWriter) (callOff func()) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(p.bodyTimeout))
	return func() { _ = control.SetReadDeadline(time.Time{}) }
}

// mapRequest makes of a request to a cell one to its member.
func (c *CellREST) mapRequest(view cellview.View, link *links.Link, r *http.Request, sent *relay.Request) (*http.Request, error) {
	header, body := r.Header, io.Reader(r.Body)
	if !relay.IsInner(sent.Path) {
		var err error
		if header, body, err = asJSON(header, body); err != nil {
			return nil, err
		}
	}
	scopes := c.proxies.scopes.of(r.Context(), link, sent.Caller)
	mapped, err := view.Request(cellview.Request{
		Method: r.Method, URL: &url.URL{Path: unescaped(sent.Path), RawPath: sent.Path, RawQuery: sent.RawQuery}, Header: header, Body: body,
	}, scopes)
	if err = errors.Join(scopes.err, err); err != nil {
		return nil, firstStatus(err)
	}
	if view.Controller && mapped.Writes != nil {
		kind := schema.GroupKind{Group: mapped.Writes.Resource.Group, Kind: scopes.kind(mapped.Writes.Resource)}
		if kind.Kind == "" {
			return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("cluster %q does not say of what kind %s are, so that it is not known what a mask keeps as it is", sent.Cluster, mapped.Writes.Resource.GroupResource()))
		}
		if err := c.proxies.Cells.HeldBack(r.Context(), view.Namespace, view.Cell, kind, mapped.Writes.Name); err != nil {
			return nil, err
		}
	}
	inner := r.Clone(r.Context())
	inner.Header = mapped.Header
	if !mapped.Stream {
		inner.Body, inner.ContentLength = io.NopCloser(bytes.NewReader(mapped.Body)), int64(len(mapped.Body))
	}
	sent.Path, sent.RawQuery = mapped.Path, mapped.RawQuery
	sent.Answer = func(answer *http.Response) error { return mapAnswer(answer, mapped.Answer, sent.Prefix) }
	return inner, nil
}

// ofCell says of an error of a member which cell it is about. Whoever has rights in a cell need have
// none to ask for members, and is not told of their addresses and Secrets.
func ofCell(namespace, name, member string, err error) error {
	switch {
	case apierrors.IsNotFound(err):
		return apierrors.NewServiceUnavailable(fmt.Sprintf("cell %q of namespace %q: there is no cluster %q", name, namespace, member))
	case apierrors.IsServiceUnavailable(err):
		told := apierrors.NewServiceUnavailable(fmt.Sprintf("cell %q of namespace %q: its cluster %q cannot be reached; clusters/%s/proxy tells why those who may use it", name, namespace, member, member))
		if seconds, ok := apierrors.SuggestsClientDelay(err); ok {
			told.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: int32(seconds)}
		}
		return told
	}
	return err
}

// firstStatus returns the first error that is one of the API.
func firstStatus(err error) error {
	var status *apierrors.StatusError
	if errors.As(err, &status) {
		return status
	}
	return apierrors.NewBadRequest(err.Error())
}

// unescaped is a path without escapes; CheckPath has found that they mean something.
func unescaped(path string) string {
	if plain, err := url.PathUnescape(path); err == nil {
		return plain
	}
	return path
}

// mapAnswer has the body of an answer mapped while it is read. What cannot be mapped from its
// beginning is refused; a watch begins with its header. prefix is the path under which clients see the cell.
func mapAnswer(answer *http.Response, mapping cellview.Answer, prefix string) error {
	err := mapped(answer, mapping, prefix)
	for _, of := range []error{cellview.ErrForeign, cellview.ErrMalformed, cellview.ErrTooLarge, cellview.ErrNotJSON} {
		if errors.Is(err, of) {
			return &relay.Refused{Problem: err.Error()}
		}
	}
	return err
}

func mapped(answer *http.Response, mapping cellview.Answer, prefix string) error {
	if err := mapLocation(answer, mapping, prefix); err != nil {
		return err
	}
	for i, warning := range answer.Header["Warning"] {
		answer.Header["Warning"][i] = mapping.Text(warning)
	}
	if mapping.Untouched() || answer.StatusCode == http.StatusNotModified || answer.Request != nil && answer.Request.Method == http.MethodHead {
		return nil
	}
	if encoding := answer.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return fmt.Errorf("%w: it is encoded as %q, which was not asked for", cellview.ErrNotJSON, encoding)
	}
	size := mappedChunk
	if goesOn(answer) {
		size = ongoingChunk
	}
	body := &mappedBody{from: answer.Body, chunk: make([]byte, size)}
	var err error
	if body.mapping, err = mapping.Writer(&body.mapped, answer.StatusCode, answer.Header.Get("Content-Type")); err != nil {
		return err
	}
	answer.Body, answer.ContentLength = body, -1
	answer.Header.Del("Content-Length")
	if goesOn(answer) {
		return nil // its header is awaited before there is anything else
	}
	return body.begin()
}

// mapLocation has an answer that leads elsewhere lead to the same in the cell, or refuses it: it names the
// member's namespace.
func mapLocation(answer *http.Response, mapping cellview.Answer, prefix string) error {
	given := answer.Header.Get("Location")
	answer.Header.Del("Location")
	base := url.URL{Path: prefix}
	location, err := url.Parse(given)
	if err == nil {
		inMember, _ := strings.CutPrefix(location.EscapedPath(), base.EscapedPath())
		if path, ok := mapping.Location(inMember); ok {
			location.RawPath = base.EscapedPath() + path
			location.Path = unescaped(location.RawPath)
			answer.Header.Set("Location", location.String())
			return nil
		}
	}
	if answer.StatusCode >= 300 && answer.StatusCode < 400 && answer.StatusCode != http.StatusNotModified {
		return relay.ErrRedirect
	}
	return nil
}

// goesOn reports whether an answer comes in pieces that may be long in coming: a watch, or a log.
func goesOn(answer *http.Response) bool {
	if media, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type")); err != nil || media != runtime.ContentTypeJSON {
		return true
	}
	return answer.Request != nil && (answer.Request.URL.Query().Has("watch") || strings.Contains(answer.Request.URL.Path, "/watch/"))
}

// mappedChunk is how much of an answer is mapped at once, and ongoingChunk of one that goes on: there may be
// thousands, in which little happens.
const mappedChunk, ongoingChunk = 64 << 10, 4 << 10

// mappedBody is a body that is mapped while it is read.
type mappedBody struct {
	from    io.ReadCloser
	chunk   []byte
	mapping io.WriteCloser
	mapped  bytes.Buffer // what mapping has written and nobody has read
	err     error        // after mapped
}

// Read implements io.Reader.
func (b *mappedBody) Read(p []byte) (int, error) {
	if err := b.begin(); err != nil && b.mapped.Len() == 0 {
		return 0, err
	}
	if b.mapped.Len() == 0 {
		return 0, b.err
	}
	return b.mapped.Read(p)
}

// begin reads until there is something mapped, or the end. It returns an error that is no end.
func (b *mappedBody) begin() error {
	for b.mapped.Len() == 0 && b.err == nil {
		n, err := b.from.Read(b.chunk)
		if n > 0 {
			if _, b.err = b.mapping.Write(b.chunk[:n]); b.err != nil {
				return b.err
			}
		}
		if err == io.EOF {
			if b.err = b.mapping.Close(); b.err == nil {
				b.err = io.EOF
			}
		} else if err != nil {
			b.err = err
		}
	}
	if b.err == io.EOF {
		return nil
	}
	return b.err
}

// Close implements io.Closer.
func (b *mappedBody) Close() error { return b.from.Close() }
