package compose

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
)

// carryOver puts what the member decides into object, which it modifies, from live, which is given
// up to it. ours are the paths, as of setFields, of what the last manifest set.
func carryOver(object, live map[string]any, fields manifest.Fields, ours sets.Set[string]) {
	for i := range fields {
		f := &fields[i]
		if f.When == nil || f.When(object, live) {
			c := carrier{f, ours}
			c.walk(object, live, "", f.Steps)
		}
	}
}

// carrier carries one field over.
type carrier struct {
	*manifest.Field
	ours sets.Set[string]
}

// walk goes down what both have. A map on the way that the manifest lacks is made only where live
// has the field.
func (c carrier) walk(object, live any, path string, steps []string) {
	switch from := live.(type) {
	case map[string]any:
		to, ok := object.(map[string]any)
		if !ok {
			return
		}
		for _, key := range keysOf(steps[0], to, from) {
			c.key(to, from, key, path+"/"+key, steps)
		}
	case []any:
		to, ok := object.([]any)
		if !ok {
			return
		}
		pairs := pairItems(to, from)
		for i := range to {
			if j, paired := pairs[i]; paired && (steps[0] == manifest.AnyStep || steps[0] == strconv.Itoa(i)) {
				c.item(to, from, i, j, path+itemText(to[i], i), steps)
			}
		}
	}
}

// setFields lists the paths of what an object sets of fields that members decide where it does not,
// sorted. Items of lists are told by what identifies them: /webhooks[name=a]/clientConfig/caBundle.
func setFields(object map[string]any, fields manifest.Fields) []string {
	found := sets.New[string]()
	for i := range fields {
		if f := &fields[i]; f.Carry == manifest.CarryUnset {
			findSet(object, "", f.Steps, f.BlankCounts, found)
		}
	}
	return sets.List(found)
}

func findSet(value any, path string, steps []string, blankCounts bool, found sets.Set[string]) {
	if len(steps) == 0 {
		if !isUnset(value, blankCounts) {
			found.Insert(path)
		}
		return
	}
	switch v := value.(type) {
	case map[string]any:
		for _, key := range keysOf(steps[0], v, nil) {
			if inner, there := v[key]; there {
				findSet(inner, path+"/"+key, steps[1:], blankCounts, found)
			}
		}
	case []any:
		for i, item := range v {
			if steps[0] == manifest.AnyStep || steps[0] == strconv.Itoa(i) {
				findSet(item, path+itemText(item, i), steps[1:], blankCounts, found)
			}
		}
	}
}

// keysOf resolves a step in a map.
func keysOf(step string, to, from map[string]any) []string {
	if step != manifest.AnyStep {
		return []string{step}
	}
	keys := make([]string, 0, len(to)+len(from))
	for key := range to {
		keys = append(keys, key)
	}
	for key := range from {
		if _, both := to[key]; !both {
			keys = append(keys, key)
		}
	}
	return keys
}

func (c carrier) key(to, from map[string]any, key, path string, steps []string) {
	value, there := from[key]
	if len(steps) > 1 {
		if !there || value == nil {
			return
		}
		if to[key] == nil && holds(value, steps[1:]) && !c.ours.Has(path+"/"+strings.Join(steps[1:], "/")) {
			to[key] = map[string]any{}
		}
		c.walk(to[key], value, path, steps[1:])
		return
	}
	switch c.Carry {
	case manifest.CarryAlways:
		if there {
			to[key] = value
		} else {
			delete(to, key)
		}
	case manifest.CarryBeneath:
		if there {
			to[key] = beneath(to[key], value)
		}
	case manifest.CarryItems:
		c.appendItems(to, key, value)
	default:
		if there && isUnset(to[key], c.BlankCounts) && !c.ours.Has(path) {
			to[key] = value
		}
	}
}

// appendItems puts the member's items after those of the manifest.
func (c carrier) appendItems(to map[string]any, key string, live any) {
	from, _ := live.([]any)
	list, ok := to[key].([]any)
	if !ok && to[key] != nil {
		return
	}
	there := sets.New[string]()
	for _, item := range list {
		there.Insert(encoded(item))
	}
	for _, item := range from {
		if c.Item(item) && !there.Has(encoded(item)) {
			to[key] = append(list, item)
			list = to[key].([]any)
		}
	}
}

// item is key for an item that both lists have.
func (c carrier) item(to, from []any, i, j int, path string, steps []string) {
	switch {
	case len(steps) > 1:
		c.walk(to[i], from[j], path, steps[1:])
	case c.Carry == manifest.CarryAlways:
		to[i] = from[j]
	case c.Carry == manifest.CarryBeneath:
		to[i] = beneath(to[i], from[j])
	}
}

// holds reports whether a field is there below maps.
func holds(value any, steps []string) bool {
	m, ok := value.(map[string]any)
	if !ok {
		return false
	}
	if steps[0] == manifest.AnyStep {
		return len(m) > 0 && len(steps) == 1
	}
	inner, there := m[steps[0]]
	return there && (len(steps) == 1 || holds(inner, steps[1:]))
}

func isUnset(value any, blankCounts bool) bool {
	switch v := value.(type) {
	case nil:
		return true
	case string:
		return v == "" && !blankCounts
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

// beneath returns the manifest's value over live's. Lists of items that can be told apart are in
// live's order, with what the manifest adds at the end: API servers compare them by position.
func beneath(object, live any) any {
	switch over := object.(type) {
	case nil:
		return live
	case map[string]any:
		under, ok := live.(map[string]any)
		if !ok {
			return object
		}
		for key, value := range under {
			over[key] = beneath(over[key], value)
		}
		return over
	case []any:
		if under, ok := live.([]any); ok {
			return beneathList(over, under)
		}
	}
	return object
}

func beneathList(over, under []any) []any {
	if len(over) == 0 {
		return under
	}
	if _, maps := over[0].(map[string]any); !maps {
		return over
	}
	pairs := pairItems(over, under)
	overOf := map[int]int{}
	for i, j := range pairs {
		overOf[j] = i
	}
	out := make([]any, 0, len(over)+len(under))
	for j, item := range under {
		if i, paired := overOf[j]; paired {
			item = beneath(over[i], item)
		}
		out = append(out, item)
	}
	for i, item := range over {
		if _, paired := pairs[i]; !paired {
			out = append(out, item)
		}
	}
	return out
}

// identifiers are fields that tell items of a list apart, in the order in which they are tried.
var identifiers = []string{"name", "mountPath", "devicePath", "uid", "id", "key", "ip"}

// pairItems tells which item of the second list is the same as which of the first: by what
// identifies all of them, else by equality, else by position in lists of one length.
func pairItems(first, second []any) map[int]int {
	for _, field := range identifiers {
		a, ok := indexBy(first, field)
		if !ok {
			continue
		}
		if b, ok := indexBy(second, field); ok {
			pairs := map[int]int{}
			for value, i := range a {
				if j, both := b[value]; both {
					pairs[i] = j
				}
			}
			return pairs
		}
	}
	if len(first) == len(second) {
		pairs := map[int]int{}
		for i := range first {
			pairs[i] = i
		}
		return pairs
	}
	return pairEqual(first, second)
}

// indexBy returns where the item with a value of a field is; false unless every item has one of
// its own.
func indexBy(list []any, field string) (map[string]int, bool) {
	out := map[string]int{}
	for i, item := range list {
		m, _ := item.(map[string]any)
		value, there := m[field]
		if !there {
			return nil, false
		}
		text := scalar(value)
		if _, twice := out[text]; twice {
			return nil, false
		}
		out[text] = i
	}
	return out, len(list) > 0
}

func pairEqual(first, second []any) map[int]int {
	positions := map[string][]int{}
	for j, item := range second {
		text := encoded(item)
		positions[text] = append(positions[text], j)
	}
	pairs := map[int]int{}
	for i, item := range first {
		text := encoded(item)
		if left := positions[text]; len(left) > 0 {
			pairs[i], positions[text] = left[0], left[1:]
		}
	}
	return pairs
}

// encoded is the text of a tree, the same for equal ones.
func encoded(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		return "" // never: it was decoded from JSON
	}
	return string(data)
}

// scalar is the text of a value, the same for a number however it was decoded.
func scalar(value any) string { return fmt.Sprint(value) }

// equal compares trees, numbers by their text.
func equal(a, b any) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for key, value := range x {
			other, there := y[key]
			if !there || !equal(value, other) {
				return false
			}
		}
		return true
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !equal(x[i], y[i]) {
				return false
			}
		}
		return true
	case string, bool, nil:
		return reflect.DeepEqual(a, b)
	}
	if _, text := b.(string); text || b == nil {
		return false
	}
	return scalar(a) == scalar(b)
}
