package mvcc

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// model is the state at every revision, written down.
type model struct {
	index    *Index
	states   []map[string]int64
	versions map[string]*Version
	// written are the versions by revision.
	written map[int64]*Version
}

func newModel() *model {
	return &model{index: New(0, 0), states: []map[string]int64{{}}, versions: map[string]*Version{}, written: map[int64]*Version{}}
}

// write puts a key, or deletes it.
func (m *model) write(key string, deleted bool) {
	revision := int64(len(m.states))
	version := &Version{Key: key, Revision: revision, Created: revision, Number: 1, Deleted: deleted}
	m.index.Apply([]*Version{version})
	m.written[revision] = version
	state := map[string]int64{}
	for k, r := range m.states[revision-1] {
		state[k] = r
	}
	if state[key] = revision; deleted {
		delete(state, key)
	}
	m.states = append(m.states, state)
}

func (m *model) keys(revision int64, start, end string) (keys []string) {
	for key := range m.states[revision] {
		if key >= start && (end == "" || key < end) {
			keys = append(keys, fmt.Sprintf("%s@%d", key, m.states[revision][key]))
		}
	}
	slices.Sort(keys)
	return keys
}

func names(versions []*Version) (keys []string) {
	for _, version := range versions {
		keys = append(keys, fmt.Sprintf("%s@%d", version.Key, version.Revision))
	}
	return keys
}

func TestEveryRevisionSinceTheCompactionCanBeRead(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	m := newModel()
	gone := map[int64]bool{}
	compacted := int64(0)
	for round := range 40 {
		for range 25 {
			m.write(fmt.Sprintf("k%02d", random.IntN(20)), random.IntN(3) == 0)
		}
		if round%4 == 3 {
			compacted = int64(len(m.states)) - 30
			for _, revision := range m.index.Compact(compacted) {
				if gone[revision] {
					t.Errorf("revision %d was compacted twice", revision)
				}
				gone[revision] = true
			}
		}
		for revision := max(compacted, 1); revision < int64(len(m.states)); revision++ {
			page := m.index.Range("k03", "k15", 0, revision)
			if diff := cmp.Diff(m.keys(revision, "k03", "k15"), names(page.Versions)); diff != "" {
				t.Fatalf("at revision %d, compacted %d (-want +got):\n%s", revision, compacted, diff)
			}
			for _, version := range page.Versions {
				if gone[version.Revision] {
					t.Fatalf("revision %d is still seen at %d, and was given up", version.Revision, revision)
				}
			}
		}
	}
	m.write("last", false)
	last := int64(len(m.states) - 1)
	m.index.Compact(last)
	if got, want := m.index.Len(), len(m.states[last]); got != want {
		t.Errorf("keys: got %d, want %d", got, want)
	}
	if got := m.index.keys.Len(); got != len(m.states[last]) {
		t.Errorf("keys in the tree after everything is compacted: got %d, want %d", got, len(m.states[last]))
	}
}

// TestWhatIsGivenUpCanBeDeletedInOrder deletes what is compacted one by one, and at each step
// reads what is left from its beginning, as a process does that starts then.
func TestWhatIsGivenUpCanBeDeletedInOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	m := newModel()
	log := map[int64]*Version{}
	for range 6 {
		for range 30 {
			m.write(fmt.Sprintf("k%d", random.IntN(6)), random.IntN(3) == 0)
		}
		for revision, version := range m.written {
			log[revision] = version
		}
		m.written = map[int64]*Version{}
		last := int64(len(m.states) - 1)
		for _, gone := range m.index.Compact(last - 5) {
			delete(log, gone)
			left := New(0, 0)
			for revision := int64(1); revision <= last; revision++ {
				if v := log[revision]; v != nil {
					left.Apply([]*Version{{Key: v.Key, Revision: v.Revision, Created: v.Created, Number: v.Number, Deleted: v.Deleted}})
				}
			}
			for revision := last - 5; revision <= last; revision++ {
				if diff := cmp.Diff(m.keys(revision, "", ""), names(left.Range("", "", 0, revision).Versions)); diff != "" {
					t.Fatalf("after the deletion of %d, at revision %d (-want +got):\n%s", gone, revision, diff)
				}
			}
		}
	}
}

func TestALimitedRangeCountsAll(t *testing.T) {
	m := newModel()
	for i := range 10 {
		m.write(fmt.Sprintf("k%d", i), false)
	}
	m.write("k4", true)
	cases := map[string]struct {
		start, end      string
		limit, revision int64
		want            []string
		count           int64
	}{
		"the first of all":           {"", "", 2, 0, []string{"k0@1", "k1@2"}, 9},
		"none, only counted":         {"", "", -1, 0, nil, 9},
		"a part, end exclusive":      {"k3", "k6", 0, 0, []string{"k3@4", "k5@6"}, 2},
		"a part before the deletion": {"k3", "k6", 0, 10, []string{"k3@4", "k4@5", "k5@6"}, 3},
		"before there was anything":  {"k5", "", 0, 5, nil, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			page := m.index.Range(c.start, c.end, c.limit, c.revision)
			if diff := cmp.Diff(c.want, names(page.Versions)); diff != "" || page.Count != c.count {
				t.Errorf("count %d, want %d (-want +got):\n%s", page.Count, c.count, diff)
			}
		})
	}
}

func TestReadersSeeWholeBatches(t *testing.T) {
	index := New(0, 0)
	var reading sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		reading.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				page := index.Range("", "", 0, 0)
				for i := 1; i < len(page.Versions); i++ {
					if page.Versions[i].Number != page.Versions[0].Number {
						t.Errorf("a range mixes batches %d and %d", page.Versions[0].Number, page.Versions[i].Number)
						return
					}
				}
			}
		})
	}
	for batch := range int64(500) {
		var versions []*Version
		for i := range int64(8) {
			versions = append(versions, &Version{Key: fmt.Sprint(i), Revision: batch*8 + i + 1, Number: batch})
		}
		index.Apply(versions)
		if batch%50 == 0 {
			index.Compact(batch * 8)
		}
	}
	close(done)
	reading.Wait()
}

// TestOldVersionsOfAHotKeyAreFoundInFewSteps counts steps, since time depends on the machine.
func TestOldVersionsOfAHotKeyAreFoundInFewSteps(t *testing.T) {
	const versions = 1 << 17
	index := New(0, 0)
	for revision := range int64(versions) {
		index.Apply([]*Version{{Key: "hot", Revision: revision + 1}})
	}
	const most = 3 * 17 // Myers' bound is twice the logarithm, and each jump not taken is looked at
	look := func(from int64) {
		for revision := from; revision <= versions; revision += 997 {
			newest, _ := index.keys.Get(&Version{Key: "hot"})
			steps := 0
			for v := newest; v.Revision > revision; steps++ {
				v = v.before(revision)
			}
			if steps > most {
				t.Fatalf("version %d of %d took %d steps, want at most %d", revision, versions, steps, most)
			}
			if found, _ := index.Get("hot", revision); found.Revision != revision {
				t.Fatalf("at revision %d: got version %d", revision, found.Revision)
			}
		}
	}
	look(1)
	index.Compact(versions / 3)
	look(versions / 3)
	for revision := range int64(versions) {
		index.Apply([]*Version{{Key: "hot", Revision: versions + revision + 1}})
	}
	look(versions / 3)
}

// TestReadersOfOldRevisionsGoOnWhileTheirKeyIsWrittenAndCompacted has readers follow right
// behind compactions.
func TestReadersOfOldRevisionsGoOnWhileTheirKeyIsWrittenAndCompacted(t *testing.T) {
	index := New(0, 0)
	var reading sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		reading.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				revision := index.Compacted() + 1
				if revision > index.Revision() {
					continue
				}
				found, _ := index.Get("hot", revision)
				if (found == nil || found.Revision != revision) && index.Compacted() < revision {
					t.Errorf("at revision %d: got %v", revision, found)
					return
				}
			}
		})
	}
	for revision := range int64(20_000) {
		index.Apply([]*Version{{Key: "hot", Revision: revision + 1}})
		if revision%7 == 0 {
			index.Compact(max(0, revision-50))
		}
	}
	close(done)
	reading.Wait()
}
