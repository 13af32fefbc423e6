package memberaccess

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"

	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/federation/accounts"
)

// EndsSoon is how long before its end it is said of a thing that nobody renews.
const EndsSoon = 14 * 24 * time.Hour

// Kinds of endings.
const (
	EndingToken       = "token"
	EndingCertificate = "certificate"
	EndingAuthority   = "authority"
)

// Ending is something that ends.
type Ending struct {
	// Kind is a word for machines.
	Kind string
	// What is a part of a sentence.
	What string
	At   time.Time
	// renewed is until when it should have been renewed, if that needs nobody; zero if it does.
	renewed time.Time
}

// Near reports whether it has ended, or somebody has to see to it now. Nothing that has no end is near.
func (e Ending) Near(now time.Time) bool {
	switch {
	case e.At.IsZero():
		return false
	case !e.renewed.IsZero():
		return !now.Before(e.renewed)
	}
	return e.At.Sub(now) <= EndsSoon
}

// Ended reports whether it has.
func (e Ending) Ended(now time.Time) bool { return !e.At.IsZero() && !e.At.After(now) }

// Sentence says when it ends, without a full stop: the same each time until it has.
func (e Ending) Sentence(now time.Time) string {
	verb := "ends"
	if e.Ended(now) {
		verb = "ended"
	}
	return fmt.Sprintf("%s %s at %s", e.What, verb, e.At.UTC().Format(time.RFC3339))
}

// Endings returns what ends of a credential, with what it is checked against: the client certificate, the
// token, and the authority of the member's API server, of several the last. What has no end, or is not known, is left out.
func Endings(config *rest.Config) (endings []Ending) {
	add := func(e Ending) {
		if !e.At.IsZero() {
			endings = append(endings, e)
		}
	}
	add(Ending{Kind: EndingCertificate, What: "its client certificate", At: ValidUntil(config)})
	claims, _ := accounts.ReadAnyClaims(config.BearerToken)
	token := Ending{Kind: EndingToken, What: "its token", At: claims.Expires}
	if renewal, err := RenewalOf(config); err == nil {
		token.renewed = renewal.at(missedAt)
	}
	add(token)
	// Of several authorities, such as an old and a new one, the last one counts.
	var last time.Time
	for _, authority := range Certificates(config.CAData) {
		if authority.NotAfter.After(last) {
			last = authority.NotAfter
		}
	}
	add(Ending{Kind: EndingAuthority, What: "the authority of its API server", At: last})
	return endings
}

// Certificates are those of PEM, without what is none.
func Certificates(data []byte) (found []*x509.Certificate) {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return found
		}
		if certificate, err := x509.ParseCertificate(block.Bytes); err == nil {
			found = append(found, certificate)
		}
	}
}
