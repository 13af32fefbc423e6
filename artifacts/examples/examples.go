// Package examples holds the manifests that the quickstart applies, so that they are in
// the binary too. The files are written for readers; see them in the order of their
// names, which is also the order to apply them in.
package examples

import "embed"

// Files are the manifests: YAML, some with several documents.
//
//go:embed *.yaml
var Files embed.FS
