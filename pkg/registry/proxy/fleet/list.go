package fleet

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// listing is a list that is being answered.
type listing struct {
	*call
	sources  []*source // by name
	failures failures
	// from is where the list goes on; nil at its beginning.
	from     *continuation
	versions versions
	sheet    *sheet // of tables
	layouts  map[*source]layout
}

func (c *call) list(ctx context.Context, w http.ResponseWriter) error {
	ctx, cancel := context.WithTimeout(ctx, c.config.List)
	defer cancel()
	l, err := c.plan()
	if err != nil {
		return err
	}
	if err := l.open(ctx); err != nil {
		return err
	}
	if c.bounded() {
		return l.chunk(ctx, w)
	}
	return l.stream(ctx, w)
}

// bounded: as API servers do, a list of any version is not cut into pieces.
func (c *call) bounded() bool { return c.limit > 0 && c.resourceVersion != "0" }

// plan decides who is asked, and from where.
func (c *call) plan() (*listing, error) {
	l := &listing{call: c, versions: versions{}}
	var wanted versions // nil: the latest
	if c.continuation != "" {
		return l, l.resume()
	}
	if c.resourceVersion != "" && c.resourceVersion != "0" {
		v, own, err := parseVersions(c.resourceVersion)
		if err != nil {
			return nil, err
		}
		// The latest version is never older than any that a client has seen.
		if c.match == string(metav1.ResourceVersionMatchExact) || c.match == "" && c.limit > 0 {
			if own {
				return nil, status(http.StatusGone, "the version is that of one cluster's object, and no list of the fleet can be made at it: list without resourceVersion")
			}
			wanted = v
		}
	}
	l.failures = slices.Clone(c.alike)
	for _, m := range c.members {
		if c.broken.recent(m.Name) && !c.bounded() {
			l.failures = append(l.failures, failed(m.Name, http.StatusServiceUnavailable, "it broke off a list a moment ago; a list with a limit shows it"))
			continue
		}
		s := c.source(m)
		if wanted != nil {
			version, known := wanted[hash(m.Name)]
			if !known {
				continue
			}
			s.version, s.exact = fmt.Sprint(version), true
		}
		l.sources = append(l.sources, s)
	}
	return l, nil
}

// source is the list of one member from its beginning.
func (c *call) source(m Member) *source {
	n := max(1, len(c.members))
	s := &source{call: c, member: m, note: note(m.Name), cluster: []byte(quote(m.Name))}
	s.most = max(1, min(c.config.Page, max(minPage, 20*c.config.Page/n)))
	s.limit = s.most
	if c.bounded() {
		s.growing, s.keeps, s.most = true, true, min(c.config.Page, c.limit)
		s.limit = min(s.most, max(2, (2*c.limit+n-1)/n))
	}
	return s
}

// resume takes up a list where its token says.
func (l *listing) resume() error {
	from, v, err := l.continued()
	if err != nil {
		return err
	}
	l.from, l.versions = from, v
	for _, p := range from.Pending {
		i := slices.IndexFunc(l.members, func(m Member) bool { return m.Name == p.Member })
		if i < 0 {
			continue // it left the scope: what is left is not the caller's to see
		}
		s := l.source(l.members[i])
		s.token = p.token()
		if p.Token == "" && p.Version != 0 {
			s.version, s.exact = fmt.Sprint(p.Version), true
		}
		s.shown = func(key string) bool {
			return cmp.Or(strings.Compare(key, from.Key), strings.Compare(s.member.Name, from.Cluster)) <= 0
		}
		l.sources = append(l.sources, s)
	}
	return nil
}

// open reads the first page of each, and leaves out who fails.
func (l *listing) open(ctx context.Context) error {
	failures := make([]*failure, len(l.sources))
	var all sync.WaitGroup
	for i, s := range l.sources {
		all.Go(func() { failures[i] = s.open(ctx) }) // ends with ctx
	}
	all.Wait()
	if l.from != nil {
		for _, f := range failures {
			if f != nil {
				return l.broken410(f)
			}
		}
		l.lay()
		return nil
	}
	var opened []*source
	for i, s := range l.sources {
		if failures[i] != nil {
			l.failures = append(l.failures, failures[i])
			continue
		}
		opened = append(opened, s)
	}
	l.sources = opened
	l.vote()
	slices.SortFunc(l.failures, func(a, b *failure) int { return strings.Compare(a.member, b.member) })
	if len(l.sources) == 0 {
		return l.failures.all(l.what())
	}
	l.date()
	l.lay()
	return nil
}

// date notes the versions of the members that are in the list.
func (l *listing) date() {
	for _, s := range l.sources {
		if version := parseVersion(s.version); version != 0 {
			l.versions[hash(s.member.Name)] = version
		}
	}
}

func (c *call) what() string {
	return fmt.Sprintf("%s of %s", c.groupResource(), cmp.Or(c.version, "v1"))
}

// vote leaves out members whose list is not of the kind that most of them have. Tables and
// metadata have one kind for all.
func (l *listing) vote() {
	if l.form != formWhole {
		return
	}
	kind := majority(l.sources, func(s *source) string { return s.page.apiVersion + " " + s.page.kind })
	l.sources = slices.DeleteFunc(l.sources, func(s *source) bool {
		if s.page.apiVersion+" "+s.page.kind == kind {
			return false
		}
		l.failures = append(l.failures, failed(s.member.Name, http.StatusServiceUnavailable,
			"it sent a %.100s of %.100s, and other clusters a %s", s.page.kind, s.page.apiVersion, kind))
		return true
	})
}

// majority returns what most say; of what as many say, what is said first.
func majority[T any](all []T, say func(T) string) string {
	count := map[string]int{}
	for _, one := range all {
		count[say(one)]++
	}
	best := ""
	for _, one := range all {
		if said := say(one); best == "" || count[said] > count[best] {
			best = said
		}
	}
	return best
}

// lay makes the columns of the table.
func (l *listing) lay() {
	if l.form != formTable {
		return
	}
	var all [][]column
	if l.from != nil {
		var before []column
		for _, raw := range l.from.Columns {
			columns, err := scanColumns(&scanner{data: slices.Concat([]byte("["), raw, []byte("]"))})
			if err == nil {
				before = append(before, columns...)
			}
		}
		all = append(all, before)
	}
	for _, s := range l.sources {
		all = append(all, s.page.columns)
	}
	l.sheet, l.layouts = newSheet(unite(all...), l.query), map[*source]layout{}
	for _, s := range l.sources {
		l.layouts[s] = l.sheet.layout(s.page.columns)
	}
}

// appendHead appends all that comes before the first object.
func (l *listing) appendHead(dst []byte, meta metav1.ListMeta) []byte {
	kind, apiVersion := tableKind, metaVersion
	switch {
	case l.form == formPartial:
		kind = partialKind + "List"
	case l.form == formWhole:
		kind, apiVersion = l.kind()
	}
	dst = append(dst, `{"kind":`+quote(kind)+`,"apiVersion":`+quote(apiVersion)+`,"metadata":`...)
	dst = append(dst, mustJSON(meta)...)
	if l.form == formTable {
		return append(l.sheet.appendColumns(append(dst, `,"columnDefinitions":`...)), `,"rows":[`...)
	}
	return append(dst, `,"items":[`...)
}

// kind of the list. Of a list that goes on, all of whose members have left, nobody knows it.
func (l *listing) kind() (kind, apiVersion string) {
	if len(l.sources) == 0 {
		return "List", "v1"
	}
	return l.sources[0].page.kind, l.sources[0].page.apiVersion
}

func (l *listing) appendItem(dst []byte, s *source, i *item) []byte {
	switch {
	case l.form == formTable:
		return l.sheet.appendRow(dst, i, l.layouts[s], s)
	case l.form == formPartial && i.kind != partialKind && s.kind != partialKind:
		return i.appendPartial(dst, s.note)
	}
	return i.appendTo(dst, s.note, "", "")
}

// answerBytes is how much of an answer is written at once.
const answerBytes = 64 << 10

// stream answers all there is. Once it has begun, a member that fails can only be told by an
// answer that has no end.
func (l *listing) stream(ctx context.Context, w http.ResponseWriter) error {
	out := l.beginAnswer(w, metav1.ListMeta{ResourceVersion: l.versions.String()})
	var one []byte
	m := newMerge(l.sources)
	for first := true; len(m) > 0; first = false {
		one = one[:0]
		if !first {
			one = append(one, ',')
		}
		s := m[0]
		if _, err := out.Write(l.appendItem(one, s, s.head())); err != nil {
			panic(http.ErrAbortHandler)
		}
		if f := s.step(ctx); f != nil {
			if ctx.Err() == nil {
				l.broken.note(f.member)
			}
			panic(http.ErrAbortHandler)
		}
		if s.head() == nil {
			s.end()
		}
		m.moved()
	}
	endAnswer(out)
	return nil
}

func (l *listing) beginAnswer(w http.ResponseWriter, meta metav1.ListMeta) *bufio.Writer {
	l.failures.warn(w.Header())
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	out := bufio.NewWriterSize(w, answerBytes)
	_, _ = out.Write(l.appendHead(nil, meta)) // the error is that of the next write
	return out
}

func endAnswer(out *bufio.Writer) {
	_, _ = out.WriteString("]}\n")
	if out.Flush() != nil {
		panic(http.ErrAbortHandler)
	}
}

// shown is an object that is answered.
type shown struct {
	*source
	*item
}

// chunk answers as many objects as the client wants. They are gathered before the answer begins,
// so that a member that fails meanwhile can be left out and named.
func (l *listing) chunk(ctx context.Context, w http.ResponseWriter) error {
	var answered []shown
	m := newMerge(l.sources)
	for len(m) > 0 && len(answered) < l.limit {
		s := m[0]
		answered = append(answered, shown{s, s.head()})
		f := s.step(ctx)
		if f == nil {
			m.moved()
			continue
		}
		if l.from != nil {
			return l.broken410(f)
		}
		m.drop()
		answered = slices.DeleteFunc(answered, func(a shown) bool { return a.source == s })
		if err := l.leaveOut(s, f); err != nil {
			return err
		}
	}
	meta, err := l.meta(m, answered)
	if err != nil {
		return err
	}
	out := l.beginAnswer(w, meta)
	var one []byte
	for i, a := range answered {
		if one = one[:0]; i > 0 {
			one = append(one, ',')
		}
		if _, err := out.Write(l.appendItem(one, a.source, a.item)); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	endAnswer(out)
	for _, s := range l.sources {
		s.end()
	}
	return nil
}

// leaveOut takes a member out of an answer that has not begun.
func (l *listing) leaveOut(s *source, f *failure) error {
	l.failures = append(l.failures, f)
	delete(l.versions, hash(s.member.Name))
	l.sources = slices.DeleteFunc(l.sources, func(other *source) bool { return other == s })
	if len(l.sources) == 0 {
		return l.failures.all(l.what())
	}
	return nil
}

// meta says what comes after a chunk.
func (l *listing) meta(m merge, answered []shown) (metav1.ListMeta, error) {
	meta := metav1.ListMeta{ResourceVersion: l.versions.String()}
	if len(m) == 0 {
		return meta, nil
	}
	last := answered[len(answered)-1]
	token, err := l.token(m, last.key, last.member.Name)
	if err != nil {
		return meta, err
	}
	meta.Continue, meta.RemainingItemCount = token, l.remaining(m)
	return meta, nil
}

// token to continue behind an object.
func (l *listing) token(m merge, key, cluster string) (string, error) {
	next := &continuation{About: l.about(), Key: key, Cluster: cluster, Versions: l.versions.bytes()}
	for _, s := range m {
		next.Pending = append(next.Pending, s.pending())
	}
	slices.SortFunc(next.Pending, func(a, b pending) int { return strings.Compare(a.Member, b.Member) })
	if l.sheet != nil && (l.from != nil && l.from.Columns != nil || !l.sameColumns()) {
		for _, c := range l.sheet.columns {
			next.Columns = append(next.Columns, json.RawMessage(c.raw))
		}
	}
	return next.encode()
}

// sameColumns reports whether all members have those of the table.
func (l *listing) sameColumns() bool {
	for _, s := range l.sources {
		if !slices.EqualFunc(s.page.columns, l.sheet.columns, column.equal) {
			return false
		}
	}
	return true
}

// pending says where the list of a member goes on.
func (s *source) pending() pending {
	p := pending{Member: s.member.Name}
	if s.token == "" {
		p.Version = parseVersion(s.version)
	} else {
		p.set(s.token)
	}
	return p
}

// remaining is how many objects are left, nil if some member does not say.
func (l *listing) remaining(m merge) *int64 {
	var n int64
	for _, s := range m {
		n += int64(len(s.page.items) - s.at)
		if s.page.next != "" && s.page.remaining == nil {
			return nil
		}
		if s.page.remaining != nil {
			n += *s.page.remaining
		}
	}
	return &n
}

// broken410 is the answer if a list cannot go on as it began. As API servers do, it has a token to
// go on nevertheless, with what there is now, or without the member.
func (l *listing) broken410(f *failure) error {
	expired := status(http.StatusGone, fmt.Sprintf("cluster %s cannot go on with this list: %s. "+
		"List anew, or go on with the token of this answer: what follows is not what there was when the list began.", f.member, f.reason))
	next := *l.from
	next.Pending = nil
	for _, p := range l.from.Pending {
		if p.Member != f.member {
			next.Pending = append(next.Pending, p)
		} else if f.code == http.StatusGone {
			p.Version = 0
			p.set(f.next)
			next.Pending = append(next.Pending, p)
		}
	}
	if token, err := next.encode(); err == nil {
		expired.ErrStatus.Continue = token
	}
	return expired
}

// broken are the members that have lately broken off an answer that had no way to say so.
type broken struct {
	mu    sync.Mutex
	until map[string]time.Time // guarded by mu
}

// brokenFor is how long such a member is left out of such answers.
const brokenFor = time.Minute

func (b *broken) note(member string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for name, until := range b.until {
		if until.Before(now) {
			delete(b.until, name)
		}
	}
	if b.until == nil {
		b.until = map[string]time.Time{}
	}
	b.until[member] = now.Add(brokenFor)
}

func (b *broken) recent(member string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Now().Before(b.until[member])
}
