package mux

import "sync/atomic"

// Budget bounds what streams may hold beyond their first credit. One may be shared by many sessions; a
// nil one has no bound. It may be used concurrently.
type Budget struct {
	size, left atomic.Int64
}

// NewBudget returns a Budget of so many bytes.
func NewBudget(bytes int64) *Budget {
	b := &Budget{}
	b.size.Store(bytes)
	b.left.Store(bytes)
	return b
}

// take reserves bytes, or reports that there are not so many.
func (b *Budget) take(n int64) bool {
	if b == nil {
		return true
	}
	if b.left.Add(-n) >= 0 {
		return true
	}
	b.left.Add(n)
	return false
}

func (b *Budget) give(n int64) {
	if b != nil {
		b.left.Add(n)
	}
}

// tight reports whether a quarter or less is left.
func (b *Budget) tight() bool { return b != nil && b.left.Load() <= b.size.Load()/4 }
