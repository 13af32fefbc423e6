package carrier

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"
)

// alerts are what servers say of the certificate that they were shown. Package tls has no type for them, only texts.
var alerts = map[string]string{
	"tls: bad certificate":               "the server does not take this agent's certificate",
	"tls: revoked certificate":           "the server says that this agent's certificate was revoked",
	"tls: expired certificate":           "the server says that this agent's certificate is not valid now: it has expired, or the clock of one of the two is wrong",
	"tls: unknown certificate authority": "the server does not know the authority of this agent's certificate: it is from another server",
	"tls: certificate required":          "the server wants a certificate, and this agent has none",
	"tls: no application protocol":       "what answers knows the protocol of agents as little as a web server does",
}

// Explain returns what an error of TLS means for a person; others as they are.
func Explain(err error) error {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		return fmt.Errorf("the server's certificate is good from %s until %s, and this machine's clock says %s: one of the two is wrong: %w",
			stamp(invalid.Cert.NotBefore), stamp(invalid.Cert.NotAfter), stamp(time.Now()), err)
	case errors.As(err, &unknown):
		return fmt.Errorf("the server's certificate is of an authority that is not trusted here: another server answers, or a proxy that ends TLS: %w", err)
	}
	if said := alerts[alert(err)]; said != "" {
		return fmt.Errorf("%s: %w", said, err)
	}
	return err
}

// alert is what the other side of TLS has said of why it ends, empty if it said nothing.
func alert(err error) string {
	var operation *net.OpError
	for errors.As(err, &operation) {
		if operation.Op == "remote error" {
			return operation.Err.Error()
		}
		err = operation.Err // copying has put one around it
	}
	return ""
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
