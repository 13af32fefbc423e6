package table

import (
	_ "embed"
	"encoding/json"
)

// descriptions.json has what k8s.io/api says of fields whose types nothing else of the hub links. A test holds it to that, and writes it with -update.
//
//go:embed descriptions.json
var descriptionsJSON []byte

var descriptions = func() (all map[string]map[string]string) {
	if err := json.Unmarshal(descriptionsJSON, &all); err != nil {
		panic(err) // of this package's own file
	}
	return all
}()

// doc is what k8s.io/api says of a field of a type, as apps/v1.DeploymentSpec: "" if it is not in descriptions.json.
func doc(of, field string) string { return descriptions[of][field] }
