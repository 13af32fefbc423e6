package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/memberaccess"
)

const (
	// maxNamed is how many members are named in one answer.
	maxNamed = 10
	// maxReasonBytes is how much of a member's reason is shown.
	maxReasonBytes = 200
)

// status is an error with a code of HTTP and the reason that belongs to it.
func status(code int, message string) *apierrors.StatusError {
	reasons := map[int]metav1.StatusReason{
		http.StatusBadRequest: metav1.StatusReasonBadRequest, http.StatusUnauthorized: metav1.StatusReasonUnauthorized,
		http.StatusForbidden: metav1.StatusReasonForbidden, http.StatusNotFound: metav1.StatusReasonNotFound,
		http.StatusMethodNotAllowed: metav1.StatusReasonMethodNotAllowed, http.StatusNotAcceptable: metav1.StatusReasonNotAcceptable,
		http.StatusConflict: metav1.StatusReasonConflict, http.StatusGone: metav1.StatusReasonExpired,
		http.StatusServiceUnavailable: metav1.StatusReasonServiceUnavailable, http.StatusGatewayTimeout: metav1.StatusReasonTimeout,
		http.StatusUnprocessableEntity: metav1.StatusReasonInvalid, http.StatusTooManyRequests: metav1.StatusReasonTooManyRequests,
	}
	reason, known := reasons[code]
	if !known {
		code, reason = http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable
	}
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure, Code: int32(code), Reason: reason, Message: message,
	}}
}

// refuse answers an error as a Status.
func refuse(w http.ResponseWriter, err error) {
	var known apierrors.APIStatus
	if !errors.As(err, &known) {
		known = apierrors.NewInternalError(err)
	}
	answer := known.Status()
	answer.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	if answer.Details != nil && answer.Details.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(answer.Details.RetryAfterSeconds)))
	}
	respond(w, int(answer.Code), answer)
}

func respond(w http.ResponseWriter, code int, value any) {
	data, err := json.Marshal(value)
	if err != nil {
		http.Error(w, "write the answer: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(data, '\n'))
}

// failure is why a member has no part in an answer.
type failure struct {
	member string
	// code is the member's, 504 if it did not answer in time, 503 for all else.
	code   int
	reason string
	// next is what a member whose token has expired gives instead.
	next string
	// ahead: the member does not know the version yet, or not any more.
	ahead bool
}

func (f *failure) Error() string { return fmt.Sprintf("cluster %s: %s", f.member, f.reason) }

func failed(member string, code int, format string, arguments ...any) *failure {
	return &failure{member: member, code: code, reason: memberaccess.Said(fmt.Sprintf(format, arguments...), maxReasonBytes)}
}

// refusal reads what a member answered instead of what was asked for.
func refusal(member string, code int, body []byte) *failure {
	f := failed(member, code, "it answered %d %s", code, http.StatusText(code))
	if code < 400 {
		f.code = http.StatusServiceUnavailable
	}
	var answer metav1.Status
	if json.Unmarshal(body, &answer) != nil || answer.Kind != "Status" {
		return f
	}
	if answer.Message != "" {
		f.reason = memberaccess.Said(answer.Message, maxReasonBytes)
	}
	f.next = answer.Continue
	f.ahead = answer.Details != nil && slices.ContainsFunc(answer.Details.Causes, func(c metav1.StatusCause) bool {
		return c.Type == metav1.CauseTypeResourceVersionTooLarge
	})
	return f
}

// failures are those of one answer, in the order of members' names.
type failures []*failure

// lacking reports whether a member is without the type, which is no failure if another has it.
func (f *failure) lacking() bool { return f.code == http.StatusNotFound }

// warn names those that failed. It is called before the answer begins.
func (fs failures) warn(header http.Header) {
	named := 0
	for _, f := range fs {
		if f.lacking() {
			continue
		}
		if named++; named > maxNamed {
			continue
		}
		addWarning(header, fmt.Sprintf("cluster %s is %s: %s", f.member, v1alpha1.FleetMissing, f.reason))
	}
	if named > maxNamed {
		addWarning(header, fmt.Sprintf("and %d more clusters are %s", named-maxNamed, v1alpha1.FleetMissing))
	}
}

func addWarning(header http.Header, text string) {
	if value, err := utilnet.NewWarningHeader(299, "-", text); err == nil { // it was cleaned
		header.Add("Warning", value)
	}
}

// all is the error if nobody had a part in an answer: the code that they agree in, if they do.
// Members that lack the type do not count, if others answered something else.
func (fs failures) all(what string) error {
	counted := slices.DeleteFunc(slices.Clone(fs), (*failure).lacking)
	if len(counted) == 0 {
		return status(http.StatusNotFound, fmt.Sprintf("no cluster has %s", what))
	}
	return status(counted.code(), fmt.Sprintf("no cluster answered with %s: %s", what, counted.reasons()))
}

// reasons says who failed and why.
func (fs failures) reasons() string {
	var out []string
	for i, f := range fs {
		if i == maxNamed {
			out = append(out, fmt.Sprintf("and %d more", len(fs)-maxNamed))
			break
		}
		out = append(out, f.member+": "+f.reason)
	}
	return strings.Join(out, "; ")
}

// code is the one that all have, 503 if they differ.
func (fs failures) code() int {
	for _, f := range fs {
		if f.code != fs[0].code {
			return http.StatusServiceUnavailable
		}
	}
	return fs[0].code
}
