package history

import (
	"cmp"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// decideTimeout is how long all keys together may take.
const decideTimeout = 2 * time.Minute

// register is the state of one key.
type register struct {
	revision int64
	value    string
}

// model is a key as a register with revisions. The revisions of all writes are known (those
// of unknown outcome get theirs from what was read of them), so each step has one result.
var model = porcupine.Model{
	Init: func() any { return register{} },
	Step: func(state, input, _ any) (bool, any) { return step(state.(register), input.(*Operation)) },
}

func step(now register, o *Operation) (bool, register) {
	if found := o.Found[o.Key]; o.Found != nil && now != (register{found.Mod, found.Value}) {
		return false, now
	}
	holds := now.revision == o.Compare // a create compares with 0
	switch {
	case !o.IsWrite():
		return true, now
	case o.Outcome == Refused:
		return !holds, now
	case o.Outcome == Unknown && o.Revision == 0:
		// A delete that may have happened: it can come after everything else.
		if holds {
			return true, register{}
		}
		return true, now
	case o.Kind == Delete:
		return holds, register{}
	}
	return holds, register{o.Revision, o.Value}
}

// checkLinearizable looks for an order of all operations on each key that explains the
// answers.
func checkLinearizable(h History, l *log, report *Report) {
	keys := byKey(h.Operations, l)
	deadline := time.Now().Add(decideTimeout)
	var mu sync.Mutex // guards report
	var checking sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for key, all := range keys {
		slots <- struct{}{}
		checking.Go(func() {
			defer func() { <-slots }()
			result, info := porcupine.CheckOperationsVerbose(model, all, max(time.Until(deadline), time.Millisecond))
			mu.Lock()
			defer mu.Unlock()
			switch result {
			case porcupine.Unknown:
				report.Undecided++
			case porcupine.Illegal:
				report.violate("key %q is not linearizable: no order explains %s", key, unexplained(all, info))
			}
		})
	}
	checking.Wait()
}

// unexplained are the first operations that the longest explanation leaves out.
func unexplained(all []porcupine.Operation, info porcupine.LinearizationInfo) string {
	explained := map[porcupine.Operation]bool{}
	longest := 0
	for _, partition := range info.PartialLinearizationsOperations() {
		for _, order := range partition {
			if len(order) > longest {
				longest = len(order)
				clear(explained)
				for _, o := range order {
					explained[withoutInput(o)] = true
				}
			}
		}
	}
	var left []string
	slices.SortStableFunc(all, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	for _, o := range all {
		if !explained[withoutInput(o)] && len(left) < 4 {
			left = append(left, o.Input.(*Operation).String())
		}
	}
	return strings.Join(left, ", ")
}

// withoutInput is an operation as a key of a map: its times and client name it.
func withoutInput(o porcupine.Operation) porcupine.Operation {
	return porcupine.Operation{ClientId: o.ClientId, Call: o.Call, Return: o.Return}
}

// byKey sorts operations by key, lists taken apart. It leaves out what says nothing: reads
// without answer, lists of the past, and writes of unknown outcome that did not happen.
func byKey(operations []Operation, l *log) map[string][]porcupine.Operation {
	revisions := observed(operations, l)
	deleted := deletions(operations, l)
	names := keyNames(operations)
	keys := map[string][]porcupine.Operation{}
	add := func(o Operation) {
		returned := int64(o.Return)
		if o.Outcome == Unknown {
			returned = math.MaxInt64
		}
		keys[o.Key] = append(keys[o.Key], porcupine.Operation{ClientId: o.Client, Input: &o, Call: int64(o.Call), Return: returned})
	}
	for i, o := range operations {
		switch {
		case o.Kind == List:
			if o.Outcome == Done && o.Compare == 0 {
				for _, part := range parts(o, names) {
					add(part)
				}
			}
		case o.Outcome != Unknown:
			add(o)
		case o.Kind == Delete:
			if revision, happened := deleted[i]; happened {
				o.Revision = revision
				add(o)
			}
		case o.IsWrite():
			if revision, happened := revisions[o.Value]; happened {
				o.Revision = revision
				add(o)
			}
		}
	}
	return keys
}

// keyNames are all keys, sorted.
func keyNames(operations []Operation) []string {
	keys := map[string]bool{}
	for _, o := range operations {
		if o.Kind != List {
			keys[o.Key] = true
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

// parts are the reads that a list is made of.
func parts(list Operation, names []string) []Operation {
	var all []Operation
	first, _ := slices.BinarySearch(names, list.Key)
	for _, key := range names[first:] {
		if !strings.HasPrefix(key, list.Key) {
			break
		}
		part := list
		part.Kind, part.Key, part.Found = Get, key, map[string]Version{}
		if version, there := list.Found[key]; there {
			part.Found[key] = version
		}
		all = append(all, part)
	}
	return all
}

// observed has the revision of each value that was read or watched.
func observed(operations []Operation, l *log) map[string]int64 {
	revisions := map[string]int64{}
	for _, e := range l.events {
		if !e.Deleted {
			revisions[e.Value] = e.Revision
		}
		if e.Previous.Mod != 0 {
			revisions[e.Previous.Value] = e.Previous.Mod
		}
	}
	for _, o := range operations {
		for _, version := range o.Found {
			revisions[version.Value] = version.Mod
		}
	}
	return revisions
}

// deletions says which deletes of unknown outcome may have happened, by their place in
// operations: those that the log has and nobody was told of, with their revision, and those
// that the log does not cover, with 0.
func deletions(operations []Operation, l *log) map[int]int64 {
	acknowledged := map[int64]bool{}
	for _, o := range operations {
		if o.Kind == Delete && o.Outcome == Done {
			acknowledged[o.Revision] = true
		}
	}
	happened := map[deletion]int64{}
	for _, e := range l.events {
		if e.Deleted && !acknowledged[e.Revision] {
			happened[deletion{e.Key, l.at(e.Key, e.Revision-1).Mod}] = e.Revision
		}
	}
	result := map[int]int64{}
	for i, o := range operations {
		if o.Kind != Delete || o.Outcome != Unknown {
			continue
		}
		which := deletion{o.Key, o.Compare}
		if revision, found := happened[which]; found {
			result[i] = revision // the first that asked: it may have happened at any time since
			delete(happened, which)
		} else if !l.covers(o.Compare) {
			result[i] = 0
		}
	}
	return result
}
