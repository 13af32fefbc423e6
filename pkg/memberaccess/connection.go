package memberaccess

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"syscall"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Sentences for what a connection suffers: which of several errors the library returns is
// luck.
const (
	problemQueue   = "too many requests to the member are waiting"
	problemTimeout = "no answer in time"
	problemBroken  = "the connection broke"
	problemRefused = "connection refused"
)

// ConnectionProblem returns the sentence for an error that is not the member's answer; empty if
// it has none of its own. It is the same each time the problem is, and holds what a name server
// says, of any length.
func ConnectionProblem(err error) string {
	var timeout interface{ Timeout() bool }
	var lookup *net.DNSError
	var answered apierrors.APIStatus
	var tunnel *TunnelError
	switch {
	case errors.As(err, &tunnel):
		return tunnel.Problem
	case errors.As(err, &answered):
		return ""
	case strings.Contains(err.Error(), "client rate limiter Wait returned an error"):
		return problemQueue
	case errors.As(err, &lookup) && !lookup.IsTimeout:
		return "lookup " + lookup.Name + ": " + lookup.Err
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return problemTimeout
	case errors.Is(err, syscall.ECONNREFUSED):
		return problemRefused
	case isBroken(err):
		return problemBroken
	}
	return ""
}

// isBroken reports whether a connection ended before the answer did.
func isBroken(err error) bool {
	for _, broken := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE} {
		if errors.Is(err, broken) {
			return true
		}
	}
	text := err.Error() // the errors of HTTP/2 have no types outside of the library
	var request *url.Error
	if errors.As(err, &request) {
		text = request.Err.Error()
	}
	return brokenHTTP2.MatchString(text)
}

var brokenHTTP2 = regexp.MustCompile(`^http2: (client connection|server sent GOAWAY|client conn)|^(http2: )?stream error:|^http: server closed idle connection`)

// CertificateProblem returns the sentence for an error of the member's certificate; empty if it is
// another. detail is what the library says, where that helps.
func CertificateProblem(err error) (problem string, detail error) {
	var unknownAuthority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verification *tls.CertificateVerificationError
	switch {
	case errors.As(err, &unknownAuthority):
		return "the member's certificate is not from the given authorities: they are for another cluster, or were replaced", nil
	case errors.As(err, &hostname):
		return "the member's certificate is for another host", hostname
	case errors.As(err, &invalid), errors.As(err, &verification):
		return "the member's certificate is not valid", err
	}
	return "", nil
}
