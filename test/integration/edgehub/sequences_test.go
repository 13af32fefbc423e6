package edgehub_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/koinon-io/koinon/test/testbed"
)

// differentialChanges is how many random changes there are in each round, and rounds how many rounds; ten times as many if KOINON_LONG is set.
const differentialChanges, rounds = 40, 3

// happened is an event as two watches must agree on it.
type happened struct {
	Type, Name, Version, Labels, UID string
}

// sequence is what a watch has told.
type sequence struct {
	events chan happened
	err    error // of the end; read after events is closed
}

// follow watches until ctx ends.
func (r *reader) follow(ctx context.Context, uri string) (*sequence, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base+uri, nil)
	if err != nil {
		return nil, err
	}
	response, err := r.client.Do(request)
	if err != nil {
		return nil, err
	}
	s := &sequence{events: make(chan happened, 1<<16)}
	go func() { // ends with ctx, which closes the body
		defer response.Body.Close()
		defer close(s.events)
		lines := bufio.NewScanner(response.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var event struct {
				Type   string
				Object unstructured.Unstructured
			}
			if s.err = json.Unmarshal(lines.Bytes(), &event); s.err != nil {
				return
			}
			o := event.Object
			if event.Type == "ERROR" {
				s.err = fmt.Errorf("%s", lines.Bytes())
				return
			}
			if event.Type != "BOOKMARK" {
				s.events <- happened{event.Type, o.GetNamespace() + "/" + o.GetName(), o.GetResourceVersion(), fmt.Sprint(o.GetLabels()), string(o.GetUID())}
			}
		}
		s.err = lines.Err()
	}()
	return s, nil
}

// until returns what has been told up to and with an event of a name.
func (s *sequence) until(t *testing.T, name string) []happened {
	t.Helper()
	var all []happened
	timeout := time.After(testbed.Patience)
	for {
		select {
		case event, ok := <-s.events:
			if !ok {
				t.Fatalf("the watch has ended: %v, after %v", s.err, all)
			}
			all = append(all, event)
			if strings.HasSuffix(event.Name, "/"+name) {
				return all
			}
		case <-timeout:
			t.Fatalf("there is no %s after %v", name, all)
		}
	}
}

// watches are narrowed in these ways, and each has what marks the end of a round.
var watches = []string{
	"", "labelSelector=unit=a", "labelSelector=unit in (a,b)", "labelSelector=unit!=b", "labelSelector=!unit", "labelSelector=unit,tier notin (y)",
	"fieldSelector=metadata.name!=x1", "fieldSelector=metadata.namespace=ns0", "labelSelector=unit!=a&fieldSelector=metadata.name!=x2",
}

// changes makes random changes of configmaps.
type changes struct {
	*rand.Rand
	t      *testing.T
	client dynamic.NamespaceableResourceInterface
	marks  int
}

func (c *changes) object(name, value string) *unstructured.Unstructured {
	labels := map[string]string{}
	for key, values := range map[string][]string{"unit": {"", "a", "a", "b", "c"}, "tier": {"", "x", "y"}} {
		if value := values[c.IntN(len(values))]; value != "" {
			labels[key] = value
		}
	}
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "data": map[string]any{"k": value}}}
	o.SetName(name)
	o.SetLabels(labels)
	return o
}

// one makes one change; what cannot be is none.
func (c *changes) one() {
	client := c.client.Namespace(inNamespaces[c.IntN(2)])
	name := fmt.Sprintf("x%d", c.IntN(6))
	switch c.IntN(4) {
	case 0:
		_ = client.Delete(c.t.Context(), name, metav1.DeleteOptions{})
	case 1:
		_, _ = client.Create(c.t.Context(), c.object(name, "new"), metav1.CreateOptions{})
	default:
		_, _ = client.Update(c.t.Context(), c.object(name, fmt.Sprint(c.Uint64())), metav1.UpdateOptions{})
	}
}

// mark makes an object for each of watches that selects it, and returns its name.
func (c *changes) mark() string {
	c.t.Helper()
	c.marks++
	name := fmt.Sprintf("mark%d", c.marks)
	// One for who wants unit=a, one for who wants none: whoever takes several ends at the first of that name, in ns0; the others follow.
	for _, unit := range []string{"a", "none"} {
		o := c.object(name+unit, "mark")
		o.SetLabels(map[string]string{"unit": unit})
		if unit == "none" {
			o.SetLabels(nil)
		}
		if _, err := c.client.Namespace("ns0").Create(c.t.Context(), o, metav1.CreateOptions{}); err != nil {
			c.t.Fatal(err)
		}
	}
	return name
}

// markOf is the end of a round for a watch: the last mark that it selects.
func markOf(narrow, name string) string {
	if strings.Contains(narrow, "unit=a") && !strings.Contains(narrow, "!=a") || strings.Contains(narrow, "in (a") || strings.Contains(narrow, "=unit,") {
		return name + "a"
	}
	return name + "none"
}

// Watches through the hub tell the same, in the same order, as those of the API server from the same resourceVersion, whether they are of a view of their own or of a wider one,
// and whether the link was there meanwhile or not.
func TestWatchesThroughTheHubTellWhatThoseOfTheAPIServerDo(t *testing.T) {
	seed := seedOf(t)
	cluster := testbed.StartCluster(t, testbed.ClusterOptions{Name: "cloud"})
	client := populate(t, cluster).Resource(configMaps.GroupVersionResource)
	l := newLink(t, cluster)
	h := newHub(t, l)
	direct, hubbed := directly(t, cluster), through(h)
	c := &changes{rand.New(rand.NewPCG(seed, 0)), t, client, 0}
	list, err := hubbed.read(t.Context(), read{uri: configMaps.path("")}) // the wide view
	if err != nil {
		t.Fatal(err)
	}
	var pairs []*pair
	begin := func(narrow string, from uint64) {
		t.Helper()
		uri := fmt.Sprintf("%s?watch=true&resourceVersion=%d&%s", configMaps.path(""), from, escaped(narrow))
		p := &pair{narrow: narrow}
		if p.direct, err = direct.follow(t.Context(), uri); err != nil {
			t.Fatal(err)
		}
		if p.hub, err = hubbed.follow(t.Context(), uri); err != nil {
			t.Fatal(err)
		}
		pairs = append(pairs, p)
	}
	l.sever() // nobody has asked for these selections before, and so they are of the wide view
	for _, narrow := range watches {
		begin(narrow, list.version)
	}
	l.heal()
	count, all := differentialChanges, rounds
	if long() {
		count, all = count*10, all*3
	}
	for round := range all {
		cut := c.IntN(count)
		for i := range count {
			if i == cut {
				l.sever()
			}
			c.one()
		}
		name := c.mark()
		l.heal()
		for _, p := range pairs {
			want, got := p.direct.until(t, markOf(p.narrow, name)), p.hub.until(t, markOf(p.narrow, name))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("round %d, %q (-directly +through the hub):\n%s", round, p.narrow, diff)
			}
		}
		if t.Failed() {
			return
		}
		if round > 0 {
			continue
		}
		for _, narrow := range watches { // views of their own, by now
			list, err := hubbed.read(t.Context(), read{uri: configMaps.path("") + "?" + escaped(narrow)})
			if err != nil {
				t.Fatal(err)
			}
			begin(narrow, list.version)
		}
	}
}

// pair is two watches that must tell the same.
type pair struct {
	narrow      string
	direct, hub *sequence
}

// escaped is a query with its values escaped.
func escaped(narrow string) string {
	var all []string
	for part := range strings.SplitSeq(narrow, "&") {
		if key, value, ok := strings.Cut(part, "="); ok {
			all = append(all, key+"="+url.QueryEscape(value))
		}
	}
	slices.Sort(all)
	return strings.Join(all, "&")
}
