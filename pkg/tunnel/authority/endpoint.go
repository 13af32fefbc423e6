package authority

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/identity"
)

// ServeHTTP implements http.Handler: see package identity.
func (a *Authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path != identity.CertificatePath:
		http.Error(w, "this is the port of agents: there is POST "+identity.CertificatePath, http.StatusNotFound)
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "POST "+identity.CertificatePath+" is allowed", http.StatusMethodNotAllowed)
	default:
		name, issued, err := a.issue(w, r)
		if err != nil {
			if a.config.Refused != nil && name != (tunnel.Name{}) {
				a.config.Refused(name, r.RemoteAddr, err)
			}
			a.answerRefusal(w, r, err)
			return
		}
		answer(w, http.StatusOK, issued)
	}
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // who has gone does not hear it
}

// answerRefusal says why there is no certificate. What is not meant for agents is logged only.
func (a *Authority) answerRefusal(w http.ResponseWriter, r *http.Request, err error) {
	var refusal *identity.Refusal
	if !errors.As(err, &refusal) {
		a.config.Logger.Error("Failed to issue a certificate", "from", r.RemoteAddr, "err", err)
		refusal = refuse(identity.Unavailable, "the server cannot make a certificate now: its log says why")
	} else {
		a.config.Logger.Info("Refused a certificate", "from", r.RemoteAddr, "code", string(refusal.Code), "err", refusal)
	}
	if !refusal.Final() {
		w.Header().Set("Retry-After", "5")
	}
	answer(w, refusal.Status(), refusal)
}

// issue does what a request asks for. name is whose it is as far as that is proved, also if there is an error.
func (a *Authority) issue(w http.ResponseWriter, r *http.Request) (name tunnel.Name, issued *identity.Issued, err error) {
	token, byToken := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if byToken && !a.attempts.Allow() {
		return name, nil, refuse(identity.TooMany, "many agents ask for their first certificate now: try again in a few seconds")
	}
	if !byToken && (r.TLS == nil || len(r.TLS.VerifiedChains) == 0) {
		return name, nil, refuse(identity.NoIdentity, "who asks for a certificate shows a token, or the certificate that is to be renewed")
	}
	request, err := read(w, r)
	if err != nil {
		return name, nil, err
	}
	var enrolled time.Time
	if byToken {
		name, enrolled, err = use(r.Context(), a.config.Tokens, token, request, a.config.Now())
	} else {
		name, err = a.renewed(r, request)
		enrolled = EnrolledAt(r.TLS.PeerCertificates[0])
	}
	if err != nil {
		return name, nil, err
	}
	issued, err = a.sign(name, request, enrolled)
	return name, issued, err
}

// read reads the request for a certificate.
func read(w http.ResponseWriter, r *http.Request) (*identity.Request, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, identity.MaxBytes))
	var tooLarge *http.MaxBytesError
	var asked identity.Asked
	switch {
	case errors.As(err, &tooLarge):
		return nil, refuse(identity.TooLarge, "the request is too long: %d bytes are allowed", identity.MaxBytes)
	case err != nil:
		return nil, refuse(identity.BadRequest, "the request did not come whole")
	case json.Unmarshal(body, &asked) != nil:
		return nil, refuse(identity.BadRequest, `the request is not JSON: {"csr": PEM} is needed`)
	}
	request, err := identity.ParseRequest([]byte(asked.CSR))
	if err != nil {
		return nil, refuse(identity.BadRequest, "%v", err)
	}
	return request, nil
}

// renewed returns whom the connection's certificate is for, if it may have another; who it is also if not.
func (a *Authority) renewed(r *http.Request, request *identity.Request) (tunnel.Name, error) {
	certificate := r.TLS.PeerCertificates[0]
	name, err := tunnel.NameOf(certificate)
	if err != nil {
		return tunnel.Name{}, refuse(identity.NoIdentity, "%v", err)
	}
	if a.config.Allowed != nil {
		if err := a.config.Allowed(name, certificate); err != nil {
			return name, refuse(identity.NotAllowed, "%s: %v", name, err)
		}
	}
	if request.Name != (tunnel.Name{}) && request.Name != name {
		return name, refuse(identity.WrongName, "the certificate is of %s, and cannot be renewed for %s", name, request.Name)
	}
	if !a.mayRenew(name) {
		return name, refuse(identity.TooMany, "%s renews its certificate too often, or many do now: try again in a few seconds", name)
	}
	return name, nil
}

func (a *Authority) sign(name tunnel.Name, request *identity.Request, enrolled time.Time) (*identity.Issued, error) {
	ca, err := a.config.CA()
	if err != nil {
		return nil, err
	}
	certificate, err := a.signFor(name, request.Key, enrolled)
	if err != nil {
		return nil, err
	}
	a.config.Logger.Info("Issued a certificate", "name", name.String(), "until", certificate.NotAfter)
	if a.config.Issued != nil {
		a.config.Issued(name, certificate)
	}
	return &identity.Issued{Certificate: string(identity.EncodeCertificates(certificate)), CA: string(ca)}, nil
}
