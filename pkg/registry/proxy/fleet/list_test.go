package fleet

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/test/simulation"
)

const configMaps = "/api/v1/configmaps"

// fill gives members random objects; names meet in several members.
func (w *world) fill(t testing.TB, r *rand.Rand, most int) {
	for _, m := range w.simulated {
		for range r.IntN(most + 1) {
			namespace := []string{"shop", "a", "a-b"}[r.IntN(3)]
			name := fmt.Sprintf("%c%s%d", 'a'+rune(r.IntN(3)), []string{"", "-", "."}[r.IntN(3)], r.IntN(30))
			put(t, m, simulation.ConfigMaps, configMap(namespace, name, fmt.Sprint(r.IntN(2))))
		}
	}
}

// all reads a list to its end, in chunks.
func all(t testing.TB, h http.Handler, path, limit string) (places, warnings []string) {
	t.Helper()
	version, token := "", ""
	for {
		query := []string{"limit", limit}
		if token != "" {
			query = append(query, "continue", token)
		}
		a := ask(t, h, path, "", query...)
		list := a.list(t)
		warnings = append(warnings, a.warnings...)
		if version == "" {
			version = list.GetResourceVersion()
		} else if version != list.GetResourceVersion() {
			t.Errorf("a part of the list is of version %s, and one before of %s", list.GetResourceVersion(), version)
		}
		if limit != "0" && fmt.Sprint(len(list.Items)) > limit && len(limit) == len(fmt.Sprint(len(list.Items))) {
			t.Errorf("%d objects, the limit is %s", len(list.Items), limit)
		}
		if n := list.GetRemainingItemCount(); n != nil && len(a.warnings) == 0 {
			defer func(seen int) {
				if got := len(places) - seen; int64(got) != *n {
					t.Errorf("%d objects came, %d were said to remain", got, *n)
				}
			}(len(places) + len(list.Items))
		}
		places = append(places, placesOf(list)...)
		if token = list.GetContinue(); token == "" {
			return places, warnings
		}
	}
}

func TestAListIsTheUnionOfAllMembersThatAnswer(t *testing.T) {
	r := random(t)
	for range 40 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1+r.IntN(6), Config{Page: 1 + r.IntN(20), InFlight: 1 + r.IntN(4)})
			w.fill(t, r, 60)
			var healthy []*simulation.Member
			var broken []string
			for _, m := range w.simulated {
				fault, bad := simulation.Fault{Verbs: []string{"list"}}, true
				switch r.IntN(12) {
				case 0:
					fault.Hang = true
				case 1:
					fault.Code = http.StatusForbidden
				case 2:
					fault.Cut = true
				case 3:
					m.SetServed(simulation.ConfigMaps, false)
					continue
				case 4:
					fault.Latency, bad = 3*time.Second, false
				default:
					healthy = append(healthy, m)
					continue
				}
				m.SetFaults(fault)
				if bad {
					broken = append(broken, m.Name())
				} else {
					healthy = append(healthy, m)
				}
			}
			if len(healthy) == 0 {
				if a := ask(t, w, configMaps, ""); a.code < 400 {
					t.Errorf("nobody answered, and the answer is %d %s", a.code, a.body)
				}
				return
			}
			got, warnings := all(t, w, configMaps, fmt.Sprint(r.IntN(40)))
			if diff := cmp.Diff(w.places(simulation.ConfigMaps, healthy...), got); diff != "" {
				t.Errorf("want and got: %s", diff)
			}
			if len(warnings) != len(broken) {
				t.Errorf("%v failed, the warnings are %q", broken, warnings)
			}
			for i, name := range broken {
				if i < len(warnings) && !strings.Contains(warnings[i], "cluster "+name+" ") {
					t.Errorf("%v failed, the warnings are %q", broken, warnings)
				}
			}
		})
	}
}

func TestAListOfANamespaceOrASelectorIsThatOfEachMember(t *testing.T) {
	w := newWorld(t, 2, Config{})
	for _, m := range w.simulated {
		put(t, m, simulation.ConfigMaps, configMap("shop", "x", "1"))
		put(t, m, simulation.ConfigMaps, configMap("a", "x", "1"))
		put(t, m, simulation.ConfigMaps, configMap("a", "y", "0"))
	}
	for name, tc := range map[string]struct {
		path  string
		query []string
		want  []string
	}{
		"of a namespace":      {"/api/v1/namespaces/shop/configmaps", nil, []string{"shop/x m1", "shop/x m2"}},
		"by a label":          {configMaps, []string{"labelSelector", "value=0"}, []string{"a/y m1", "a/y m2"}},
		"by a field":          {configMaps, []string{"fieldSelector", "metadata.name=x"}, []string{"a/x m1", "a/x m2", "shop/x m1", "shop/x m2"}},
		"of no such object":   {configMaps, []string{"labelSelector", "value=2"}, nil},
		"of any version":      {"/api/v1/namespaces/shop/configmaps", []string{"resourceVersion", "0", "limit", "1"}, []string{"shop/x m1", "shop/x m2"}},
		"not older than some": {"/api/v1/namespaces/shop/configmaps", []string{"resourceVersion", "3", "resourceVersionMatch", "NotOlderThan"}, []string{"shop/x m1", "shop/x m2"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, placesOf(ask(t, w, tc.path, "", tc.query...).list(t))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAListSaysWhyNobodyAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		faults []simulation.Fault
		code   int
		says   string
	}{
		"all forbid it":                  {[]simulation.Fault{{Code: 403}, {Code: 403}}, 403, "m1: configmaps is forbidden"},
		"one forbids it, one is away":    {[]simulation.Fault{{Code: 403}, {Cut: true}}, 503, "m2: the connection was cut"},
		"all hang":                       {[]simulation.Fault{{Hang: true}, {Hang: true}}, 504, "m2: it did not answer within 5s"},
		"one lacks it, one hangs":        {[]simulation.Fault{{Code: 404}, {Hang: true}}, 504, "m2: it did not answer within 5s"},
		"all lack it":                    {[]simulation.Fault{{Code: 404}, {Code: 404}}, 404, "no cluster has configmaps of v1"},
		"all take the selector for none": {[]simulation.Fault{{Code: 400}, {Code: 400}}, 400, "m1: "},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 2, Config{})
				for i, fault := range tc.faults {
					w.simulated[i].SetFaults(fault)
				}
				if status := ask(t, w, configMaps, "").status(t, tc.code); !strings.Contains(status.Message, tc.says) {
					t.Errorf("it says %q, want %q", status.Message, tc.says)
				}
			})
		})
	}
}

func TestManyWarningsAreFew(t *testing.T) {
	w := newWorld(t, 40, Config{})
	for _, m := range w.simulated[1:] {
		m.SetFaults(simulation.Fault{Code: 500})
	}
	a := ask(t, w, configMaps, "")
	a.list(t)
	if len(a.warnings) != maxNamed+1 || a.warnings[maxNamed] != "and 29 more clusters are missing in this answer" {
		t.Errorf("the warnings are %q", a.warnings)
	}
}

func TestTimeoutSecondsShortenTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, Config{})
		w.simulated[0].SetFaults(simulation.Fault{Hang: true})
		begun := time.Now()
		a := ask(t, w, configMaps, "", "timeoutSeconds", "2")
		a.list(t)
		if waited := time.Since(begun); waited != 2*time.Second {
			t.Errorf("it waited for %s", waited)
		}
	})
}

func TestManyDeadMembersHoldUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 100, Config{InFlight: 10})
		for _, m := range w.simulated[:99] {
			m.SetFaults(simulation.Fault{Hang: true})
		}
		put(t, w.simulated[99], simulation.ConfigMaps, configMap("a", "x", ""))
		begun := time.Now()
		if got := placesOf(ask(t, w, configMaps, "").list(t)); !slices.Equal(got, []string{"a/x m100"}) {
			t.Errorf("got %v", got)
		}
		if waited := time.Since(begun); waited > 11*time.Second {
			t.Errorf("it waited for %s", waited)
		}
	})
}

func TestATokenIsRefused(t *testing.T) {
	w := newWorld(t, 2, Config{})
	for _, m := range w.simulated {
		for i := range 5 {
			put(t, m, simulation.ConfigMaps, configMap("shop", fmt.Sprint("x", i), "1"))
		}
	}
	token := ask(t, w, configMaps, "", "limit", "3").list(t).GetContinue()
	for name, query := range map[string][]string{
		"that is nonsense":            {"continue", "nonsense"},
		"that is another's":           {"continue", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MX0"},
		"that was changed":            {"continue", token[:len(token)-8] + "AAAAAAAA"},
		"that is of another selector": {"continue", token, "labelSelector", "value=1"},
		"with a version":              {"continue", token, "resourceVersion", "17"},
	} {
		t.Run(name, func(t *testing.T) { ask(t, w, configMaps, "", query...).status(t, http.StatusBadRequest) })
	}
	t.Run("of another path", func(t *testing.T) {
		ask(t, w, "/api/v1/secrets", "", "continue", token).status(t, http.StatusBadRequest)
	})
}

func TestAListThatCannotGoOnSaysSoAndHow(t *testing.T) {
	begin := func(t *testing.T) (*world, string) {
		w := newWorld(t, 2, Config{Page: 4})
		for _, m := range w.simulated {
			for i := range 20 {
				put(t, m, simulation.ConfigMaps, configMap("shop", fmt.Sprintf("x%02d", i), "1"))
			}
		}
		return w, ask(t, w, configMaps, "", "limit", "10").list(t).GetContinue()
	}
	t.Run("with what is there now if a member's token has expired", func(t *testing.T) {
		w, token := begin(t)
		put(t, w.simulated[0], simulation.ConfigMaps, configMap("shop", "y", "1"))
		w.simulated[0].Compact()
		status := ask(t, w, configMaps, "", "limit", "10", "continue", token).status(t, http.StatusGone)
		if status.Reason != "Expired" || !strings.Contains(status.Message, "cluster m1 ") {
			t.Errorf("it says %+v", status)
		}
	})
	t.Run("without a member that is away", func(t *testing.T) {
		w, token := begin(t)
		w.simulated[0].SetFaults(simulation.Fault{Cut: true})
		status := ask(t, w, configMaps, "", "limit", "10", "continue", token).status(t, http.StatusGone)
		list := ask(t, w, configMaps, "", "limit", "100", "continue", status.Continue).list(t)
		var want []string
		for i := 5; i < 20; i++ {
			want = append(want, fmt.Sprintf("shop/x%02d m2", i))
		}
		if diff := cmp.Diff(want, placesOf(list)); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("a member that left the fleet is not waited for", func(t *testing.T) {
		w, token := begin(t)
		w.set(memberOf(w.simulated[1]))
		list := ask(t, w, configMaps, "", "limit", "100", "continue", token).list(t)
		if len(list.Items) != 15 {
			t.Errorf("got %v", placesOf(list))
		}
	})
}

// pages is a member that answers given bodies in turn, the last one for ever.
func pages(name string, bodies ...string) Member {
	n := 0
	return served(name, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(bodies[min(n, len(bodies)-1)]))
		n++
	})
}

func listOf(kind, token string, keys ...string) string {
	var items []string
	for _, key := range keys {
		namespace, name, _ := strings.Cut(key, "/")
		items = append(items, fmt.Sprintf(`{"metadata":{"namespace":%q,"name":%q}}`, namespace, name))
	}
	return fmt.Sprintf(`{"kind":%q,"apiVersion":"v1","metadata":{"resourceVersion":"7","continue":%q},"items":[%s]}`, kind, token, strings.Join(items, ","))
}

func TestAMemberThatLiesIsLeftOut(t *testing.T) {
	for name, liar := range map[string]Member{
		"it sends no JSON":                      pages("liar", `<html>`),
		"it sends JSON that ends early":         pages("liar", `{"kind":"ConfigMapList","apiVersion":"v1","items":[`),
		"it sends JSON that is broken within":   pages("liar", `{"kind":"ConfigMapList","apiVersion":"v1","items":[{"metadata":{"name":"a","namespace":"shop"},"data":{"a":tru}}]}`),
		"it sends another kind":                 pages("liar", listOf("SecretList", "", "shop/a")),
		"it sends no list":                      pages("liar", `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","namespace":"shop"}}`),
		"it sends a Status as if all were well": pages("liar", `{"kind":"Status","apiVersion":"v1","status":"Failure","code":404}`),
		"it sends objects of another namespace": pages("liar", listOf("ConfigMapList", "", "shop/a", "kube-system/b")),
		"it sends another kind among its own":   pages("liar", `{"kind":"ConfigMapList","apiVersion":"v1","items":[{"kind":"Secret","metadata":{"name":"a","namespace":"shop"}}]}`),
		"it sends the items twice":              pages("liar", `{"kind":"ConfigMapList","apiVersion":"v1","items":[],"items":[]}`),
		"it sends an object twice":              pages("liar", listOf("ConfigMapList", "", "shop/a", "shop/a")),
		"it has no order":                       pages("liar", listOf("ConfigMapList", "next", "shop/b", "shop/a")),
		"it begins anew with the second page":   pages("liar", listOf("ConfigMapList", "next", "shop/a", "shop/b"), listOf("ConfigMapList", "", "shop/a")),
		"it says the same token for ever":       pages("liar", listOf("ConfigMapList", "next", "shop/a", "shop/b"), listOf("ConfigMapList", "next", "shop/c")),
		"it sends empty pages for ever":         served("liar", emptyForEver()),
		"it changes the kind":                   pages("liar", listOf("ConfigMapList", "next", "shop/a"), listOf("SecretList", "", "shop/c")),
		"its token is endless":                  pages("liar", listOf("ConfigMapList", strings.Repeat("x", 10_000), "shop/a")),
		"it is nested deeply":                   pages("liar", `{"kind":"ConfigMapList","apiVersion":"v1","metadata":`+strings.Repeat(`{"a":`, 100_000)),
		"its answer is endless":                 served("liar", endless),
		"it redirects": served("liar", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere/", http.StatusFound)
		}),
		"it encodes as nobody has asked for": served("liar", encoded),
		"it dies within a page": served("liar", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"kind":`))
			panic(http.ErrAbortHandler)
		}),
		"it sends a byte a second":                served("liar", trickle),
		"it sends headers, and then nothing more": served("liar", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(200); <-r.Context().Done() }),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 2, Config{PageBytes: 1 << 20})
				for _, m := range w.simulated {
					put(t, m, simulation.ConfigMaps, configMap("shop", "a", ""))
					put(t, m, simulation.ConfigMaps, configMap("shop", "z", ""))
				}
				members, _ := w.List(t.Context())
				w.set(append(members, liar)...)
				a := ask(t, w, "/api/v1/namespaces/shop/configmaps", "", "limit", "500")
				if diff := cmp.Diff(w.places(simulation.ConfigMaps, w.simulated...), placesOf(a.list(t))); diff != "" {
					t.Error(diff)
				}
				if len(a.warnings) != 1 || !strings.Contains(a.warnings[0], "cluster liar ") {
					t.Errorf("the warnings are %q", a.warnings)
				}
			})
		})
	}
}

func emptyForEver() http.HandlerFunc {
	n := 0
	return func(w http.ResponseWriter, _ *http.Request) {
		n++
		_, _ = w.Write([]byte(listOf("ConfigMapList", fmt.Sprint(n))))
	}
}

func endless(w http.ResponseWriter, r *http.Request) {
	_, err := w.Write([]byte(`{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"a":"`))
	for chunk := []byte(strings.Repeat("x", 64<<10)); err == nil && r.Context().Err() == nil; {
		_, err = w.Write(chunk)
	}
}

func encoded(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Encoding", "gzip")
	_, _ = w.Write([]byte(listOf("ConfigMapList", "", "shop/a")))
}

func trickle(w http.ResponseWriter, r *http.Request) {
	for {
		select {
		case <-r.Context().Done():
			return
		case <-time.After(time.Second):
			if _, err := w.Write([]byte(" ")); err != nil {
				return
			}
		}
	}
}

func TestAMemberWithoutPagesMaySendAllInNoOrder(t *testing.T) {
	w := newWorld(t, 1, Config{})
	put(t, w.simulated[0], simulation.ConfigMaps, configMap("shop", "b", ""))
	members, _ := w.List(t.Context())
	w.set(append(members, pages("m2", listOf("ConfigMapList", "", "shop/c", "shop/a")))...)
	want := []string{"shop/a m2", "shop/b m1", "shop/c m2"}
	if diff := cmp.Diff(want, placesOf(ask(t, w, configMaps, "").list(t))); diff != "" {
		t.Error(diff)
	}
}

func TestPagesThatAreTooLongAreAskedForInPieces(t *testing.T) {
	w := newWorld(t, 2, Config{PageBytes: 20_000})
	for _, m := range w.simulated {
		for i := range 50 {
			put(t, m, simulation.ConfigMaps, configMap("shop", fmt.Sprintf("x%02d", i), strings.Repeat("v", 1000)))
		}
	}
	a := ask(t, w, configMaps, "")
	if diff := cmp.Diff(w.places(simulation.ConfigMaps, w.simulated...), placesOf(a.list(t))); diff != "" || len(a.warnings) > 0 {
		t.Error(diff, a.warnings)
	}
}

// An answer that goes on after a member has failed would be taken for the whole.
func TestAnAnswerThatHasBegunIsCutIfAMemberFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, Config{})
		put(t, w.simulated[0], simulation.ConfigMaps, configMap("shop", "z", ""))
		members, _ := w.List(t.Context())
		w.set(append(members, pages("m2", listOf("ConfigMapList", "next", "shop/a", "shop/b"), "broken", "broken"))...)
		if a := ask(t, w, configMaps, ""); !a.cut {
			t.Errorf("the answer is %d %s", a.code, a.body)
		}
		a := ask(t, w, configMaps, "")
		if got := placesOf(a.list(t)); !slices.Equal(got, []string{"shop/z m1"}) || len(a.warnings) != 1 {
			t.Errorf("who asks again sees %v, and is warned %q", got, a.warnings)
		}
	})
}

func TestAPageThatFailsOnceIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, Config{})
		w.set(pages("m1", listOf("ConfigMapList", "next", "shop/a", "shop/b"), "broken", listOf("ConfigMapList", "", "shop/c")))
		if got := placesOf(ask(t, w, configMaps, "").list(t)); len(got) != 3 {
			t.Errorf("got %v", got)
		}
	})
}

// A list that goes on while members change is the one that there was when it began, or says that it
// is not.
func TestAListInPiecesIsOfOneTime(t *testing.T) {
	r := random(t)
	for range 30 {
		w := newWorld(t, 1+r.IntN(5), Config{Page: 1 + r.IntN(10)})
		w.fill(t, r, 40)
		want, limit := w.places(simulation.ConfigMaps, w.simulated...), fmt.Sprint(1+r.IntN(20))
		var got []string
		for token := ""; ; {
			a := ask(t, w, configMaps, "", "limit", limit, "continue", token)
			if a.code == http.StatusGone {
				break
			}
			list := a.list(t)
			got = append(got, placesOf(list)...)
			if token = list.GetContinue(); token == "" {
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
				break
			}
			m := w.simulated[r.IntN(len(w.simulated))]
			put(t, m, simulation.ConfigMaps, configMap("shop", fmt.Sprint("new", r.IntN(100)), ""))
			m.Remove(simulation.ConfigMaps, "shop", fmt.Sprintf("a%d", r.IntN(30)))
		}
	}
}

// A token, and a version, are in the URL of the next request.
func TestTokensOfAThousandMembersAreBounded(t *testing.T) {
	r := random(t)
	v, next := versions{}, &continuation{Key: "shop/web-5d4f8b7c9d-x2x4z", Cluster: "rz00a.shop"}
	for n := range 1000 {
		name := fmt.Sprintf("rz%03d-%c.shop", n, 'a'+rune(n%26))
		v[hash(name)] = uint64(r.IntN(1_000_000_000))
		p := pending{Member: name}
		p.set(base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"v":"meta.k8s.io/v1","rv":%d,"start":"shop/web-%x-%x\u0000"}`, r.IntN(1_000_000_000), r.Uint32(), r.IntN(1<<20))))
		next.Pending = append(next.Pending, p)
	}
	next.Versions = v.bytes()
	token, err := next.encode()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the token has %d bytes, the version %d", len(token), len(v.String()))
	if len(token) > 80_000 || len(v.String()) > 34_000 {
		t.Errorf("the token has %d bytes, the version %d", len(token), len(v.String()))
	}
	q := &query{continuation: token}
	next.About = q.about()
	if q.continuation, err = next.encode(); err != nil {
		t.Fatal(err)
	}
	got, _, err := q.continued()
	if err != nil || got.Pending[7].token() != next.Pending[7].token() || !strings.HasPrefix(got.Pending[7].token(), "eyJ2") {
		t.Errorf("%v: %+v", err, got)
	}
}

func TestMetadataAloneIsAnswered(t *testing.T) {
	w := newWorld(t, 1, Config{})
	put(t, w.simulated[0], simulation.ConfigMaps, configMap("shop", "a", ""))
	members, _ := w.List(t.Context())
	w.set(append(members, pages("m2", listOf("ConfigMapList", "", "shop/a")))...)
	list := ask(t, w, configMaps, "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json").list(t)
	if diff := cmp.Diff([]string{"shop/a m1", "shop/a m2"}, placesOf(list)); diff != "" || list.GetKind() != "PartialObjectMetadataList" {
		t.Error(diff, list.GetKind())
	}
	for _, o := range list.Items {
		if o.GetKind() != "PartialObjectMetadata" || o.Object["data"] != nil {
			t.Errorf("got %v", o.Object)
		}
	}
}

func TestRequestsAreRefused(t *testing.T) {
	w := newWorld(t, 1, Config{})
	for name, tc := range map[string]struct {
		method, target string
		code           int
		says           string
	}{
		"a write":                           {http.MethodPost, configMaps, 405, "through clusters/NAME/proxy"},
		"a deletion":                        {http.MethodDelete, "/api/v1/namespaces/shop/configmaps/x", 405, "through clusters/NAME/proxy"},
		"a subresource":                     {http.MethodGet, "/api/v1/namespaces/shop/pods/x/log", 405, "pods/log"},
		"the status":                        {http.MethodGet, "/api/v1/namespaces/shop/status", 405, "namespaces/status"},
		"another path":                      {http.MethodGet, "/metrics", 404, "/metrics"},
		"a path that climbs":                {http.MethodGet, "/api/v1/namespaces/../pods", 400, "is not one of an API server"},
		"a path with escapes":               {http.MethodGet, "/api/v1/namespaces/a%2fb/pods", 400, "is not one of an API server"},
		"a path with two slash":             {http.MethodGet, "/api/v1//pods", 400, "is not one of an API server"},
		"a negative limit":                  {http.MethodGet, configMaps + "?limit=-1", 400, "limit"},
		"a version that is none":            {http.MethodGet, configMaps + "?resourceVersion=abc", 400, "resourceVersion"},
		"a match without one":               {http.MethodGet, configMaps + "?resourceVersionMatch=Exact", 400, "resourceVersion"},
		"the version of an object, exactly": {http.MethodGet, configMaps + "?resourceVersionMatch=Exact&resourceVersion=17", 410, "one cluster's object"},
		"no table of old":                   {http.MethodGet, configMaps, 406, "application/json"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), tc.method, tc.target, nil)
			if err != nil {
				t.Fatal(err)
			}
			if tc.code == 406 {
				r.Header.Set("Accept", "text/html")
			}
			if status := serve(t, w, r).status(t, tc.code); !strings.Contains(status.Message, tc.says) {
				t.Errorf("it says %q, want %q", status.Message, tc.says)
			}
		})
	}
}

func TestAFleetOfNobodyIsNoEmptyList(t *testing.T) {
	w := newWorld(t, 0, Config{})
	ask(t, w, configMaps, "").status(t, http.StatusNotFound)
}

func TestAListEndsAllThatItBegan(t *testing.T) {
	endsAll(t)
	w := newWorld(t, 8, Config{Page: 3, FirstAnswer: 50 * time.Millisecond})
	w.fill(t, random(t), 40)
	w.simulated[0].SetFaults(simulation.Fault{Hang: true})
	w.simulated[1].SetFaults(simulation.Fault{Cut: true})
	for _, limit := range []string{"0", "1", "7", "500"} {
		ask(t, w, configMaps, "", "limit", limit).list(t)
	}
}
