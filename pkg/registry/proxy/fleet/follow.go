package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// quiet is how long a member's watch may say nothing before it is begun anew: API servers send
// bookmarks every minute.
const quiet = 5 * time.Minute

// follower brings one member's objects into a watch: first those that the client has not seen, then
// changes from there on, from however many watches of the member.
type follower struct {
	*watching
	name   string
	cancel context.CancelFunc

	// Guarded by watching.mu:
	member Member
	// version up to which the client has seen everything; 0: it has not, and is shown all first.
	version uint64
	// hasBegun: the member has answered. problem is why not, or not any more.
	hasBegun bool
	problem  *failure
	// listed: the client has seen what there was. shownSome: it has seen something of that.
	listed, shownSome bool
	// kind and version of objects, as the member says.
	kind string

	// Of its goroutine alone:
	source  *source // the list that is under way
	columns []column
	layout  layout
	sheet   *sheet
	line    []byte
}

// newFollower goes on from a version. t.mu is held.
func newFollower(t *watching, m Member, version uint64) *follower {
	f := &follower{watching: t, name: m.Name, member: m, version: version, listed: version != 0}
	if version == partly {
		f.version, f.listed = 0, false
		t.expired = failed(m.Name, http.StatusGone, "it has come back, after it had shown only some of its objects")
		t.stir()
	}
	return f
}

// run follows the member until ctx ends, or the client has to list anew.
func (f *follower) run(ctx context.Context) {
	wait := f.config.Retry
	for {
		begun := time.Now()
		problem := f.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if problem != nil && f.fatal(ctx, problem) {
			f.expire(problem)
			return
		}
		f.report(problem)
		if problem == nil && time.Since(begun) > f.config.Retry {
			wait = f.config.Retry
			continue
		}
		if time.Since(begun) > f.config.RetryAtMost {
			wait = f.config.Retry
		}
		if pause(ctx, wait) != nil {
			return
		}
		wait = min(2*wait, f.config.RetryAtMost)
	}
}

// once lists if need be, and watches until that ends; nil if it ended as watches do.
func (f *follower) once(ctx context.Context) *failure {
	if !f.listed { // only this goroutine writes it
		if problem := f.list(ctx); problem != nil {
			return problem
		}
	}
	if f.version == 0 {
		return failed(f.name, http.StatusServiceUnavailable, "its objects have no versions that can be watched")
	}
	return f.watch(ctx, f.version)
}

// report says that the member has begun, or why not.
func (f *follower) report(problem *failure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.problem = problem; problem == nil {
		f.hasBegun = true
	}
	f.stir()
}

// expire has the client list anew: that is the only way to tell it what is not there any more,
// without keeping the names of all objects for each watch.
func (f *follower) expire(problem *failure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hasBegun = true
	if f.expired == nil {
		f.expired = problem
	}
	f.stir()
}

// fatal reports whether the member cannot go on from where the client is. A member that does not
// even take the version that it has just said is broken in another way, and must not have clients
// list for ever.
func (f *follower) fatal(ctx context.Context, problem *failure) bool {
	if problem.ahead {
		return true
	}
	if problem.code != http.StatusGone || ctx.Err() != nil {
		return false
	}
	probe := f.call.source(f.current())
	probe.limit = 1
	if probe.accept(probe.fetch(ctx, "", "", 1)) != nil {
		return true
	}
	response, failure := f.openWatch(ctx, parseVersion(probe.version))
	if failure != nil {
		return failure.code != http.StatusGone
	}
	defer response.end()
	kind, _, err := response.next(2 * f.config.Slow)
	return err != nil || kind != "ERROR"
}

// current is the member with its latest credentials.
func (f *follower) current() Member {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.member
}

// list shows all there is. It takes up a list where it failed: what was shown stays true then, since
// all pages are of one version, from which the watch goes on.
func (f *follower) list(ctx context.Context) *failure {
	if f.source == nil {
		s := f.call.source(f.current())
		if problem := s.open(ctx); problem != nil {
			return problem
		}
		f.source = s
	} else {
		f.source.member = f.current()
		if problem := f.source.settle(ctx); problem != nil {
			return f.restart(problem)
		}
	}
	f.report(nil)
	for f.source.head() != nil {
		if problem := f.showPage(ctx); problem != nil {
			return problem
		}
		if problem := f.source.settle(ctx); problem != nil {
			return f.restart(problem)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known(f.source.kind + " " + f.source.apiVersion)
	f.listed, f.version = true, parseVersion(f.source.version)
	f.see(f.version)
	f.source.end()
	f.source = nil
	f.stir()
	return nil
}

// restart forgets a list that cannot go on, if nothing of it was shown.
func (f *follower) restart(problem *failure) *failure {
	if problem.code == http.StatusGone && !f.shownSome {
		f.source = nil
		problem.code = http.StatusServiceUnavailable
	}
	return problem
}

// showPage shows what is left of a page.
func (f *follower) showPage(ctx context.Context) *failure {
	s := f.source
	if s.page.columns != nil {
		f.columns = s.page.columns
	}
	for ; s.head() != nil; s.at++ {
		if problem := f.show(ctx, "ADDED", s, s.head(), 0); problem != nil {
			return problem
		}
	}
	return nil
}

// show sends one object. version is that of the event; 0 while the member lists.
func (f *follower) show(ctx context.Context, what string, s *source, i *item, version uint64) *failure {
	select {
	case <-ctx.Done():
		return f.unanswered(ctx, f.name, ctx.Err())
	case <-f.begun:
	}
	kind, apiVersion := cmp.Or(i.kind, s.kind), cmp.Or(i.apiVersion, s.apiVersion)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.form == formWhole {
		if most := f.known(kind + " " + apiVersion); most != kind+" "+apiVersion {
			return failed(f.name, http.StatusServiceUnavailable, "it sent a %.100s, and other clusters a %.100s", kind, most)
		}
	}
	f.line = append(append(append(f.line[:0], `{"type":"`...), what...), `","object":`...)
	switch {
	case f.form == formTable:
		f.line = f.appendTable(f.line, s, i)
	case f.form == formPartial && kind != partialKind:
		f.line = i.appendPartial(f.line, s.note)
	default:
		f.line = i.appendTo(f.line, s.note, kind, apiVersion)
	}
	f.line = append(f.line, "}\n"...)
	f.write(f.line)
	if version == 0 {
		f.shownSome = true
	} else {
		f.version = version
		f.see(version)
	}
	return nil
}

// known notes the kind that the member says, and returns what most say. watching.mu is held.
func (f *follower) known(kind string) string {
	if kind := strings.TrimSpace(kind); kind == "" || f.form != formWhole {
		return f.watching.kind()
	}
	if f.kind == "" {
		f.kind = kind
		f.kinds = append(f.kinds, kind)
	}
	return f.watching.kind()
}

func split(kind string) (name, apiVersion string) {
	name, apiVersion, _ = strings.Cut(kind, " ")
	return name, apiVersion
}

// see notes up to where the client has seen all of the member. watching.mu is held.
func (f *follower) see(version uint64) {
	if h := hash(f.name); version != 0 && f.seen[h] != version {
		f.seen[h] = version
		f.soil()
	}
}

// appendTable appends a table with one row. The columns come with it if the client does not know
// them. watching.mu is held.
func (f *follower) appendTable(dst []byte, s *source, i *item) []byte {
	columns := unite(f.watching.columns, f.columns)
	news := !slices.EqualFunc(columns, f.watching.columns, column.equal)
	f.watching.columns = columns
	if f.sheet == nil || !slices.EqualFunc(f.sheet.columns, columns, column.equal) {
		f.sheet = newSheet(columns, f.query)
	}
	f.layout = f.sheet.layout(f.columns)
	dst = append(dst, `{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":`+quote(i.version)+`},"columnDefinitions":`...)
	if news {
		dst = f.sheet.appendColumns(dst)
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"rows":[`...)
	return append(f.sheet.appendRow(dst, i, f.layout, s), "]}"...)
}

// stream is a watch of a member.
type stream struct {
	name     string
	patience *patience
	response *http.Response
	decoder  *json.Decoder
	left     int64 // how many bytes the next event may have
	most     int64
}

func (s *stream) Read(p []byte) (int, error) {
	if s.left <= 0 {
		return 0, fmt.Errorf("an event in its watch is longer than %d MiB", s.most>>20)
	}
	n, err := s.response.Body.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	return n, err
}

// openWatch begins a watch of the member.
func (f *follower) openWatch(ctx context.Context, version uint64) (*stream, *failure) {
	query := f.selectors()
	query.Set("watch", "true")
	query.Set("allowWatchBookmarks", "true")
	query.Set("resourceVersion", strconv.FormatUint(version, 10))
	leave, err := f.enter(ctx)
	if err != nil {
		return nil, f.unanswered(ctx, f.name, err)
	}
	defer leave()
	// Some servers send nothing at all before the first event.
	p := waiting(ctx, quiet, &errSlow{"its watch has said nothing for too long"})
	response, err := f.send(p, f.current(), f.path, query, http.Header{"Accept": {f.form.ask(verbWatch)}})
	if err != nil {
		p.end()
		return nil, f.unanswered(p, f.name, err)
	}
	if response.StatusCode != http.StatusOK {
		body, _ := readAll(response, maxRefusalBytes, nil)
		closeBody(response)
		p.end()
		return nil, refusal(f.name, response.StatusCode, body)
	}
	s := &stream{name: f.name, patience: p, response: response, most: f.config.EventBytes}
	s.decoder = json.NewDecoder(s)
	return s, nil
}

// maxRefusalBytes is how long a Status may be.
const maxRefusalBytes = 1 << 20

func (s *stream) end() {
	s.patience.end()
	_ = s.response.Body.Close()
}

// next returns the type and the object of the next event.
func (s *stream) next(within time.Duration) (what string, object []byte, err error) {
	s.patience.timer.Reset(within)
	s.left = s.most
	var raw json.RawMessage
	if err := s.decoder.Decode(&raw); err != nil {
		return "", nil, err
	}
	scan := &scanner{data: raw}
	err = scan.object(func(key []byte) (err error) {
		var value span
		switch string(key) {
		case "type":
			what, err = word(scan)
		case "object":
			value, err = scan.spanOf()
			object = value.of(raw)
		default:
			err = scan.value()
		}
		return err
	})
	return what, object, err
}

// watch passes on events from a version, until the member's watch ends.
func (f *follower) watch(ctx context.Context, version uint64) *failure {
	s, problem := f.openWatch(ctx, version)
	if problem != nil {
		return problem
	}
	defer s.end()
	f.report(nil)
	origin := f.call.source(f.current())
	for {
		what, object, err := s.next(quiet)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return f.unanswered(s.patience, f.name, err)
		}
		if problem := f.pass(ctx, origin, what, object); problem != nil {
			return problem
		}
	}
}

// pass passes on one event.
func (f *follower) pass(ctx context.Context, origin *source, what string, data []byte) *failure {
	switch what {
	case "ERROR":
		return refusal(f.name, http.StatusServiceUnavailable, data).withCode(data)
	case "BOOKMARK":
		f.passBookmark(data)
		return nil
	case "ADDED", "MODIFIED", "DELETED":
	default:
		return failed(f.name, http.StatusServiceUnavailable, "its watch sent an event of the type %.50q", what)
	}
	p, err := f.scanEvent(data)
	if err != nil {
		return failed(f.name, http.StatusServiceUnavailable, "its watch cannot be read: %v", err)
	}
	origin.converted = p.converted
	if p.columns != nil {
		f.columns = p.columns
	}
	if f.form == formTable && f.columns == nil {
		return failed(f.name, http.StatusServiceUnavailable, "its watch sent a row before it said the columns")
	}
	for i := range p.items {
		version := parseVersion(p.items[i].version)
		if version == 0 {
			version = parseVersion(p.version)
		}
		if version == 0 {
			return failed(f.name, http.StatusServiceUnavailable, "its watch sent an object without a version")
		}
		if problem := f.show(ctx, what, origin, &p.items[i], version); problem != nil {
			return problem
		}
	}
	return nil
}

// passBookmark notes up to where the member has shown everything. API servers say the columns of
// tables in the first event of a watch alone, which is a bookmark if nothing happens for a minute.
func (f *follower) passBookmark(data []byte) {
	if f.form == formTable {
		if p, err := scanPage(data); err == nil && p.isTable() && p.columns != nil {
			f.columns = p.columns
		}
	}
	if version := scanVersion(data); version != 0 {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.version = version
		f.see(version)
	}
}

// scanEvent reads an object, or a table with one row.
func (f *follower) scanEvent(data []byte) (*page, error) {
	p, err := scanPage(data)
	if err != nil || !p.isTable() {
		o, err := scanObject(&scanner{data: data})
		if err != nil {
			return nil, err
		}
		p = &page{kind: o.kind + "List", apiVersion: o.apiVersion, version: o.version, items: []item{{object: o}}}
	} else if f.form != formTable {
		return nil, errors.New("it is a table, which was not asked for")
	}
	if f.form == formTable {
		p.tabulate()
	}
	return p, p.belong(f.namespace)
}

// scanVersion returns the version of a bookmark; 0 if it has none.
func scanVersion(data []byte) uint64 {
	var bookmark struct {
		Metadata struct {
			Version string `json:"resourceVersion"`
		} `json:"metadata"`
	}
	if json.Unmarshal(data, &bookmark) != nil {
		return 0
	}
	return parseVersion(bookmark.Metadata.Version)
}

// withCode takes the code from the Status itself, where it did not come with the answer.
func (f *failure) withCode(data []byte) *failure {
	var answer struct {
		Code int `json:"code"`
	}
	if json.Unmarshal(data, &answer) == nil && answer.Code >= 400 {
		f.code = answer.Code
	}
	return f
}
