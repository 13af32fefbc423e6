package service

import (
	"log/slog"
	"net"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/record"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
)

// Reasons of events at KubeFedClusters.
const (
	agentConnected    = "AgentConnected"
	agentDisconnected = "AgentDisconnected"
)

// agentStays is after how long an agent counts as one that came: one that looks for another replica by an address of all is gone at once.
const agentStays = time.Second

// comings tells, in the log and in events, of agents that come and go.
type comings struct {
	logger   *slog.Logger
	recorder record.EventRecorder
	// member returns a KubeFedCluster; nil if there is none.
	member func(name string) *v1beta1.KubeFedCluster

	mu      sync.Mutex
	waiting map[string]*time.Timer // by where from; guarded by mu
}

func newComings(logger *slog.Logger, recorder record.EventRecorder, member func(string) *v1beta1.KubeFedCluster) *comings {
	return &comings{logger: logger, recorder: recorder, member: member, waiting: map[string]*time.Timer{}}
}

// changed is told of each link that begins, and when it has ended.
func (c *comings) changed(link server.Link, ended error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ended == nil {
		c.waiting[link.From] = time.AfterFunc(agentStays, func() { c.came(link) })
		return
	}
	if timer := c.waiting[link.From]; timer == nil || !timer.Stop() {
		c.went(link, ended)
	}
	delete(c.waiting, link.From)
}

func (c *comings) came(link server.Link) {
	c.logger.Info("An agent connected", "name", link.Name.String(), "from", link.From, "way", string(link.Way), "version", link.Agent.Version)
	c.record(link, corev1.EventTypeNormal, agentConnected, "connected")
}

func (c *comings) went(link server.Link, ended error) {
	c.logger.Info("An agent's link ended", "name", link.Name.String(), "from", link.From, "reason", ended)
	c.record(link, corev1.EventTypeWarning, agentDisconnected, "disconnected")
}

// record makes an event, which is the same each time but for its count: it has no port.
func (c *comings) record(link server.Link, severity, reason, what string) {
	cluster := c.member(link.Name.Cluster)
	if cluster == nil {
		return
	}
	from, _, err := net.SplitHostPort(link.From)
	if err != nil {
		from = link.From
	}
	c.recorder.Eventf(&corev1.ObjectReference{
		APIVersion: v1beta1.SchemeGroupVersion.String(), Kind: "KubeFedCluster", Namespace: cluster.Namespace, Name: cluster.Name, UID: cluster.UID,
	}, severity, reason, "The agent of %s at host %q, %s (%s), version %q, %s", link.Name, link.Agent.Host, from, link.Way, link.Agent.Version, what)
}
