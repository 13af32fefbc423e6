package mux

import "sync"

// Sizes of chunks. What is small is not worth a large one: there may be thousands of streams with a little each. A large one is
// at least half filled by what it is made for.
const (
	smallChunk  = 2 << 10
	mediumChunk = 16 << 10
	largeChunk  = 2 * quantum
)

// chunk holds bytes that came and were not read yet: those from r to w.
type chunk struct {
	bytes []byte
	r, w  int
}

func chunksOf(size int) *sync.Pool {
	return &sync.Pool{New: func() any { return &chunk{bytes: make([]byte, size)} }}
}

var mediumChunks, largeChunks = chunksOf(mediumChunk), chunksOf(largeChunk)

// newChunk returns a chunk that has room for some of so many bytes.
func newChunk(wanted int) *chunk {
	var c *chunk
	switch {
	case wanted <= smallChunk:
		return &chunk{bytes: make([]byte, smallChunk)}
	case wanted <= mediumChunk:
		c = mediumChunks.Get().(*chunk)
	default:
		c = largeChunks.Get().(*chunk)
	}
	c.r, c.w = 0, 0
	return c
}

func (c *chunk) free() {
	switch len(c.bytes) {
	case mediumChunk:
		mediumChunks.Put(c)
	case largeChunk:
		largeChunks.Put(c)
	}
}
