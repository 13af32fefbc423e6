package cells

import (
	"fmt"
	"testing"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// BenchmarkTenThousandCells, 100 in each member, which are as they should be.
func BenchmarkTenThousandCells(b *testing.B) {
	h := newHost(b)
	for i := range 100 {
		h.settled(b, fmt.Sprintf("m%d", i), 100)
	}
	c, _ := h.controller(b)
	c.ClusterChanged("m5")
	drained := func(b *testing.B, happen func()) {
		b.ReportAllocs()
		for b.Loop() {
			happen()
			c.drain(b)
		}
	}
	b.Run("event of the cluster of a cell", func(b *testing.B) {
		drained(b, func() { c.ClusterChanged("c7-m5.shop") })
	})
	b.Run("probe of a member", func(b *testing.B) {
		drained(b, func() { c.ClusterChanged("m5") })
	})
	b.Run("release of a namespace", func(b *testing.B) {
		drained(b, func() { c.NamespaceReleased("shop-c7-m5", "m5") })
	})
	b.Run("settle", func(b *testing.B) {
		drained(b, func() {
			if err := c.Settle(b.Context()); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("look at all", func(b *testing.B) {
		drained(b, func() {
			for _, unit := range c.Kinds[0].List() {
				c.Enqueue(v1beta2.TopologyCell, unit.Namespace, unit.Name)
			}
		})
	})
	if len(h.writes) > 0 {
		b.Errorf("got %d writes", len(h.writes))
	}
}
