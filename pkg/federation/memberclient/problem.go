package memberclient

import (
	"errors"
	"regexp"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/status"
	"github.com/koinon-io/koinon/pkg/memberaccess"
)

// Problem returns an error of a member as a sentence that may be shown and stored: what a
// member says is cut to v1beta2.MaxMessageBytes, and what differs each time although the
// problem is the same is taken out (ports, addresses, UIDs, times), since a status that
// differs is written.
func Problem(err error) string {
	var answer *AnswerError
	if errors.As(err, &answer) {
		return status.Cut(answer.Problem, v1beta2.MaxMessageBytes)
	}
	if problem := memberaccess.ConnectionProblem(err); problem != "" {
		return sentence(problem, v1beta2.MaxMessageBytes)
	}
	var answered apierrors.APIStatus
	if errors.As(err, &answered) { // it may quote an object, and say behind it what is wrong with that
		return stableAndCut(err.Error(), v1beta2.MaxMessageBytes, status.CutMiddle)
	}
	return sentence(err.Error(), v1beta2.MaxMessageBytes)
}

// sentence makes a text stable and cuts it at its end.
func sentence(text string, limitBytes int) string {
	return stableAndCut(text, limitBytes, status.Cut)
}

func stableAndCut(text string, limitBytes int, cut func(string, int) string) string {
	const enough = 4 // times what is kept: what is taken out makes it shorter
	return cut(stable(cut(text, enough*limitBytes)), limitBytes)
}

// volatile is what differs from one time to the next, and what stands for it. The order
// counts.
var volatile = []struct {
	pattern *regexp.Regexp
	instead string
}{
	// Where a request went is known, and its parameters differ.
	{regexp.MustCompile(`\b(Get|Head|Post|Put|Patch|Delete) "https?://[^"]*": `), ""},
	{regexp.MustCompile(`[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}`), "<uid>"},
	{regexp.MustCompile(addressPattern + `->` + addressPattern), "<address>"},
	{regexp.MustCompile(addressPattern), "<address>"},
	{regexp.MustCompile(`\b0x[0-9a-f]{6,}\b`), "<pointer>"},
	{regexp.MustCompile(`\b\d+(?:\.\d+)?(?:ns|us|µs|ms)\b|\b\d+\.\d+s\b`), "<duration>"},
	{regexp.MustCompile(`(?i)(resource ?version:? )\d+(?: \(\d+\))?`), "$1<version>"},
}

const addressPattern = `(?:\b\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-fA-F:.]*:[0-9a-fA-F:.]*(?:%\w+)?\]):\d{1,5}\b`

const timePattern = `\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z| ?[+-]\d\d:?\d\d(?: [A-Z]{3,4})?)?(?: m=[+-][\d.]+)?`

// currentTime begins what X.509 says of a certificate that is not valid now.
const currentTime = "current time "

var times = regexp.MustCompile(currentTime + timePattern + ` is (?:after|before) ` + timePattern + `|` + timePattern)

// withoutTime stands for a match of times. What a certificate says does not change.
func withoutTime(found string) string {
	if _, valid, ok := strings.Cut(found, " is "); ok && strings.HasPrefix(found, currentTime) {
		return "the current time is " + valid
	}
	return "<time>"
}

// stable takes out of a text what differs each time although it says the same.
func stable(text string) string {
	text = times.ReplaceAllStringFunc(text, withoutTime)
	for _, v := range volatile {
		text = v.pattern.ReplaceAllString(text, v.instead)
	}
	return text
}
