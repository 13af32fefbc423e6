package tunnel

import (
	"crypto/x509"
	"net/url"
	"testing"
)

func TestAnAgentStandsForTheOneNameInItsCertificate(t *testing.T) {
	for what, test := range map[string]struct {
		uris []string
		want Name
	}{
		"a cluster":                    {[]string{"koinon-agent:/clusters/m1"}, Name{Cluster: "m1"}},
		"a node":                       {[]string{"koinon-agent:/clusters/m1/nodes/n7.example.org"}, Name{"m1", "n7.example.org"}},
		"beside another URI":           {[]string{"spiffe://x/y", "koinon-agent:/clusters/m1"}, Name{Cluster: "m1"}},
		"none":                         {nil, Name{}},
		"another's":                    {[]string{"spiffe://x/clusters/m1"}, Name{}},
		"two":                          {[]string{"koinon-agent:/clusters/m1", "koinon-agent:/clusters/m2"}, Name{}},
		"the same twice":               {[]string{"koinon-agent:/clusters/m1", "koinon-agent:/clusters/m1"}, Name{}},
		"with an authority":            {[]string{"koinon-agent://m2/clusters/m1"}, Name{}},
		"with a query":                 {[]string{"koinon-agent:/clusters/m1?x"}, Name{}},
		"with a fragment":              {[]string{"koinon-agent:/clusters/m1#x"}, Name{}},
		"with an escape":               {[]string{"koinon-agent:/clusters/m%31"}, Name{}},
		"with an escaped slash":        {[]string{"koinon-agent:/clusters/m1%2Fnodes%2Fn1"}, Name{}},
		"with a slash at the end":      {[]string{"koinon-agent:/clusters/m1/"}, Name{}},
		"an empty node":                {[]string{"koinon-agent:/clusters/m1/nodes/"}, Name{}},
		"an empty cluster":             {[]string{"koinon-agent:/clusters/"}, Name{}},
		"upper case":                   {[]string{"koinon-agent:/clusters/M1"}, Name{}},
		"that climbs":                  {[]string{"koinon-agent:/clusters/.."}, Name{}},
		"opaque":                       {[]string{"koinon-agent:clusters/m1"}, Name{}},
		"of something else":            {[]string{"koinon-agent:/servers/m1"}, Name{}},
		"a node and more":              {[]string{"koinon-agent:/clusters/m1/nodes/n1/x"}, Name{}},
		"with a user":                  {[]string{"koinon-agent://user@/clusters/m1"}, Name{}},
		"one good and one that is not": {[]string{"koinon-agent:/clusters/m1", "koinon-agent:/clusters/"}, Name{}},
	} {
		t.Run(what, func(t *testing.T) {
			certificate := &x509.Certificate{}
			for _, text := range test.uris {
				uri, err := url.Parse(text)
				if err != nil {
					t.Fatal(err)
				}
				certificate.URIs = append(certificate.URIs, uri)
			}
			got, err := NameOf(certificate)
			if (err == nil) != (test.want != Name{}) || err == nil && got != test.want {
				t.Errorf("got %v, %v; want %v", got, err, test.want)
			}
		})
	}
}
