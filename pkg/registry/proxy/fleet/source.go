package fleet

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// attempts is how often a page is asked for that did not come: asking again changes nothing.
	attempts        = 3
	betweenAttempts = 100 * time.Millisecond
	// maxEmptyPages is how many pages in a row may have nothing but a token.
	maxEmptyPages = 16
	// minPage is the least number of objects that pages shrink to because of their bytes.
	minPage = 8
)

// source is the list of one member, page by page. It is for one goroutine.
type source struct {
	*call
	member Member
	note   []byte
	// cluster is the name as JSON.
	cluster []byte
	// kind and apiVersion of objects; "" until the first page is there, and for tables.
	kind, apiVersion string
	// converted: the member sends no tables.
	converted bool
	// token of the page; "" for the first one.
	token string
	// version of the list; "" until the first page is there. If exact, pages are asked for at it.
	version string
	exact   bool
	// shown is whether a key was answered before this list went on: those of it are skipped.
	shown func(key string) bool
	page  *page
	at    int // in the page
	// last is the key of the last object of the page before.
	last  string
	limit int
	most  int // what limit may grow to
	empty int // pages in a row
	// ahead is the next page on its way, nil if none is asked for.
	ahead chan fetched
	// growing: pages begin small, since few objects of each member are wanted.
	growing bool
	// keeps: objects of pages before are still to be written. They are in kept.
	keeps bool
	kept  []*page
}

// let is called with a page that was gone through.
func (s *source) let(p *page) {
	switch {
	case p == nil:
	case s.keeps:
		s.kept = append(s.kept, p)
	default:
		s.release(p)
	}
}

// end is called when nothing of the source is used any more.
func (s *source) end() {
	for _, p := range append(s.kept, s.page) {
		if p != nil {
			s.release(p)
		}
	}
	s.page, s.kept = nil, nil
}

type fetched struct {
	page  *page
	limit int
	*failure
}

// head is the next object, nil at the end.
func (s *source) head() *item {
	if s.page == nil || s.at >= len(s.page.items) {
		return nil
	}
	return &s.page.items[s.at]
}

// open reads the first page, or the one in which the list goes on.
func (s *source) open(ctx context.Context) *failure {
	return s.take(ctx, s.fetch(ctx, s.token, s.last, s.limit))
}

// step goes on to the next object, and reads pages as needed.
func (s *source) step(ctx context.Context) *failure {
	s.at++
	if s.ahead == nil && s.page.next != "" && s.at*2 >= len(s.page.items) {
		s.prefetch(ctx)
	}
	return s.settle(ctx)
}

// prefetch begins to read the next page, so that merging need not wait for each member in turn.
func (s *source) prefetch(ctx context.Context) {
	ahead := make(chan fetched, 1)
	s.ahead = ahead
	token, limit, last := s.page.next, s.nextLimit(), s.lastOfPage()
	go func() { ahead <- s.fetch(ctx, token, last, limit) }() // ends with the request, which ends with ctx
}

func (s *source) lastOfPage() string {
	if n := len(s.page.items); n > 0 {
		return s.page.items[n-1].key
	}
	return s.last
}

// settle stands at an object that was not shown before, or at the end.
func (s *source) settle(ctx context.Context) *failure {
	for {
		for s.at < len(s.page.items) && s.shown != nil && s.shown(s.page.items[s.at].key) {
			s.at++
		}
		if s.at < len(s.page.items) || s.page.next == "" {
			return nil
		}
		if s.ahead == nil {
			s.prefetch(ctx)
		}
		last, next := s.lastOfPage(), s.page.next
		select {
		case <-ctx.Done():
			return s.unanswered(ctx, s.member.Name, ctx.Err())
		case got := <-s.ahead:
			s.ahead, s.last, s.token = nil, last, next
			if f := s.accept(got); f != nil {
				return f
			}
		}
	}
}

func (s *source) take(ctx context.Context, got fetched) *failure {
	if f := s.accept(got); f != nil {
		return f
	}
	return s.settle(ctx)
}

// accept makes a page that came the present one.
func (s *source) accept(got fetched) *failure {
	if got.failure != nil {
		return got.failure
	}
	if s.form == formTable {
		got.page.tabulate()
	}
	if s.version == "" {
		s.version = got.page.version
	}
	if s.page != nil && (s.page.kind != got.page.kind || s.page.apiVersion != got.page.apiVersion) {
		return failed(s.member.Name, http.StatusServiceUnavailable, "its list changed from %.100s to %.100s", s.page.kind, got.page.kind)
	}
	s.let(s.page)
	s.page, s.at, s.limit = got.page, 0, got.limit
	s.converted = got.page.converted
	if s.kind = got.page.itemKind(); s.kind != "" {
		s.apiVersion = got.page.apiVersion
	}
	if len(got.page.items) > 0 {
		s.empty = 0
	} else if s.empty++; s.empty > maxEmptyPages && got.page.next != "" {
		return failed(s.member.Name, http.StatusServiceUnavailable, "its list has no end: %d empty pages came in a row", maxEmptyPages)
	}
	return nil
}

// nextLimit is how many objects the next page should have: fewer if they are large, twice as many
// if those of a short answer were not enough.
func (s *source) nextLimit() int {
	limit := s.most
	if s.growing {
		limit = min(s.most, 2*s.limit)
	}
	if n := len(s.page.items); n > 0 {
		each := max(1, len(s.page.data)/n)
		pages := 2 * max(1, len(s.members)) // of each the present one, and the next on its way
		limit = min(limit, max(minPage, s.config.PagesBytes/pages/each))
	}
	return max(1, limit)
}

// fetch reads one page, behind a key. It asks again if there is none, and for fewer objects if
// they are too many bytes.
func (s *source) fetch(ctx context.Context, token, last string, limit int) fetched {
	for attempt := 1; ; attempt++ {
		p, f := s.read(ctx, token, last, limit)
		switch {
		case f == nil:
			return fetched{p, limit, nil}
		case f.reason == s.tooLong().reason && limit > 1:
			limit, attempt = max(1, limit/8), 0
		case attempt == attempts || token == "" || f.code < 500 && f.code != http.StatusTooManyRequests:
			return fetched{nil, limit, f}
		case pause(ctx, time.Duration(attempt)*betweenAttempts) != nil:
			return fetched{nil, limit, f}
		}
	}
}

// pause waits, or returns an error if ctx ended first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func (s *source) tooLong() *failure {
	return s.unanswered(context.Background(), s.member.Name, errTooLong)
}

func (s *source) read(ctx context.Context, token, last string, limit int) (*page, *failure) {
	query := s.selectors()
	if limit > 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	switch {
	case token != "":
		query.Set("continue", token)
	case s.exact && s.version != "":
		query.Set("resourceVersion", s.version)
		query.Set("resourceVersionMatch", string(metav1.ResourceVersionMatchExact))
	}
	p, f := s.readPage(ctx, s.member, query)
	if f != nil {
		return nil, f
	}
	if err := s.check(p, token, last); err != nil {
		return nil, failed(s.member.Name, http.StatusServiceUnavailable, "%v", err)
	}
	return p, nil
}

// readPage asks a member for a list.
func (c *call) readPage(ctx context.Context, m Member, query url.Values) (*page, *failure) {
	header := http.Header{"Accept": {c.form.ask(verbList)}}
	a, f := c.ask(ctx, m, c.path, query, header)
	if f != nil {
		return nil, f
	}
	if a.code != http.StatusOK {
		return nil, refusal(m.Name, a.code, a.body)
	}
	p, err := scanPage(a.body)
	if err != nil {
		return nil, failed(m.Name, http.StatusServiceUnavailable, "its list cannot be read: %v", err)
	}
	return p, nil
}

// check finds out whether a page can be true.
func (s *source) check(p *page, token, last string) error {
	switch {
	case len(p.next) > maxMemberTokenBytes:
		return fmt.Errorf("its token to continue a list has %d bytes, and may have %d", len(p.next), maxMemberTokenBytes)
	case p.next != "" && p.next == token:
		return fmt.Errorf("its list has no end: it says to continue where the page began")
	}
	return cmp.Or(p.belong(s.namespace), p.order(last, token == "" && p.next == ""))
}
