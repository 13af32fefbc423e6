package simulated_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/test/simulation"
)

// Namespaces of several tenants, on members that they share in part, whose labels change while
// things run: every request that arrives in a member is held against a law that knows nothing of
// the engine. What happens is random, and printed; KOINON_SEED and KOINON_STEPS as for histories.
func TestNothingCrossesBetweenTenants(t *testing.T) {
	extent := extentOf(t)
	for seed := extent.seed; seed < extent.seed+extent.histories; seed++ {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Logf("KOINON_SEED=%d KOINON_HISTORIES=1 KOINON_STEPS=%d runs this history again", seed, extent.steps)
			l := newLaw()
			inGuardedRealm(t, 3, l.sees, func(r *realm) {
				c := &crossing{realm: r, law: l, Rand: rand.New(rand.NewPCG(seed, 1)), onlookers: newOnlookers(r, l), told: map[string]bool{}}
				c.begin()
				for range extent.rests {
					for range extent.steps {
						c.step()
					}
					c.rest()
				}
			})
		})
	}
}

// holder is whose something is: a tenant and its workspace group, empty for nobody.
type holder struct{ tenant, group string }

func (h holder) labels() map[string]any {
	labels := map[string]any{}
	if h.tenant != "" {
		labels[federationv1alpha1.TenantLabel] = h.tenant
	}
	if h.group != "" {
		labels[federationv1alpha1.WorkspaceGroupLabel] = h.group
	}
	return labels
}

// crossingNamespaces are those of the host. Objects are called as their namespace, a dash, and a
// number; a cell's namespace in a member is called as its namespace, a dash, and its name.
var crossingNamespaces = []string{"alpha", "beta", "gamma"}

// estate is whose everything is at one time.
type estate struct {
	namespaces, members map[string]holder
	// cells say in which members a cell is or ever was, by its namespace in a member. They only grow.
	cells map[string]map[string]bool
}

func (e estate) clone() estate {
	cells := map[string]map[string]bool{}
	for name, members := range e.cells {
		cells[name] = maps.Clone(members)
	}
	return estate{maps.Clone(e.namespaces), maps.Clone(e.members), cells}
}

// may says whether the objects of a namespace of the host may be in a namespace of a member.
func (e estate) may(namespace, member, inMember string) bool {
	ours, theirs := e.namespaces[namespace], e.members[member]
	if namespace == inMember {
		return ours == theirs
	}
	return e.cells[inMember][member] && strings.HasPrefix(inMember, namespace+"-") && (ours == theirs || theirs == holder{})
}

// law judges requests. What happens to an estate is known to the controllers a while later, and what
// happens to a namespace and to a member in either order: what is allowed by anything that either of
// them was since the last rest is allowed.
type law struct {
	mu      sync.Mutex
	now     estate   // guarded by mu
	since   []estate // guarded by mu
	crimes  []string // guarded by mu
	touched int      // requests about one object or namespace of a tenant; guarded by mu
	shown   int      // requests of onlookers; guarded by mu
}

func newLaw() *law {
	return &law{now: estate{map[string]holder{}, map[string]holder{}, map[string]map[string]bool{}}}
}

// change changes the estate.
func (l *law) change(how func(estate)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since = append(l.since, l.now.clone())
	how(l.now)
}

// rest says that everybody knows the estate of now.
func (l *law) rest() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since = nil
}

func (l *law) allows(namespace, member, inMember string) bool {
	estates := append(slices.Clone(l.since), l.now)
	for _, e := range estates {
		for _, other := range estates {
			mixed := estate{e.namespaces, other.members, l.now.cells}
			if mixed.may(namespace, member, inMember) {
				return true
			}
		}
	}
	return false
}

// sees judges one request.
func (l *law) sees(member string, r *http.Request) {
	body := []byte(nil)
	if r.Body != nil && r.Method != http.MethodGet {
		body, _ = io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if crime := l.judge(member, r, body); crime != "" {
		l.crimes = append(l.crimes, fmt.Sprintf("%s %s in %s: %s: %s", r.Method, r.URL, member, crime, body))
	}
}

// judge returns what is wrong with a request; l.mu is held.
func (l *law) judge(member string, r *http.Request, body []byte) string {
	path, ofNamespaces := strings.CutPrefix(r.URL.Path, "/api/v1/namespaces")
	if !ofNamespaces {
		return l.judgeAll(r)
	}
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/") // NAMESPACE, TYPE, NAME
	inMember, name := parts[0], ""
	switch {
	case len(parts) == 1 && inMember == "" && r.Method == http.MethodGet:
		return l.judgeAll(r)
	case len(parts) == 1 && inMember == "":
		inMember = nameIn(body)
	case len(parts) == 2 && r.Method == http.MethodGet:
		return l.judgeAll(r)
	case len(parts) == 2:
		name = nameIn(body)
	case len(parts) > 2:
		name = parts[2]
	}
	if inMember == "kube-system" && name == "" && r.Method == http.MethodGet {
		return ""
	}
	owner, _, _ := strings.Cut(inMember, "-")
	l.touched++
	if name == "" && r.Method == http.MethodGet && l.now.cells[inMember][member] {
		return "" // the book of owners looks whether the namespace of a cell has its marks still
	}
	if name != "" && !strings.HasPrefix(name, owner+"-") {
		return fmt.Sprintf("what is called %q is not of namespace %q", name, owner)
	}
	if !l.allows(owner, member, inMember) {
		return fmt.Sprintf("%v may not touch anything in namespace %q of a member of %v", l.now.namespaces[owner], inMember, l.now.members[member])
	}
	return ""
}

// judgeAll judges what is asked of everybody's at once: it must be of what is ours.
func (l *law) judgeAll(r *http.Request) string {
	discovery := strings.HasPrefix(r.URL.Path, "/apis") && strings.Count(r.URL.Path, "/") < 4 || strings.Count(r.URL.Path, "/") < 3
	if r.Method == http.MethodGet && (discovery || strings.HasPrefix(r.URL.Path, "/openapi") || strings.Contains(r.URL.Path, "customresourcedefinitions")) {
		return ""
	}
	if r.Method == http.MethodGet && r.URL.Query().Get("labelSelector") == v1beta1.ManagedLabel+"=true" {
		return ""
	}
	return "it reads, or writes, what is anybody's"
}

func nameIn(body []byte) string {
	var object struct {
		Metadata struct{ Name string }
	}
	_ = json.Unmarshal(body, &object)
	return object.Metadata.Name
}

// crossing is a random course of things under the law.
type crossing struct {
	*realm
	*rand.Rand
	law       *law
	next      int
	onlookers *onlookers
	// told are the Events that were looked at.
	told map[string]bool
}

func (c *crossing) begin() {
	for _, namespace := range crossingNamespaces {
		c.law.change(func(e estate) { e.namespaces[namespace] = holder{} })
		c.put(simulation.Namespaces, map[string]any{"metadata": map[string]any{"name": namespace}})
		c.put(simulation.FederatedNamespaces, simulation.FederatedNamespace(namespace))
	}
	for _, m := range c.members {
		c.law.change(func(e estate) { e.members[m.Name()] = holder{} })
	}
	for _, namespace := range crossingNamespaces {
		c.own(c.anybody(), namespace)
		c.giveMember()
		c.makeCell()
	}
	c.rest()
}

func (c *crossing) anybody() holder {
	return []holder{{}, {"a", "x"}, {"a", "x"}, {"a", "x"}, {"a", "y"}, {"b", "x"}, {"a", ""}}[c.IntN(7)]
}

func pick[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }

// step has one thing happen, and lets some time go by, or none.
func (c *crossing) step() {
	steps := []struct {
		weight int
		name   string
		happen func() string
	}{
		{10, "write", c.write},
		{3, "remove", c.remove},
		{2, "own", func() string { return c.own(c.anybody(), pick(c.Rand, crossingNamespaces)) }},
		{2, "give member", c.giveMember},
		{2, "make cell", c.makeCell},
		{1, "remove cell", c.removeCell},
		{2, "drift", c.drift},
		{4, "look", c.look},
		{1, "restart", func() string { c.stop(); c.run(); return "" }},
		{1, "fail", c.fail},
		{1, "well", c.well},
	}
	total := 0
	for _, s := range steps {
		total += s.weight
	}
	at := c.IntN(total)
	for _, s := range steps {
		if at -= s.weight; at < 0 {
			c.Logf("%s %s", s.name, s.happen())
			break
		}
	}
	if c.IntN(2) == 0 {
		c.pass(time.Duration(c.IntN(20_000)) * time.Millisecond)
	}
	c.noCrime()
}

// rest lets everybody know everything. After it only the estate of now counts.
func (c *crossing) rest() {
	c.well()
	c.pass(20 * time.Minute)
	c.eventsTellWhatMayBe()
	c.law.rest()
	c.noCrime()
	c.statusesSayWhatMayBe()
}

func (c *crossing) noCrime() {
	c.Helper()
	c.law.mu.Lock()
	defer c.law.mu.Unlock()
	if len(c.law.crimes) > 0 {
		c.Fatalf("%d requests crossed, of which the first is: %s", len(c.law.crimes), c.law.crimes[0])
	}
}

// write makes or changes an object, placed by all means that there are.
func (c *crossing) write() string {
	namespace := pick(c.Rand, crossingNamespaces)
	name := fmt.Sprintf("%s-%d", namespace, c.IntN(3))
	c.next++
	spec := map[string]any{
		"topologyType": pick(c.Rand, []string{v1beta2.TopologyCluster, v1beta2.TopologyCell}),
		"template":     map[string]any{"data": map[string]any{"key": strconv.Itoa(c.next)}},
		"placement":    map[string]any{"topologySelector": map[string]any{}},
	}
	if existing := c.host.Object(simulation.FederatedConfigMaps, namespace, name); existing != nil { // its type is immutable
		spec["topologyType"] = existing["spec"].(map[string]any)["topologyType"]
	}
	if c.IntN(2) == 0 { // by names, also such as are not its own
		names := []any{}
		for _, target := range []string{"m1", "m2", "m3", "c1", "c2", "c1." + pick(c.Rand, crossingNamespaces)} {
			if c.IntN(2) == 0 {
				names = append(names, map[string]any{"name": target})
			}
		}
		spec["placement"] = map[string]any{"topologies": names}
	}
	if c.IntN(5) == 0 {
		spec["placementMask"] = map[string]any{"topologies": []any{map[string]any{"name": "m1"}, map[string]any{"name": "c1"}}}
	}
	found, err := c.host.Change(simulation.FederatedConfigMaps, namespace, name, func(object map[string]any) { object["spec"] = spec })
	if err == nil && !found {
		err = c.host.Put(simulation.FederatedConfigMaps, map[string]any{"metadata": map[string]any{"name": name, "namespace": namespace}, "spec": spec})
	}
	if err != nil {
		c.Fatal(err)
	}
	return name
}

func (c *crossing) remove() string {
	namespace := pick(c.Rand, crossingNamespaces)
	name := fmt.Sprintf("%s-%d", namespace, c.IntN(3))
	c.host.Remove(simulation.FederatedConfigMaps, namespace, name)
	return name
}

// own changes whose a namespace is.
func (c *crossing) own(h holder, namespace string) string {
	c.law.change(func(e estate) { e.namespaces[namespace] = h })
	if _, err := c.host.Change(simulation.Namespaces, "", namespace, func(object map[string]any) {
		object["metadata"].(map[string]any)["labels"] = h.labels()
	}); err != nil {
		c.Fatal(err)
	}
	return fmt.Sprintf("%s %v", namespace, h)
}

// giveMember changes whose a member is.
func (c *crossing) giveMember() string {
	m, h := pick(c.Rand, c.members), c.anybody()
	c.law.change(func(e estate) { e.members[m.Name()] = h })
	if _, err := c.host.Change(clusters, v1beta1.DefaultNamespace, m.Name(), func(object map[string]any) {
		object["metadata"].(map[string]any)["labels"] = h.labels()
	}); err != nil {
		c.Fatal(err)
	}
	return fmt.Sprintf("%s %v", m.Name(), h)
}

// makeCell makes a cell, unless there is one of that name.
func (c *crossing) makeCell() string {
	namespace, name, member := pick(c.Rand, crossingNamespaces), pick(c.Rand, []string{"c1", "c2"}), pick(c.Rand, c.members).Name()
	if c.host.Object(cellResource, namespace, name) != nil {
		return "not"
	}
	c.law.change(func(e estate) {
		inMember := namespace + "-" + name
		if e.cells[inMember] == nil {
			e.cells[inMember] = map[string]bool{}
		}
		e.cells[inMember][member] = true
	})
	c.put(cellResource, map[string]any{
		"metadata": map[string]any{"name": name, "namespace": namespace}, "spec": map[string]any{"clusterName": member},
	})
	return fmt.Sprintf("%s/%s in %s", namespace, name, member)
}

func (c *crossing) removeCell() string {
	namespace, name := pick(c.Rand, crossingNamespaces), pick(c.Rand, []string{"c1", "c2"})
	c.host.Remove(cellResource, namespace, name)
	return namespace + "/" + name
}

// look has somebody of a namespace look into members through the API server.
func (c *crossing) look() string {
	namespace := pick(c.Rand, crossingNamespaces)
	for _, cell := range []string{"c1", "c2"} {
		c.onlookers.lookIntoCell(c.Context(), namespace, cell)
	}
	for i := range 3 {
		c.onlookers.lookAtTargets(c.Context(), namespace, fmt.Sprintf("%s-%d", namespace, i))
	}
	return namespace
}

// drift has somebody in a member change what is there.
func (c *crossing) drift() string {
	m := pick(c.Rand, c.members)
	objects := m.Objects(simulation.ConfigMaps)
	if len(objects) == 0 {
		return "not"
	}
	u := unstructured.Unstructured{Object: pick(c.Rand, objects)}
	if c.IntN(2) == 0 {
		m.Remove(simulation.ConfigMaps, u.GetNamespace(), u.GetName())
	} else if _, err := m.Change(simulation.ConfigMaps, u.GetNamespace(), u.GetName(), func(object map[string]any) {
		object["data"] = map[string]any{"key": "by hand"}
	}); err != nil {
		c.Fatal(err)
	}
	return fmt.Sprintf("%s: %s/%s", m.Name(), u.GetNamespace(), u.GetName())
}

// fail has a member answer with errors, or none of its writes.
func (c *crossing) fail() string {
	m := pick(c.Rand, c.members)
	m.SetFaults(simulation.Fault{Verbs: pick(c.Rand, [][]string{{"health"}, {"create", "update", "patch"}, {"list", "watch"}}), Rate: 1, Code: 500})
	return m.Name()
}

func (c *crossing) well() string {
	for _, m := range c.members {
		m.SetFaults()
	}
	return ""
}

// statusesSayWhatMayBe holds the statuses against the law: what is up to date is where it may be, and
// no object is told of a member's doings that its tenant may not see.
func (c *crossing) statusesSayWhatMayBe() {
	c.Helper()
	said := 0
	for _, tree := range c.host.Objects(simulation.FederatedConfigMaps) {
		data := asJSON(tree)
		var object v1beta2.FederatedObject
		if err := json.Unmarshal([]byte(data), &object); err != nil {
			c.Fatal(err)
		}
		if object.Status == nil {
			continue
		}
		for _, target := range object.Status.Targets {
			said++
			switch {
			case target.State == v1beta2.TargetNotFound || target.State == v1beta2.TargetMasked:
			case !c.law.allows(object.Namespace, target.Cluster, target.Namespace):
				c.Fatalf("target %s of %s/%s is told of as %q, and is another tenant's: %s", target.Name, object.Namespace, object.Name, target.State, data)
			}
		}
		for _, other := range crossingNamespaces {
			if other != object.Namespace && slices.ContainsFunc(object.Status.Targets, func(t v1beta2.TargetStatus) bool {
				return strings.Contains(t.Message, other+"-")
			}) {
				c.Fatalf("the status of %s/%s speaks of what is in namespace %s: %s", object.Namespace, object.Name, other, data)
			}
		}
	}
	c.Logf("%d targets are told of, and %d requests were about one namespace or object", said, c.law.touched)
}
