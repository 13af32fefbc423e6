package frontend

import (
	"sync"
	"time"
)

// meter lets so much pass in a second. It keeps no count but when what has passed would be through.
type meter struct {
	mu sync.Mutex
	// What follows is guarded by mu.

	perSecond float64 // 0: it lets everything pass
	through   time.Time
}

// set changes what may pass. What has passed counts as it did.
func (m *meter) set(perSecond float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.perSecond = perSecond
}

// from is when what passes now would have begun, if there was nothing before it within the burst: time that was not used for longer is lost.
func (m *meter) from(now time.Time, burst time.Duration) time.Time {
	if earliest := now.Add(-burst); m.through.Before(earliest) {
		return earliest
	}
	return m.through
}

func (m *meter) takes(n int) time.Duration {
	return time.Duration(float64(n) / m.perSecond * float64(time.Second))
}

// admit lets one pass, or refuses it. As many as may in a second may come at once.
func (m *meter) admit(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.perSecond == 0 {
		return true
	}
	through := m.from(now, time.Second).Add(m.takes(1))
	if through.After(now) {
		return false
	}
	m.through = through
	return true
}

const (
	// burstBytes pass at once, and what may in burstTime.
	burstBytes = 64 << 10
	burstTime  = 100 * time.Millisecond
)

// pass notes that bytes have passed, and returns after how long the next may.
func (m *meter) pass(now time.Time, n int) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.perSecond == 0 {
		return 0
	}
	m.through = m.from(now, m.burst()).Add(m.takes(n))
	return max(0, m.through.Sub(now))
}

// burst is how long it takes what may pass at once. mu must be held.
func (m *meter) burst() time.Duration { return max(burstTime, m.takes(burstBytes)) }

// rested reports whether it would admit, or let pass, as much as one that is new.
func (m *meter) rested(now time.Time, admits bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.perSecond == 0 {
		return true
	}
	burst := time.Second
	if !admits {
		burst = m.burst()
	}
	return now.Sub(m.through) >= burst
}
