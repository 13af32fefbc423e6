package cells

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// freshness is how long the caches may be behind our own writes before a unit is looked at
// all the same.
const freshness = 10 * time.Second

// writes remembers what versions our own writes made, until the caches show them. A unit
// that is looked at with a cache which is behind them would be written again, and one that is
// being deleted would go before the cluster that was made for it a moment ago. It may be used
// concurrently.
type writes struct {
	mu     sync.Mutex
	byUnit map[key]versions // guarded by mu; only units that a cache was behind of, or may be
}

// versions are resource versions; empty is none.
type versions struct {
	unit, cluster string
	at            time.Time
}

// wroteUnit notes a version of the unit itself.
func (w *writes) wroteUnit(k key, version string) {
	w.note(k, func(v *versions) { v.unit = version })
}

// wroteCluster notes a version of the KubeFedCluster that the unit appears as.
func (w *writes) wroteCluster(k key, version string) {
	w.note(k, func(v *versions) { v.cluster = version })
}

func (w *writes) note(k key, set func(*versions)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.byUnit[k]
	set(&v)
	v.at = time.Now()
	w.byUnit[k] = v
}

// deleted notes that the KubeFedCluster was deleted: no cache has to show it.
func (w *writes) deleted(k key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v, ok := w.byUnit[k]
	if !ok {
		return
	}
	v.cluster = ""
	w.byUnit[k] = v
}

// wait returns how long the caches, which show this unit and this cluster, may still be
// waited for; 0 if they show what was written. Either is nil if the caches have none. An
// event tells when they have caught up.
func (w *writes) wait(k key, unit *Unit, cluster *v1beta1.KubeFedCluster) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	v, ok := w.byUnit[k]
	if !ok {
		return 0
	}
	// A unit that we wrote was in the cache before: if it is there no more, it is gone.
	behind := unit != nil && older(unit.ResourceVersion, v.unit)
	shown := ""
	if cluster != nil {
		shown = cluster.ResourceVersion
	}
	behind = behind || older(shown, v.cluster)
	left := freshness - time.Since(v.at)
	if !behind || left <= 0 {
		delete(w.byUnit, k)
		return 0
	}
	return left
}

// older reports whether a cache that shows a version is behind one that was written.
func older(shown, written string) bool {
	if written == "" || shown == "" {
		return written != ""
	}
	order, err := resourceversion.CompareResourceVersion(shown, written)
	return err == nil && order < 0
}
