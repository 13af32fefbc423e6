package doors

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/tools/cache"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/frontend"
)

// Labels are bounded: front is one of three, code one of HTTP's that package frontend has, and cluster a KubeFedCluster. What leads to none has an
// empty cluster, and what is counted of one goes with it.
var (
	dials = metrics.NewCounterVec(&metrics.CounterOpts{
		Name: "koinon_tunnel_frontend_dials_total", StabilityLevel: metrics.ALPHA,
		Help: "Connections that clients asked for, by front end, cluster and the code of the answer as of HTTP; 200 is connected, 499 that the client left.",
	}, []string{"front", "cluster", "code"})
	dialSeconds = metrics.NewHistogramVec(&metrics.HistogramOpts{
		Name: "koinon_tunnel_frontend_dial_duration_seconds", StabilityLevel: metrics.ALPHA,
		Help:    "How long it took to connect, or to refuse, by front end and whether it was connected.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"front", "connected"})
	configurationErrors = metrics.NewCounter(&metrics.CounterOpts{
		Name: "koinon_tunnel_configuration_errors_total", StabilityLevel: metrics.ALPHA,
		Help: "How often the file of --tunnel-config was changed to something wrong, or could not be read.",
	})
	configurationRight = metrics.NewGauge(&metrics.GaugeOpts{
		Name: "koinon_tunnel_configuration_right", StabilityLevel: metrics.ALPHA,
		Help: "Whether the file of --tunnel-config is right: 1, or 0 while what it said before holds.",
	})
	connectionsDesc = metrics.NewDesc("koinon_tunnel_frontend_connections", "Connections that are carried, by cluster.", []string{"cluster"}, nil, metrics.ALPHA, "")
	bytesDesc       = metrics.NewDesc("koinon_tunnel_frontend_bytes_total", "Bytes that were carried, by cluster and direction: sent by clients, or received.",
		[]string{"cluster", "direction"}, nil, metrics.ALPHA, "")
)

// carrying is what the front ends of this process carry, for the collector.
var carrying atomic.Pointer[observer]

var register = sync.OnceFunc(func() {
	legacyregistry.MustRegister(dials, dialSeconds, configurationErrors, configurationRight)
	legacyregistry.CustomMustRegister(&collector{})
})

// collector tells what is carried at the moment.
type collector struct{ metrics.BaseStableCollector }

// DescribeWithStability implements metrics.StableCollector.
func (*collector) DescribeWithStability(to chan<- *metrics.Desc) {
	to <- connectionsDesc
	to <- bytesDesc
}

// CollectWithStability implements metrics.StableCollector.
func (*collector) CollectWithStability(to chan<- metrics.Metric) {
	o := carrying.Load()
	if o == nil {
		return
	}
	for cluster, t := range o.front.Traffic() {
		if !o.isMember(cluster) {
			continue
		}
		to <- metrics.NewLazyConstMetric(connectionsDesc, metrics.GaugeValue, float64(t.Connections), cluster)
		to <- metrics.NewLazyConstMetric(bytesDesc, metrics.CounterValue, float64(t.Sent), cluster, "sent")
		to <- metrics.NewLazyConstMetric(bytesDesc, metrics.CounterValue, float64(t.Received), cluster, "received")
	}
}

// observer counts what a front end does.
type observer struct {
	front    *frontend.Frontend
	isMember func(cluster string) bool

	mu      sync.Mutex
	counted map[string]map[answer]bool // what dials has of a cluster; guarded by mu
}

// answer is what is counted of a cluster.
type answer struct{ front, code string }

var _ frontend.Observer = &observer{}

// Answered implements frontend.Observer.
func (o *observer) Answered(front string, name tunnel.Name, _ string, status int, took time.Duration) {
	cluster := name.Cluster
	if cluster != "" && !o.isMember(cluster) {
		cluster = ""
	}
	of := answer{front, strconv.Itoa(status)}
	o.mu.Lock()
	if o.counted[cluster] == nil {
		o.counted[cluster] = map[answer]bool{}
	}
	o.counted[cluster][of] = true
	o.mu.Unlock()
	dials.WithLabelValues(of.front, cluster, of.code).Inc()
	dialSeconds.WithLabelValues(front, strconv.FormatBool(status == http.StatusOK)).Observe(took.Seconds())
}

// Ended implements frontend.Observer: what was carried is asked for when somebody looks.
func (o *observer) Ended(string, tunnel.Name, string, time.Duration, int64, int64) {}

// follow counts from now on until stop is called, and forgets clusters that go.
func (o *observer) follow(parts Parts) (stop func(), err error) {
	register()
	configured(nil)
	registration, err := parts.Members.AddEventHandler(cache.ResourceEventHandlerFuncs{DeleteFunc: func(object any) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object); err == nil {
			_, name, _ := strings.Cut(key, "/")
			o.forget(name)
		}
	}})
	if err != nil {
		return nil, fmt.Errorf("follow KubeFedClusters: %w", err)
	}
	carrying.Store(o)
	return func() {
		carrying.CompareAndSwap(o, nil)
		_ = parts.Members.RemoveEventHandler(registration)
	}, nil
}

// forget removes what was counted of a cluster that is gone.
func (o *observer) forget(cluster string) {
	o.front.Forget(cluster)
	o.mu.Lock()
	defer o.mu.Unlock()
	for of := range o.counted[cluster] {
		dials.Delete(map[string]string{"front": of.front, "cluster": cluster, "code": of.code})
	}
	delete(o.counted, cluster)
}

// configured tells whether the file is right.
func configured(err error) {
	if err != nil {
		configurationErrors.Inc()
		configurationRight.Set(0)
		return
	}
	configurationRight.Set(1)
}
