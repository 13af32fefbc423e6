package app

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/koinon-io/koinon/pkg/edgehub/feed"
	"github.com/koinon-io/koinon/pkg/edgehub/install"
	"github.com/koinon-io/koinon/pkg/edgehub/view"
	"github.com/koinon-io/koinon/pkg/version"
)

// Report is how a hub is: what /status serves, and "koinon-edgehub status" prints.
type Report struct {
	Node    string `json:"node"`
	Version string `json:"version"`
	// Cluster is the UID of the namespace kube-system of the cluster that everything is of; empty if it is not known.
	Cluster string `json:"cluster,omitempty"`
	// Available: an API server answers.
	Available bool           `json:"available"`
	Servers   []ServerReport `json:"servers"`
	// Certificate is the node's.
	Certificate CertificateReport `json:"certificate"`
	// Views are what is kept, by name.
	Views []ViewReport `json:"views"`
	// Documents are how many of those that programs read when they start are kept.
	Documents int `json:"documents"`
	// Kubelet is when kubelet has renewed its Lease here last, since the hub was started.
	Kubelet time.Time `json:"kubelet,omitzero"`
	// Queued is how many writes are kept for when an API server is back.
	Queued int        `json:"queued"`
	Disk   DiskReport `json:"disk"`
	// Tunnel is how the node's agent is; nil if there is none.
	Tunnel *TunnelReport `json:"tunnel,omitempty"`
	// Install is that an install is not done, in a sentence.
	Install string `json:"install,omitempty"`
	// Closure is why closed Services may not be seen as they should, in sentences.
	Closure []string `json:"closure,omitempty"`
}

// ServerReport is how an API server is.
type ServerReport struct {
	URL      string    `json:"url"`
	Priority int       `json:"priority"`
	Chosen   bool      `json:"chosen"`
	Healthy  bool      `json:"healthy"`
	Since    time.Time `json:"since,omitzero"`
	Problem  string    `json:"problem,omitempty"`
}

// CertificateReport is how the node's certificate is.
type CertificateReport struct {
	Until   time.Time `json:"until,omitzero"`
	Problem string    `json:"problem,omitempty"`
}

// ViewReport is how a view is.
type ViewReport struct {
	Name string `json:"name"`
	// Complete: what is in it is served. Connected: the API server tells of changes.
	Complete  bool `json:"complete"`
	Connected bool `json:"connected"`
	// Filled: somebody wants it.
	Filled  bool   `json:"filled"`
	Objects int    `json:"objects"`
	Version uint64 `json:"version"`
	// Heard is when the API server said something of it last, since the hub was started.
	Heard   time.Time `json:"heard,omitzero"`
	Problem string    `json:"problem,omitempty"`
}

// DiskReport is how the disk is.
type DiskReport struct {
	Bytes int64 `json:"bytes"`
	// Failing: what has changed cannot be written.
	Failing bool `json:"failing"`
	// Lost is what could not be read when the hub was started.
	Lost string `json:"lost,omitempty"`
}

// TunnelReport is how the node's agent is.
type TunnelReport struct {
	// Links are how many there are to servers, and Until is how long its certificate is good; zero before it has joined.
	Links int       `json:"links"`
	Until time.Time `json:"until,omitzero"`
	// Problem is why it has not joined, or is not wanted any more. That servers are away is none.
	Problem string `json:"problem,omitempty"`
}

// textOf is that of an error, empty of none.
func textOf(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ") // of errors that were joined
}

// notInstalled says what to do about an install that is not done.
const notInstalled = "kubelet/before.json of --state-dir is there, so one is not done. If none goes on now it was killed: \"koinon-edgehub install\" puts back what was there, and installs the hub with the flags that are said then; " +
	"\"koinon-edgehub uninstall\" puts back what was there, and no more"

// report returns how the hub is now.
func (h *hub) report() *Report {
	identity := h.identity.Status()
	r := &Report{
		Node: h.node, Version: version.Version(), Available: h.upstream.Available(), Kubelet: h.kubelet.last(), Queued: h.writes.Queued(), Documents: h.documents.from.Documents(), Closure: h.closure.Problems(), Servers: []ServerReport{}, Views: []ViewReport{},
		Certificate: CertificateReport{Until: identity.NotAfter, Problem: textOf(identity.Err)},
		Disk:        DiskReport{Bytes: h.cacheDisk.Size() + h.notesDisk.Size(), Failing: h.pool.Failing() || h.notesFailing.Load(), Lost: textOf(h.damage)},
	}
	r.Tunnel = h.tunnel.report(time.Now())
	if install.Unfinished(h.dir) {
		r.Install = notInstalled
	}
	r.Cluster, _ = h.cacheDisk.Cluster() // a disk that fails is said elsewhere
	for _, s := range h.upstream.Status() {
		r.Servers = append(r.Servers, ServerReport{s.URL, s.Priority, s.Chosen, s.Healthy, s.Since, textOf(s.Err)})
	}
	feeds := h.pool.Status()
	for _, v := range h.cache.Views() {
		status, filled := feeds[v.Key]
		r.Views = append(r.Views, viewReport(v, status, filled))
	}
	slices.SortFunc(r.Views, func(a, b ViewReport) int { return cmp.Compare(a.Name, b.Name) })
	return r
}

func viewReport(v *view.View, status feed.Status, filled bool) ViewReport {
	at, complete := v.Version()
	return ViewReport{
		Name: v.Key.String(), Complete: complete, Connected: status.Connected, Filled: filled, Objects: v.Len(), Version: at, Heard: status.Heard, Problem: textOf(status.Err),
	}
}

// problems are what somebody has to look at, in sentences; none if all is well. That the cloud is away is none by itself.
func (r *Report) problems() (all []string) {
	add := func(what, why string) {
		if why != "" {
			all = append(all, what+": "+why)
		}
	}
	add("certificate of the node", r.Certificate.Problem)
	add("install", r.Install)
	if r.Tunnel != nil {
		add("tunnel", r.Tunnel.Problem)
	}
	for _, why := range r.Closure {
		add("closed Services", why)
	}
	if r.Disk.Failing {
		all = append(all, "disk: what has changed cannot be written; what is served is in memory")
	}
	add("disk: a part of it was lost, and is unknown until an API server is asked", r.Disk.Lost)
	return all
}
