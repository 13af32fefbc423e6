package topology

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

const (
	benchNodes, benchServices, benchEndpoints = 1_000, 10_000, 50_000
	benchUnits                                = 50
)

// large is a topology as large as the hub has to bear, and the bodies of its EndpointSlices: each Service has a rule, and its endpoints on nodes of many units.
func large(b *testing.B) (*Topology, [][]byte) {
	b.Helper()
	t := New("node-0")
	for i := range benchNodes {
		t.SetNode(fmt.Sprintf("node-%d", i), fmt.Sprintf("unit-%d", i%benchUnits))
	}
	var bodies [][]byte
	for i := range benchServices {
		value := []string{"unit", "preferUnit", "node"}[i%3]
		if _, err := t.SetService(fmt.Sprintf("ns/service-%d", i), map[string]string{Annotation: value}); err != nil {
			b.Fatal(err)
		}
		var endpoints []string
		for j := range benchEndpoints / benchServices {
			endpoints = append(endpoints, fmt.Sprintf(`{"addresses":["10.%d.%d.%d"],"conditions":{"ready":true,"serving":true,"terminating":false},"nodeName":"node-%d","targetRef":{"kind":"Pod","name":"service-%d-%d","namespace":"ns","uid":"11111111-2222-3333-4444-555555555555"},"zone":"z"}`,
				i/250, i%250, j, (i*7+j*13)%benchNodes, i, j))
		}
		body := fmt.Appendf(nil, `{"metadata":{"namespace":"ns","name":"service-%d-abcde","labels":{"kubernetes.io/service-name":"service-%d"}},"addressType":"IPv4","endpoints":[%s],"ports":[{"name":"","port":80,"protocol":"TCP"}]}`,
			i, i, strings.Join(endpoints, ","))
		if _, err := t.SetSlice(body); err != nil {
			b.Fatal(err)
		}
		bodies = append(bodies, body)
	}
	return t, bodies
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		t, bodies := large(b)
		size := 0
		for _, body := range bodies {
			size += cap(body)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(int(after.HeapAlloc-before.HeapAlloc)-size-24*cap(bodies))/(1<<20), "MiB")
		runtime.KeepAlive(t)
		runtime.KeepAlive(bodies)
	}
}

func BenchmarkNodeMoves(b *testing.B) {
	t, _ := large(b)
	affected := 0
	for i := 0; b.Loop(); i++ {
		affected += len(t.SetNode("node-7", []string{"unit-0", "unit-7"}[i%2]))
	}
	b.ReportMetric(float64(affected)/float64(b.N), "affected/op")
}

func BenchmarkTheNodeItselfMoves(b *testing.B) {
	t, _ := large(b)
	affected := 0
	for i := 0; b.Loop(); i++ {
		affected += len(t.SetNode("node-0", []string{"unit-1", "unit-0"}[i%2]))
	}
	b.ReportMetric(float64(affected)/float64(b.N), "affected/op")
}

func BenchmarkAnnotationChanges(b *testing.B) {
	t, _ := large(b)
	for i := 0; b.Loop(); i++ {
		if _, err := t.SetService("ns/service-5", map[string]string{Annotation: []string{"unit", "preferUnit"}[i%2]}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSliceChanges(b *testing.B) {
	t, bodies := large(b)
	for i := 0; b.Loop(); i++ {
		if _, err := t.SetSlice(bodies[i%len(bodies)]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFilter(b *testing.B) {
	t, bodies := large(b)
	for i := 0; b.Loop(); i++ {
		if _, err := t.Filter(bodies[i%len(bodies)]); err != nil {
			b.Fatal(err)
		}
	}
}
