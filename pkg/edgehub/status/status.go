// Package status writes errors as API servers do, so that clients understand them.
package status

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// retryAfter is when a client may try again, in seconds.
const retryAfter = "1"

// Of is the Status of an error: an internal one, if it is no *StatusError.
func Of(err error) *metav1.Status {
	var known apierrors.APIStatus
	if !errors.As(err, &known) {
		known = apierrors.NewInternalError(err)
	}
	status := known.Status()
	status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	return &status
}

// Write answers with the Status of an error, in JSON: clients go by what an answer says of itself. One that may be tried again says when.
func Write(rw http.ResponseWriter, err error) {
	status := Of(err)
	rw.Header().Set("Content-Type", "application/json")
	switch status.Code {
	case http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusTooManyRequests:
		rw.Header().Set("Retry-After", retryAfter)
	}
	rw.WriteHeader(int(status.Code))
	_ = json.NewEncoder(rw).Encode(status)
}

// headerAway is on an answer that is no API server's: nobody could be asked.
const headerAway = "X-Koinon-Edgehub-Away"

// WriteAway answers that no API server could be asked, to be found by IsAway.
func WriteAway(rw http.ResponseWriter, why error) {
	WriteUnusable(rw, fmt.Errorf("the API server is away: %w", why))
}

// WriteUnusable answers that what an API server says is not for who asks, to be found by IsAway.
func WriteUnusable(rw http.ResponseWriter, why error) {
	rw.Header().Set(headerAway, "true")
	Write(rw, apierrors.NewServiceUnavailable(why.Error()))
}

// sent is what headerAway says if a request was sent, and nobody knows what has become of it.
const sent = "sent"

// WriteUnanswered answers that what was sent to an API server was not answered, to be found by IsAway. It does not say when to try again: what is no read may have been done.
func WriteUnanswered(rw http.ResponseWriter, why error) {
	status := Of(apierrors.NewTimeoutError(fmt.Sprintf("the API server did not answer, and may have done what was asked: %s", why), 0))
	rw.Header().Set(headerAway, sent)
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(int(status.Code))
	_ = json.NewEncoder(rw).Encode(status)
}

// IsUnanswered reports whether an answer that IsAway is of WriteUnanswered.
func IsUnanswered(rw http.ResponseWriter) bool { return rw.Header().Get(headerAway) == sent }

// IsAway reports whether an answer, of which the code is about to be written, is that no API server could be asked. What an API server says of itself is its answer.
func IsAway(rw http.ResponseWriter, code int) bool {
	return code == http.StatusBadGateway || rw.Header().Get(headerAway) != ""
}

// Believe takes out of the header of what somebody upstream answers that he could not be asked.
func Believe(header http.Header) { header.Del(headerAway) }
