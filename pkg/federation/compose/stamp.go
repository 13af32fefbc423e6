package compose

import (
	"crypto/sha256"
	"encoding/json"
	"maps"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
)

// Stamp stands for what a manifest can say of an object as a member has it, but for labels and
// annotations: two objects of one stamp are the same in that. Members count their changes in the
// generation, of which many kinds have none, and in the resourceVersion, which everything moves. The
// zero value stands for no object.
type Stamp [16]byte

// StampOf returns the stamp of an object as a member has answered it. The status is left out, and of the
// metadata everything but the UID, finalizers, owner references, and the record of what is ours. It
// costs as much as the object is large.
func StampOf(object map[string]any) (stamp Stamp) {
	counted := maps.Clone(object)
	if counted == nil {
		counted = map[string]any{}
	}
	delete(counted, "status")
	metadata := map[string]any{"annotations": child(object, "metadata", "annotations")[manifest.RecordAnnotation]}
	for _, field := range []string{"uid", "finalizers", "ownerReferences"} {
		metadata[field] = child(object, "metadata")[field]
	}
	counted["metadata"] = metadata
	data, err := json.Marshal(counted)
	if err != nil {
		return Stamp{} // never: it was decoded from JSON
	}
	sum := sha256.Sum256(data)
	copy(stamp[:], sum[:])
	return stamp
}
