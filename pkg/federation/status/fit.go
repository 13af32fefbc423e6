package status

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// DoesNotFit is the problem of an object that has no room for its status.
const DoesNotFit = "the status does not fit: the object is close to the 1.5 MiB that the store takes; make its template or its overrides smaller, or place it in fewer targets"

// reservedBytes is for what is around targets: conditions with a message, braces.
const reservedBytes = 4 << 10

// fit returns copies of the targets that are at most limitBytes as JSON, as far as that is
// possible, and what was left out, in words. What the engine has to remember of a target is
// never left out: name, state, place, hash, version and generation.
//
// Messages are cut at v1beta2.MaxMessageBytes. Where that is not enough, the statuses of
// members' objects are kept in the order of the targets as far as they fit, and then no
// messages. The same targets give the same result.
func fit(targets []v1beta2.TargetStatus, limitBytes int) ([]v1beta2.TargetStatus, string) {
	targets = slices.Clone(targets)
	for i := range targets {
		targets[i].Message = Cut(targets[i].Message, v1beta2.MaxMessageBytes)
	}
	free, largest := limitBytes-reservedBytes, 0
	for i := range targets {
		size := targetBytes(&targets[i])
		free -= size
		largest += size + len(targets[i].RemoteStatus)
	}
	if largest <= limitBytes-reservedBytes {
		return targets, ""
	}
	note := ""
	if n := keepStatuses(targets, free); n > 0 {
		note = fmt.Sprintf("; the status of %d objects is left out, since it does not fit", n)
	}
	if free >= 0 {
		return targets, note
	}
	for i := range targets {
		targets[i].Message = ""
	}
	return targets, note + "; messages are left out, since they do not fit"
}

// keepStatuses leaves out what does not fit, and returns for how many targets.
func keepStatuses(targets []v1beta2.TargetStatus, free int) (dropped int) {
	for i := range targets {
		const key = len(`,"remoteStatus":`)
		size := key + len(targets[i].RemoteStatus)
		switch {
		case targets[i].RemoteStatus == nil:
		case size > free:
			targets[i].RemoteStatus = nil
			dropped++
		default:
			free -= size
		}
	}
	return dropped
}

// targetBytes is about how many bytes a target is as JSON without the status of the object
// there. Strings hold little to escape; the bounds leave room for more.
func targetBytes(t *v1beta2.TargetStatus) int {
	const keysAndNumbers = 160
	return keysAndNumbers + len(t.Name) + len(t.State) + len(t.Message) + len(t.Cluster) + len(t.Namespace) + len(t.Hash) + len(t.Version)
}

// Cut shortens a message, at the end of a character, and says so.
func Cut(message string, limitBytes int) string {
	if len(message) <= limitBytes {
		return message
	}
	const mark = "... (cut)"
	end := limitBytes - len(mark)
	for end > 0 && !utf8.RuneStart(message[end]) {
		end--
	}
	return message[:end] + mark
}
