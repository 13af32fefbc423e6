package enroll

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel/carrier"
	"github.com/koinon-io/koinon/pkg/tunnel/identity"
)

const (
	// askTimeout is how long one request may take, the connection included.
	askTimeout = 30 * time.Second
	// skewSaid is how far this machine's clock may be from a server's without a word.
	skewSaid = 5 * time.Minute
)

// ask sends one request to one server and returns the body of its answer. Refusals are *identity.Refusal.
func (k *Keeper) ask(ctx context.Context, server string, config *tls.Config, request *http.Request) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	config.NextProtos = []string{identity.Protocol}
	if config.ServerName == "" {
		config.ServerName = k.config.ServerName
	}
	conn, err := k.dialer.Dial(ctx, server, config)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	request.Close = true
	if err := request.Write(conn); err != nil {
		return nil, carrier.Explain(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, identity.MaxAnswerBytes)), request)
	if err != nil {
		return nil, fmt.Errorf("no answer to %s %s: %w", request.Method, request.URL.Path, carrier.Explain(err))
	}
	defer answer.Body.Close()
	k.compareClocks(server, answer.Header)
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, fmt.Errorf("the answer to %s %s did not come whole: %w", request.Method, request.URL.Path, carrier.Explain(err))
	}
	if answer.StatusCode == http.StatusOK {
		return body, nil
	}
	var refusal identity.Refusal
	if json.Unmarshal(body, &refusal) == nil && refusal.Code != "" && refusal.Message != "" {
		return nil, &refusal
	}
	text := strings.Join(strings.Fields(string(body[:min(len(body), 200)])), " ")
	return nil, fmt.Errorf("it answers %s %s with %s: %s", request.Method, request.URL.Path, answer.Status, text)
}

// compareClocks says if this machine's clock is far from a server's.
func (k *Keeper) compareClocks(server string, header http.Header) {
	there, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return
	}
	if skew := k.config.Now().Sub(there).Round(time.Second); skew.Abs() > skewSaid {
		k.config.Logger.Warn("The clock of this machine is not that of the server", "server", server, "ahead", skew.String())
	}
}

// askCertificate asks for a certificate for a CSR. token is empty for a renewal.
func (k *Keeper) askCertificate(ctx context.Context, server string, config *tls.Config, token string, csr []byte) (*identity.Issued, error) {
	body, err := json.Marshal(identity.Asked{CSR: string(csr)})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+server+identity.CertificatePath, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := k.ask(ctx, server, config, request)
	if err != nil {
		return nil, err
	}
	var issued identity.Issued
	if err := json.Unmarshal(answer, &issued); err != nil {
		return nil, errors.New("it answers with something that is no certificate")
	}
	return &issued, nil
}

// firstTrust is what a server is believed by before there is a certificate: its authority is in the file, or has a pin.
func (k *Keeper) firstTrust(server string) (*tls.Config, error) {
	if k.config.CA != nil {
		text, err := k.config.CA()
		if err != nil {
			return nil, &finalError{err}
		}
		roots, err := pool(text)
		return &tls.Config{RootCAs: roots}, err
	}
	if len(k.config.Pins) == 0 {
		return nil, &finalError{errors.New("neither the authority of the server nor a pin of it was given: without one of them, anybody could be the server")}
	}
	name := k.config.ServerName
	if name == "" {
		name, _, _ = net.SplitHostPort(server)
	}
	return &tls.Config{
		InsecureSkipVerify: true, // by package tls, which needs the authority itself; what follows does all that it would do
		VerifyConnection:   func(state tls.ConnectionState) error { return k.verifyPinned(name, state.PeerCertificates) },
	}, nil
}

// pinError is that no authority that a server shows has a pin.
type pinError struct{ shown []string }

func (e *pinError) Error() string {
	if len(e.shown) == 0 {
		return "the server does not show its authority behind its certificate, and only a pin of that is known"
	}
	return "the server has another authority than was pinned: its key is " + strings.Join(e.shown, " or ") + ": either another server answers, or the pin is an old one"
}

// verifyPinned verifies a server's certificate by those of the authorities behind it that have a pin.
func (k *Keeper) verifyPinned(name string, chain []*x509.Certificate) error {
	roots, between, wrong := x509.NewCertPool(), x509.NewCertPool(), &pinError{}
	pinned := false
	for _, certificate := range chain[1:] {
		pin := identity.PinOf(certificate)
		if certificate.IsCA && slices.Contains(k.config.Pins, pin) {
			roots.AddCert(certificate)
			pinned = true
			continue
		}
		between.AddCert(certificate)
		if certificate.IsCA {
			wrong.shown = append(wrong.shown, pin.String())
		}
	}
	if !pinned {
		return wrong
	}
	_, err := chain[0].Verify(x509.VerifyOptions{DNSName: name, Roots: roots, Intermediates: between})
	return err
}

// isMismatch reports whether an error says in all of its parts, one for each way to a server, that the authority is another: a
// proxy that ends TLS is that in one of them.
func isMismatch(err error) bool {
	switch e := err.(type) { // it goes through the tree by itself
	case *pinError:
		return true
	case interface{ Unwrap() error }:
		return isMismatch(e.Unwrap())
	case *missingError: // why one is asked for
		return true
	case interface{ Unwrap() []error }:
		return !slices.ContainsFunc(e.Unwrap(), func(part error) bool { return !isMismatch(part) })
	}
	return false
}

func pool(texts ...[]byte) (*x509.CertPool, error) {
	roots := x509.NewCertPool()
	for _, text := range texts {
		certificates, err := identity.ParseCertificates(text)
		if err != nil {
			return nil, fmt.Errorf("the authority of the server: %w", err)
		}
		for _, certificate := range certificates {
			roots.AddCert(certificate)
		}
	}
	return roots, nil
}
