package tunnel

import (
	"crypto/x509"
	"net/url"
	"testing"
)

// FuzzNameOf reads names of certificates: what is accepted is written as the name is, and in no other way.
func FuzzNameOf(f *testing.F) {
	for _, text := range []string{
		"koinon-agent:/clusters/m1", "koinon-agent:/clusters/m1/nodes/n1.example.org", "koinon-agent:/clusters/m1%2Fnodes%2Fn1", "koinon-agent:/clusters/../m1",
		"koinon-agent://x/clusters/m1", "koinon-agent:/clusters/m1?x#y", "spiffe://x/clusters/m1",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		uri, err := url.Parse(text)
		if err != nil {
			return
		}
		name, err := NameOf(&x509.Certificate{URIs: []*url.URL{uri}})
		if err == nil && (name.Validate() != nil || uri.String() != name.URI().String()) {
			t.Errorf("%q is taken for %s", text, name)
		}
	})
}
