package callers

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/koinon-io/koinon/pkg/edgehub/notes"
	"github.com/koinon-io/koinon/pkg/edgehub/store"
)

type noDisk struct{}

func (noDisk) Apply(...store.Change) error { return nil }

// cloud is an API server that knows tokens, which are users' names, and who may what.
type cloud struct {
	mu     sync.Mutex
	users  map[string]string // by token; guarded by mu
	may    map[string]bool   // USER VERB RESOURCE NAMESPACE NAME; guarded by mu
	broken bool              // guarded by mu
	date   string            // by its clock, empty if it does not say; guarded by mu

	asked, running, most atomic.Int32
	hold                 chan struct{} // not nil: answers wait
}

func (c *cloud) Do(r *http.Request) (*http.Response, error) {
	c.asked.Add(1)
	if n := c.running.Add(1); n > c.most.Load() {
		c.most.Store(n)
	}
	defer c.running.Add(-1)
	if c.hold != nil {
		<-c.hold
	}
	body, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken {
		return nil, errors.New("the link is cut")
	}
	var answer any
	if strings.HasSuffix(r.URL.Path, "tokenreviews") {
		var review authenticationv1.TokenReview
		_ = json.Unmarshal(body, &review)
		if user := c.users[review.Spec.Token]; user != "" {
			review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{Username: user, Groups: []string{"g"}}}
		}
		answer = review
	} else {
		var review authorizationv1.SubjectAccessReview
		_ = json.Unmarshal(body, &review)
		a := review.Spec.ResourceAttributes
		review.Status.Allowed = c.may[strings.TrimSpace(fmt.Sprintf("%s %s %s %s %s", review.Spec.User, a.Verb, a.Resource, a.Namespace, a.Name))]
		answer = review
	}
	text, _ := json.Marshal(answer)
	return &http.Response{StatusCode: http.StatusCreated, Header: http.Header{"Content-Type": {"application/json"}, "Date": {c.date}}, Body: io.NopCloser(bytes.NewReader(text))}, nil
}

func (c *cloud) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// world is what a hub knows, with a clock.
type world struct {
	*cloud
	book   *notes.Book
	tokens *Tokens
	rights *Rights
	now    time.Time
	away   bool
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{cloud: &cloud{users: map[string]string{}, may: map[string]bool{}}, now: time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)}
	w.book = notes.NewBook(noDisk{}, nil)
	away, now := func() bool { return w.away }, func() time.Time { return w.now }
	var err error
	if w.tokens, err = NewTokens(w.book, w, away); err != nil {
		t.Fatal(err)
	}
	if w.rights, err = NewRights(w.book, w, away); err != nil {
		t.Fatal(err)
	}
	w.tokens.now, w.rights.now = now, now
	return w
}

// jwt is a token that says when it expires.
func jwt(name string, expires time.Time) string {
	claims := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d,"sub":%q}`, expires.Unix(), name))
	return "e30." + claims + ".c2ln"
}

func TestWhoseATokenIs(t *testing.T) {
	const nobody, away = "nobody", "away"
	type step struct {
		do   func(w *world, token string)
		want string
	}
	cut := func(w *world, _ string) { w.away = true }
	broken := func(w *world, _ string) { w.set(func() { w.broken = true }) }
	later := func(d time.Duration) func(*world, string) { return func(w *world, _ string) { w.now = w.now.Add(d) } }
	known := func(w *world, token string) { w.set(func() { w.users[token] = "anna" }) }
	gone := func(w *world, token string) { w.set(func() { delete(w.users, token) }); w.now = w.now.Add(trusted) }
	for what, steps := range map[string][]step{
		"the API server says so":        {{known, "anna"}},
		"it says no":                    {{func(*world, string) {}, nobody}},
		"away, and never seen":          {{cut, away}},
		"away, and seen before":         {{known, "anna"}, {cut, "anna"}, {later(1000 * time.Hour), "anna"}},
		"the link breaks in the middle": {{known, "anna"}, {broken, "anna"}, {later(trusted), "anna"}},
		"the link breaks in the middle, and it was never seen":            {{broken, away}},
		"revoked, and then away":                                          {{known, "anna"}, {gone, nobody}, {func(w *world, _ string) { w.away = true; w.now = w.now.Add(refused) }, away}},
		"expired, and then away before its holder has got another":        {{known, "anna"}, {later(2 * time.Hour), "anna"}, {gone, nobody}, {func(w *world, _ string) { w.away = true; w.now = w.now.Add(refused) }, "anna"}},
		"refused, and then good, as a clock of API servers was behind":    {{func(*world, string) {}, nobody}, {known, nobody}, {later(refused), "anna"}},
		"a clock that is set back by years asks again":                    {{known, "anna"}, {later(-20000 * time.Hour), "anna"}, {gone, nobody}},
		"issued to kubelet, and never shown until the cloud was away":     {{func(w *world, token string) { w.tokens.Issued(token, ServiceAccount("ns", "sa")); w.away = true }, "system:serviceaccount:ns:sa"}},
		"issued to kubelet, which is as good as asked about for a moment": {{func(w *world, token string) { w.tokens.Issued(token, ServiceAccount("ns", "sa")) }, "system:serviceaccount:ns:sa"}},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			token := jwt("anna", w.now.Add(time.Hour))
			for i, step := range steps {
				step.do(w, token)
				user, err := w.tokens.Identify(t.Context(), token)
				got := user.Username
				switch {
				case errors.Is(err, ErrNobody):
					got = nobody
				case errors.Is(err, ErrAway):
					got = away
				case err != nil:
					t.Fatal(err)
				}
				if got != step.want {
					t.Errorf("step %d: got %q, want %q", i, got, step.want)
				}
			}
		})
	}
}

func TestWhetherATokenHasExpiredIsSaidByTheClockOfTheAPIServer(t *testing.T) {
	const ahead = 30000 * time.Hour
	for what, test := range map[string]struct {
		after time.Duration // it is refused
		off   time.Duration // this machine's clock
		want  bool          // whose it was is known
	}{
		"revoked, and the clock is right":        {time.Minute, 0, false},
		"revoked, and the clock is years ahead":  {time.Minute, ahead, false},
		"revoked, and the clock is years behind": {time.Minute, -ahead, false},
		"expired, and the clock is right":        {2 * time.Hour, 0, true},
		"expired, and the clock is years ahead":  {2 * time.Hour, ahead, true},
		"expired, and the clock is years behind": {2 * time.Hour, -ahead, true},
	} {
		w := newWorld(t)
		token, there := jwt("anna", w.now.Add(time.Hour)), w.now.Add(test.after)
		w.now = w.now.Add(test.off)
		w.set(func() { w.users[token] = "anna" })
		if _, err := w.tokens.Identify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		w.set(func() { delete(w.users, token); w.date = there.Format(http.TimeFormat) })
		w.now = w.now.Add(test.after + trusted)
		if _, err := w.tokens.Identify(t.Context(), token); !errors.Is(err, ErrNobody) {
			t.Errorf("%s: %v", what, err)
		}
		if _, got := w.tokens.Remembered(token); got != test.want {
			t.Errorf("%s: known is %t", what, got)
		}
	}
}

// Nobody else can be told by them any more, with the cloud or without.
func TestTokensOfPodsThatAreGoneAreForgotten(t *testing.T) {
	w := newWorld(t)
	bound := func(pod, node string) string {
		claims := fmt.Sprintf(`{"exp":%d,"kubernetes.io":{"pod":{"name":"p","uid":%q},"node":{"name":%q}}}`, w.now.Add(time.Hour).Unix(), pod, node)
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
	}
	gone, here, other, free := bound("gone", "n1"), bound("here", "n1"), bound("gone", "n2"), jwt("free", w.now.Add(time.Hour))
	anna := ServiceAccount("ns", "anna")
	for _, token := range []string{here, other, free, gone} {
		w.tokens.Issued(token, anna)
	}
	told := *anna.DeepCopy()
	told.Extra = map[string]authenticationv1.ExtraValue{"authentication.kubernetes.io/pod-uid": {"gone"}, "authentication.kubernetes.io/node-name": {"n1"}}
	w.tokens.Issued("opaque", told)
	w.tokens.Issued(gone, anna)
	w.tokens.Forget(func(p Pod) bool { return p == Pod{"gone", "n1"} })
	w.away = true
	for token, want := range map[string]bool{gone: false, "opaque": false, here: true, other: true, free: true} {
		if _, err := w.tokens.Identify(t.Context(), token); (err == nil) != want {
			t.Errorf("%s: %v", token, err)
		}
	}
	if got := w.tokens.Newest(anna.Username); got == gone {
		t.Error("views are asked for with a token of a pod that is gone")
	}
}

func TestWhoShowsOneTokenAfterTheOtherCostsTheAPIServerLittle(t *testing.T) {
	w := newWorld(t)
	w.hold = make(chan struct{})
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			if _, err := w.tokens.Identify(t.Context(), fmt.Sprint("guess-", i)); !errors.Is(err, ErrNobody) {
				t.Error(err)
			}
		})
	}
	for range 200 {
		w.hold <- struct{}{}
	}
	all.Wait()
	if most := w.most.Load(); most > maxAsking {
		t.Errorf("%d at once", most)
	}
	w.hold = nil
	before := w.asked.Load()
	for range 100 {
		_, _ = w.tokens.Identify(t.Context(), "guess-0")
	}
	if asked := w.asked.Load() - before; asked > 1 {
		t.Errorf("the same one was asked about %d times", asked)
	}
	if _, err := w.tokens.Identify(t.Context(), strings.Repeat("x", maxToken+1)); !errors.Is(err, ErrNobody) || w.asked.Load()-before > 1 {
		t.Errorf("one that is very long: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.tokens.Identify(ctx, "another"); err == nil {
		t.Error("whoever does not wait gets an answer")
	}
}

func TestWhatSomebodyMay(t *testing.T) {
	ask := func(verb, namespace, name string) *authorizationv1.SubjectAccessReviewSpec {
		return &authorizationv1.SubjectAccessReviewSpec{User: "anna", ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Resource: "pods", Namespace: namespace, Name: name}}
	}
	w := newWorld(t)
	w.may["anna list pods"] = true
	w.may["anna get pods ns"] = true
	allows := func(spec *authorizationv1.SubjectAccessReviewSpec) string {
		d, err := w.rights.Allows(t.Context(), spec)
		if errors.Is(err, ErrAway) {
			return "away"
		}
		return fmt.Sprint(d.Allowed)
	}
	for spec, want := range map[*authorizationv1.SubjectAccessReviewSpec]string{ask("list", "", ""): "true", ask("get", "ns", ""): "true", ask("delete", "ns", "p"): "false"} {
		if got := allows(spec); got != want {
			t.Errorf("%v: got %s", spec.ResourceAttributes, got)
		}
	}
	asked := w.asked.Load()
	allows(ask("list", "", ""))
	if w.asked.Load() != asked {
		t.Error("it is asked again at once")
	}
	w.may["anna delete pods ns p"] = true
	w.now = w.now.Add(deniedFor)
	if allows(ask("delete", "ns", "p")) != "true" {
		t.Error("a right that was given is not there")
	}
	delete(w.may, "anna delete pods ns p")
	w.now = w.now.Add(allowedFor)
	if allows(ask("delete", "ns", "p")) != "false" {
		t.Error("a right that was taken away is there")
	}
	w.away = true
	w.now = w.now.Add(1000 * time.Hour)
	for spec, want := range map[*authorizationv1.SubjectAccessReviewSpec]string{
		ask("list", "", ""): "true", ask("list", "ns", ""): "true", ask("list", "ns", "p"): "true", ask("get", "ns", "p"): "true", ask("get", "other", "p"): "true",
		ask("delete", "ns", "p"): "false", ask("delete", "ns", "q"): "away", ask("watch", "", ""): "away",
	} {
		if got := allows(spec); got != want {
			t.Errorf("away, %v: got %s, want %s", spec.ResourceAttributes, got, want)
		}
	}
}

func TestWhoMayWatchMayListAndGetWhileTheAPIServerIsAway(t *testing.T) {
	w := newWorld(t)
	for _, right := range []string{"anna watch pods ns", "bert get pods ns", "carl watch pods ns p", "dora watch pods ns"} {
		w.may[right] = true
	}
	ask := func(user, verb, name, subresource string) string {
		d, err := w.rights.Allows(t.Context(), &authorizationv1.SubjectAccessReviewSpec{User: user, ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: verb, Resource: "pods", Namespace: "ns", Name: name, Subresource: subresource,
		}})
		if errors.Is(err, ErrAway) {
			return "away"
		}
		return fmt.Sprint(d.Allowed)
	}
	for _, q := range [][2]string{{"anna", "watch"}, {"bert", "get"}, {"dora", "watch"}, {"dora", "list"}} {
		ask(q[0], q[1], "", "")
	}
	ask("carl", "watch", "p", "")
	w.away = true
	w.now = w.now.Add(1000 * time.Hour)
	for _, q := range []struct{ user, verb, name, subresource, want string }{
		{"anna", "list", "", "", "true"}, {"anna", "get", "p", "", "true"}, {"anna", "get", "p", "log", "away"}, {"anna", "delete", "p", "", "away"}, {"anna", "create", "", "", "away"},
		{"bert", "list", "", "", "away"}, {"bert", "watch", "", "", "away"},
		{"carl", "list", "p", "", "true"}, {"carl", "get", "p", "", "true"}, {"carl", "list", "", "", "away"}, {"carl", "get", "q", "", "away"},
		{"dora", "list", "", "", "false"}, // as she was told
	} {
		if got := ask(q.user, q.verb, q.name, q.subresource); got != q.want {
			t.Errorf("%+v: got %s", q, got)
		}
	}
}

func TestWhoMayNotReadAResourceInOneWayAnyMoreIsAskedAboutInAllOthers(t *testing.T) {
	w := newWorld(t)
	ask := func(user, verb string) string {
		d, err := w.rights.Allows(t.Context(), &authorizationv1.SubjectAccessReviewSpec{User: user, ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Resource: "secrets"}})
		if errors.Is(err, ErrAway) {
			return "away"
		}
		return fmt.Sprint(d.Allowed)
	}
	for _, user := range []string{"anna", "bert"} {
		for _, verb := range []string{"list", "watch", "update"} {
			w.may[user+" "+verb+" secrets"] = true
			ask(user, verb)
		}
	}
	delete(w.may, "anna list secrets")
	delete(w.may, "anna watch secrets")
	w.now = w.now.Add(allowedFor)
	if got := ask("anna", "list"); got != "false" {
		t.Errorf("what was taken away: %s", got)
	}
	w.away = true
	for q, want := range map[[2]string]string{{"anna", "list"}: "false", {"anna", "watch"}: "away", {"anna", "update"}: "true", {"bert", "list"}: "true", {"bert", "watch"}: "true"} {
		if got := ask(q[0], q[1]); got != want {
			t.Errorf("away, %v: got %s, want %s", q, got, want)
		}
	}
}

func TestManyQuestionsAboutOneCallerAtOnceShareNothing(t *testing.T) {
	w := newWorld(t)
	user := &authenticationv1.UserInfo{Username: "anna", Groups: []string{"a", "b"}, Extra: map[string]authenticationv1.ExtraValue{"k": {"v"}}}
	var running sync.WaitGroup
	for i := range 32 {
		running.Go(func() {
			if _, err := w.rights.Allows(t.Context(), Of(user, &authorizationv1.ResourceAttributes{Verb: "get", Resource: "pods", Name: fmt.Sprint(i)})); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
}

// doer answers by a table of who asks.
type doer struct {
	who   string
	codes map[string]int
	log   *[]string
}

func (d doer) Do(*http.Request) (*http.Response, error) {
	*d.log = append(*d.log, d.who)
	code := d.codes[d.who]
	if code == 0 {
		return nil, errors.New("the link is cut")
	}
	return &http.Response{StatusCode: code, Body: io.NopCloser(strings.NewReader(""))}, nil
}

func TestAViewIsAskedForAsTheNodeOrAsWhoeverMay(t *testing.T) {
	for what, test := range map[string]struct {
		callers []string // "" is the node
		codes   map[string]int
		want    string // who was asked, and the answer
	}{
		"the node first":                       {[]string{"anna", ""}, map[string]int{"node": 200, "anna": 200}, "node 200"},
		"a pod where the node may not":         {[]string{"", "anna"}, map[string]int{"node": 403, "anna": 200}, "node anna 200"},
		"another pod where one may not":        {[]string{"anna", "bert"}, map[string]int{"anna": 401, "bert": 200}, "anna bert 200"},
		"nobody may":                           {[]string{"anna", "bert"}, map[string]int{"anna": 403, "bert": 403}, "anna bert 403"},
		"never the node if only pods want it":  {[]string{"anna"}, map[string]int{"node": 200, "anna": 403}, "anna 403"},
		"a link that is cut is nobody's fault": {[]string{"anna", "bert"}, map[string]int{"bert": 200}, "anna err"},
		"what is not there is not there":       {[]string{"anna", "bert"}, map[string]int{"anna": 404, "bert": 200}, "anna 404"},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			var log []string
			askers := NewAskers[string](doer{"node", test.codes, &log}, func(token string) Doer { return doer{token, test.codes, &log} }, w.tokens)
			var asker Doer
			for _, name := range test.callers {
				c := &Caller{Local: name == "", User: authenticationv1.UserInfo{Username: name}}
				if name != "" {
					w.tokens.Issued(name, c.User)
				}
				asker = askers.Add("key", c)
			}
			request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil)
			answer, err := asker.Do(request)
			if err != nil {
				log = append(log, "err")
			} else {
				log = append(log, fmt.Sprint(answer.StatusCode))
			}
			if got := strings.Join(log, " "); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// The server of an aggregated API may know other tokens than the API server before it.
func TestATokenThatAnAggregatedAPIDoesNotTakeIsWhoseTheAPIServerSays(t *testing.T) {
	w := newWorld(t)
	token := jwt("anna", w.now.Add(time.Hour))
	w.set(func() { w.users[token] = "anna" })
	anna, err := w.tokens.Identify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	var log []string
	asker := NewAskers[string](nil, func(string) Doer { return doer{"anna", map[string]int{"anna": 401}, &log} }, w.tokens).Add("key", &Caller{User: anna})
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil)
	refuse := func() {
		t.Helper()
		if answer, err := asker.Do(request); err != nil || answer.StatusCode != http.StatusUnauthorized {
			t.Fatal(answer, err)
		}
	}
	refuse()
	before := w.asked.Load()
	if _, err := w.tokens.Identify(t.Context(), token); err != nil || w.asked.Load() != before+1 {
		t.Errorf("got %v, and the API server was asked %d times", err, w.asked.Load()-before)
	}
	refuse()
	w.away = true
	if _, err := w.tokens.Identify(t.Context(), token); err != nil {
		t.Errorf("away: %v", err)
	}
	w.away = false
	w.set(func() { delete(w.users, token) })
	if _, err := w.tokens.Identify(t.Context(), token); !errors.Is(err, ErrNobody) {
		t.Errorf("revoked: %v", err)
	}
}

func TestWhoMayIsAskedAsFirstTheNextTime(t *testing.T) {
	w := newWorld(t)
	var log []string
	codes := map[string]int{"anna": 403, "bert": 200}
	askers := NewAskers[string](nil, func(token string) Doer { return doer{token, codes, &log} }, w.tokens)
	var asker Doer
	for _, name := range []string{"anna", "bert"} {
		user := authenticationv1.UserInfo{Username: name}
		w.tokens.Issued(name, user)
		asker = askers.Add("key", &Caller{User: user})
	}
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil)
	for range 2 {
		if _, err := asker.Do(request); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(log, " "); got != "anna bert bert" {
		t.Errorf("got %q", got)
	}
	askers.Forget("key")
	if again := askers.Add("key", &Caller{User: authenticationv1.UserInfo{Username: "carl"}}); again == asker {
		t.Error("what was forgotten is asked for as those who wanted it")
	}
}

// As API servers have it: what comes behind a second blank is not looked at.
func TestOnlyABearerTokenIsOne(t *testing.T) {
	for header, want := range map[string]string{
		"": "", "Bearer abc": "abc", " bearer abc ": "abc", "Bearer abc x17": "abc", "Bearer  abc": "", "Basic abc": "", "Bearer": "", "Bearer ": "",
	} {
		if got := BearerToken(&http.Request{Header: http.Header{"Authorization": {header}}}); got != want {
			t.Errorf("%q: got %q", header, got)
		}
	}
}

func TestATokenWithBlanksInItIsNobodys(t *testing.T) {
	w := newWorld(t)
	for _, token := range []string{"anna x17", "an\tna", "\u00a0anna"} {
		w.set(func() { w.users[token] = "anna" })
		if _, err := w.tokens.Identify(t.Context(), token); !errors.Is(err, ErrNobody) || w.asked.Load() > 0 {
			t.Errorf("%q: %v, and the API server was asked %d times", token, err, w.asked.Load())
		}
	}
}

func TestTokensOfAFewHaveThoseOfOthersNotForgotten(t *testing.T) {
	w := newWorld(t)
	w.tokens.Issued("annas", authenticationv1.UserInfo{Username: "anna"})
	for i := range 6 * maxTokensOf {
		w.tokens.Issued(fmt.Sprint("t", i), authenticationv1.UserInfo{Username: fmt.Sprint("mallory", i%6)})
	}
	w.away, w.now = true, w.now.Add(time.Hour)
	if user, err := w.tokens.Identify(t.Context(), "annas"); err != nil || user.Username != "anna" {
		t.Errorf("anna: %v", err)
	}
	if n := w.tokens.known.Len(); n > maxTokens {
		t.Errorf("%d tokens are kept", n)
	}
}

func TestWhoWasNotHereForLongestIsNotAskedForAnyMore(t *testing.T) {
	w := newWorld(t)
	here := func(name string) {
		w.now = w.now.Add(time.Second)
		w.tokens.Kept("token of "+name, authenticationv1.UserInfo{Username: name})
	}
	here("anna")
	here("bert")
	for i := range maxNewest - 2 {
		here(fmt.Sprint(i))
	}
	here("anna")
	here("carl")
	if n := len(w.tokens.newest); n != maxNewest {
		t.Errorf("%d tokens are there to ask with", n)
	}
	for user, want := range map[string]string{"anna": "token of anna", "bert": "", "carl": "token of carl"} {
		if got := w.tokens.Newest(user); got != want {
			t.Errorf("%s: got %q", user, got)
		}
	}
}

// A token with scopes has the name and the groups of whoever made it, and fewer rights.
func TestWhatOneMayAnotherOfHisNameNeedNot(t *testing.T) {
	anna := authenticationv1.UserInfo{Username: "anna", Groups: []string{"g"}, Extra: map[string]authenticationv1.ExtraValue{"authentication.kubernetes.io/credential-id": {"JTI=1"}}}
	other := func(change func(*authenticationv1.UserInfo)) *authenticationv1.UserInfo {
		user := *anna.DeepCopy()
		change(&user)
		return &user
	}
	for what, try := range map[string]struct {
		of   *authenticationv1.UserInfo
		same bool
	}{
		"with another token": {other(func(u *authenticationv1.UserInfo) {
			u.Extra["authentication.kubernetes.io/credential-id"] = []string{"JTI=2"}
		}), true},
		"with other groups":   {other(func(u *authenticationv1.UserInfo) { u.Groups = []string{"h"} }), false},
		"with a scope":        {other(func(u *authenticationv1.UserInfo) { u.Extra["scopes.example.com"] = []string{"user:info"} }), false},
		"of the node's names": {other(func(u *authenticationv1.UserInfo) { u.Username = "the node" }), false},
	} {
		t.Run(what, func(t *testing.T) {
			attributes := &authorizationv1.ResourceAttributes{Verb: "get", Resource: "secrets"}
			if got := decisionName(Of(&anna, attributes)) == decisionName(Of(try.of, attributes)); got != try.same {
				t.Errorf("one decision of both: %t", got)
			}
			if got := Key(&anna) == Key(try.of); got != try.same {
				t.Errorf("one key of both: %t", got)
			}
		})
	}
}

// Each name that is asked for is a question to the API server, and its answer is kept.
func TestWhoAsksForEverythingHasNobodyElseForgotten(t *testing.T) {
	w := newWorld(t)
	w.set(func() { w.may["anna list pods"] = true })
	may := func(user, resource, name string) Decision {
		verb := map[bool]string{true: "list", false: "get"}[name == ""]
		d, err := w.rights.Allows(t.Context(), Of(&authenticationv1.UserInfo{Username: user}, &authorizationv1.ResourceAttributes{Verb: verb, Resource: resource, Name: name}))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	may("anna", "pods", "")
	for i := range maxDecisions + 1 {
		w.rights.Learn(Of(&authenticationv1.UserInfo{Username: "mallory"}, &authorizationv1.ResourceAttributes{Verb: "get", Resource: "secrets", Name: fmt.Sprint(i)}), Decision{})
	}
	w.away, w.now = true, w.now.Add(time.Hour)
	if d := may("anna", "pods", ""); !d.Allowed {
		t.Errorf("anna: %+v", d)
	}
	if n := w.rights.made.Len(); n > maxDecisionsOf+1 {
		t.Errorf("%d decisions are kept", n)
	}
}

func TestWhoAsksALotHasNobodyElseWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.set(func() { w.users["annas"] = "anna"; w.may["anna list pods"] = true })
		if _, err := w.tokens.Identify(t.Context(), "annas"); err != nil {
			t.Fatal(err)
		}
		w.now = w.now.Add(trusted)
		w.hold = make(chan struct{})
		var all sync.WaitGroup
		defer all.Wait()
		defer close(w.hold)
		asks := func(user, name string) {
			all.Go(func() { // ends when the API server answers
				_, _ = w.rights.Allows(t.Context(), Of(&authenticationv1.UserInfo{Username: user}, &authorizationv1.ResourceAttributes{Verb: "get", Resource: "secrets", Name: name}))
			})
		}
		for i := range 100 {
			asks("mallory", fmt.Sprint(i))
			all.Go(func() { _, _ = w.tokens.Identify(t.Context(), fmt.Sprint("forged", i)) }) // ends when the API server answers
		}
		synctest.Wait()
		before := w.running.Load()
		asks("anna", "a")
		all.Go(func() { _, _ = w.tokens.Identify(t.Context(), "annas") }) // ends when the API server answers
		synctest.Wait()
		if got := w.running.Load() - before; got != 2 {
			t.Errorf("of anna's two questions %d are asked", got)
		}
	})
}
