package mux

import "time"

// Paced is a connection of which Relay carries so much only in a time.
type Paced interface {
	// Pace is told how many bytes came from the connection, or went to it, and returns how long it is waited before more of them do. The other direction
	// goes on; what comes meanwhile waits where it is.
	Pace(from, to int) time.Duration
}

// pace notes what was carried, and returns how long that direction waits.
func (r *relay) pace(from, to int) time.Duration {
	if paced, ok := r.conn.(Paced); ok {
		return paced.Pace(from, to)
	}
	return 0
}

// pause waits as long, or until both directions have ended.
func (r *relay) pause(long time.Duration) {
	if long <= 0 {
		return
	}
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.over():
	}
}

// over is closed when it is settled why both directions have ended.
func (r *relay) over() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done == nil {
		r.done = make(chan struct{})
		if r.settled {
			close(r.done)
		}
	}
	return r.done
}
