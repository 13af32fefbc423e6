package cellview

import (
	"encoding/json"
	"strings"
)

// operation is one of a JSON patch (RFC 6902), as API servers read it: of members that come twice
// the last one counts, and others are ignored.
type operation struct {
	Op    string
	Path  string
	From  string
	Value json.RawMessage
}

// MarshalJSON leaves out what was not there: null is a value.
func (o operation) MarshalJSON() ([]byte, error) {
	out := map[string]any{"op": o.Op, "path": o.Path}
	if o.From != "" {
		out["from"] = o.From
	}
	if o.Value != nil {
		out["value"] = o.Value
	}
	return json.Marshal(out)
}

// operations reads a patch. Keys are those of a map: case matters.
func (v View) operations(body []byte) ([]operation, error) {
	var raw []map[string]json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil {
		return nil, v.bad("cannot read the body as a JSON patch: %v", err)
	}
	operations := make([]operation, len(raw))
	for i, members := range raw {
		o := &operations[i]
		for name, text := range map[string]*string{"op": &o.Op, "path": &o.Path, "from": &o.From} {
			if members[name] == nil && name == "from" {
				continue
			}
			// An empty path is the whole object, and null is no path.
			if err := json.Unmarshal(members[name], text); err != nil || string(members[name]) == "null" {
				return nil, v.bad("takes a JSON patch with a text for %s, which operation %d has not", name, i)
			}
		}
		o.Value = members["value"]
		for _, path := range []string{o.Path, o.From} {
			// The library of API servers ignores what is before the first slash.
			if path != "" && path[0] != '/' {
				return nil, v.bad("takes paths of JSON patches with a leading slash only, not %q", path)
			}
		}
	}
	return operations, nil
}

// jsonPatch maps paths and values.
func (v View) jsonPatch(object *node, body []byte) ([]byte, error) {
	operations, err := v.operations(body)
	if err != nil {
		return nil, err
	}
	for i := range operations {
		if err := v.operation(object, &operations[i]); err != nil {
			return nil, err
		}
	}
	return json.Marshal(operations)
}

func (v View) operation(object *node, o *operation) error {
	path, n, err := v.pointer(object, o.Path)
	if err != nil {
		return err
	}
	if o.Op == "copy" || o.Op == "move" {
		if o.From == "" {
			return v.bad("takes no JSON patch that copies or moves the whole object")
		}
		from, source, err := v.pointer(object, o.From)
		if err != nil {
			return err
		}
		if n != nil || source != nil {
			return v.bad("cannot map a JSON patch that copies or moves from %q to %q: write the value instead", o.From, o.Path)
		}
		o.From = from
	}
	if n != nil && n.act == kind {
		return v.bad("cannot map a JSON patch of %s alone: replace what is around it", n.path)
	}
	o.Path = path
	if o.Value != nil && n != nil {
		o.Value, err = v.outgoing(n, o.Value)
	}
	return err
}

var (
	unescapePointer = strings.NewReplacer("~1", "/", "~0", "~")
	escapePointer   = strings.NewReplacer("~", "~0", "/", "~1")
)

// pointer maps a path, and returns what is known of the place.
func (v View) pointer(n *node, path string) (string, *node, error) {
	if path == "" {
		return "", n, nil
	}
	steps := strings.Split(path[1:], "/")
	for i, step := range steps {
		if n == nil {
			break
		}
		if n.elem != nil {
			n = n.elem
			continue
		}
		key := unescapePointer.Replace(step)
		next := n.fields[key]
		if next == nil {
			var err error
			if next, err = v.unknownKey(n, key); err != nil {
				return "", nil, err
			}
		}
		steps[i] = escapePointer.Replace(renamed(n, key))
		n = next
	}
	return "/" + strings.Join(steps, "/"), n, nil
}
