package v1alpha1

// ClusterProxyPath is where the API serves the proxy of a member.
func ClusterProxyPath(name string) string { return groupPath + "/clusters/" + name + "/proxy" }

// CellProxyPath is where the API serves a cell as a cluster of its own.
func CellProxyPath(namespace, name string) string {
	return groupPath + "/namespaces/" + namespace + "/cells/" + name + "/proxy"
}

// FleetProxyPath is where the API serves all members of a fleet.
func FleetProxyPath(name string) string { return groupPath + "/fleets/" + name + "/proxy" }

var groupPath = "/apis/" + SchemeGroupVersion.String()
