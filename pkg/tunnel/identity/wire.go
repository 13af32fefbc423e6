package identity

import "net/http"

const (
	// CertificatePath is that of the endpoint.
	CertificatePath = "/v1/certificate"
	// MaxBytes bounds a request, and MaxAnswerBytes what is read of an answer.
	MaxBytes       = 16 << 10
	MaxAnswerBytes = 256 << 10
	// Protocol is what ALPN says.
	Protocol = "http/1.1"
)

// Asked is the body of a request.
type Asked struct {
	// CSR is PEM.
	CSR string `json:"csr"`
}

// Issued is the answer.
type Issued struct {
	// Certificate is the agent's, PEM.
	Certificate string `json:"certificate"`
	// CA is PEM: the authorities of servers.
	CA string `json:"ca"`
}

// Code is why there is no certificate.
type Code string

// The codes that there are.
const (
	BadRequest   Code = "BadRequest"   // the request or the CSR is not as it should be
	TooLarge     Code = "TooLarge"     // the request is too long
	NoIdentity   Code = "NoIdentity"   // neither a token nor a certificate
	TokenUnknown Code = "TokenUnknown" // there is no such token, or its secret is another
	TokenEarly   Code = "TokenEarly"   // the token is not good yet: clocks differ
	TokenExpired Code = "TokenExpired" // the token is not good any more
	TokenUsed    Code = "TokenUsed"    // the token was good for another key
	WrongName    Code = "WrongName"    // the token or the certificate is for another name
	NotAllowed   Code = "NotAllowed"   // the certificate was revoked
	TooMany      Code = "TooMany"      // others ask as well: try again
	Unavailable  Code = "Unavailable"  // it is the server's fault: try again
)

var statuses = map[Code]int{
	BadRequest: http.StatusBadRequest, TooLarge: http.StatusRequestEntityTooLarge, NoIdentity: http.StatusUnauthorized,
	TokenUnknown: http.StatusUnauthorized, TokenEarly: http.StatusUnauthorized, TokenExpired: http.StatusUnauthorized,
	TokenUsed: http.StatusForbidden, WrongName: http.StatusForbidden, NotAllowed: http.StatusForbidden,
	TooMany: http.StatusTooManyRequests, Unavailable: http.StatusServiceUnavailable,
}

// Refusal is why there is no certificate.
type Refusal struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

func (r *Refusal) Error() string { return r.Message }

// Status is that of HTTP.
func (r *Refusal) Status() int {
	if status, ok := statuses[r.Code]; ok {
		return status
	}
	return http.StatusInternalServerError
}

// Final reports whether asking again with the same makes no sense.
func (r *Refusal) Final() bool { return r.Code != TooMany && r.Code != Unavailable }
