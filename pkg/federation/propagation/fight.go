package propagation

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/koinon-io/koinon/pkg/federation/compose"
)

const (
	// freeWrites is how often a manifest that was sent is sent again, since somebody in the
	// member changed or deleted the object, or admission there changes what is sent, before that
	// is damped.
	freeWrites = 3
	// minTruce and maxTruce bound the time between writes from then on. It doubles with each.
	minTruce, maxTruce = 5 * time.Second, time.Minute
	// peace is after how long without such a write a fight is over.
	peace = 3 * time.Minute
	// maxNamed bounds the fields that a status names.
	maxNamed = 5
)

// fight is what somebody in a member does against us in one target. The engine forgets it
// when it restarts, and with the first write of another manifest.
type fight struct {
	// writes have undone what somebody did; idle are those that have changed nothing.
	writes, idle int
	last         time.Time
	// against says who does what, the same text for the same fight.
	against string
	// rewritten: the member did not take the manifest as it was sent last. Once it does, the
	// fight is over.
	rewritten bool
}

// again notes a write of what was sent before. against may be empty if it is not known who
// made it necessary.
func (f *fight) again(now time.Time, against string) {
	f.calm(now)
	f.writes++
	if against != "" {
		f.against = against
	}
}

// inVain notes something that was done, and that has left everything as it was. It is done again
// as long as the cache asks for it: what a member's lists and watches show is not what it answers,
// or somebody there takes away what marks the object.
func (f *fight) inVain(now time.Time) {
	f.calm(now)
	f.idle++
}

func (f *fight) calm(now time.Time) {
	if now.Sub(f.last) > peace {
		f.writes, f.idle = 0, 0
	}
	f.last = now
}

// standing is how a fight stands at one moment.
type standing struct {
	// on: there were more writes than are free. held: the next one has to wait, be it that those
	// before were in vain.
	on, held bool
	// against says who writes against us, in words.
	against string
	// until is for how long this holds; 0 if there is no fight.
	until time.Duration
}

func (f *fight) stands(now time.Time) standing {
	age := now.Sub(f.last)
	writes := max(f.writes, f.idle)
	if writes <= freeWrites || age > peace {
		return standing{}
	}
	truce := minTruce
	for range writes - freeWrites - 1 {
		if truce *= 2; truce >= maxTruce {
			truce = maxTruce
			break
		}
	}
	s := standing{on: f.writes > freeWrites, held: age < truce, against: f.against, until: peace - age}
	if s.held {
		s.until = truce - age
	}
	return s
}

// removedThere is what is said of an object that does not stay where it was made.
const removedThere = "the object was made several times, and somebody in the member removes it each time; it is made again once a minute at most"

// notShown is said of an object that only those can see who ask for it by name, and marksTaken of
// one that is as it was sent, but for its metadata.
const (
	notShown   = "the member answers that the object is there as it was sent, and its lists and watches do not show that; it is looked at once a minute at most"
	marksTaken = "labels or annotations that the object is sent with do not stay there; it is sent again once a minute at most"
)

// replicasHint is said where somebody in the member scales what the manifest scales.
const (
	replicasPath = ".spec.replicas"
	replicasHint = "; spec.retainReplicas: true of the federated object would leave the replicas to an autoscaler there"
)

// rewrittenThere says what of a manifest the member does not take as it is sent.
func rewrittenThere(paths []string) string {
	return "the member changes what it is sent, each time: " + named(paths) + "; it is sent again once a minute at most"
}

// named names some fields.
func named(paths []string) string {
	if len(paths) > maxNamed {
		paths = append(paths[:maxNamed:maxNamed], "...")
	}
	return strings.Join(paths, ", ")
}

// changedThere says who has changed which fields since our last write.
func changedThere(contested []compose.Contested) string {
	if len(contested) == 0 {
		return "somebody in the member changes the object back each time it is written; it is written again once a minute at most"
	}
	byManager := map[string][]string{}
	var managers []string
	for _, c := range contested {
		if byManager[c.Manager] == nil {
			managers = append(managers, c.Manager)
		}
		byManager[c.Manager] = append(byManager[c.Manager], c.Path)
	}
	slices.Sort(managers)
	var parts []string
	for _, manager := range managers {
		who := "somebody"
		if manager != "" {
			who = fmt.Sprintf("field manager %q", manager)
		}
		parts = append(parts, who+" sets "+named(byManager[manager]))
	}
	message := "in the member, against the manifest, " + strings.Join(parts, "; ") + "; it is written back once a minute at most"
	if slices.ContainsFunc(contested, func(c compose.Contested) bool { return c.Path == replicasPath }) {
		message += replicasHint
	}
	return message
}

// fought notes a write of what was sent before, rewritten one of what the member changes, and
// inVain what has changed nothing; peaceful is a write of another manifest.
func (m *memory) fought(target, against string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fight(target).again(now, against)
}

func (m *memory) inVain(target string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fight(target).inVain(now)
}

func (m *memory) rewritten(target, against string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.fight(target)
	f.again(now, against)
	f.rewritten = true
}

// fight is what is known of a target's fight, which begins if there is none. m.mu is held.
func (m *memory) fight(target string) *fight {
	f := m.fights[target]
	if f == nil {
		f = &fight{}
		m.fights[target] = f
	}
	return f
}

func (m *memory) isRewritten(target string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.fights[target]
	return f != nil && f.rewritten
}

func (m *memory) peaceful(target string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.fights, target)
}

func (m *memory) stands(target string, now time.Time) standing {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.fights[target]
	if f == nil {
		return standing{}
	}
	if now.Sub(f.last) > peace {
		delete(m.fights, target)
	}
	return f.stands(now)
}
