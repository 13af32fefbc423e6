package propagation

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// counted and countedLate are counts of a cell that says that its one object is up to date.
func counted(generation int64) count {
	c := count{Tally: Tally{Objects: 1, Held: 1, Health: v1beta2.HealthHealthy}, generations: generation}
	c.said = new(c.Said())
	return c
}

func countedLate(generation int64) count {
	c := counted(generation)
	c.OutOfDate = 1
	return c
}

func countedLeaving(held int) count {
	c := counted(1)
	c.Held, c.deleting = held, true
	return c
}

func TestWhenCountsAreTold(t *testing.T) {
	nothing := count{}
	gone := map[string]count{}
	for name, test := range map[string]struct {
		looks []map[string]count
		want  []int // at which looks, the first is 0
	}{
		"what is said already is not":                        {looks: of(counted(1), counted(1), counted(1))},
		"an update that is over at the next look is not":     {looks: of(counted(1), countedLate(2), counted(2))},
		"nor are updates of which each look sees another":    {looks: of(countedLate(2), countedLate(3), countedLate(4), counted(4))},
		"what is the same twice in a row is":                 {looks: of(counted(1), countedLate(2), countedLate(2)), want: []int{2}},
		"so is what a cell that says nothing has":            {looks: of(nothing, nothing), want: []int{1}},
		"what goes on changing is told after some time":      {looks: of(countedLate(2), countedLate(3), countedLate(4), countedLate(5), countedLate(6), countedLate(7)), want: []int{5}},
		"time counts from when the cell said what was so":    {looks: of(countedLate(2), counted(2), countedLate(3), countedLate(4), countedLate(5), countedLate(6))},
		"a cell that waits for nothing any more is told":     {looks: of(countedLeaving(0)), want: []int{0}},
		"one that still waits is like others":                {looks: of(countedLeaving(2), countedLeaving(3), countedLeaving(3)), want: []int{2}},
		"a cell that is gone is not":                         {looks: []map[string]count{of(countedLate(2))[0], gone, gone}},
		"and is another one when it is there again":          {looks: []map[string]count{of(countedLate(2))[0], gone, of(countedLate(2))[0]}},
		"what was told is told again if it is not said then": {looks: of(countedLate(2), countedLate(2), countedLate(2), countedLate(2)), want: []int{1, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			waiting, now := newTeller(), time.Unix(0, 0)
			var told []int
			for i, counts := range test.looks {
				waiting.look("shop", now, counts)
				if len(waiting.due()) > 0 {
					told = append(told, i)
				}
				now = now.Add(recount)
			}
			if !slices.Equal(told, test.want) {
				t.Errorf("told at looks %v, want %v", told, test.want)
			}
		})
	}
}

// of are looks at a single cell.
func of(counts ...count) (looks []map[string]count) {
	for _, c := range counts {
		looks = append(looks, map[string]count{"c1": c})
	}
	return looks
}

func TestOfManyCellsThoseInWhichSomethingIsWrongAreToldFirstAndNobodyIsForgotten(t *testing.T) {
	const well, ill = 3 * mostTold, mostTold / 2
	counts := map[string]count{}
	for i := range well {
		c := counted(1)
		c.said = &federationv1alpha1.CellObjects{}
		counts[fmt.Sprintf("well-%d", i)] = c
	}
	for i := range ill {
		counts[fmt.Sprintf("ill-%d", i)] = countedLate(1)
	}
	waiting, now := newTeller(), time.Unix(0, 0)
	waiting.look("shop", now, counts)
	told := map[string]bool{}
	for look := 1; len(told) < well+ill; look++ {
		now = now.Add(recount)
		waiting.look("shop", now, counts)
		due := waiting.due()
		if len(due) == 0 || len(due) > mostTold {
			t.Fatalf("%d cells are told of at look %d, of at most %d", len(due), look, mostTold)
		}
		for cell, tally := range due {
			c := counts[cell.name]
			c.said = new(tally.Said())
			counts[cell.name], told[cell.name] = c, true
		}
		for i := range ill {
			if name := fmt.Sprintf("ill-%d", i); !told[name] {
				t.Fatalf("%s waits after look %d", name, look)
			}
		}
	}
	if len(waiting.byCell) > 1 {
		t.Errorf("cells of %v wait", slices.Collect(maps.Keys(waiting.byCell)))
	}
}
