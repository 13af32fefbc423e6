package closure

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/apis/edge/v1alpha1"
	"github.com/koinon-io/koinon/pkg/edgehub/topology"
	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

// cloud is what an API server has, and views that are fed from it.
type cloud struct {
	t       testing.TB
	cache   *view.Cache
	version uint64
	// state has objects by key and name, as JSON.
	state map[view.Key]map[string]string

	mu sync.Mutex
	// What follows is guarded by mu.

	wanted  map[view.Key]int
	hinders map[view.Key]error
	// moved are other addresses than "of-NODE" of pods, by node, and unready are nodes of which the pods are not ready.
	moved   map[string]string
	unready map[string]bool
}

// correct is Config.Correct.
func (c *cloud) correct(slice []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for node, address := range c.moved {
		slice = bytes.ReplaceAll(slice, []byte(`"of-`+node+`"`), []byte(`"`+address+`"`))
	}
	for node := range c.unready {
		slice = bytes.ReplaceAll(slice, []byte(`"nodeName":"`+node+`"`), []byte(`"conditions":{"ready":false},"nodeName":"`+node+`"`))
	}
	return slice
}

// ready has the pod of a node be ready, or not.
func (c *cloud) ready(closure *Closure, node string, is bool) {
	c.mu.Lock()
	if c.unready[node] = true; is {
		delete(c.unready, node)
	}
	c.mu.Unlock()
	closure.Moved("ns", "pod-"+node)
}

// move gives the pod of a node another address.
func (c *cloud) move(closure *Closure, node, address string) {
	c.mu.Lock()
	c.moved[node] = address
	c.mu.Unlock()
	closure.Moved("ns", "pod-"+node)
}

var allSlices = view.Key{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}

func newCloud(t testing.TB) *cloud {
	t.Helper()
	cache, err := view.NewCache(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &cloud{t: t, cache: cache, version: 10, state: map[view.Key]map[string]string{}, wanted: map[view.Key]int{}, hinders: map[view.Key]error{}, moved: map[string]string{}, unready: map[string]bool{}}
}

// Find implements Views.
func (c *cloud) Find(key view.Key) (*view.View, *view.Filter, bool) { return c.cache.Find(key) }

// Want implements Views.
func (c *cloud) Want(key view.Key, _ string, _ *http.Request) (state func() (bool, error), done func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted[key]++
	return func() (bool, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			return true, c.hinders[key]
		}, sync.OnceFunc(func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.wanted[key]--
		})
}

func (c *cloud) isWanted(key view.Key) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wanted[key] > 0
}

func (c *cloud) hinder(key view.Key, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hinders[key] = err
}

// list has a view be what there is.
func (c *cloud) list(key view.Key) {
	c.t.Helper()
	v := c.cache.View(key)
	var all []*view.Object
	for _, text := range c.state[key] {
		all = append(all, c.parse(v, text))
	}
	v.Replace(all, c.version)
}

func (c *cloud) parse(v *view.View, text string) *view.Object {
	c.t.Helper()
	o, err := v.Parse([]byte(text))
	if err != nil {
		c.t.Fatal(err)
	}
	return o
}

// object is one of which metadata, but for its name and resourceVersion, and the rest are given as JSON.
func (c *cloud) put(key view.Key, namespace, name, metadata, rest string) {
	c.t.Helper()
	c.version++
	text := fmt.Sprintf(`{"metadata":{"name":%q,"namespace":%q,"resourceVersion":"%d"%s}%s}`, name, namespace, c.version, metadata, rest)
	full := name
	if namespace != "" {
		full = namespace + "/" + name
	}
	if c.state[key] == nil {
		c.state[key] = map[string]string{}
	}
	c.state[key][full] = text
	v := c.cache.View(key)
	v.Apply(c.parse(v, text), false)
}

func (c *cloud) remove(key view.Key, name string) {
	c.t.Helper()
	v := c.cache.View(key)
	text := c.state[key][name]
	if text == "" {
		return
	}
	delete(c.state[key], name)
	c.version++
	o := c.parse(v, text)
	v.Apply(&view.Object{Name: o.Name, Version: c.version, Body: o.Body}, true)
}

// advance has a view come to where the cloud is.
func (c *cloud) advance(key view.Key) { c.version++; c.cache.View(key).Advance(c.version) }

func (c *cloud) service(name, annotation string) {
	c.t.Helper()
	metadata := ""
	if annotation != "" {
		metadata = fmt.Sprintf(`,"annotations":{%q:%q}`, topology.Annotation, annotation)
	}
	c.put(servicesKey, "ns", name, metadata, "")
}

func (c *cloud) node(name, unit string) {
	c.t.Helper()
	c.put(nodesKey, "", name, fmt.Sprintf(`,"labels":{"edge.koinon.io/unit":%q}`, unit), "")
}

func (c *cloud) slice(name, service string, nodes ...string) {
	c.t.Helper()
	endpoints := []map[string]any{}
	for _, node := range nodes {
		endpoints = append(endpoints, map[string]any{"nodeName": node, "addresses": []string{"of-" + node}, "targetRef": map[string]any{"uid": "pod-" + node}})
	}
	text, err := json.Marshal(endpoints)
	if err != nil {
		c.t.Fatal(err)
	}
	c.put(allSlices, "ns", name, fmt.Sprintf(`,"labels":{"kubernetes.io/service-name":%q}`, service), `,"addressType":"IPv4","endpoints":`+string(text))
}

// open has a node look at it.
func (c *cloud) open(ctx context.Context) *Closure {
	c.t.Helper()
	closure, err := New(Config{
		Node: "n0", Views: c, View: c.cache.View, Correct: c.correct, Logger: slog.New(slog.DiscardHandler), Refused: func(err error) bool { return errors.As(err, new(refusal)) },
		Want: func(_ context.Context, key view.Key, path string) (func() (bool, error), func()) {
			return c.Want(key, path, nil)
		},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	go closure.Run(ctx)
	return closure
}

// refusal is an answer instead of a view, by its code.
type refusal int

func (r refusal) Error() string { return fmt.Sprintf("it is %d", int(r)) }

// Refusal is what package serving asks for.
func (r refusal) Refusal() (code int, body []byte) { return int(r), nil }

const errRefused = refusal(http.StatusForbidden)

// rules is what is to be seen by what the cloud has: a topology that begins from nothing says.
func (c *cloud) rules(mayReadNodes bool) map[string]string {
	c.t.Helper()
	fresh := topology.New("n0")
	for _, text := range c.state[allSlices] {
		if _, err := fresh.SetSlice(c.correct([]byte(text))); err != nil {
			c.t.Fatal(err)
		}
	}
	var is struct {
		Metadata struct{ Labels, Annotations map[string]string }
		Spec     v1alpha1.EdgeUnitSpec
	}
	read := func(text string) {
		is.Metadata.Labels, is.Metadata.Annotations, is.Spec = nil, nil, v1alpha1.EdgeUnitSpec{}
		if err := json.Unmarshal([]byte(text), &is); err != nil {
			c.t.Fatal(err)
		}
	}
	var units []*v1alpha1.EdgeUnit
	for _, text := range c.state[unitsKey] {
		read(text)
		units = append(units, &v1alpha1.EdgeUnit{Spec: is.Spec})
	}
	for name, text := range c.state[servicesKey] {
		read(text)
		_, _ = fresh.SetService(name, is.Metadata.Annotations)
	}
	for name, text := range c.state[nodesKey] {
		read(text)
		if unit, _ := topology.UnitOf(is.Metadata.Labels, units); mayReadNodes {
			fresh.SetNode(name, unit)
		}
	}
	fresh.KnowsAll(true)
	all := map[string]string{}
	for name, text := range c.state[allSlices] {
		body, err := fresh.Filter([]byte(text))
		if err != nil {
			c.t.Fatal(err)
		}
		all[name] = plain(c.correct(body))
	}
	return all
}

// plain is an EndpointSlice without its resourceVersion.
func plain(body []byte) string {
	var o map[string]any
	_ = json.Unmarshal(body, &o)
	delete(o["metadata"].(map[string]any), "resourceVersion")
	text, _ := json.Marshal(o)
	return string(text)
}

// program is one that watches EndpointSlices, and who is told only of those with another resourceVersion than he knows.
type program struct {
	t       testing.TB
	closure *Closure
	key     view.Key
	watcher *view.Watcher
	version uint64
	known   map[string]uint64
	told    map[string]string // nil if he has to list
}

// read reads all there is; false if nothing is known.
func (r *program) read() bool {
	r.t.Helper()
	v, filter, ok := r.closure.Find(r.key)
	if !ok {
		return false
	}
	done, cancel := context.WithCancel(context.Background())
	cancel()
	for {
		var err error
		if r.watcher == nil && r.told != nil {
			r.watcher, err = v.Watch(r.version)
		}
		var events []view.Event
		if err == nil && r.watcher != nil {
			events, err = r.watcher.Next(done)
		}
		switch {
		case r.told == nil || errors.Is(err, view.ErrExpired):
			all, version, err := v.List()
			if err != nil {
				return false
			}
			r.watcher, r.version = nil, version
			before := r.told
			r.told = map[string]string{}
			for _, o := range filter.List(all) {
				r.told[o.Name] = before[o.Name]
				r.tell(o)
			}
			r.watcher, err = v.Watch(version)
			if err != nil {
				r.t.Fatal(err)
			}
		case err != nil:
			return true
		}
		for _, e := range events {
			r.version = e.Version
			if e, ok, _ := filter.Event(e); !ok || e.Type == view.Bookmark {
				continue
			} else if e.Type == view.Deleted {
				delete(r.told, e.Object.Name)
				delete(r.known, e.Object.Name)
			} else {
				r.tell(e.Object)
			}
		}
	}
}

func (r *program) tell(o *view.Object) {
	if r.known == nil {
		r.known = map[string]uint64{}
	}
	if r.known[o.Name] != o.Version {
		r.known[o.Name] = o.Version
		r.told[o.Name] = plain(o.Body)
	}
}

// Whatever becomes of Services, nodes, units, EndpointSlices and addresses of pods, in any order, and whoever comes and goes: who has read all was told what filtering what there is gives.
func TestReadersAreToldWhatFilteringGives(t *testing.T) {
	seed := rand.Uint64()
	if text := os.Getenv("KOINON_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("KOINON_SEED=%d", seed)
	for run := range 30 {
		synctest.Test(t, func(t *testing.T) { aHistory(t, rand.New(rand.NewPCG(seed, uint64(run)))) })
	}
}

func aHistory(t *testing.T, random *rand.Rand) {
	ctx, cancel := context.WithCancel(t.Context())
	defer synctest.Wait()
	defer cancel()
	c := newCloud(t)
	inNamespace := allSlices
	inNamespace.Namespace = "ns"
	keys := []view.Key{allSlices, inNamespace}
	for _, key := range []view.Key{servicesKey, nodesKey, unitsKey, allSlices} {
		c.list(key)
	}
	closure := c.open(ctx)
	synctest.Wait()
	readers := make([]*program, 4)
	for i := range readers {
		readers[i] = &program{t: t, closure: closure, key: keys[i%2]}
	}
	one := func(of ...string) string { return of[random.IntN(len(of))] }
	some := func(what string, n int) string { return fmt.Sprintf("%s%d", what, random.IntN(n)) }
	change := map[string]func(){
		"service":    func() { c.service(some("s", 3), one("", "unit", "unit", "node", "preferUnit", "wrong")) },
		"no service": func() { c.remove(servicesKey, "ns/"+some("s", 3)) },
		"node":       func() { c.node(some("n", 4), one("", "u", "v")) },
		"no node":    func() { c.remove(nodesKey, some("n", 4)) },
		"unit": func() {
			c.put(unitsKey, "default", some("u", 2), "", fmt.Sprintf(`,"spec":{"nodeSelector":{"edge.koinon.io/unit":%q}}`, one("", "x")))
		},
		"no unit":  func() { c.remove(unitsKey, "default/"+some("u", 2)) },
		"slice":    func() { c.slice(some("l", 5), some("s", 3), some("n", 5), some("n", 5)) },
		"no slice": func() { c.remove(allSlices, "ns/"+some("l", 5)) },
		"bookmark": func() { c.advance(allSlices) },
		"moved":    func() { c.move(closure, some("n", 2), some("address-", 3)) },
		"ready":    func() { c.ready(closure, some("n", 2), random.IntN(2) == 0) },
		"list":     func() { c.version++; c.list([]view.Key{servicesKey, nodesKey, unitsKey, allSlices}[random.IntN(4)]) },
		"gone": func() {
			for _, r := range readers {
				if random.IntN(2) == 0 {
					r.watcher = nil
				}
			}
		},
		"new": func() { i := random.IntN(len(readers)); readers[i] = &program{t: t, closure: closure, key: keys[i%2]} },
	}
	kinds := slices.Sorted(maps.Keys(change))
	for step := range 150 {
		kind := kinds[random.IntN(len(kinds))]
		if change[kind](); random.IntN(2) == 0 {
			continue
		}
		settle()
		want := c.rules(true)
		for i, r := range readers {
			if r.watcher == nil && r.told != nil && random.IntN(2) == 0 {
				continue // he is away
			}
			if !r.read() {
				t.Fatalf("step %d: reader %d is shown nothing", step, i)
			}
			if diff := cmp.Diff(want, r.told); diff != "" {
				t.Fatalf("step %d, after %s: reader %d (-want +got):\n%s", step, kind, i, diff)
			}
		}
	}
	settle()
	if got := c.isWanted(nodesKey); got != closure.needsUnits() {
		t.Errorf("nodes are wanted: %v", got)
	}
}

// A pod of this node is not ready, as kubelet says, and the API server has not been told: who prefers the unit is sent elsewhere.
func TestWhereAServiceIsPreferredIsDecidedByPodsAsTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, closure, end := begin(t, allSlices, servicesKey, nodesKey, unitsKey)
		defer end()
		c.service("s", "preferUnit")
		c.slice("l", "s", "n0", "far")
		c.slice("m", "s", "far")
		settle()
		endpoints := func() string {
			var all []string
			for _, name := range []string{"ns/l", "ns/m"} {
				var slice struct {
					Endpoints []struct{ NodeName string }
				}
				if err := json.Unmarshal([]byte(shown(t, closure)[name]), &slice); err != nil {
					t.Fatal(err)
				}
				all = append(all, fmt.Sprint(slice.Endpoints))
			}
			return strings.Join(all, " ")
		}
		for _, step := range []struct {
			ready bool
			want  string
		}{{true, "[{n0}] []"}, {false, "[{n0} {far}] [{far}]"}, {true, "[{n0}] []"}} {
			if c.ready(closure, "n0", step.ready); endpoints() != step.want {
				t.Errorf("its pod is ready: %t, and seen is %s, want %s", step.ready, endpoints(), step.want)
			}
		}
		c.ready(closure, "n0", false)
		c.slice("l", "s", "n0", "far", "far")
		if settle(); endpoints() != "[{n0} {far} {far}] [{far}]" {
			t.Errorf("when its EndpointSlice has changed seen is %s", endpoints())
		}
	})
}

// needsUnits reports whether a Service has a rule that does.
func (c *Closure) needsUnits() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.rules {
		if r.needsUnits {
			return true
		}
	}
	return false
}

func (c *Closure) countSeen() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.seen)
}

// begin runs a closure over a cloud with one closed Service, of which one endpoint is on the node, one is near, and one is far.
func begin(t *testing.T, known ...view.Key) (*cloud, *Closure, context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.Context())
	c := newCloud(t)
	c.node("n0", "u")
	c.node("near", "u")
	c.node("far", "v")
	c.service("s", "unit")
	c.slice("l", "s", "n0", "near", "far")
	for _, key := range known {
		c.list(key)
	}
	return c, c.open(ctx), func() { cancel(); synctest.Wait() }
}

// settle has all be read that there is: it is looked for by the clock of the bubble.
func settle() {
	time.Sleep(10 * look)
	synctest.Wait()
}

// shown is what somebody sees who comes now; nil for nothing.
func shown(t *testing.T, closure *Closure) map[string]string {
	r := &program{t: t, closure: closure, key: allSlices}
	r.read()
	return r.told
}

func TestNothingIsShownBeforeServicesAreKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, closure, end := begin(t, allSlices, nodesKey, unitsKey)
		defer end()
		state, done := closure.Want(allSlices, "", nil)
		defer done()
		time.Sleep(time.Second)
		if settled, err := state(); shown(t, closure) != nil || settled || err != nil {
			t.Errorf("at first: %v, settled %v, %v", shown(t, closure), settled, err)
		}
		time.Sleep(patience)
		if settled, err := state(); shown(t, closure) != nil || !settled || !errors.Is(err, errRules) {
			t.Errorf("later: %v, settled %v, %v", shown(t, closure), settled, err)
		}
		c.list(servicesKey)
		settle()
		if diff := cmp.Diff(c.rules(true), shown(t, closure)); diff != "" {
			t.Errorf("once they are known (-want +got):\n%s", diff)
		}
	})
}

func TestServicesThatMayNotBeReadAreSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, closure, end := begin(t, allSlices)
		defer end()
		c.hinder(servicesKey, errRefused)
		time.Sleep(time.Second)
		if got := shown(t, closure); got["ns/l"] != plain([]byte(c.state[allSlices]["ns/l"])) || len(closure.Problems()) != 1 {
			t.Errorf("shown is %v, and problems are %q", got, closure.Problems())
		}
		c.hinder(servicesKey, nil)
		c.list(servicesKey)
		c.list(nodesKey)
		c.list(unitsKey)
		time.Sleep(2 * sweepEvery)
		if diff := cmp.Diff(c.rules(true), shown(t, closure)); diff != "" || len(closure.Problems()) > 0 {
			t.Errorf("once they may be read, problems are %q, and (-want +got):\n%s", closure.Problems(), diff)
		}
	})
}

// The node's certificate has ended, as it had when the hub was started: that is no word about Services, of which nothing is on the disk.
func TestWhoIsNotKnownToTheAPIServerIsNotOneWhoMayNotReadServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, closure, end := begin(t, allSlices, nodesKey, unitsKey)
		defer end()
		for _, err := range []error{refusal(http.StatusUnauthorized), refusal(http.StatusNotFound), errors.New("no route to host")} {
			c.hinder(servicesKey, err)
			time.Sleep(2 * sweepEvery)
			if got := shown(t, closure); got != nil || len(closure.Problems()) > 0 {
				t.Errorf("%v: shown is %v, and problems are %q", err, got, closure.Problems())
			}
		}
		c.hinder(servicesKey, fmt.Errorf("a list: %w", errRefused))
		time.Sleep(2 * sweepEvery)
		if got := shown(t, closure); got == nil || len(closure.Problems()) != 1 {
			t.Errorf("once it is said that they may not be read, shown is %v, and problems are %q", got, closure.Problems())
		}
	})
}

// The link is back, and EndpointSlices are read before Services are, as each feed comes back by itself.
func TestNothingIsSeenOfAServiceThatIsNotKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, closure, end := begin(t, allSlices, servicesKey, nodesKey, unitsKey)
		defer end()
		settle()
		is := func(when string, want map[string]string) {
			t.Helper()
			if diff := cmp.Diff(want, shown(t, closure)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
		}
		c.slice("m", "closed", "n0", "far")
		c.slice("n", "open", "n0", "far")
		settle()
		hidden := c.rules(true)
		for _, name := range []string{"ns/m", "ns/n"} {
			if !strings.Contains(hidden[name], `"endpoints":[]`) {
				t.Fatalf("by the rules %s is %s", name, hidden[name])
			}
		}
		is("before Services are known", hidden)
		c.service("closed", "unit")
		c.service("open", "")
		settle()
		is("when they are", c.rules(true))
		c.slice("o", "other", "n0", "far")
		settle()
		hidden = c.rules(true)
		is("one more", hidden)
		open := maps.Clone(hidden)
		open["ns/o"] = plain([]byte(c.state[allSlices]["ns/o"]))
		c.hinder(servicesKey, errRefused)
		time.Sleep(2 * sweepEvery)
		is("when nobody will hear of its Service", open)
		c.hinder(servicesKey, errors.New("no route to host"))
		time.Sleep(2 * sweepEvery)
		is("when the link is cut after that", open)
		c.hinder(servicesKey, nil)
		time.Sleep(2 * sweepEvery)
		is("when Services may be read again", hidden)
	})
}

// What was known of Services before they were refused counts, though the units that it needs are waited for.
func TestServicesThatMayNotBeReadAnyMoreAreAsBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, closure, end := begin(t, allSlices, servicesKey)
		defer end()
		c.hinder(servicesKey, errRefused)
		time.Sleep(time.Second)
		if got := shown(t, closure); got != nil {
			t.Errorf("while units are waited for, shown is %v", got)
		}
		time.Sleep(patience)
		if diff := cmp.Diff(c.rules(false), shown(t, closure)); diff != "" {
			t.Errorf("after that (-want +got):\n%s", diff)
		}
	})
}

func TestAUnitIsTheNodeIfNodesMayNotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, closure, end := begin(t, allSlices, servicesKey, unitsKey)
		defer end()
		c.hinder(nodesKey, errRefused)
		time.Sleep(time.Second)
		if diff := cmp.Diff(c.rules(false), shown(t, closure)); diff != "" || len(closure.Problems()) != 1 {
			t.Errorf("problems are %q, and (-want +got):\n%s", closure.Problems(), diff)
		}
		c.hinder(nodesKey, nil)
		c.list(nodesKey)
		time.Sleep(2 * patience)
		if diff := cmp.Diff(c.rules(true), shown(t, closure)); diff != "" || len(closure.Problems()) > 0 {
			t.Errorf("once they may be read, problems are %q, and (-want +got):\n%s", closure.Problems(), diff)
		}
		c.service("s", "")
		synctest.Wait()
		if c.isWanted(nodesKey) || c.isWanted(unitsKey) {
			t.Error("nodes are wanted for nothing")
		}
	})
}

// A rule that needs units waits for them: else all that is near would be gone for a moment.
func TestARuleIsNotAppliedBeforeUnitsAreKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, closure, end := begin(t)
		defer end()
		c.service("s", "")
		c.list(servicesKey)
		c.list(allSlices)
		synctest.Wait()
		open := shown(t, closure)
		c.service("s", "unit")
		time.Sleep(time.Second)
		if diff := cmp.Diff(open, shown(t, closure)); diff != "" {
			t.Errorf("while units are read (-want +got):\n%s", diff)
		}
		c.list(nodesKey)
		c.list(unitsKey)
		time.Sleep(time.Second)
		if diff := cmp.Diff(c.rules(true), shown(t, closure)); diff != "" {
			t.Errorf("once they are known (-want +got):\n%s", diff)
		}
	})
}

func TestAnEndpointSliceThatNobodyHasIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, closure, end := begin(t, allSlices, servicesKey, nodesKey, unitsKey)
		defer end()
		settle()
		v, _, ok := closure.Find(allSlices)
		if !ok {
			t.Fatal("it is not found")
		}
		c.cache.Forget(allSlices)
		synctest.Wait()
		if _, complete := v.Version(); complete || closure.countSeen() > 0 || len(closure.topology.Slices("ns/s")) > 0 {
			t.Error("it is there still")
		}
		c.list(allSlices)
		if shown(t, closure) == nil {
			t.Fatal("it is not shown when it is there again")
		}
		time.Sleep(idle + 2*sweepEvery)
		if closure.countSeen() > 0 {
			t.Error("what nobody reads is kept")
		}
		if diff := cmp.Diff(c.rules(true), shown(t, closure)); diff != "" {
			t.Errorf("for who comes later (-want +got):\n%s", diff)
		}
	})
}

// What was read is of another cluster: nothing is shown until it is known what is so in this one.
func TestWhatIsForgottenIsReadAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, closure, end := begin(t, allSlices, servicesKey, nodesKey, unitsKey)
		defer end()
		settle()
		if shown(t, closure) == nil {
			t.Fatal("nothing is shown")
		}
		for _, v := range c.cache.Views() {
			c.cache.Forget(v.Key)
		}
		synctest.Wait()
		c.list(allSlices)
		if got := shown(t, closure); got != nil {
			t.Errorf("shown is %v", got)
		}
		c.service("s", "node")
		for _, key := range []view.Key{servicesKey, nodesKey, unitsKey} {
			c.list(key)
		}
		settle()
		if diff := cmp.Diff(c.rules(true), shown(t, closure)); diff != "" {
			t.Errorf("once it is known (-want +got):\n%s", diff)
		}
	})
}
