package replicas_test

import (
	"fmt"
	"testing"

	"github.com/koinon-io/koinon/pkg/federation/replicas"
)

func BenchmarkDivide(b *testing.B) {
	for _, total := range []int64{1000, 1 << 31} {
		in := replicas.Input{Total: total, Rebalance: true, Preferences: wishes{"*": weight(3), "m1": limited(2, 6, 5)}}
		for i := range 1000 {
			in.Targets = append(in.Targets, replicas.Target{Name: fmt.Sprintf("m%d", i)})
		}
		b.Run(fmt.Sprintf("replicas=%d/targets=1000", total), func(b *testing.B) {
			for b.Loop() {
				replicas.Divide(in)
			}
		})
	}
}
