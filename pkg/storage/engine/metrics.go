package engine

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// sizeInterval is how often the size of the tables is measured.
const sizeInterval = time.Minute

// metrics are what an engine says of itself. Its gauges are read when they are asked for.
type metrics struct {
	engine *Engine
	size   atomic.Int64

	commits   prometheus.Histogram
	batches   prometheus.Histogram
	rebased   prometheus.Counter
	failures  prometheus.Counter
	deleted   prometheus.Counter
	described []described
}

// described is a gauge or counter that is a function of the engine.
type described struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func() float64
}

const metricsPrefix = "koinon_store_"

func newMetrics(e *Engine) *metrics {
	m := &metrics{
		engine: e,
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: metricsPrefix + "commit_duration_seconds", Help: "How long the database took to commit a batch of writes.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
		}),
		batches: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: metricsPrefix + "batch_writes", Help: "How many writes shared a commit.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 9),
		}),
		rebased:  counter("rebased_batches_total", "Batches that were decided anew because another server had written."),
		failures: counter("failed_attempts_total", "Attempts to read from or write to the database that failed."),
		deleted:  counter("deleted_records_total", "Records that were deleted because they were compacted."),
	}
	m.gauge("size_bytes", "What the tables take on disk, free space in them included.", func() float64 { return float64(m.size.Load()) })
	m.gauge("revision", "The revision up to which this server knows the store.", func() float64 { return float64(e.state.mark().Tail) })
	m.gauge("compact_revision", "The revision below which the store was compacted.", func() float64 { return float64(e.state.mark().Compact) })
	m.gauge("keys", "Keys in the store.", func() float64 { return float64(e.state.index().Len()) })
	m.gauge("cached_value_bytes", "Values that are kept in memory.", func() float64 { return float64(e.values.cache.WeightedSize()) })
	m.gauge("peers", "Other servers that use the same database.", func() float64 { return float64(e.peers()) })
	m.gauge("healthy", "1 while the database can be read and written.", func() float64 {
		if e.Health() != nil {
			return 0
		}
		return 1
	})
	m.add("foreign_records_total", "Records that other servers have written.", prometheus.CounterValue, func() float64 { return float64(e.foreign.Load()) })
	return m
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: metricsPrefix + name, Help: help})
}

func (m *metrics) gauge(name, help string, value func() float64) {
	m.add(name, help, prometheus.GaugeValue, value)
}

func (m *metrics) add(name, help string, kind prometheus.ValueType, value func() float64) {
	m.described = append(m.described, described{prometheus.NewDesc(metricsPrefix+name, help, nil, nil), kind, value})
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.commits, m.batches, m.rebased, m.failures, m.deleted}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(descriptions chan<- *prometheus.Desc) {
	for _, each := range m.collectors() {
		each.Describe(descriptions)
	}
	for _, each := range m.described {
		descriptions <- each.desc
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(values chan<- prometheus.Metric) {
	for _, each := range m.collectors() {
		each.Collect(values)
	}
	for _, each := range m.described {
		values <- prometheus.MustNewConstMetric(each.desc, each.kind, each.value())
	}
}

// Metrics are for a registry of the caller's.
func (e *Engine) Metrics() prometheus.Collector { return e.metrics }

func (e *Engine) peers() int {
	if e.options.Notices == nil {
		return 0
	}
	return e.options.Notices.Peers()
}

// runSize measures the tables now and then.
func (e *Engine) runSize(ctx context.Context) {
	for {
		if size, err := e.log.Size(ctx); err == nil {
			e.metrics.size.Store(size)
		}
		pause(ctx, sizeInterval)
		if ctx.Err() != nil {
			return
		}
	}
}
