package mux

import "sync"

const (
	smallChunk = 2 << 10
	largeChunk = 16 << 10
)

// chunk holds bytes that came and were not read yet: those from r to w.
type chunk struct {
	bytes []byte
	r, w  int
}

var chunks = sync.Pool{New: func() any { return &chunk{bytes: make([]byte, largeChunk)} }}

// newChunk returns a chunk that has room for some of so many bytes. What is small is not worth a large one:
// there may be thousands of streams with a little each.
func newChunk(wanted int) *chunk {
	if wanted <= smallChunk {
		return &chunk{bytes: make([]byte, smallChunk)}
	}
	c := chunks.Get().(*chunk)
	c.r, c.w = 0, 0
	return c
}

func (c *chunk) free() {
	if len(c.bytes) == largeChunk {
		chunks.Put(c)
	}
}
