package v1alpha1

// What answers of all members at once, of fleets/NAME/proxy, say besides what members say.
const (
	// ClusterAnnotation names the cluster that an object is in. If the cluster's own object has
	// one, it is replaced.
	ClusterAnnotation = "federation.koinon.io/cluster"
	// CellAnnotation names the cell, as NAMESPACE/NAME, whose namespace an object is in. It is on
	// what "kubectl koinon get" prints, and nowhere else.
	CellAnnotation = "federation.koinon.io/cell"
	// FleetMissing is in each warning that names clusters which have no part in an answer.
	FleetMissing = "missing in this answer"
)
