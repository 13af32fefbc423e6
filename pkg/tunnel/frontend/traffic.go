package frontend

// Traffic is what is carried for a cluster and its nodes.
type Traffic struct {
	// Connections are carried now.
	Connections int
	// Sent and Received are bytes of clients, of connections that have ended, too.
	Sent, Received int64
}

// Traffic returns that of all clusters that something was carried for, and that were not forgotten since.
func (f *Frontend) Traffic() map[string]Traffic {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make(map[string]Traffic, len(f.ended))
	for cluster, t := range f.ended {
		all[cluster] = t
	}
	for c := range f.carried {
		t := all[c.Name.Cluster]
		t.Connections++
		t.Sent += c.Sent.Load()
		t.Received += c.Received.Load()
		all[c.Name.Cluster] = t
	}
	return all
}

// Forget forgets what was carried for a cluster by connections that have ended.
func (f *Frontend) Forget(cluster string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.ended, cluster)
}
