package aggregated_test

import (
	"testing"

	"github.com/koinon-io/koinon/test/integration/admissionsuite"
)

// customParams gives the server the right to read the params of policies that are custom
// resources of the suite.
const customParams = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: admissionsuite-params
  labels: {federation.koinon.io/aggregate-to-admission-params: "true"}
rules:
- {apiGroups: [admissionsuite.test], resources: [limits], verbs: [get, list, watch]}
`

func TestAdmission(t *testing.T) {
	f := setup(t)
	f.apply(customParams)
	admissionsuite.Run(t, f.config)
}
