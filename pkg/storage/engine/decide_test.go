package engine

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/koinon-io/koinon/pkg/storage/mvcc"
)

func TestDecide(t *testing.T) {
	do := func(k kind, key string, conditions []condition) *write {
		return &write{kind: k, key: key, value: []byte(key), conditions: conditions}
	}
	create := func(key string) *write { return do(put, key, modifiedAt(0)) }
	update := func(key string, revision int64) *write { return do(put, key, modifiedAt(revision)) }
	leased := &write{kind: put, key: "new", lease: 60, conditions: modifiedAt(0)}
	cases := map[string]struct {
		writes   []*write
		records  []string
		outcomes []string
	}{
		"a key that is not there is created":                     {[]*write{create("new")}, []string{"11 new v1 of 11"}, []string{"ok @11"}},
		"a key that is there is not created":                     {[]*write{create("old")}, nil, []string{"refused @10, found 7"}},
		"of two that create a key the first wins":                {[]*write{create("new"), create("new")}, []string{"11 new v1 of 11"}, []string{"ok @11", "refused @11, found 11"}},
		"the current revision is updated":                        {[]*write{update("old", 7)}, []string{"11 old v4 of 3"}, []string{"ok @11, found 7"}},
		"an old revision is not updated":                         {[]*write{update("old", 6)}, nil, []string{"refused @10, found 7"}},
		"a key that is not there is not updated":                 {[]*write{update("new", 7)}, nil, []string{"refused @10"}},
		"an update sees the one before it":                       {[]*write{update("old", 7), update("old", 7), update("old", 11)}, []string{"11 old v4 of 3", "12 old v5 of 3"}, []string{"ok @11, found 7", "refused @11, found 11", "ok @12, found 11"}},
		"a key is put whatever is there":                         {[]*write{do(put, "old", nil), do(put, "new", nil)}, []string{"11 old v4 of 3", "12 new v1 of 12"}, []string{"ok @11, found 7", "ok @12"}},
		"the current revision is deleted":                        {[]*write{do(remove, "old", modifiedAt(7))}, []string{"11 old deleted"}, []string{"ok @11, found 7"}},
		"an old revision is not deleted":                         {[]*write{do(remove, "old", modifiedAt(6))}, nil, []string{"refused @10, found 7"}},
		"any revision is deleted":                                {[]*write{do(remove, "old", nil)}, []string{"11 old deleted"}, []string{"ok @11, found 7"}},
		"nothing is there to be deleted":                         {[]*write{do(remove, "new", nil)}, nil, []string{"ok @10"}},
		"what is there is not deleted if nothing is to be there": {[]*write{do(remove, "old", modifiedAt(0))}, nil, []string{"refused @10, found 7"}},
		"what is not there is deleted if nothing is to be there": {[]*write{do(remove, "new", modifiedAt(0))}, nil, []string{"ok @10"}},
		"all conditions have to hold": {[]*write{
			do(put, "old", append(modifiedAt(7), condition{etcdserverpb.Compare_VERSION, etcdserverpb.Compare_GREATER, 3})),
			do(put, "old", append(modifiedAt(7), condition{etcdserverpb.Compare_VERSION, etcdserverpb.Compare_LESS, 4})),
		}, []string{"11 old v4 of 3"}, []string{"refused @10, found 7", "ok @11, found 7"}},
		"a key is created again after its deletion": {[]*write{do(remove, "old", modifiedAt(7)), create("old")}, []string{"11 old deleted", "12 old v1 of 12"}, []string{"ok @11, found 7", "ok @12"}},
		"a lease has an end":                        {[]*write{leased}, []string{"11 new v1 of 11 until 1060"}, []string{"ok @11"}},
		"refusals leave no gap":                     {[]*write{create("a"), create("old"), create("b")}, []string{"11 a v1 of 11", "12 b v1 of 12"}, []string{"ok @11", "refused @11, found 7", "ok @12"}},
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
