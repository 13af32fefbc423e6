// Command gen-crds writes the manifests of artifacts/crds: the ten default federated kinds
// as CustomResourceDefinitions in both shapes, and the webhooks that go with them.
//
//	go run ./hack/gen-crds DIR
//
// The schemas come from the generated OpenAPI definitions of the Go types, so that a
// field that is added there is in the CRDs with the next run of hack/update-crds.sh.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen-crds DIR")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "gen-crds:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	files, err := manifests()
	if err != nil {
		return err
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return fmt.Errorf("write manifest: %w", err)
		}
	}
	return nil
}
