package engine

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/storage/mvcc"
)

func TestDecide(t *testing.T) {
	do := func(k kind, key string, revision int64) *write {
		return &write{kind: k, key: key, value: []byte(key), revision: revision}
	}
	leased := &write{kind: create, key: "new", lease: 60}
	cases := map[string]struct {
		writes   []*write
		records  []string
		outcomes []string
	}{
		"a key that is not there is created":        {[]*write{do(create, "new", 0)}, []string{"11 new v1 of 11"}, []string{"ok @11"}},
		"a key that is there is not created":        {[]*write{do(create, "old", 0)}, nil, []string{"refused @10, found 7"}},
		"of two that create a key the first wins":   {[]*write{do(create, "new", 0), do(create, "new", 0)}, []string{"11 new v1 of 11"}, []string{"ok @11", "refused @11, found 11"}},
		"the current revision is updated":           {[]*write{do(update, "old", 7)}, []string{"11 old v4 of 3"}, []string{"ok @11, found 7"}},
		"an old revision is not updated":            {[]*write{do(update, "old", 6)}, nil, []string{"refused @10, found 7"}},
		"a key that is not there is not updated":    {[]*write{do(update, "new", 7)}, nil, []string{"refused @10"}},
		"an update sees the one before it":          {[]*write{do(update, "old", 7), do(update, "old", 7), do(update, "old", 11)}, []string{"11 old v4 of 3", "12 old v5 of 3"}, []string{"ok @11, found 7", "refused @11, found 11", "ok @12, found 11"}},
		"a key is put whatever is there":            {[]*write{do(put, "old", 0), do(put, "new", 0)}, []string{"11 old v4 of 3", "12 new v1 of 12"}, []string{"ok @11, found 7", "ok @12"}},
		"the current revision is deleted":           {[]*write{do(remove, "old", 7)}, []string{"11 old deleted"}, []string{"ok @11, found 7"}},
		"an old revision is not deleted":            {[]*write{do(remove, "old", 6)}, nil, []string{"refused @10, found 7"}},
		"any revision is deleted":                   {[]*write{do(remove, "old", 0)}, []string{"11 old deleted"}, []string{"ok @11, found 7"}},
		"nothing is there to be deleted":            {[]*write{do(remove, "new", 0)}, nil, []string{"ok @10"}},
		"a key is created again after its deletion": {[]*write{do(remove, "old", 7), do(create, "old", 0)}, []string{"11 old deleted", "12 old v1 of 12"}, []string{"ok @11, found 7", "ok @12"}},
		"a lease has an end":                        {[]*write{leased}, []string{"11 new v1 of 11 until 1060"}, []string{"ok @11"}},
		"refusals leave no gap":                     {[]*write{do(create, "a", 0), do(create, "old", 0), do(create, "b", 0)}, []string{"11 a v1 of 11", "12 b v1 of 12"}, []string{"ok @11", "refused @11, found 7", "ok @12"}},
	}
	current := func(key string) *mvcc.Version {
		if key == "old" {
			return &mvcc.Version{Key: key, Revision: 7, Created: 3, Number: 3}
		}
		return nil
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			plan := decide(current, 10, c.writes, time.Unix(1000, 0))
			if diff := cmp.Diff(c.records, describeRecords(plan)); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.outcomes, describeOutcomes(plan)); diff != "" {
				t.Errorf("outcomes (-want +got):\n%s", diff)
			}
		})
	}
}

func describeRecords(p plan) (lines []string) {
	for _, r := range p.records {
		line := fmt.Sprintf("%d %s v%d of %d", r.Revision, r.Key, r.Version, r.Created)
		if r.Deleted {
			line = fmt.Sprintf("%d %s deleted", r.Revision, r.Key)
		}
		if r.Expires > 0 {
			line += fmt.Sprintf(" until %d", r.Expires)
		}
		lines = append(lines, line)
	}
	return lines
}

func describeOutcomes(p plan) (lines []string) {
	for _, o := range p.outcomes {
		line := "refused"
		if o.ok {
			line = "ok"
		}
		line += fmt.Sprintf(" @%d", o.revision)
		if o.version != nil {
			line += fmt.Sprintf(", found %d", o.version.Revision)
		}
		lines = append(lines, line)
	}
	return lines
}
