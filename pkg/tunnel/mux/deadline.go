package mux

import (
	"sync"
	"time"
)

// deadline ends what waits for a condition. Its lock is the condition's.
type deadline struct {
	timer   *time.Timer
	expired bool
}

// set sets when waiting ends; the zero time is never. The condition's lock must be held.
func (d *deadline) set(at time.Time, cond *sync.Cond) {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.expired = false
	if at.IsZero() {
		return
	}
	left := time.Until(at)
	if left <= 0 {
		d.expired = true
		cond.Broadcast()
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(left, func() {
		cond.L.Lock()
		defer cond.L.Unlock()
		if d.timer == timer {
			d.expired = true
			cond.Broadcast()
		}
	})
	d.timer = timer
}

// stop is set without another.
func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}
