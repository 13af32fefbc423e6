package service

import (
	"time"

	"k8s.io/component-base/metrics"

	"github.com/koinon-io/koinon/pkg/tunnel/server"
)

// Descriptions of what Metrics has. The label cluster has the names of KubeFedClusters, and no others: without one there is no link.
var (
	linksDesc    = desc("agent_links", "Links that agents have with this server, by cluster, and whether they are of the cluster or of its nodes.", "cluster", "of")
	streamsDesc  = desc("agent_streams", "Connections that are open through links of agents with this server.", "cluster")
	tripDesc     = desc("agent_round_trip_seconds", "The longest round trip of late to an agent of the cluster.", "cluster")
	refusedDesc  = desc("refused_agents_total", "Agents and servers that were refused, by class of reason.", "reason")
	dialsDesc    = desc("dials_total", "Connections that were wanted: by this server itself (own), by other servers of agents here (for_others), and of those by this one from other servers (handed_on).", "by", "result")
	peersDesc    = desc("peers", "Other servers with a tunnel, by whether there is a link to them.", "linked")
	peerTripDesc = desc("peer_round_trip_seconds", "The longest round trip of late to another server.")
)

func desc(name, help string, labels ...string) *metrics.Desc {
	return metrics.NewDesc("koinon_tunnel_"+name, help, labels, nil, metrics.ALPHA, "")
}

// collector is what Metrics returns.
type collector struct {
	metrics.BaseStableCollector
	serving func() *server.Server
}

// Metrics are those of a server with links, which serving returns, nil if there is none at the moment. They are read when they are asked for.
func Metrics(serving func() *server.Server) metrics.StableCollector {
	return &collector{serving: serving}
}

// DescribeWithStability implements metrics.StableCollector.
func (c *collector) DescribeWithStability(to chan<- *metrics.Desc) {
	for _, d := range []*metrics.Desc{linksDesc, streamsDesc, tripDesc, refusedDesc, dialsDesc, peersDesc, peerTripDesc} {
		to <- d
	}
}

// ofCluster is what a cluster's links come to.
type ofCluster struct {
	links   map[string]int // by what they are of
	streams int
	trip    time.Duration
}

// CollectWithStability implements metrics.StableCollector.
func (c *collector) CollectWithStability(to chan<- metrics.Metric) {
	s := c.serving()
	if s == nil {
		return
	}
	gauge := func(d *metrics.Desc, value float64, labels ...string) {
		to <- metrics.NewLazyConstMetric(d, metrics.GaugeValue, value, labels...)
	}
	counter := func(d *metrics.Desc, value int64, labels ...string) {
		to <- metrics.NewLazyConstMetric(d, metrics.CounterValue, float64(value), labels...)
	}
	for cluster, of := range byCluster(s.Links()) {
		for what, n := range of.links {
			gauge(linksDesc, float64(n), cluster, what)
		}
		gauge(streamsDesc, float64(of.streams), cluster)
		gauge(tripDesc, of.trip.Seconds(), cluster)
	}
	for class, n := range s.Refusals() {
		counter(refusedDesc, n, string(class))
	}
	stats := s.Stats()
	for by, dials := range map[string]server.Dials{"own": stats.Own, "for_others": stats.ForOthers, "handed_on": stats.HandedOn} {
		counter(dialsDesc, dials.Opened, by, "opened")
		counter(dialsDesc, dials.Failed, by, "failed")
	}
	linked, trip := 0, time.Duration(0)
	peers := s.Peers()
	for _, p := range peers {
		if p.Linked {
			linked++
		}
		trip = max(trip, p.RoundTrip)
	}
	gauge(peersDesc, float64(linked), "true")
	gauge(peersDesc, float64(len(peers)-linked), "false")
	gauge(peerTripDesc, trip.Seconds())
}

func byCluster(links []server.Link) map[string]*ofCluster {
	found := map[string]*ofCluster{}
	for i := range links {
		l := &links[i]
		of := found[l.Name.Cluster]
		if of == nil {
			of = &ofCluster{links: map[string]int{}}
			found[l.Name.Cluster] = of
		}
		what := "cluster"
		if l.Name.Node != "" {
			what = "node"
		}
		of.links[what]++
		of.streams += l.Streams
		of.trip = max(of.trip, l.RoundTrip)
	}
	return found
}
