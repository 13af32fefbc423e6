package main

import (
	"context"
	"fmt"

	"github.com/koinon-io/koinon/test/bench/contender"
	"github.com/koinon-io/koinon/test/bench/report"
	"github.com/koinon-io/koinon/test/bench/workload"
)

const memoryGroup = "Memory of the API server"

// memoryKinds are the measures of memory, with what tables call them.
var memoryKinds = []struct {
	name string
	of   func(contender.Memory) float64
}{
	{"RSS", func(m contender.Memory) float64 { return m.RSS }},
	{"PSS", func(m contender.Memory) float64 { return m.PSS }},
	{"heap after GC", func(m contender.Memory) float64 { return m.Heap }},
}

func perObject(kind string) report.Measure {
	return report.Measure{Group: memoryGroup, Name: kind + " per object", Unit: "KiB"}
}

// memoryEmpty warms up, so that what is needed once is there, then reads memory.
func (b *bench) memoryEmpty(ctx context.Context) error {
	err := b.both(1, func(_ int, s side) error {
		if _, err := s.Create(ctx, namespace, 0, warmUp, 1); err != nil {
			return err
		}
		for _, v := range versions {
			if _, _, err := s.List(ctx, workload.ListOptions{Version: v.version}); err != nil {
				return err
			}
		}
		return s.Clear(ctx, namespace)
	})
	if err != nil {
		return err
	}
	return b.memory(ctx, "no objects", false)
}

func (b *bench) memoryFull(ctx context.Context) error {
	if err := b.memory(ctx, fmt.Sprintf("%d objects", b.objects), true); err != nil {
		return err
	}
	for _, kind := range memoryKinds {
		for _, s := range b.sides {
			full := b.report.Median(s.Name(), report.Measure{Group: memoryGroup, Name: fmt.Sprintf("%s, %d objects", kind.name, b.objects), Unit: "MiB"})
			empty := b.report.Median(s.Name(), report.Measure{Group: memoryGroup, Name: kind.name + ", no objects", Unit: "MiB"})
			b.report.Add(s.Name(), perObject(kind.name), (full-empty)*kibi/float64(b.objects))
		}
	}
	return nil
}

// memory reads what the API servers hold now, and, if others is set, their helpers too.
func (b *bench) memory(ctx context.Context, state string, others bool) error {
	return b.both(1, func(_ int, s side) error {
		memory, err := contender.MeasureMemory(ctx, s)
		if err != nil {
			return err
		}
		for i, p := range s.Processes() {
			if i == 0 {
				for _, kind := range memoryKinds {
					m := report.Measure{Group: memoryGroup, Name: kind.name + ", " + state, Unit: "MiB"}
					b.report.Add(s.Name(), m, kind.of(memory[p.Name])/mebi)
				}
			} else if others {
				m := report.Measure{Group: "Memory of the processes beside it", Name: p.Name + ", RSS, " + state, Unit: "MiB"}
				b.report.Add(s.Name(), m, memory[p.Name].RSS/mebi)
			}
		}
		return nil
	})
}
