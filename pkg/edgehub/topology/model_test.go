package topology

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// model is all that there is, and what somebody sees who filters anew what is affected, and nothing else.
type model struct {
	t        *testing.T
	random   *rand.Rand
	topology *Topology
	nodes    map[string]string // units
	services map[string]map[string]string
	slices   map[string][]byte
	all      bool // it was told of all Services
	seen     map[string]string
}

// seed is random, or what KOINON_SEED says.
func seed(t *testing.T) uint64 {
	t.Helper()
	n := rand.Uint64()
	if text := os.Getenv("KOINON_SEED"); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("KOINON_SEED=%d", n)
	return n
}

// After each of many random changes, what is affected, filtered anew, is all that is seen otherwise than before; and what is seen is what one who begins from nothing
// sees, and what the rules say.
func TestWhatIsAffectedIsAllThatIsSeenOtherwise(t *testing.T) {
	start := seed(t)
	for run := range 20 {
		m := &model{
			t: t, random: rand.New(rand.NewPCG(start, uint64(run))), topology: New("n0"),
			nodes: map[string]string{}, services: map[string]map[string]string{}, slices: map[string][]byte{}, seen: map[string]string{},
		}
		for range 200 {
			what := m.change()
			if m.compare(what); t.Failed() {
				return
			}
		}
	}
}

func (m *model) one(of ...string) string { return of[m.random.IntN(len(of))] }

func (m *model) some(what string, n int) string { return fmt.Sprintf("%s%d", what, m.random.IntN(n)) }

// change makes one, tells the topology, and sees again what is affected.
func (m *model) change() string {
	var (
		affected, also []string
		what           string
	)
	switch service := "ns/" + m.some("s", 4); m.random.IntN(7) {
	case 0:
		node, unit := m.some("n", 6), m.one("", "u", "v")
		m.nodes[node] = unit
		affected, what = m.topology.SetNode(node, unit), fmt.Sprintf("%s is in %q", node, unit)
	case 1:
		m.services[service] = m.annotations()
		affected, _ = m.topology.SetService(service, m.services[service])
		what = fmt.Sprintf("%s has %v", service, m.services[service])
	case 2:
		delete(m.services, service)
		affected, what = m.topology.DeleteService(service), service+" is deleted"
	case 3:
		m.all = !m.all
		affected, what = m.topology.KnowsAll(m.all), fmt.Sprintf("it was told of all: %t", m.all)
	case 4:
		name := "ns/" + m.some("l", 8)
		delete(m.slices, name)
		delete(m.seen, name)
		affected, what = m.topology.DeleteSlice(name), name+" is deleted"
	default:
		name := m.some("l", 8)
		m.slices["ns/"+name] = m.slice(name)
		affected, _ = m.topology.SetSlice(m.slices["ns/"+name])
		also, what = []string{"ns/" + name}, "is "+string(m.slices["ns/"+name])
	}
	m.look(what, affected, also)
	return what
}

// look sees again what is affected, all of which is seen otherwise in some slice, and what was changed itself.
func (m *model) look(what string, affected, changed []string) {
	for _, service := range affected {
		differs := false
		for _, name := range m.topology.Slices(service) {
			differs = m.see(name) || differs
		}
		if !differs {
			m.t.Errorf("%s: %s is affected, and seen as before", what, service)
		}
	}
	for _, name := range changed {
		m.see(name)
	}
}

func (m *model) see(name string) (differs bool) {
	got, err := m.topology.Filter(m.slices[name])
	if err != nil {
		m.t.Errorf("%s: %v", name, err)
	}
	before := m.seen[name]
	m.seen[name] = string(got)
	return before != m.seen[name]
}

func (m *model) annotations() map[string]string {
	if m.random.IntN(4) == 0 {
		return nil
	}
	return map[string]string{
		m.one(Annotation, Annotation, OpenYurtAnnotation): m.one("unit", "node", "preferUnit", "wrong", "kubernetes.io/hostname,openyurt.io/nodepool", "kubernetes.io/hostname,*"),
	}
}

func (m *model) slice(name string) []byte {
	endpoints := make([]map[string]any, m.random.IntN(4))
	for i := range endpoints {
		endpoints[i] = map[string]any{"addresses": []string{strconv.Itoa(m.random.IntN(3))}}
		if node := m.some("n", 7); node != "n6" {
			endpoints[i]["nodeName"] = node
		}
		if ready := m.random.IntN(3); ready < 2 {
			endpoints[i]["conditions"] = map[string]any{"ready": ready == 1}
		}
	}
	body, err := json.Marshal(map[string]any{
		"metadata":    map[string]any{"namespace": "ns", "name": name, "labels": map[string]string{serviceLabel: m.one("", "s0", "s1", "s2", "s3")}},
		"addressType": m.one("IPv4", "IPv4", "IPv6"), "endpoints": endpoints,
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return body
}

// compare holds what is seen against one that begins from nothing, and against the rules.
func (m *model) compare(what string) {
	fresh := New("n0")
	fresh.KnowsAll(m.all)
	for name := range m.slices { // in any order
		if _, err := fresh.SetSlice(m.slices[name]); err != nil {
			m.t.Fatal(err)
		}
	}
	for service, annotations := range m.services {
		_, _ = fresh.SetService(service, annotations)
	}
	for node, unit := range m.nodes {
		fresh.SetNode(node, unit)
	}
	want, byRules := map[string]string{}, map[string]string{}
	for name, body := range m.slices {
		got, err := fresh.Filter(body)
		if err != nil {
			m.t.Fatal(err)
		}
		want[name], byRules[name] = string(got), m.byTheRules(body)
	}
	if diff := cmp.Diff(want, m.seen); diff != "" {
		m.t.Errorf("after: %s\nseen (-want +got):\n%s", what, diff)
	}
	if diff := cmp.Diff(byRules, m.seen); diff != "" {
		m.t.Errorf("after: %s\nby the rules (-want +got):\n%s", what, diff)
	}
}

// decodedSlice is an EndpointSlice of the model: its marshalled form has the same bytes.
type decodedSlice map[string]any

func decode(body []byte) (s decodedSlice, service, addresses string) {
	_ = json.Unmarshal(body, &s)
	service, _ = s["metadata"].(map[string]any)["labels"].(map[string]any)[serviceLabel].(string)
	return s, service, s["addressType"].(string)
}

// byTheRules is what is to be seen of an EndpointSlice, in the simplest words.
func (m *model) byTheRules(body []byte) string {
	s, service, addresses := decode(body)
	annotations, known := m.services["ns/"+service]
	rule, _ := RuleOf(annotations)
	if m.all && service != "" && !known {
		s["endpoints"] = []any{}
		return m.text(s)
	}
	if !known || service == "" || rule == nil {
		return string(body)
	}
	place := rule[len(rule)-1]
	for _, candidate := range slices.Backward(rule) {
		for _, other := range slices.Sorted(maps.Keys(m.slices)) {
			o, of, with := decode(m.slices[other])
			if of == service && with == addresses && slices.ContainsFunc(o["endpoints"].([]any), func(e any) bool { return isReady(e) && m.within(candidate, e) }) {
				place = candidate
			}
		}
	}
	s["endpoints"] = slices.DeleteFunc(s["endpoints"].([]any), func(e any) bool { return !m.within(place, e) })
	return m.text(s)
}

func (m *model) text(s decodedSlice) string {
	text, err := json.Marshal(s)
	if err != nil {
		m.t.Fatal(err)
	}
	return string(text)
}

func isReady(endpoint any) bool {
	conditions, said := endpoint.(map[string]any)["conditions"].(map[string]any)
	return !said || conditions["ready"] == true
}

func (m *model) within(place Scope, endpoint any) bool {
	node, _ := endpoint.(map[string]any)["nodeName"].(string)
	unit := m.nodes["n0"]
	return place == Anywhere || node == "n0" || place == Unit && unit != "" && m.nodes[node] == unit
}
