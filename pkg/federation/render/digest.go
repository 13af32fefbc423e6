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
)

// hashBytes of a digest are in a hash. A record of each target has it: it is kept short.
const hashBytes = 8

// digest stands for a tree as canonical JSON does: two trees have the same one if they have
// the same JSON with sorted keys. It is taken of a form that needs no escapes: a letter
// for the type, the length, the content.
func digest(tree map[string]any, retainReplicas bool) (sum [sha256.Size]byte) {
	w := writer{hash: sha256.New(), buf: make([]byte, 0, 2*writeBytes)}
	w.value(tree)
	w.value(retainReplicas)
	w.hash.Write(w.buf)
	w.hash.Sum(sum[:0])
	return sum
}

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
}

func (w *writer) value(value any) {
	switch v := value.(type) {
	case map[string]any:
		w.start('{', len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			w.text('"', key)
			w.value(v[key])
		}
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

func (w *writer) start(kind byte, length int) {
	if len(w.buf) > writeBytes {
		w.hash.Write(w.buf)
		w.buf = w.buf[:0]
	}
	w.buf = binary.AppendUvarint(append(w.buf, kind), uint64(length))
}

func (w *writer) text(kind byte, text string) {
	w.start(kind, len(text))
	w.buf = append(w.buf, text...)
}
