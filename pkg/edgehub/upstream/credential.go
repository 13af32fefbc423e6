package upstream

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Credential is as whom API servers are asked. The zero one is nobody.
type Credential struct {
	certificate func() (*tls.Certificate, error)
	token       func() (string, error)
	forwarded   bool
}

// Certificate is a client certificate. get is called for each request, and returns the one that is to be shown now.
func Certificate(get func() (*tls.Certificate, error)) Credential {
	return Credential{certificate: get}
}

// Token is a bearer token. get is called for each request.
func Token(get func() (string, error)) Credential { return Credential{token: get} }

// Forwarded is what each request brings itself.
func Forwarded() Credential { return Credential{forwarded: true} }

// header returns what a request says of who makes it. It changes no header that it was given.
func (c Credential) header(given http.Header) (http.Header, error) {
	if c.forwarded {
		return given, nil
	}
	if bringsToken(given) {
		return nil, ErrOwnCredential
	}
	if c.token == nil {
		return given, nil
	}
	token, err := c.token()
	if err != nil {
		return nil, err
	}
	own := given.Clone()
	own.Set("Authorization", "Bearer "+token)
	return own, nil
}

// websocketToken is how a WebSocket from a browser brings a token, which has no headers of its own.
const websocketToken = "base64url.bearer.authorization.k8s.io."

// bringsToken reports whether a request says who makes it, however the header is written.
func bringsToken(header http.Header) bool {
	for name, values := range header {
		switch {
		case strings.EqualFold(name, "Authorization"):
			return true
		case strings.EqualFold(name, "Sec-WebSocket-Protocol") && slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, websocketToken) }):
			return true
		}
	}
	return false
}

// shown is what a connection shows, and whom it believes. Connections with another are others.
type shown struct {
	certificate *tls.Certificate // nil: none
	roots       *x509.CertPool
}

func (s shown) same(as shown) bool {
	if (s.certificate == nil) != (as.certificate == nil) || s.roots != as.roots && !s.roots.Equal(as.roots) {
		return false
	}
	return s.certificate == as.certificate || slices.EqualFunc(s.certificate.Certificate, as.certificate.Certificate, bytes.Equal)
}

// shown is what connections for a credential show now.
func (u *Upstream) shown(c Credential) (now shown, err error) {
	if now.roots, err = u.config.CAs(); err != nil {
		return shown{}, fmt.Errorf("the authorities of API servers: %w", err)
	}
	if now.roots == nil {
		return shown{}, errors.New("the authorities of API servers: there are none")
	}
	if c.certificate == nil {
		return now, nil
	}
	if now.certificate, err = c.certificate(); err != nil {
		return shown{}, err
	}
	if now.certificate == nil {
		return shown{}, errors.New("there is no client certificate")
	}
	return now, nil
}
