// Package tunnelconfig is the file that says how much the tunnel's front ends carry for whom:
//
//	apiVersion: tunnel.koinon.io/v1alpha1
//	kind: TunnelConfiguration
//	defaults:
//	  clusters: {connections: 10000, waitingDials: 512, connectTimeout: 8s, idleTimeout: 4h}
//	  nodes: {connections: 1000, waitingDials: 64}
//	  tenants: {connections: 10000, waitingDials: 512, dialsPerSecond: 200, bytesPerSecond: 50Mi}
//	clusters:
//	- name: m1
//	  bytesPerSecond: 20Mi
//	  nodes: {connections: 100}
//	nodes:
//	- {cluster: m1, name: n1, idleTimeout: 10m}
//	tenants:
//	- {name: "user:prometheus", dialsPerSecond: 50, weight: 2}
//
// What is not said is taken from what is more general: of a node from nodes of its cluster, then from defaults.nodes; of a cluster from
// defaults.clusters; of a tenant from defaults.tenants; and then from package frontend. The limits of a cluster are those of its own agents, not of all its
// nodes'. Clients of a Unix socket are the tenant socket:CLUSTER, and a user of the API is user:NAME. A weight is how much of a link a tenant gets beside
// others, 1 if nothing is said.
package tunnelconfig

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/frontend"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
)

// What a file has to say that it is.
const (
	APIVersion = "tunnel.koinon.io/v1alpha1"
	Kind       = "TunnelConfiguration"
)

// MaxBytes is how long a file may be.
const MaxBytes = 4 << 20

const (
	maxConnections    = 1_000_000
	maxDials          = 100_000
	maxPerSecond      = 1_000_000
	minBytesPerSecond = 16 << 10
	minConnect        = 100 * time.Millisecond
	minIdle, maxIdle  = time.Second, 30 * 24 * time.Hour
)

// Limits are those of a name or tenant. What is nil is taken from what is more general.
type Limits struct {
	// Connections may be carried at once.
	Connections *int `json:"connections,omitempty"`
	// WaitingDials may be waited for at once.
	WaitingDials *int `json:"waitingDials,omitempty"`
	// DialsPerSecond may be begun.
	DialsPerSecond *int `json:"dialsPerSecond,omitempty"`
	// BytesPerSecond may pass in each direction.
	BytesPerSecond *resource.Quantity `json:"bytesPerSecond,omitempty"`
}

// NameLimits are Limits and timeouts.
type NameLimits struct {
	Limits `json:",inline"`
	// ConnectTimeout is how long it takes at most to connect.
	ConnectTimeout *metav1.Duration `json:"connectTimeout,omitempty"`
	// IdleTimeout is how long nothing may pass.
	IdleTimeout *metav1.Duration `json:"idleTimeout,omitempty"`
}

// TenantLimits are Limits and a weight.
type TenantLimits struct {
	Limits `json:",inline"`
	// Weight is how much of a link the tenant gets beside others, where there is not enough for all.
	Weight *int `json:"weight,omitempty"`
}

// Defaults are for who has no others.
type Defaults struct {
	Clusters NameLimits   `json:"clusters,omitempty"`
	Nodes    NameLimits   `json:"nodes,omitempty"`
	Tenants  TenantLimits `json:"tenants,omitempty"`
}

// Cluster is one with limits of its own.
type Cluster struct {
	Name       string `json:"name"`
	NameLimits `json:",inline"`
	// Nodes are for each of its nodes.
	Nodes NameLimits `json:"nodes,omitempty"`
}

// Node is one with limits of its own.
type Node struct {
	Cluster    string `json:"cluster"`
	Name       string `json:"name"`
	NameLimits `json:",inline"`
}

// Tenant is one with limits of its own.
type Tenant struct {
	Name         string `json:"name"`
	TenantLimits `json:",inline"`
}

// Configuration is the file.
type Configuration struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Defaults   Defaults  `json:"defaults,omitempty"`
	Clusters   []Cluster `json:"clusters,omitempty"`
	Nodes      []Node    `json:"nodes,omitempty"`
	Tenants    []Tenant  `json:"tenants,omitempty"`
}

// Rules are what a Configuration says, ready to be asked. They do not change, and may be asked concurrently. The zero value is that of no file.
type Rules struct {
	clusters, nodes frontend.Limits
	times           [2]frontend.Timeouts // of clusters, of nodes
	tenant          frontend.Limits
	names           map[tunnel.Name]named
	// nodesOf are those of nodes that are not in names.
	nodesOf map[string]named
	tenants map[string]frontend.Limits
}

type named struct {
	limits   frontend.Limits
	timeouts frontend.Timeouts
}

// Parse reads a file. Its errors are one sentence for each mistake.
func Parse(text []byte) (*Rules, error) {
	if len(text) > MaxBytes {
		return nil, fmt.Errorf("it has %d bytes: %d are allowed", len(text), MaxBytes)
	}
	var c Configuration
	encoded, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, fmt.Errorf("it is no YAML: %w", err)
	}
	strict, err := json.UnmarshalStrict(encoded, &c)
	if err = errors.Join(append(strict, err)...); err != nil {
		return nil, fmt.Errorf("it is no %s: %w", Kind, err)
	}
	if c.APIVersion != APIVersion || c.Kind != Kind {
		return nil, fmt.Errorf("it has apiVersion %q and kind %q: %s and %s are allowed", c.APIVersion, c.Kind, APIVersion, Kind)
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	return c.rules(), nil
}

// check returns one sentence for each mistake.
func (c *Configuration) check() error {
	errs := []error{c.Defaults.Clusters.check("defaults.clusters"), c.Defaults.Nodes.check("defaults.nodes"), c.Defaults.Tenants.check("defaults.tenants")}
	seen := map[tunnel.Name]bool{}
	once := func(field string, name tunnel.Name) error {
		if err := name.Validate(); err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
		if seen[name] {
			return fmt.Errorf("%s: %s is there twice", field, name)
		}
		seen[name] = true
		return nil
	}
	for i := range c.Clusters {
		field := fmt.Sprintf("clusters[%d]", i)
		errs = append(errs, once(field, tunnel.Name{Cluster: c.Clusters[i].Name}), c.Clusters[i].check(field), c.Clusters[i].Nodes.check(field+".nodes"))
	}
	for i := range c.Nodes {
		field := fmt.Sprintf("nodes[%d]", i)
		if c.Nodes[i].Name == "" {
			errs = append(errs, fmt.Errorf("%s: it has no name", field))
			continue
		}
		errs = append(errs, once(field, tunnel.Name{Cluster: c.Nodes[i].Cluster, Node: c.Nodes[i].Name}), c.Nodes[i].check(field))
	}
	tenants := map[string]bool{}
	for i, tenant := range c.Tenants {
		field := fmt.Sprintf("tenants[%d]", i)
		kind, name, _ := strings.Cut(tenant.Name, ":")
		if kind != "user" && kind != "socket" || name == "" {
			errs = append(errs, fmt.Errorf("%s: its name is %q: user:NAME and socket:CLUSTER are allowed", field, tenant.Name))
		}
		if tenants[tenant.Name] {
			errs = append(errs, fmt.Errorf("%s: %q is there twice", field, tenant.Name))
		}
		tenants[tenant.Name] = true
		errs = append(errs, tenant.check(field))
	}
	return errors.Join(errs...)
}

func (l *Limits) check(field string) error {
	var errs []error
	between := func(name string, value *int, most int) {
		if value != nil && (*value < 1 || *value > most) {
			errs = append(errs, fmt.Errorf("%s.%s is %d: it must be between 1 and %d", field, name, *value, most))
		}
	}
	between("connections", l.Connections, maxConnections)
	between("waitingDials", l.WaitingDials, maxDials)
	between("dialsPerSecond", l.DialsPerSecond, maxPerSecond)
	if q := l.BytesPerSecond; q != nil && (q.Value() < minBytesPerSecond || q.Value() > 1<<50) {
		errs = append(errs, fmt.Errorf("%s.bytesPerSecond is %s: it must be between 16Ki and 1Pi", field, q))
	}
	return errors.Join(errs...)
}

func (l *NameLimits) check(field string) error {
	errs := []error{l.Limits.check(field)}
	if d := l.ConnectTimeout; d != nil && (d.Duration < minConnect || d.Duration > tunnel.DialTimeout) {
		errs = append(errs, fmt.Errorf("%s.connectTimeout is %s: it must be between %s and %s", field, d.Duration, minConnect, tunnel.DialTimeout))
	}
	if d := l.IdleTimeout; d != nil && (d.Duration < minIdle || d.Duration > maxIdle) {
		errs = append(errs, fmt.Errorf("%s.idleTimeout is %s: it must be between %s and %s", field, d.Duration, minIdle, maxIdle))
	}
	return errors.Join(errs...)
}

func (l *TenantLimits) check(field string) error {
	errs := []error{l.Limits.check(field)}
	if l.Weight != nil && (*l.Weight < 1 || *l.Weight > mux.MaxWeight) {
		errs = append(errs, fmt.Errorf("%s.weight is %d: it must be between 1 and %d", field, *l.Weight, mux.MaxWeight))
	}
	return errors.Join(errs...)
}

// over returns limits with what is said here in their place.
func (l *Limits) over(limits frontend.Limits) frontend.Limits {
	if l.Connections != nil {
		limits.Connections = *l.Connections
	}
	if l.WaitingDials != nil {
		limits.Dials = *l.WaitingDials
	}
	if l.DialsPerSecond != nil {
		limits.DialsPerSecond = float64(*l.DialsPerSecond)
	}
	if l.BytesPerSecond != nil {
		limits.BytesPerSecond = float64(l.BytesPerSecond.Value())
	}
	return limits
}

func (l *TenantLimits) over(limits frontend.Limits) frontend.Limits {
	limits = l.Limits.over(limits)
	if l.Weight != nil {
		limits.Weight = *l.Weight
	}
	return limits
}

func (l *NameLimits) over(n named) named {
	n.limits = l.Limits.over(n.limits)
	if l.ConnectTimeout != nil {
		n.timeouts.Connect = l.ConnectTimeout.Duration
	}
	if l.IdleTimeout != nil {
		n.timeouts.Idle = l.IdleTimeout.Duration
	}
	return n
}

// rules returns what a configuration says that was checked.
func (c *Configuration) rules() *Rules {
	clusters, nodes := c.Defaults.Clusters.over(named{}), c.Defaults.Nodes.over(named{})
	r := &Rules{
		clusters: clusters.limits, nodes: nodes.limits, times: [2]frontend.Timeouts{clusters.timeouts, nodes.timeouts}, tenant: c.Defaults.Tenants.over(frontend.Limits{}),
		names: map[tunnel.Name]named{}, nodesOf: map[string]named{}, tenants: map[string]frontend.Limits{},
	}
	for i := range c.Clusters {
		cluster := &c.Clusters[i]
		r.names[tunnel.Name{Cluster: cluster.Name}] = cluster.over(clusters)
		r.nodesOf[cluster.Name] = cluster.Nodes.over(nodes)
	}
	for i := range c.Nodes {
		node := &c.Nodes[i]
		name := tunnel.Name{Cluster: node.Cluster, Node: node.Name}
		r.names[name] = node.over(r.of(name))
	}
	for i := range c.Tenants {
		r.tenants[c.Tenants[i].Name] = c.Tenants[i].over(r.tenant)
	}
	return r
}

// of is what holds for a name.
func (r *Rules) of(name tunnel.Name) named {
	if found, ok := r.names[name]; ok {
		return found
	}
	if name.Node == "" {
		return named{r.clusters, r.times[0]}
	}
	if found, ok := r.nodesOf[name.Cluster]; ok {
		return found
	}
	return named{r.nodes, r.times[1]}
}

// Name returns the limits and timeouts of a name. What is zero is the default of package frontend.
func (r *Rules) Name(name tunnel.Name) (frontend.Limits, frontend.Timeouts) {
	found := r.of(name)
	return found.limits, found.timeouts
}

// Tenant returns the limits of a tenant.
func (r *Rules) Tenant(tenant string) frontend.Limits {
	if found, ok := r.tenants[tenant]; ok {
		return found
	}
	return r.tenant
}

// Count returns how many clusters, nodes and tenants have limits of their own.
func (r *Rules) Count() (clusters, nodes, tenants int) {
	for name := range r.names {
		if name.Node == "" {
			clusters++
		} else {
			nodes++
		}
	}
	return clusters, nodes, len(r.tenants)
}
