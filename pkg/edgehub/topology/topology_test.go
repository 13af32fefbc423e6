package topology

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// at is an endpoint: NODE, or NODE! for one that is not ready; "-" is none.
func at(spec string) string {
	node, unready := strings.CutSuffix(spec, "!")
	var fields []string
	if node != "-" {
		fields = append(fields, fmt.Sprintf(`"nodeName":%q`, node))
	}
	if unready {
		fields = append(fields, `"conditions":{"ready":false}`)
	}
	return "{" + strings.Join(fields, ",") + "}"
}

// sliceOf is an EndpointSlice of the Service ns/NAME: NAME/ADDRESSTYPE/SLICE.
func sliceOf(name string, endpoints ...string) []byte {
	parts := strings.Split(name, "/")
	var list []string
	for _, e := range endpoints {
		list = append(list, at(e))
	}
	return fmt.Appendf(nil, `{"metadata":{"namespace":"ns","name":%q,"labels":{"kubernetes.io/service-name":%q}},"addressType":%q,"endpoints":[%s]}`,
		strings.ReplaceAll(strings.ToLower(name), "/", "-"), parts[0], parts[1], strings.Join(list, ","))
}

// world is what a topology is told of: node h is the one that it filters for.
type world struct {
	*testing.T
	*Topology
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t, New("h")}
	for node, unit := range map[string]string{"h": "u", "h2": "u", "o": "v"} {
		w.SetNode(node, unit)
	}
	return w
}

func (w *world) annotate(value string) []string {
	w.Helper()
	affected, err := w.SetService("ns/web", map[string]string{Annotation: value})
	if err != nil {
		w.Fatal(err)
	}
	return affected
}

func (w *world) slice(body []byte) []string {
	w.Helper()
	affected, err := w.SetSlice(body)
	if err != nil {
		w.Fatal(err)
	}
	return affected
}

func (w *world) filter(body []byte) string {
	w.Helper()
	got, err := w.Filter(body)
	if err != nil {
		w.Fatal(err)
	}
	return string(got)
}

// shows checks what is seen of an EndpointSlice.
func (w *world) shows(name string, all []string, want ...string) {
	w.Helper()
	if diff := cmp.Diff(string(sliceOf(name, want...)), w.filter(sliceOf(name, all...))); diff != "" {
		w.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func (w *world) affects(what string, got []string, want ...string) {
	w.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		w.Errorf("%s affects (-want +got):\n%s", what, diff)
	}
}

func TestWhatANodeSees(t *testing.T) {
	for name, test := range map[string]struct {
		annotation string
		unit       string // of the node h
		slices     map[string][]string
		want       map[string][]string // those that differ from slices
	}{
		"its unit": {"unit", "u", map[string][]string{"web/IPv4/1": {"h", "h2!", "o"}}, map[string][]string{"web/IPv4/1": {"h", "h2!"}}},
		"nothing, where its unit has nothing, and the slice is there all the same": {"unit", "u", map[string][]string{"web/IPv4/1": {"o", "x"}}, map[string][]string{"web/IPv4/1": {}}},
		"itself":                                   {"node", "u", map[string][]string{"web/IPv4/1": {"h!", "h2", "o"}}, map[string][]string{"web/IPv4/1": {"h!"}}},
		"itself, where it has no unit":             {"unit", "", map[string][]string{"web/IPv4/1": {"h", "h2", "x"}}, map[string][]string{"web/IPv4/1": {"h"}}},
		"its unit, if that has ready":              {"preferUnit", "u", map[string][]string{"web/IPv4/1": {"h!", "h2", "o"}}, map[string][]string{"web/IPv4/1": {"h!", "h2"}}},
		"all, if its unit has none ready":          {"preferUnit", "u", map[string][]string{"web/IPv4/1": {"h!", "h2!", "o"}}, nil},
		"all, where it has no unit and none ready": {"preferUnit", "", map[string][]string{"web/IPv4/1": {"h!", "h2", "-"}}, nil},
		"itself first, where it has no unit":       {"preferUnit", "", map[string][]string{"web/IPv4/1": {"h", "h2", "-"}}, map[string][]string{"web/IPv4/1": {"h"}}},
		"what another slice of the Service decides": {"preferUnit", "u", map[string][]string{"web/IPv4/1": {"o", "-"}, "web/IPv4/2": {"h2"}},
			map[string][]string{"web/IPv4/1": {}}},
		"what slices of other addresses do not decide": {"preferUnit", "u", map[string][]string{"web/IPv4/1": {"o"}, "web/IPv6/2": {"h2", "o"}},
			map[string][]string{"web/IPv6/2": {"h2"}}},
		"what slices of another Service do not decide": {"preferUnit", "u", map[string][]string{"web/IPv4/1": {"o"}, "other/IPv4/2": {"h2", "o"}}, nil},
		"none that is nowhere, where it is closed":     {"unit", "u", map[string][]string{"web/IPv4/1": {"-", "h2"}}, map[string][]string{"web/IPv4/1": {"h2"}}},
		"none that is on a node that is not known":     {"unit", "u", map[string][]string{"web/IPv4/1": {"x", "h2"}}, map[string][]string{"web/IPv4/1": {"h2"}}},
		"those that are nowhere among all":             {"preferUnit", "u", map[string][]string{"web/IPv4/1": {"-", "o!"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.annotate(test.annotation)
			w.SetNode("h", test.unit)
			for name, endpoints := range test.slices {
				w.slice(sliceOf(name, endpoints...))
			}
			for name, endpoints := range test.slices {
				want, differs := test.want[name]
				if !differs {
					want = endpoints
				}
				w.shows(name, endpoints, want...)
			}
		})
	}
}

func TestAListOfKeysIsAnOrder(t *testing.T) {
	w := newWorld(t)
	if _, err := w.SetService("ns/web", map[string]string{OpenYurtAnnotation: "kubernetes.io/hostname,openyurt.io/nodepool"}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ all, want []string }{
		{[]string{"h", "h2", "o"}, []string{"h"}},
		{[]string{"h!", "h2", "o"}, []string{"h!", "h2"}},
		{[]string{"h!", "h2!", "o"}, []string{"h!", "h2!"}}, // closed
	} {
		w.slice(sliceOf("web/IPv4/1", step.all...))
		w.shows("web/IPv4/1", step.all, step.want...)
	}
}

func TestWhatIsNeverFiltered(t *testing.T) {
	w := newWorld(t)
	of := func(namespace, label string) []byte {
		return fmt.Appendf(nil, `{"metadata":{"namespace":%q,"name":"kubernetes"%s},"addressType":"IPv4","endpoints":[{"nodeName":"o","hints":{}}]}`, namespace, label)
	}
	_, problem := w.SetService("default/kubernetes", map[string]string{Annotation: "node"})
	expectProblem(t, problem, "have no effect on it")
	for name, body := range map[string][]byte{
		"the API server":                      of("default", `,"labels":{"kubernetes.io/service-name":"kubernetes"}`),
		"a slice of no Service":               of("ns", ``),
		"one of a Service that nobody knows":  of("ns", `,"labels":{"kubernetes.io/service-name":"unknown"}`),
		"one that was read of a Service only": of("ns", `,"labels":{"kubernetes.io/service-name":""}`),
	} {
		w.slice(body)
		if got := w.filter(body); got != string(body) {
			t.Errorf("%s is seen as %s", name, got)
		}
	}
	for _, body := range []string{``, `{"metadata":{"name":"x"}}`, `{"metadata":{"namespace":"x"}}`, `{"endpoints":{}}`, `[]`} {
		if affected, err := w.SetSlice([]byte(body)); err == nil {
			t.Errorf("%q was taken, and affects %v", body, affected)
		}
	}
}

// Most Services have no rule, and some have a hundred endpoints in a slice.
func TestEndpointsOfAServiceWithoutARuleAreNotRead(t *testing.T) {
	w := newWorld(t)
	costs := func(endpoints ...string) float64 {
		body := sliceOf("web/IPv4/1", endpoints...)
		return testing.AllocsPerRun(100, func() { w.filter(body) })
	}
	if one, many := costs("o"), costs(strings.Split(strings.Repeat("o ", 100), " ")...); many > one {
		t.Errorf("one of them costs %v allocations, and a hundred %v", one, many)
	}
}

// An EndpointSlice may be read before the Service that it is of.
func TestNothingIsSeenOfAServiceThatIsNotKnownWhereAllAre(t *testing.T) {
	w := newWorld(t)
	both := []string{"h", "o"}
	w.slice(sliceOf("web/IPv4/1", both...))
	w.shows("web/IPv4/1", both, both...)
	w.affects("that all are known", w.KnowsAll(true), "ns/web")
	w.affects("that they are still", w.KnowsAll(true))
	w.shows("web/IPv4/1", both)
	w.shows("other/IPv4/1", both) // of which nobody has heard
	w.affects("an open Service that comes", must(w.SetService("ns/web", nil)), "ns/web")
	w.shows("web/IPv4/1", both, both...)
	w.affects("it, once it is closed", w.annotate("unit"), "ns/web")
	w.shows("web/IPv4/1", both, "h")
	w.affects("it, once it is gone", w.DeleteService("ns/web"), "ns/web")
	w.shows("web/IPv4/1", both)
	w.affects("a closed Service that comes", w.annotate("unit"), "ns/web")
	w.shows("web/IPv4/1", both, "h")
	w.DeleteService("ns/web")
	w.affects("that not all are known any more", w.KnowsAll(false), "ns/web")
	w.shows("web/IPv4/1", both, both...)
	w.KnowsAll(true)
	for what, body := range map[string]string{
		"a slice of no Service": `{"metadata":{"namespace":"ns","name":"mine"},"addressType":"IPv4","endpoints":[{"nodeName":"o"}]}`,
		"the API server":        `{"metadata":{"namespace":"default","name":"kubernetes","labels":{"kubernetes.io/service-name":"kubernetes"}},"addressType":"IPv4","endpoints":[{"nodeName":"o"}]}`,
	} {
		w.slice([]byte(body))
		if got := w.filter([]byte(body)); got != body {
			t.Errorf("%s is seen as %s", what, got)
		}
	}
}

func TestWhatAChangeAffects(t *testing.T) {
	w := newWorld(t)
	one, two := []string{"h", "o"}, []string{"o"}
	w.affects("a slice alone", w.slice(sliceOf("web/IPv4/1", one...)))
	w.affects("another slice", w.slice(sliceOf("web/IPv4/2", two...)))
	w.affects("an annotation", w.annotate("unit"), "ns/web")
	w.affects("the same again", w.annotate("unit"))
	w.affects("one that says the same of these", w.annotate("preferUnit"))
	w.affects("a node without endpoints", w.SetNode("h2", ""))
	w.affects("a node that moves to the unit", w.SetNode("o", "u"), "ns/web")
	w.affects("one that is there already", w.SetNode("o", "u"))
	w.affects("one that leaves it", w.SetNode("o", ""), "ns/web")
	w.affects("one that is gone besides", w.SetNode("o", ""))
	w.affects("the node itself, which has no unit any more", w.SetNode("h", ""))
	w.affects("the only ready one becomes unready", w.slice(sliceOf("web/IPv4/1", "h!", "o")), "ns/web")
	w.affects("and ready again", w.slice(sliceOf("web/IPv4/1", one...)), "ns/web")
	w.affects("its slice goes", w.DeleteSlice("ns/web-ipv4-1"), "ns/web")
	w.affects("once", w.DeleteSlice("ns/web-ipv4-1"))
	w.affects("a slice that goes to another Service", w.slice([]byte(strings.Replace(string(sliceOf("web/IPv4/2", two...)), `"web"`, `"other"`, 1))))
	if got := w.Slices("ns/other"); !cmp.Equal(got, []string{"ns/web-ipv4-2"}) {
		t.Errorf("the other Service has %v", got)
	}
	w.affects("the Service of nothing", w.DeleteService("ns/web"))
	w.affects("a Service that there never was", w.DeleteService("ns/never"))
	w.affects("the other gets a rule", must(w.SetService("ns/other", map[string]string{Annotation: "node"})), "ns/other")
	w.affects("and is deleted", w.DeleteService("ns/other"), "ns/other")
	w.affects("and its slice", w.DeleteSlice("ns/web-ipv4-2"))
	if len(w.services)+len(w.ruled)+len(w.owners) != 0 {
		t.Errorf("what is gone is remembered: %v %v %v", w.services, w.ruled, w.owners)
	}
}

func must(affected []string, _ error) []string { return affected }

func TestSlicesAreFilteredWhileOthersChange(t *testing.T) {
	w := newWorld(t)
	w.annotate("preferUnit")
	body := sliceOf("web/IPv4/1", "h", "o", "-")
	var running sync.WaitGroup
	for i := range 4 {
		running.Go(func() {
			for n := range 200 {
				switch i {
				case 0:
					w.SetNode("o", []string{"u", "v"}[n%2])
				case 1:
					_, _ = w.SetService("ns/web", map[string]string{Annotation: []string{"unit", "preferUnit"}[n%2]})
				case 2:
					_, _ = w.SetSlice(body)
				default:
					if got, err := w.Filter(body); err != nil || !strings.Contains(string(got), `"h"`) {
						t.Errorf("it is %s, %v", got, err)
					}
				}
			}
		})
	}
	running.Wait()
}
