package conversion

import (
	"bytes"
	"encoding/json"
	"reflect"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// SameSpec reports whether two specs say the same: whether they are equal as JSON. null,
// absent and [] are three things, unlike to apimachinery's semantic equality: a placement
// of [] selects nobody, and an absent one leaves it to the selector.
func SameSpec(a, b *v1beta2.FederatedObjectSpec) bool {
	if reflect.DeepEqual(a, b) {
		return true
	}
	if !bytes.Equal(a.Template, b.Template) {
		return false
	}
	// What Go can tell apart and JSON cannot, such as a map that is empty or nil.
	restA, restB := *a, *b
	restA.Template, restB.Template = nil, nil
	encodedA, errA := json.Marshal(restA)
	encodedB, errB := json.Marshal(restB)
	return errA == nil && errB == nil && bytes.Equal(encodedA, encodedB)
}
