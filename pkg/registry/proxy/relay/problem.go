package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

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

// retrySeconds is when a member that does not answer may be asked again.
const retrySeconds = 5

// Problem is the answer for a request that a member did not answer: an error of the API, with a
// sentence that names the cluster.
func Problem(cluster string, err error) error { return problem(cluster, err, false) }

// problem is a Problem; one that is reticent does not say where the member is.
func problem(cluster string, err error, reticent bool) error {
	var answered apierrors.APIStatus
	var refused *Refused
	switch {
	case errors.As(err, &answered):
		return err
	case errors.As(err, &refused):
		return badGateway(fmt.Sprintf("cluster %q: %s", cluster, refused.Problem))
	case errors.Is(err, errUnauthorized):
		return unavailable(fmt.Sprintf("cluster %q: %v", cluster, err))
	case errors.Is(err, context.Canceled):
		return unavailable(fmt.Sprintf("cluster %q: the request was ended", cluster))
	}
	if sentence, detail := memberaccess.CertificateProblem(err); sentence != "" {
		if detail != nil && !reticent {
			sentence += ": " + detail.Error()
		}
		return unavailable(fmt.Sprintf("cluster %q: %s", cluster, sentence))
	}
	var lookup *net.DNSError
	sentence := memberaccess.ConnectionProblem(err)
	if reticent && (sentence == "" || errors.As(err, &lookup) && !lookup.IsTimeout) {
		return unavailable(fmt.Sprintf("cluster %q does not answer", cluster))
	}
	if sentence != "" {
		return unavailable(fmt.Sprintf("cluster %q does not answer: %s", cluster, sentence))
	}
	return unavailable(fmt.Sprintf("cluster %q does not answer: %.512s", cluster, err))
}

func unavailable(message string) error {
	err := apierrors.NewServiceUnavailable(message)
	err.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: retrySeconds}
	return err
}

func badGateway(message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusBadGateway, Reason: metav1.StatusReasonInternalError, Message: message,
	}}
}
