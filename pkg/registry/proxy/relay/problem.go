package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/memberaccess"
)

// Refused is an answer of a member that is not passed on.
type Refused struct {
	// Problem is what is wrong with it, in words that follow the cluster's name.
	Problem string
}

func (r *Refused) Error() string { return r.Problem }

// What a member answers that is not passed on.
var (
	errProtocol = &Refused{"it answers with another protocol than was asked for"}
	errCode     = &Refused{"it answers with a code that is none"}
	// ErrRedirect: it sends the client to elsewhere.
	ErrRedirect = &Refused{"it redirects to another server; redirects are not followed, nor passed on"}

	errUnauthorized = errors.New("it refuses the credential that this federation has for it (401): the credential has expired, or is for another cluster; its Secret needs a new one")
)

// retrySeconds is when a member that does not answer may be asked again. client-go does so ten times,
// whatever the method, before its user sees anything.
const retrySeconds = 1

// headerTooLong is what an error of the library says that has no name.
const headerTooLong = "request header list larger than peer's advertised limit"

// Problem is the answer for a request that a member did not answer: an error of the API, with a
// sentence that names the cluster. It asks for another attempt only where that may help, and does
// nothing twice: see repeatable.
func Problem(cluster, method string, err error) error { return problem(cluster, method, err, false) }

// problem is a Problem; one that is reticent does not say where the member is.
func problem(cluster, method string, err error, reticent bool) error {
	var answered apierrors.APIStatus
	var refused *Refused
	switch {
	case errors.As(err, &answered):
		return err
	case errors.As(err, &refused):
		return badGateway(fmt.Sprintf("cluster %q: %s", cluster, refused.Problem))
	case strings.Contains(err.Error(), headerTooLong):
		return &apierrors.StatusError{ErrStatus: metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusRequestHeaderFieldsTooLarge, Reason: metav1.StatusReasonRequestEntityTooLarge,
			Message: fmt.Sprintf("cluster %q: the request's header is longer than the member takes: it has the path and the query, and the names of the user and all of his groups", cluster),
		}}
	case errors.Is(err, errUnauthorized):
		return unavailable(0, fmt.Sprintf("cluster %q: %v", cluster, err))
	}
	var retry int32
	if repeatable(method, err) {
		retry = retrySeconds
	}
	if errors.Is(err, context.Canceled) {
		return unavailable(retry, fmt.Sprintf("cluster %q: the request was ended", cluster))
	}
	if sentence, detail := memberaccess.CertificateProblem(err); sentence != "" {
		if detail != nil && !reticent {
			sentence += ": " + detail.Error()
		}
		return unavailable(0, fmt.Sprintf("cluster %q: %s", cluster, sentence))
	}
	var lookup *net.DNSError
	var tunnel *memberaccess.TunnelError // may have what an agent says of the network there
	sentence := memberaccess.ConnectionProblem(err)
	if reticent && (sentence == "" || errors.As(err, &lookup) && !lookup.IsTimeout || errors.As(err, &tunnel)) {
		return unavailable(retry, fmt.Sprintf("cluster %q does not answer", cluster))
	}
	if sentence != "" {
		return unavailable(retry, fmt.Sprintf("cluster %q does not answer: %s", cluster, sentence))
	}
	return unavailable(retry, fmt.Sprintf("cluster %q does not answer: %.512s", cluster, err))
}

// repeatable reports whether a request may be sent again by whoever does not think about it. A
// write may have been done although its answer is missing, unless there was no connection at all:
// sent again, it would make a second object of a generated name.
func repeatable(method string, err error) bool {
	var connection *net.OpError
	return method == http.MethodGet || method == http.MethodHead || errors.As(err, &connection) && connection.Op == "dial"
}

// unavailable has a Retry-After if retry is not 0.
func unavailable(retry int32, message string) error {
	err := apierrors.NewServiceUnavailable(message)
	if retry != 0 {
		err.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: retry}
	}
	return err
}

func badGateway(message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusBadGateway, Reason: metav1.StatusReasonInternalError, Message: message,
	}}
}
