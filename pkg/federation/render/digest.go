package render

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strings"
	"sync"
)

// hashBytes of a digest are in a hash. A record of each target has it: it is kept short.
const hashBytes = 8

// digest stands for a tree as canonical JSON does: two trees have the same one if they have
// the same JSON with sorted keys. It is taken of a form that needs no escapes: a letter
// for the type, the length, the content.
func digest(tree map[string]any, retainReplicas bool) (sum [sha256.Size]byte) {
	w := writers.Get().(*writer)
	w.hash.Reset()
	w.value(tree)
	w.value(retainReplicas)
	w.flush()
	w.hash.Sum(sum[:0])
	writers.Put(w)
	return sum
}

// writers keep their buffers from one variant to the next.
var writers = sync.Pool{New: func() any {
	return &writer{hash: sha256.New(), buf: make([]byte, 0, 3*writeBytes)}
}}

// placed is the hash of a variant in a target.
func placed(v *variant, t Target) string {
	var few [256]byte
	buf := append(few[:0], v.digest[:]...)
	buf = appendText(buf, t.ObjectName)
	buf = appendText(buf, t.Namespace)
	buf = appendMap(buf, t.Annotations)
	if v.pods != nil {
		buf = appendMap(buf, t.NodeSelector)
	}
	sum := sha256.Sum256(buf)
	return hex.EncodeToString(sum[:hashBytes])
}

func appendText(buf []byte, text string) []byte {
	return append(binary.AppendUvarint(buf, uint64(len(text))), text...)
}

func appendMap(buf []byte, m map[string]string) []byte {
	buf = binary.AppendUvarint(buf, uint64(len(m)))
	if len(m) == 0 {
		return buf
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		buf = appendText(appendText(buf, key), m[key])
	}
	return buf
}

// writeBytes are gathered before they are hashed.
const writeBytes = 4096

type writer struct {
	hash hash.Hash
	buf  []byte
	// fields of the maps that are being written, those of outer ones first.
	fields []mapField
}

type mapField struct {
	key   string
	value any
}

func (w *writer) value(value any) {
	switch v := value.(type) {
	case map[string]any:
		w.object(v)
	case []any:
		w.start('[', len(v))
		for _, item := range v {
			w.value(item)
		}
	case string:
		w.text('"', v)
	case json.Number:
		w.text('0', string(v))
	case bool:
		w.start(map[bool]byte{true: 't', false: 'f'}[v], 0)
	case nil:
		w.start('n', 0)
	default:
		panic(fmt.Sprintf("render: a %T is in a tree of JSON", value))
	}
}

func (w *writer) object(v map[string]any) {
	w.start('{', len(v))
	begin := len(w.fields)
	for key, value := range v {
		w.fields = append(w.fields, mapField{key, value})
	}
	end := len(w.fields)
	slices.SortFunc(w.fields[begin:end], func(a, b mapField) int { return strings.Compare(a.key, b.key) })
	for i := begin; i < end; i++ {
		w.text('"', w.fields[i].key)
		w.value(w.fields[i].value)
	}
	clear(w.fields[begin:]) // which would keep the tree in memory
	w.fields = w.fields[:begin]
}

func (w *writer) start(kind byte, length int) {
	if len(w.buf) > writeBytes {
		w.flush()
	}
	w.buf = binary.AppendUvarint(append(w.buf, kind), uint64(length))
}

func (w *writer) flush() {
	w.hash.Write(w.buf) // never fails
	w.buf = w.buf[:0]
}

func (w *writer) text(kind byte, text string) {
	w.start(kind, len(text))
	for len(text) > writeBytes {
		w.buf = append(w.buf, text[:writeBytes]...)
		w.flush()
		text = text[writeBytes:]
	}
	w.buf = append(w.buf, text...)
}
