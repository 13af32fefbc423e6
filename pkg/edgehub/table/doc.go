// Package table makes of objects the rows that kubectl shows: columns and cells as kube-apiserver writes them into a Table (meta.k8s.io/v1). It is pure: it knows neither
// HTTP nor clients, and does no I/O.
//
//	pods := table.Of("", "v1", "pods")
//	row, err := pods.Row(body, time.Now())
//
// Of a resource that it does not know there are its objects' names and ages, as kube-apiserver answers for a custom resource whose definition has no
// additionalPrinterColumns. Columns of definitions it does not read. Ages are what they are at the time that it is told; kube-apiserver takes its own clock.
//
// What it cannot read is an error, and never a cell that may be wrong: JSON of another shape, an object of another kind, one without a name.
//
// Everything may be called concurrently.
package table
