package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

const (
	// firstPause and lastPause are what is waited before the next try, at most: a random part of it, so that the hubs of a site, which
	// lose and find the API server together, do not come together.
	firstPause, lastPause = 500 * time.Millisecond, 30 * time.Second
	// refusedPause is what is waited after upstream has refused it, if nobody asks: rights are given, and kinds are made.
	refusedPause = 5 * time.Minute
	// againAfter is how soon what was refused may be asked for again, as somebody wants it: no sooner than he would by himself.
	againAfter = time.Second
	// longestRetry is how long upstream may have a feed wait, by Retry-After.
	longestRetry = 2 * time.Minute
	// lasting is how long a watch has to last for the next one to be at once.
	lasting = 5 * time.Second
	// DefaultStale is the default of Config.Stale.
	DefaultStale = 10 * time.Minute
	// watchFor is how long a watch is asked for, at least, and twice that at most.
	watchFor = 5 * time.Minute
	// silence is how long a list may say nothing before its end: some API servers never come to that of a streaming list, and some answer nothing. Links that are cut are found sooner.
	silence = 30 * time.Second
	// listWithin is how long a list may take. A streaming list that takes longer, which is not compressed, is listed in chunks.
	listWithin = 10 * time.Minute
	// largest is how much a list may be, and largestEvent how much an event, in bytes: what is larger is not taken.
	largest, largestEvent = 256 << 20, 16 << 20
	// small is how much a list is, in bytes, that is not a large one.
	small = 16 << 20
	// overPause is what is waited after a list that was larger than it may be: to see that takes to read as much.
	overPause = 30 * time.Minute
	// leastPage is what an answer to a list counts beside what it has: one that goes on without end is one that is too large.
	leastPage = 64 << 10
)

// Doer makes requests: it knows where the API server is, and as whom it is asked. A URL has a path and a query only. *http.Client with such a transport is one.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// Config says how a Feed works. View, Path and Client are required.
type Config struct {
	View *view.View
	// Path is what is asked for, such as /api/v1/namespaces/default/pods.
	Path   string
	Client Doer
	// Listed is called after each list, before anything else is asked: what the view has is to be on disk then. Nil does nothing.
	Listed func(ctx context.Context)
	// Refused is called each time that upstream refuses it, and not for now only. Nil does nothing.
	Refused func()
	// Turn waits until there may be one more list, and returns what is called once when that is over; the error is that of ctx. Large does so when the list has come to be one of more than 16 MiB. Nil does not wait.
	Turn, Large func(ctx context.Context) (done func(), err error)
	// Heard returns when what the view has was heard last, by a feed that ran before and left it to the disk; zero if that is not known. It may wait, and is called once. Nil knows nothing.
	Heard func(ctx context.Context) time.Time
	// Stale is how long a feed may have been cut off to go on where it was.
	Stale time.Duration
	// Looks are those of all feeds of the same API servers; nil if this one looks for itself.
	Looks *Looks
	// Logger is slog's default if it is nil.
	Logger *slog.Logger
}

// Status is how a feed is.
type Status struct {
	// Connected: upstream tells of changes of what the view has, now. While it is listed anew it does not.
	Connected bool
	// Heard is when upstream said something last; zero if never.
	Heard time.Time
	// Err is why it is not connected; nil if it is, or begins.
	Err error
}

// Feed fills one view.
type Feed struct {
	config Config
	// noStream: the API server has no streaming lists. It is asked again by the next Feed.
	noStream bool
	// mustList: what the view has may not be what upstream has, and it may not show. That is so until a list was taken, however often one fails: a while later it would not be seen any more that the API server was set back.
	mustList bool
	// doubt: the last try did not end as watches do, or nothing came by it, and the API server may be another one since. came: something came by the last watch.
	doubt, came bool
	// cut is when the last try ended.
	cut time.Time
	// last, silence, within, largest and small are the constants, but in tests.
	last, silence, within time.Duration
	largest, small        int64

	// woken has a value when it is to try again.
	woken chan time.Duration

	mu sync.Mutex
	// What follows is guarded by mu.

	status  Status
	refused time.Time // when upstream refused it; zero if what it said last is no refusal
	gone    bool      // upstream said last that there is no such resource, or more of it than is taken
}

// RefusedError is why upstream does not give what is asked for: what it answers is no matter of the link.
type RefusedError struct {
	// Code is the status, such as 403.
	Code int
	// Body is what came with it, a Status of Kubernetes as a rule.
	Body []byte
	// After is when it may be tried again, by Retry-After; zero if it does not say.
	After time.Duration
}

// Refusal is the answer, for serving.
func (e *RefusedError) Refusal() (code int, body []byte) { return e.Code, e.Body }

// isFinal reports whether it is about what is asked for, or who asks, and not about how upstream is.
func (e *RefusedError) isFinal() bool {
	return e.Code >= 400 && e.Code < 500 && e.Code != http.StatusTooManyRequests && e.Code != http.StatusRequestTimeout
}

// IsRefused reports whether an error is that upstream does not give what is asked for to who asks, however often.
func IsRefused(err error) bool {
	var refused *RefusedError
	return errors.As(err, &refused) && refused.isFinal()
}

// isNotFound reports whether an error is that upstream has no such resource.
func isNotFound(err error) bool {
	var refused *RefusedError
	return errors.As(err, &refused) && refused.Code == http.StatusNotFound
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the API server answers %d %s: %s", e.Code, http.StatusText(e.Code), messageOf(e.Body))
}

// errList: what is known upstream does not reach back to the view, or cannot be taken from where it is.
var errList = errors.New("it has to be listed again")

// New returns a feed that has not begun.
func New(config Config) (*Feed, error) {
	if config.View == nil || config.Path == "" || config.Client == nil {
		return nil, errors.New("a feed needs a view, a path and a client")
	}
	if config.Stale == 0 {
		config.Stale = DefaultStale
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	return &Feed{config: config, last: lastPause, silence: silence, within: listWithin, largest: largest, small: small, woken: make(chan time.Duration, 1)}, nil
}

// Status returns how it is now.
func (f *Feed) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

// heard notes that upstream has said something.
func (f *Feed) heard() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.Heard = time.Now()
	f.refused, f.gone = time.Time{}, false
}

// follows notes that it tells of changes of what the view has.
func (f *Feed) follows() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.Connected, f.status.Err = true, nil
}

// ended notes that nothing is filled any more: whoever has asked for its state may still look.
func (f *Feed) ended() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.Connected, f.status.Err = false, errEnded
}

// lost notes that it says nothing any more.
func (f *Feed) lost(err error) {
	refused := IsRefused(err)
	f.mu.Lock()
	if f.status.Connected {
		f.config.View.Press()
	}
	f.status.Connected, f.status.Err = false, err
	f.refused, f.gone = time.Time{}, false
	over := errors.Is(err, errOver)
	if refused {
		f.refused = time.Now()
		f.gone = isNotFound(err) && f.config.View.Key.Group != "" // what is in no group is there always
	}
	f.gone = f.gone || over
	f.mu.Unlock()
	if over {
		f.config.View.Expire() // upstream answers who follows it
	}
	if refused && f.config.Refused != nil {
		f.config.Refused()
	}
}

// isGone reports whether upstream is there, and has no such resource any more, or more of it than is taken: what the view has is for when upstream is away.
func (f *Feed) isGone() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.gone
}

// again has what upstream has refused be asked for now, as somebody wants it.
func (f *Feed) again() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.refused.IsZero() && time.Since(f.refused) >= againAfter {
		f.status.Err, f.refused = nil, time.Time{}
		f.wakeUp(0)
	}
}

// wake has it try again within a time, if upstream does not tell of changes. What is too large stays so.
func (f *Feed) wake(within time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.status.Connected && !errors.Is(f.status.Err, errOver) {
		f.wakeUp(within)
	}
}

// wakeUp has it try again within a time.
func (f *Feed) wakeUp(within time.Duration) {
	select {
	case f.woken <- within:
	default: // it is to already
	}
}

// isStale reports whether nothing was heard for too long to go on.
func (f *Feed) isStale() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Since(f.status.Heard) > f.config.Stale
}

// goOn has the feed go on where another ended, as if the link had been cut meanwhile.
func (f *Feed) goOn(ctx context.Context) {
	if f.config.Heard == nil {
		return
	}
	at := f.config.Heard(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.Heard = at
	f.doubt, f.cut = true, time.Now()
}

// Run fills the view until ctx ends.
func (f *Feed) Run(ctx context.Context) {
	defer f.ended()
	f.goOn(ctx)
	pause, list := time.Duration(0), false // list: the last try ended so that it has to be listed
	for first := true; first || f.pause(ctx, pause); first = false {
		began := time.Now()
		err := f.once(ctx)
		if ctx.Err() != nil {
			return
		}
		f.doubt, f.cut = !errors.Is(err, errWatchEnded) || !f.came, time.Now()
		again := list
		list = errors.Is(err, errList)
		f.mustList = f.mustList || list
		if list && !again {
			pause = 0 // upstream has answered: how long it was away before is no matter any more
		}
		f.lost(err)
		f.config.Logger.Debug("Lost upstream", "view", f.config.View.Key.String(), "err", err)
		pause = f.next(pause, time.Since(began), err)
	}
}

// next is what is waited after a try that took some time, and that before.
func (f *Feed) next(pause, took time.Duration, err error) time.Duration {
	var refused *RefusedError
	switch isRefused := errors.As(err, &refused); {
	case isRefused && refused.isFinal():
		return refusedPause
	case errors.Is(err, errOver):
		return overPause
	case took >= lasting:
		pause = min(firstPause, f.last)
	default:
		pause = min(max(firstPause, 2*pause), f.last)
	}
	if refused != nil {
		return max(pause, 2*min(refused.After, longestRetry)) // of which half is waited at least
	}
	return pause
}

// pause waits for a random part of a pause, the second half of it if upstream has named one, and reports whether to go on.
func (f *Feed) pause(ctx context.Context, pause time.Duration) bool {
	least := time.Duration(0)
	if pause > f.last {
		least = pause / 2
	}
	timer := time.NewTimer(least + rand.N(pause-least+1))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return ctx.Err() == nil
		case within := <-f.woken:
			timer.Reset(rand.N(within + 1))
		}
	}
}

// once lists if it has to, and watches until that ends.
func (f *Feed) once(ctx context.Context) error {
	version, complete := f.config.View.Version()
	f.mustList = f.mustList || f.isStale()
	if complete && !f.mustList {
		back, err := f.wasSetBack(ctx, version)
		if err != nil {
			return err
		}
		if !back {
			return f.watch(ctx, version)
		}
		f.mustList = true
	}
	if !f.noStream {
		err := f.stream(ctx)
		var refused *RefusedError
		if !errors.Is(err, errNoEnd) && !errors.Is(err, errTooLarge) && (!errors.As(err, &refused) || refused.Code != http.StatusUnprocessableEntity && refused.Code != http.StatusBadRequest) {
			return err
		}
		f.noStream = true
	}
	version, err := f.list(ctx)
	if err != nil {
		return err
	}
	return f.watch(ctx, version)
}

// wasSetBack reports whether the API server has not come to a resourceVersion, after what may have been its end. Asked to watch from there it would be silent until it has. If it does not say, it is listed as well.
func (f *Feed) wasSetBack(ctx context.Context, version uint64) (bool, error) {
	if !f.doubt {
		return false, nil
	}
	l, err := f.begin(ctx)
	if err != nil {
		return false, err
	}
	defer l.close()
	if at, ok := f.config.Looks.after(f.config.View.Key.Kind(), f.config.View.Key.Owner, f.cut); ok {
		return f.isBehind(at, version), nil
	}
	began := time.Now()
	p, err := f.page(l, url.Values{"limit": {"1"}})
	switch {
	case IsRefused(err): // who may not list may get a streaming list
		return true, nil
	case err != nil:
		return false, fmt.Errorf("a look at its resourceVersion: %w", l.why(err))
	}
	_, at, err := f.head(p)
	if err == nil {
		f.config.Looks.note(f.config.View.Key.Kind(), f.config.View.Key.Owner, at, began)
	}
	return err != nil || f.isBehind(at, version), nil
}

// isBehind reports whether an API server has come less far than the view, which is told so.
func (f *Feed) isBehind(at, version uint64) bool {
	if at < version {
		f.config.View.SetBack()
	}
	return at < version
}

// ask makes a request with the selectors of the view. The error is a *RefusedError if the answer is not 200.
func (f *Feed) ask(ctx context.Context, query url.Values) (*http.Response, error) {
	key := f.config.View.Key
	if key.Labels != "" {
		query.Set("labelSelector", key.Labels)
	}
	if key.Fields != "" {
		query.Set("fieldSelector", key.Fields)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.config.Path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	response, err := f.config.Client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusOK {
		if kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); kind != "application/json" {
			_ = response.Body.Close()
			return nil, fmt.Errorf("what answers is no API server: it says %q", response.Header.Get("Content-Type"))
		}
		f.heard()
		return response, nil
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxStatus))
	switch response.StatusCode {
	case http.StatusGone:
		return nil, fmt.Errorf("%w: %s", errList, messageOf(body))
	case http.StatusGatewayTimeout:
		if isTooLarge(body) { // the API server was set back behind what the view has
			return nil, fmt.Errorf("%w: %s", errList, messageOf(body))
		}
	}
	seconds, _ := strconv.Atoi(response.Header.Get("Retry-After")) // as API servers write it; anything else is nothing
	return nil, &RefusedError{Code: response.StatusCode, Body: body, After: time.Duration(max(seconds, 0)) * time.Second}
}

// maxStatus is how much of a refusal is read.
const maxStatus = 64 << 10

// errNoAnswer: a watch has not begun when it should have ended.
var errNoAnswer = errors.New("no answer to a watch has begun")

// watch follows upstream from a resourceVersion on.
func (f *Feed) watch(ctx context.Context, from uint64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(2*watchFor+f.silence, func() { cancel(errNoAnswer) })
	defer late.Stop()
	response, err := f.ask(ctx, url.Values{
		"watch": {"true"}, "allowWatchBookmarks": {"true"}, "resourceVersion": {strconv.FormatUint(from, 10)}, "timeoutSeconds": {watchSeconds()},
	})
	if err != nil {
		if errors.Is(context.Cause(ctx), errNoAnswer) {
			return errNoAnswer
		}
		return err
	}
	late.Stop()
	defer response.Body.Close()
	f.follows()
	return f.follow(ctx, response.Body, nil)
}

// stream lists and goes on to follow.
func (f *Feed) stream(ctx context.Context) error {
	l, err := f.begin(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	l.heard() // from here: whoever is behind an API server may take the request, and answer nothing
	response, err := f.ask(l.ctx, url.Values{
		"watch": {"true"}, "allowWatchBookmarks": {"true"}, "sendInitialEvents": {"true"}, "resourceVersionMatch": {"NotOlderThan"}, "timeoutSeconds": {watchSeconds()},
	})
	if err == nil {
		defer response.Body.Close()
		err = f.follow(l.ctx, response.Body, &initial{listing: l, objects: map[string]*view.Object{}})
	}
	return l.why(err)
}

// watchSeconds is how long to watch: not all end at once.
func watchSeconds() string {
	return strconv.Itoa(int((watchFor + rand.N(watchFor)).Seconds()))
}
