package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/test/bench/report"
)

// The ways to objects, which are columns.
const (
	direct     = "direct"
	throughHub = "hub"
)

var readColumns = []string{direct, throughHub}

// mark is the annotation that changes are told apart by.
const mark = "edgebench.koinon.io/mark"

// reading is a read that is timed.
type reading struct {
	group, name string
	times       int // in each turn
	// read reads once, on a connection that is there.
	read func(ctx context.Context, r *reader) error
	// aim is set against the ratio of medians, or, if added is true, against how many milliseconds the hub adds; 0 for none.
	aim   float64
	added bool
}

// reader is a node's way to objects with warm connections: the same client on each.
type reader struct {
	typed kubernetes.Interface
	plain *http.Client
	host  string
}

func newReader(config *rest.Config) (*reader, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1
	config.ContentType, config.AcceptContentTypes = "application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf,application/json"
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	plain, err := rest.HTTPClientFor(config)
	return &reader{typed, plain, config.Host}, err
}

// bytes reads an answer to its last byte, and does not decode it.
func (r *reader) bytes(ctx context.Context, path, accept string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.host+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", accept)
	answer, err := r.plain.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if n, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusOK || n == 0 {
		return fmt.Errorf("GET %s: %s, %d bytes: %w", path, answer.Status, n, err)
	}
	return nil
}

const (
	asClients     = "application/vnd.kubernetes.protobuf,application/json"
	asJSON        = "application/json"
	podsPath      = "/api/v1/pods?fieldSelector=spec.nodeName%3D" + edge
	servicesPath  = "/api/v1/services?fieldSelector=spec.clusterIP%21%3DNone"
	cached        = "&resourceVersion=0"
	getAdded      = 1 // ms
	listAtMost    = 1 // of direct
	patchesInTurn = 50
)

// readings are what kubelet reads, as it reads it.
func readings(pods, services int) []reading {
	path := func(path, accept string) func(context.Context, *reader) error {
		return func(ctx context.Context, r *reader) error { return r.bytes(ctx, path, accept) }
	}
	node := "/api/v1/nodes/" + edge
	listPods, listServices := fmt.Sprintf("LIST of %d pods", pods), fmt.Sprintf("LIST of %d Services", services)
	return []reading{
		{"GET", "node, resourceVersion=0, last byte", 300, path(node+"?resourceVersion=0", asClients), getAdded, true},
		{"GET", "node, last byte", 300, path(node, asClients), getAdded, true},
		{"GET", "node, as JSON, last byte", 300, path(node, asJSON), 0, false},
		{"GET", "node, decoded by client-go", 300, func(ctx context.Context, r *reader) error {
			_, err := r.typed.CoreV1().Nodes().Get(ctx, edge, metav1.GetOptions{})
			return err
		}, getAdded, true},
		{listPods, "from cache, last byte", 50, path(podsPath+cached, asClients), listAtMost, false},
		{listPods, "consistent, last byte", 50, path(podsPath, asClients), 0, false},
		{listPods, "from cache, as JSON, last byte", 50, path(podsPath+cached, asJSON), listAtMost, false},
		{listPods, "from cache, decoded by client-go", 50, func(ctx context.Context, r *reader) error {
			_, err := r.typed.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + edge, ResourceVersion: "0"})
			return err
		}, listAtMost, false},
		{listServices, "from cache, last byte", 20, path(servicesPath+cached, asClients), listAtMost, false},
		{listServices, "consistent, last byte", 20, path(servicesPath, asClients), 0, false},
		{listServices, "from cache, as JSON, last byte", 20, path(servicesPath+cached, asJSON), listAtMost, false},
		{listServices, "from cache, decoded by client-go", 20, func(ctx context.Context, r *reader) error {
			_, err := r.typed.CoreV1().Services("").List(ctx, metav1.ListOptions{FieldSelector: "spec.clusterIP!=None", ResourceVersion: "0"})
			return err
		}, listAtMost, false},
	}
}

// reads tells how long it takes to read through the hub, and from the API server itself.
func (w *world) reads(ctx context.Context, s *sheet) error {
	pods, services := w.number(podsOfNode, 10), w.number(aimServices, 20)
	for _, fill := range []func() error{
		func() error { return w.fillNamespaces(ctx) },
		func() error { return w.fillNodes(ctx, 10) },
		func() error { return w.fillPods(ctx, pods, edge) },
		func() error { return w.fillServices(ctx, 0, services, 10) },
	} {
		if err := fill(); err != nil {
			return err
		}
	}
	h, err := w.newHub(edge, w.cluster.Server())
	if err != nil {
		return err
	}
	if err := h.start(ctx); err != nil {
		return err
	}
	through, err := wayThrough(h.options)
	if err != nil {
		return err
	}
	straight, err := w.wayDirect(edge, w.cluster.Server())
	if err != nil {
		return err
	}
	programs, err := w.startSite(through, lists(edge, pods, false), "")
	if err != nil {
		return err
	}
	defer programs.close()
	if err := eventually(ctx, "the node's programs have read", programs.hasSynced); err != nil {
		return err
	}
	readers := map[string]*reader{}
	for column, y := range map[string]*way{direct: straight, throughHub: through} {
		if readers[column], err = newReader(y.kubelet); err != nil {
			return err
		}
	}
	for _, r := range readings(pods, services) {
		w.Say("%s, %s", r.group, r.name)
		if err := w.time(ctx, s, &r, readers); err != nil {
			return fmt.Errorf("%s, %s: %w", r.group, r.name, err)
		}
	}
	w.Say("WATCH")
	return w.timeEvents(ctx, s, readers)
}

// time times one read by all ways in turns.
func (w *world) time(ctx context.Context, s *sheet, r *reading, readers map[string]*reader) error {
	took := map[string][]time.Duration{}
	for round := range w.rounds + 1 {
		for turn := range readColumns {
			column := readColumns[(round+turn)%len(readColumns)]
			for range w.number(r.times, 3) {
				began := time.Now()
				if err := r.read(ctx, readers[column]); err != nil {
					return fmt.Errorf("%s: %w", column, err)
				}
				if round > 0 { // the first one warms up
					took[column] = append(took[column], time.Since(began))
				}
			}
		}
	}
	s.times(r.group, r.name, took)
	hub, straight := median(took[throughHub]), median(took[direct])
	switch {
	case r.aim == 0:
	case r.added:
		s.AtMost(fmt.Sprintf("%s, %s, added by the hub, ms", r.group, r.name), hub-straight, r.aim)
	default:
		s.AtMost(fmt.Sprintf("%s, %s, median through the hub ÷ direct", r.group, r.name), hub/straight, r.aim)
	}
	return nil
}

// times adds medians and 99th percentiles.
func (s *sheet) times(group, name string, took map[string][]time.Duration) {
	for _, column := range readColumns {
		s.add(column, report.Measure{Group: group, Name: name + ", median", Unit: "ms"}, median(took[column]))
	}
	for _, column := range readColumns {
		s.add(column, report.Measure{Group: group, Name: name + ", P99", Unit: "ms"}, milliseconds(report.Percentile(took[column], 99)))
	}
}

func median(of []time.Duration) float64 { return milliseconds(report.Percentile(of, 50)) }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// timeEvents tells how long it takes from a change until whoever watches has it: each change by both ways.
func (w *world) timeEvents(ctx context.Context, s *sheet, readers map[string]*reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events := map[string]*events{}
	for _, column := range readColumns {
		var err error
		if events[column], err = watchMarks(ctx, readers[column]); err != nil {
			return err
		}
	}
	took := map[string][]time.Duration{}
	p := pod(0, edge)
	for i := range w.number(patchesInTurn, 3) * (w.rounds + 1) {
		value := strconv.Itoa(i + 1)
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, mark, value)
		began := time.Now()
		if _, err := w.admin.CoreV1().Pods(p.Namespace).Patch(ctx, p.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			return err
		}
		for _, column := range readColumns {
			at, err := events[column].await(ctx, value)
			if err != nil {
				return fmt.Errorf("%s: %w", column, err)
			}
			if i >= w.number(patchesInTurn, 3) {
				took[column] = append(took[column], at.Sub(began))
			}
		}
	}
	s.times("WATCH", "from the change to the event, decoded by client-go", took)
	return nil
}

// events are when marks were seen.
type events struct {
	mu   sync.Mutex
	seen map[string]time.Time // guarded by mu
	// moved has a value when there is a new one.
	moved chan struct{}
}

// watchMarks watches the pods of the node until ctx ends.
func watchMarks(ctx context.Context, r *reader) (*events, error) {
	list, err := r.typed.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + edge})
	if err != nil {
		return nil, err
	}
	w, err := r.typed.CoreV1().Pods("").Watch(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + edge, ResourceVersion: list.ResourceVersion})
	if err != nil {
		return nil, err
	}
	e := &events{seen: map[string]time.Time{}, moved: make(chan struct{}, 1)}
	go func() { // ends with ctx
		for event := range w.ResultChan() {
			e.take(event, time.Now())
		}
	}()
	return e, nil
}

func (e *events) take(event watch.Event, at time.Time) {
	p, ok := event.Object.(*corev1.Pod)
	if !ok {
		return
	}
	e.mu.Lock()
	e.seen[p.Annotations[mark]] = at
	e.mu.Unlock()
	select {
	case e.moved <- struct{}{}:
	default: // it looks already
	}
}

// await returns when a mark was seen.
func (e *events) await(ctx context.Context, value string) (time.Time, error) {
	patience := time.NewTimer(patience)
	defer patience.Stop()
	for {
		e.mu.Lock()
		at, ok := e.seen[value]
		e.mu.Unlock()
		if ok {
			return at, nil
		}
		select {
		case <-e.moved:
		case <-patience.C:
			return time.Time{}, fmt.Errorf("no event of the change %s has come", value)
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		}
	}
}
