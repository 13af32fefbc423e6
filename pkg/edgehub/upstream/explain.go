package upstream

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"
)

// explain returns what an error means for a person; others as they are.
func explain(err error) error {
	var (
		invalid x509.CertificateInvalidError
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		refused *net.OpError
	)
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		return fmt.Errorf("its certificate is good from %s until %s, and this machine's clock says %s: one of the two is wrong: %w",
			stamp(invalid.Cert.NotBefore), stamp(invalid.Cert.NotAfter), stamp(time.Now()), err)
	case errors.As(err, &unknown):
		return fmt.Errorf("its certificate is of an authority that is not trusted here: another server answers, a proxy that ends TLS, or the cluster has a new authority: %w", err)
	case errors.As(err, &name):
		return fmt.Errorf("its certificate is for other names than the one in the URL: %w", err)
	case errors.As(err, &refused) && refused.Op == "remote error":
		return fmt.Errorf("it ends TLS, perhaps since it does not believe the certificate of this node: %w", err)
	}
	return err
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
