package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// DoesNotFit is the problem of an object that has no room for its status.
const DoesNotFit = "the status does not fit: the object is close to the 1.5 MiB that the store takes; make its template or its overrides smaller, or place it in fewer targets"

// reservedBytes is for what is around targets: conditions with a message, braces.
const reservedBytes = 4 << 10

// tooLarge is said of a target whose object has a status above v1beta2.MaxRemoteStatusBytes. It
// says no size, which would be news with every change there.
var tooLarge = fmt.Sprintf("the status of the object there is left out, since it is larger than %d KiB", v1beta2.MaxRemoteStatusBytes>>10)

// tooDeep is said of one that readers of JSON may not be able to read.
var tooDeep = fmt.Sprintf("the status of the object there is left out, since more than %d objects and arrays in it are around one another", v1beta2.MaxDepth)

// fit returns copies of the targets that are at most limitBytes as JSON, as far as that is
// possible, and what was left out, in words. What the engine has to remember of a target is
// never left out: name, state, place, hash, version and generation, and the same of its former places.
//
// Messages are cut at v1beta2.MaxMessageBytes. The status of a member's object above
// v1beta2.MaxRemoteStatusBytes, or with more than v1beta2.MaxDepth objects and arrays around one
// another, is left out, and the target's message says so: what one member
// says is no reason to say less of the others. Where that is not enough, the smallest statuses are
// kept, as many as fit, and then no messages. The same targets give the same result.
func fit(targets []v1beta2.TargetStatus, limitBytes int) ([]v1beta2.TargetStatus, string) {
	targets = slices.Clone(targets)
	free, largest, dropped := limitBytes-reservedBytes, 0, 0
	for i := range targets {
		t := &targets[i]
		if cutTarget(t) {
			dropped++
		}
		size := targetBytes(t)
		free -= size
		largest += size + len(t.RemoteStatus)
	}
	if largest > limitBytes-reservedBytes {
		dropped += keepStatuses(targets, free)
	}
	note := ""
	if dropped > 0 {
		note = fmt.Sprintf("; the status of %d objects is left out, since it does not fit", dropped)
	}
	if free >= 0 {
		return targets, note
	}
	for i := range targets {
		targets[i].Message, targets[i].HealthMessage = "", ""
		targets[i].Former = slices.Clone(targets[i].Former)
		for j := range targets[i].Former {
			targets[i].Former[j].Message = ""
		}
	}
	return targets, note + "; messages are left out, since they do not fit"
}

// cutTarget bounds what one target may say, and returns whether its object's status had to go.
func cutTarget(t *v1beta2.TargetStatus) bool {
	message := t.Message
	for _, why := range []string{tooLarge, tooDeep} {
		if rest, said := strings.CutSuffix(message, why); said { // it comes from the stored status
			message = strings.TrimSuffix(rest, "; ")
		}
	}
	why := ""
	switch {
	case len(t.RemoteStatus) > v1beta2.MaxRemoteStatusBytes:
		why = tooLarge
	case t.RemoteStatus.IsDeeper(v1beta2.MaxDepth):
		why = tooDeep
	default:
		t.Message = Cut(message, v1beta2.MaxMessageBytes)
		return false
	}
	t.RemoteStatus = nil
	if message != "" {
		message = Cut(message, v1beta2.MaxMessageBytes-len(why)-len("; ")) + "; "
	}
	t.Message = message + why
	return true
}

// keepStatuses leaves out what does not fit, the largest first, and returns for how many targets.
func keepStatuses(targets []v1beta2.TargetStatus, free int) (dropped int) {
	var with []*v1beta2.TargetStatus
	for i := range targets {
		if targets[i].RemoteStatus != nil {
			with = append(with, &targets[i])
		}
	}
	slices.SortStableFunc(with, func(a, b *v1beta2.TargetStatus) int {
		return cmp.Compare(len(a.RemoteStatus), len(b.RemoteStatus))
	})
	for i, t := range with {
		const key = len(`,"remoteStatus":`)
		if free -= key + len(t.RemoteStatus); free < 0 {
			for _, rest := range with[i:] {
				rest.RemoteStatus = nil
			}
			return len(with) - i
		}
	}
	return 0
}

// targetBytes is about how many bytes a target is as JSON without the status of the object
// there. Strings hold little to escape; the bounds leave room for more.
func targetBytes(t *v1beta2.TargetStatus) int {
	const keysAndNumbers = 160
	health := 0
	if t.Health != "" {
		health = len(`,"health":"","healthMessage":"","replicas":,"ready":`) + 20 + len(t.Health) + len(t.HealthMessage)
	}
	former := 0
	for i := range t.Former {
		f := &t.Former[i]
		former += keysAndNumbers + len(f.Cluster) + len(f.Namespace) + len(f.State) + len(f.Message) + len(f.Hash) + len(f.Version)
	}
	return keysAndNumbers + health + former + len(t.Name) + len(t.State) + len(t.Message) + len(t.Cluster) + len(t.Namespace) + len(t.Hash) + len(t.Version)
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

// CutMiddle shortens a message as Cut does, but leaves its end: API servers quote what they refuse
// as a whole, and say why they do behind it.
func CutMiddle(message string, limitBytes int) string {
	if len(message) <= limitBytes {
		return message
	}
	const mark = " ... (cut) ... "
	tail := len(message) - (limitBytes-len(mark))/2
	for tail < len(message) && !utf8.RuneStart(message[tail]) {
		tail++
	}
	head := limitBytes - len(mark) - (len(message) - tail)
	for head > 0 && !utf8.RuneStart(message[head]) {
		head--
	}
	return message[:head] + mark + message[tail:]
}
