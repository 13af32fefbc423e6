package closure

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/edgehub/topology"
	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

const benchNodes, benchServices, benchEndpoints, benchUnits = 1_000, 10_000, 50_000, 50

// large is a cloud as large as the hub has to bear: one of closed Services has a rule, and their endpoints are on nodes of many units.
func large(b *testing.B, closed int) *cloud {
	b.Helper()
	c := newCloud(b)
	for i := range benchNodes {
		c.node(fmt.Sprintf("n%d", i), fmt.Sprintf("unit-%d", i%benchUnits))
	}
	for i := range benchServices {
		rule := ""
		if i%closed == 0 {
			rule = []string{"unit", "preferUnit", "node"}[i%3]
		}
		c.service(fmt.Sprintf("service-%d", i), rule)
		c.largeSlice(i)
	}
	for _, key := range []view.Key{servicesKey, nodesKey, unitsKey, allSlices} {
		c.list(key)
	}
	return c
}

func (c *cloud) largeSlice(i int) {
	c.t.Helper()
	var endpoints []string
	for j := range benchEndpoints / benchServices {
		endpoints = append(endpoints, fmt.Sprintf(`{"addresses":["10.%d.%d.%d"],"conditions":{"ready":true,"serving":true,"terminating":false},"nodeName":"n%d","targetRef":{"kind":"Pod","name":"service-%d-%d","namespace":"ns","uid":"11111111-2222-3333-4444-555555555555"},"zone":"z"}`,
			i/250, i%250, j, (i*7+j*13)%benchNodes, i, j))
	}
	c.put(allSlices, "ns", fmt.Sprintf("service-%d-abcde", i), fmt.Sprintf(`,"labels":{"kubernetes.io/service-name":"service-%d"}`, i),
		`,"addressType":"IPv4","endpoints":[`+strings.Join(endpoints, ",")+`],"ports":[{"name":"","port":80,"protocol":"TCP"}]`)
}

// ready waits until a closure shows something.
func ready(b *testing.B, c *Closure) *view.View {
	b.Helper()
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(time.Millisecond) {
		if v, _, ok := c.Find(allSlices); ok {
			return v
		}
	}
	b.Fatal("nothing is shown")
	return nil
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkSecondVersion is what comes once after a start: all that is seen otherwise is shown once more.
func BenchmarkSecondVersion(b *testing.B) {
	cloud, c := opened(b)
	for b.Loop() {
		c.mu.Lock()
		for _, s := range c.seen {
			s.end()
		}
		c.mu.Unlock()
		ready(b, c)
		b.StopTimer()
		cloud.advance(allSlices)
		b.StartTimer()
		c.syncAll()
	}
}

// BenchmarkStart is from nothing known to the first answer, of which 40 ms and less are waited, with all Services closed, and one in ten. sourceMiB is what of the heap views themselves have, and MiB what comes to that.
func BenchmarkStart(b *testing.B) {
	for name, closed := range map[string]int{"all": 1, "tenth": 10} {
		b.Run(name, func(b *testing.B) {
			empty := heap()
			cloud := large(b, closed)
			cloud.state = nil
			before := heap()
			for b.Loop() {
				ctx, cancel := context.WithCancel(b.Context())
				c := cloud.open(ctx)
				v := ready(b, c)
				b.StopTimer()
				b.ReportMetric(float64(before-empty)/(1<<20), "sourceMiB")
				b.ReportMetric(float64(int64(heap())-int64(before))/(1<<20), "MiB")
				runtime.KeepAlive(v)
				cancel()
				for c.countSeen() > 0 {
					c.mu.Lock()
					for _, s := range c.seen {
						s.end()
					}
					c.mu.Unlock()
				}
				b.StartTimer()
			}
		})
	}
}

// opened is a closure over a large cloud, in which somebody reads.
func opened(b *testing.B) (*cloud, *Closure) {
	b.Helper()
	cloud := large(b, 1)
	cloud.state = map[view.Key]map[string]string{}
	c := cloud.open(b.Context())
	ready(b, c)
	cloud.advance(allSlices) // after a start, all that is seen otherwise is shown once more
	c.syncAll()
	return cloud, c
}

// syncAll has all be seen that there is.
func (c *Closure) syncAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.seen {
		s.sync()
	}
}

// BenchmarkUnitChanges is that of another node, and that of the node itself, after which upstream comes further.
func BenchmarkUnitChanges(b *testing.B) {
	for _, node := range []string{"n7", "n0"} {
		b.Run(node, func(b *testing.B) {
			cloud, c := opened(b)
			shown := 0
			for i := 0; b.Loop(); i++ {
				cloud.advance(allSlices)
				c.syncAll()
				c.mu.Lock()
				c.affect(c.topology.SetNode(node, []string{"unit-1", "unit-2"}[i%2]))
				shown += len(c.affected)
				c.again()
				c.mu.Unlock()
			}
			b.ReportMetric(float64(shown)/float64(b.N), "shown/op")
		})
	}
}

func BenchmarkRuleChanges(b *testing.B) {
	cloud, c := opened(b)
	for i := 0; b.Loop(); i++ {
		cloud.advance(allSlices)
		c.setRules(b.Context(), map[string]rule{"ns/service-5": {annotations: map[string]string{topology.Annotation: []string{"unit", "node"}[i%2]}, needsUnits: true}})
	}
}

func BenchmarkSliceChanges(b *testing.B) {
	cloud, c := opened(b)
	for i := 0; b.Loop(); i++ {
		cloud.largeSlice(i % benchServices)
		c.syncAll()
	}
}
