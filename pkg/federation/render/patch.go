package render

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
)

// patched returns template with the operations applied, in order. It shares with template,
// and with the values, what no operation goes through, and modifies neither. It returns an
// *OverrideError with the first operation that cannot be applied, or the error of ctx.
func patched(ctx context.Context, template map[string]any, operations [][]operation) (map[string]any, error) {
	root, step := &object{maps.Clone(template)}, 0
	for _, some := range operations {
		for i := range some {
			if err := checkpoint(ctx, step); err != nil {
				return nil, err
			}
			step++
			if err := some[i].apply(root); err != nil {
				return nil, some[i].fail(some[i].problem(err))
			}
		}
	}
	return root.settled().(map[string]any), nil
}

// errMissing: there is nothing at a path, or nothing that has fields or elements.
var errMissing = errors.New("missing")

// problem says why the operation cannot be applied.
func (o *operation) problem(err error) string {
	if !errors.Is(err, errMissing) {
		return err.Error()
	}
	switch o.op {
	case manifest.OpReplace:
		return "there is nothing to replace at this path; op: add sets what is not there (a patch without op replaces)"
	case manifest.OpRemove:
		return "there is nothing to remove at this path"
	default:
		return "what this path leads through is not there; add that first"
	}
}

func (o *operation) apply(root *object) error {
	var parent container = root
	last := len(o.steps) - 1
	for _, step := range o.steps[:last] {
		if parent = parent.enter(step); parent == nil {
			return errMissing
		}
	}
	switch o.op {
	case manifest.OpAdd:
		return parent.add(o.steps[last], o.value)
	case manifest.OpRemove:
		return parent.remove(o.steps[last])
	default:
		return parent.replace(o.steps[last], o.value)
	}
}

// container is a map or a list that operations have come through. It is a copy, one level
// deep: what it holds is shared, but for further containers.
type container interface {
	// enter returns the map or list at a key, from now on a container, and nil if there is
	// none.
	enter(key string) container
	// add, replace and remove return errMissing if there is nothing at the key, and another
	// error if a list has no such index.
	add(key string, value any) error
	replace(key string, value any) error
	remove(key string) error
	// settled returns it as a map or a list without containers in it. It is no container
	// afterwards.
	settled() any
}

// asContainer returns a value as a container, and nil if it has neither fields nor elements.
// copied says that it was none before.
func asContainer(value any) (c container, copied bool) {
	switch v := value.(type) {
	case container:
		return v, false
	case map[string]any:
		return &object{maps.Clone(v)}, true
	case []any:
		return newList(v), true
	}
	return nil, false
}

func settled(value any) any {
	if c, ok := value.(container); ok {
		return c.settled()
	}
	return value
}

// object is the container that a map becomes.
type object struct{ fields map[string]any }

func (o *object) enter(key string) container {
	c, copied := asContainer(o.fields[key])
	if copied {
		o.fields[key] = c
	}
	return c
}

func (o *object) add(key string, value any) error {
	o.fields[key] = value
	return nil
}

func (o *object) replace(key string, value any) error {
	if _, there := o.fields[key]; !there {
		return errMissing
	}
	o.fields[key] = value
	return nil
}

func (o *object) remove(key string) error {
	if _, there := o.fields[key]; !there {
		return errMissing
	}
	delete(o.fields, key)
	return nil
}

func (o *object) settled() any {
	for key, value := range o.fields {
		if _, ok := value.(container); ok {
			o.fields[key] = settled(value)
		}
	}
	return o.fields
}

// The keys of a list are indexes: those that are negative count from the end, as in
// KubeFed, and - is the place behind the last element.

func (l *list) enter(key string) container {
	i, err := indexOf(key, l.length)
	if err != nil {
		return nil
	}
	c, copied := asContainer(l.get(i))
	if copied {
		l.set(i, c)
	}
	return c
}

// add puts a value before the element with the index. Of the negative ones -1 is behind the
// last element.
func (l *list) add(key string, value any) error {
	if key == "-" {
		l.insert(l.length, value)
		return nil
	}
	i, err := indexOf(key, l.length+1)
	if err != nil {
		return l.problem(err)
	}
	l.insert(i, value)
	return nil
}

func (l *list) replace(key string, value any) error {
	i, err := indexOf(key, l.length)
	if err != nil {
		return l.problem(err)
	}
	l.set(i, value)
	return nil
}

func (l *list) remove(key string) error {
	i, err := indexOf(key, l.length)
	if err != nil {
		return l.problem(err)
	}
	l.delete(i)
	return nil
}

func (l *list) settled() any {
	items := l.items()
	for i := range items {
		items[i] = settled(items[i])
	}
	return items
}

// Why a key is no index of a list.
var (
	errNoIndex    = errors.New("the last step of this path must be an index, as it leads to a list; - adds behind the last element")
	errOutOfRange = errors.New("out of range")
)

func (l *list) problem(err error) error {
	if errors.Is(err, errOutOfRange) {
		return fmt.Errorf("the index at the end of this path is out of range: the list has %d elements", l.length)
	}
	return err
}

// indexOf reads an index of a list of n.
func indexOf(key string, n int) (int, error) {
	i, err := strconv.Atoi(key)
	if err != nil {
		return 0, errNoIndex
	}
	if i < 0 {
		i += n
	}
	if i < 0 || i >= n {
		return 0, errOutOfRange
	}
	return i, nil
}
