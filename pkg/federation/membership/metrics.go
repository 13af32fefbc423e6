package membership

import (
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

// Labels are bounded: cluster is a KubeFedCluster that is a member now, kind and result are words of ours.
var (
	endsDesc = metrics.NewDesc("koinon_member_credential_seconds_until_end",
		"Seconds until a part of what a member is reached with ends, less than 0 if it has, by cluster and kind: token, certificate, or the authority of the member's API server. Told by the leader.",
		[]string{"cluster", "kind"}, nil, metrics.ALPHA, "")
	renewals = metrics.NewCounterVec(&metrics.CounterOpts{
		Name: "koinon_member_token_renewals_total", StabilityLevel: metrics.ALPHA,
		Help: "Renewals of members' tokens that this process tried, by result: success or error.",
	}, []string{"result"})
)

// measured is the Registry of this process that works, for the collector.
var measured atomic.Pointer[Registry]

var register = sync.OnceFunc(func() {
	legacyregistry.MustRegister(renewals)
	legacyregistry.CustomMustRegister(&collector{})
})

// measure has the metrics tell of this Registry until stop is called.
func (r *Registry) measure() (stop func()) {
	register()
	measured.Store(r)
	return func() { measured.CompareAndSwap(r, nil) }
}

// collector tells when credentials end.
type collector struct{ metrics.BaseStableCollector }

// DescribeWithStability implements metrics.StableCollector.
func (*collector) DescribeWithStability(to chan<- *metrics.Desc) { to <- endsDesc }

// CollectWithStability implements metrics.StableCollector.
func (*collector) CollectWithStability(to chan<- metrics.Metric) {
	r, now := measured.Load(), time.Now()
	if r == nil {
		return
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for name, m := range r.members {
		for _, e := range m.endings {
			to <- metrics.NewLazyConstMetric(endsDesc, metrics.GaugeValue, e.At.Sub(m.clockOf(e, now)).Seconds(), name, e.Kind)
		}
	}
}
