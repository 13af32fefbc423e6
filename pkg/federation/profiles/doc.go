// Package profiles keeps a ClusterProfile of the Cluster Inventory API (KEP-4322) for each member and
// each cell, while the host serves them: programs that know nothing of Koinon find clusters there, and a
// way to each (KEP-5339), which is our proxy. See ADR 45.
//
// A profile is a function of what the caches have (decide.go), merged into what is there (merge.go),
// where others may have labels, conditions, properties and ways of their own. One that names another
// manager, or another federation, is left alone. A profile goes when the API says that what it
// tells of is gone.
//
// A profile that is as it should be is asked of the host nothing, and the times of probes are not in
// it: a restart with 1,000 members writes nothing. Nothing else in the federation waits for profiles.
package profiles
