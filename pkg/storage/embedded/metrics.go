package embedded

import (
	"sync"

	kinemetrics "github.com/k3s-io/kine/pkg/metrics"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/component-base/metrics/legacyregistry"
)

// registerOnce guards the process-wide registration of Kine's counters.
var registerOnce sync.Once

func registerMetrics() prometheus.Registerer {
	registry := tolerant{legacyregistry.Registerer()}
	registerOnce.Do(func() {
		registry.MustRegister(kinemetrics.SQLTotal, kinemetrics.SQLTime, kinemetrics.CompactTotal, kinemetrics.InsertErrorsTotal)
	})
	return registry
}

// tolerant is a registry in which the newest collector of a name wins. Kine registers one
// for each database that it opens and would panic at the second in one process.
type tolerant struct {
	prometheus.Registerer
}

// MustRegister implements prometheus.Registerer and never panics.
func (t tolerant) MustRegister(collectors ...prometheus.Collector) {
	for _, collector := range collectors {
		if t.Register(collector) != nil {
			t.Unregister(collector)
			_ = t.Register(collector)
		}
	}
}
