package authority_test

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/authority"
	"github.com/koinon-io/koinon/pkg/tunnel/authority/authoritytest"
	"github.com/koinon-io/koinon/pkg/tunnel/identity"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

var (
	m1 = tunnel.Name{Cluster: "m1"}
	m2 = tunnel.Name{Cluster: "m2"}
	n1 = tunnel.Name{Cluster: "m1", Node: "n1"}
)

// outcome is what came of a request.
type outcome struct {
	status  int
	refusal identity.Refusal
	issued  identity.Issued
}

// client is a stock HTTP client, with a certificate or without.
func client(tn *authoritytest.Tunnel, certificates ...tls.Certificate) *http.Client {
	config := &tls.Config{RootCAs: tn.Servers.Pool()}
	if len(certificates) > 0 { // also one of another authority
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificates[0], nil }
	}
	return &http.Client{Timeout: authoritytest.Patience, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: config}}
}

func ask(t *testing.T, tn *authoritytest.Tunnel, c *http.Client, token string, body []byte) (got outcome, err error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+tn.Address+identity.CertificatePath, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := c.Do(request)
	if err != nil {
		return outcome{}, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	got.status = answer.StatusCode
	into := any(&got.refusal)
	if got.status == http.StatusOK {
		into = &got.issued
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Errorf("the answer is %q: %v", text, err)
	}
	return got, nil
}

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func asked(t *testing.T, key crypto.Signer, name tunnel.Name) []byte {
	t.Helper()
	csr, err := identity.NewRequest(key, name)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(identity.Asked{CSR: string(csr)})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestATokenIsGoodForACertificateOfItsNameAndOfNothingElse(t *testing.T) {
	tn := authoritytest.Start(t, nil)
	for _, name := range []tunnel.Name{m1, n1} {
		for _, said := range []tunnel.Name{name, {}} {
			key := newKey(t)
			got, err := ask(t, tn, client(tn), tn.Tokens.New(t, name, time.Now(), time.Hour), asked(t, key, said))
			if err != nil || got.status != http.StatusOK {
				t.Fatalf("%s: got %v, %v", name, got, err)
			}
			chain, err := identity.ParseCertificates([]byte(got.issued.Certificate))
			if err != nil {
				t.Fatal(err)
			}
			leaf := chain[0]
			if is, err := tunnel.NameOf(leaf); err != nil || is != name {
				t.Errorf("it is for %s, %v", is, err)
			}
			if len(leaf.Subject.Names)+len(leaf.DNSNames)+len(leaf.IPAddresses) > 0 || len(leaf.URIs) != 2 || leaf.URIs[1].Scheme != "koinon-enrolled" || leaf.IsCA {
				t.Errorf("it has more than a name: %q, %v, %v, %v", leaf.Subject, leaf.DNSNames, leaf.IPAddresses, leaf.URIs)
			}
			_, forServers := leaf.Verify(x509.VerifyOptions{Roots: tn.Agents.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
			_, forClients := leaf.Verify(x509.VerifyOptions{Roots: tn.Agents.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
			if forServers == nil || forClients != nil {
				t.Errorf("for servers: %v, for clients: %v", forServers, forClients)
			}
			if life := leaf.NotAfter.Sub(authority.IssuedAt(leaf)); life != authority.DefaultLifetime {
				t.Errorf("it is good for %s", life)
			}
			if got.issued.CA != string(tn.Servers.PEM()) {
				t.Errorf("the authority of servers is %q", got.issued.CA)
			}
		}
	}
}

func TestWhatIsNotGoodEnoughForACertificateIsASentence(t *testing.T) {
	tn := authoritytest.Start(t, nil)
	now := time.Now()
	used := tn.Tokens.New(t, m1, now, time.Hour)
	if got, err := ask(t, tn, client(tn), used, asked(t, newKey(t), m1)); err != nil || got.status != http.StatusOK {
		t.Fatalf("got %v, %v", got, err)
	}
	good := tn.Tokens.New(t, m1, now, time.Hour)
	id := strings.SplitN(good, ".", 2)[0]
	long := make([]byte, identity.MaxBytes+1)
	for what, test := range map[string]struct {
		token  string
		body   []byte
		status int
		code   identity.Code
		want   string
	}{
		"no token":           {"", asked(t, newKey(t), m1), 401, identity.NoIdentity, "shows a token, or the certificate"},
		"no form of a token": {"hello", asked(t, newKey(t), m1), 401, identity.TokenUnknown, "that is no token: ID.SECRET is needed"},
		"an unknown token":   {"aaaaaaaa" + good[8:], asked(t, newKey(t), m1), 401, identity.TokenUnknown, "the token aaaaaaaa is not known here, or its secret is another"},
		"another secret":     {id + "." + strings.Repeat("a", 32), asked(t, newKey(t), m1), 401, identity.TokenUnknown, "the token " + id + " is not known here, or its secret is another"},
		"an expired token":   {tn.Tokens.New(t, m1, now.Add(-2*time.Hour), time.Hour), asked(t, newKey(t), m1), 401, identity.TokenExpired, `for cluster "m1" was good until`},
		"a token from later": {tn.Tokens.New(t, m1, now.Add(time.Hour), time.Hour), asked(t, newKey(t), m1), 401, identity.TokenEarly, "clocks of servers differ"},
		"a used token":       {used, asked(t, newKey(t), m1), 403, identity.TokenUsed, "by an agent with another key, and is good once"},
		"another's token":    {good, asked(t, newKey(t), m2), 403, identity.WrongName, `is for cluster "m1", and not for cluster "m2"`},
		"a node's":           {good, asked(t, newKey(t), n1), 403, identity.WrongName, `is for cluster "m1", and not for node "n1" of cluster "m1"`},
		"a long request":     {good, long, 413, identity.TooLarge, "the request is too long: 16384 bytes are allowed"},
		"no JSON":            {good, []byte("csr"), 400, identity.BadRequest, "the request is not JSON"},
		"no CSR":             {good, []byte(`{}`), 400, identity.BadRequest, "the CSR is not PEM"},
	} {
		t.Run(what, func(t *testing.T) {
			got, err := ask(t, tn, client(tn), test.token, test.body)
			if err != nil || got.status != test.status || got.refusal.Code != test.code || !strings.Contains(got.refusal.Message, test.want) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	if got, err := ask(t, tn, client(tn), good, asked(t, newKey(t), m1)); err != nil || got.status != http.StatusOK {
		t.Errorf("what others tried used up the token: %v, %v", got, err)
	}
}

func TestOfManyWhoUseATokenAtOnceOneWins(t *testing.T) {
	tn := authoritytest.Start(t, nil)
	token := tn.Tokens.New(t, m1, time.Now(), time.Hour)
	const n = 16
	bodies, results := make([][]byte, n), make([]outcome, n)
	for i := range n {
		bodies[i] = asked(t, newKey(t), m1)
	}
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			var err error
			if results[i], err = ask(t, tn, client(tn), token, bodies[i]); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	won := -1
	for i, r := range results {
		switch {
		case r.status == http.StatusOK && won < 0:
			won = i
		case r.status == http.StatusOK:
			t.Error("two have a certificate")
		case r.refusal.Code != identity.TokenUsed:
			t.Errorf("got %v", r)
		}
	}
	if won < 0 {
		t.Fatal("nobody has a certificate")
	}
	if got, err := ask(t, tn, client(tn), token, bodies[won]); err != nil || got.status != http.StatusOK {
		t.Errorf("the answer cannot be asked for again: %v, %v", got, err)
	}
}

func TestACertificateIsRenewedForItsOwnNameOnly(t *testing.T) {
	tn := authoritytest.Start(t, nil)
	of := tn.Issue(t, m1)
	got, err := ask(t, tn, client(tn, of), "", asked(t, newKey(t), m1))
	if err != nil || got.status != http.StatusOK {
		t.Fatalf("got %v, %v", got, err)
	}
	chain, err := identity.ParseCertificates([]byte(got.issued.Certificate))
	if err != nil {
		t.Fatal(err)
	}
	if name, err := tunnel.NameOf(chain[0]); err != nil || name != m1 {
		t.Errorf("it is for %s, %v", name, err)
	}
	for _, other := range []tunnel.Name{m2, n1} {
		if got, err = ask(t, tn, client(tn, of), "", asked(t, newKey(t), other)); err != nil || got.refusal.Code != identity.WrongName {
			t.Errorf("%s: got %v, %v", other, got, err)
		}
	}
	tn.Revoke(m1, errors.New("its generation is 1, and 2 is needed"))
	if got, err = ask(t, tn, client(tn, of), "", asked(t, newKey(t), m1)); err != nil || got.refusal.Code != identity.NotAllowed || got.refusal.Message != `cluster "m1": its generation is 1, and 2 is needed` {
		t.Errorf("got %v, %v", got, err)
	}
	other := authoritytest.Start(t, nil)
	if got, err = ask(t, tn, client(tn, other.Issue(t, m1)), "", asked(t, newKey(t), m1)); err == nil {
		t.Errorf("a certificate of another authority was renewed: %v", got)
	}
	tn.SetClock(-30 * 24 * time.Hour)
	expired := tn.Issue(t, m2)
	if got, err = ask(t, tn, client(tn, expired), "", asked(t, newKey(t), m2)); err == nil {
		t.Errorf("a certificate that had expired was renewed: %v", got)
	}
}

// A certificate says when the token was used that it goes back to: neither renewing it nor asking again with the same token makes that later, so that
// an agent which is quick does not outlive its revocation.
func TestARenewedCertificateGoesBackToTheToken(t *testing.T) {
	tn := authoritytest.Start(t, nil)
	key, token := newKey(t), tn.Tokens.New(t, m1, tn.Now(), 24*time.Hour)
	leaf := func(got outcome, err error) *x509.Certificate {
		t.Helper()
		if err != nil || got.status != http.StatusOK {
			t.Fatalf("got %v, %v", got, err)
		}
		chain, err := identity.ParseCertificates([]byte(got.issued.Certificate))
		if err != nil {
			t.Fatal(err)
		}
		return chain[0]
	}
	first := leaf(ask(t, tn, client(tn), token, asked(t, key, m1)))
	if at := authority.EnrolledAt(first); !at.Equal(authority.IssuedAt(first)) {
		t.Errorf("the first goes back to %s, and was issued at %s", at, authority.IssuedAt(first))
	}
	tn.SetClock(30 * time.Minute)
	again := leaf(ask(t, tn, client(tn), token, asked(t, key, m1)))
	otherKey := newKey(t)
	renewed := leaf(ask(t, tn, client(tn, tls.Certificate{Certificate: [][]byte{first.Raw}, PrivateKey: key}), "", asked(t, otherKey, m1)))
	twice := leaf(ask(t, tn, client(tn, tls.Certificate{Certificate: [][]byte{renewed.Raw}, PrivateKey: otherKey}), "", asked(t, newKey(t), m1)))
	for what, of := range map[string]*x509.Certificate{"with the token": again, "renewed": renewed, "renewed twice": twice} {
		if at := authority.EnrolledAt(of); !at.Equal(authority.EnrolledAt(first)) || !authority.IssuedAt(of).After(at) {
			t.Errorf("%s: it goes back to %s, and was issued at %s", what, at, authority.IssuedAt(of))
		}
		if name, err := tunnel.NameOf(of); err != nil || name != m1 {
			t.Errorf("%s: it is of %s: %v", what, name, err)
		}
	}
	odd := &x509.Certificate{NotBefore: first.NotBefore, URIs: []*url.URL{m1.URI(), {Scheme: "koinon-enrolled", Opaque: "yesterday"}}}
	if at := authority.EnrolledAt(odd); !at.IsZero() {
		t.Errorf("what cannot be read is %s", at)
	}
}

func TestWhoGuessesTokensKeepsNobodyFromRenewing(t *testing.T) {
	tn := authoritytest.Start(t, nil)
	body := asked(t, newKey(t), m1)
	tooMany := 0
	for range 1000 {
		request := httptest.NewRequest(http.MethodPost, identity.CertificatePath, bytes.NewReader(body))
		request.Header.Set("Authorization", "Bearer aaaaaaaa."+strings.Repeat("a", 32))
		answer := httptest.NewRecorder()
		tn.Authority.ServeHTTP(answer, request)
		if answer.Code == http.StatusTooManyRequests {
			tooMany++
		}
	}
	if tooMany == 0 {
		t.Error("a thousand guesses were answered")
	}
	if got, err := ask(t, tn, client(tn, tn.Issue(t, m1)), "", body); err != nil || got.status != http.StatusOK {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestANameThatRenewsWithoutEndIsStoppedAndOthersAreNot(t *testing.T) {
	tn := authoritytest.Start(t, nil)
	of := client(tn, tn.Issue(t, m1))
	stopped := false
	for range 50 {
		got, err := ask(t, tn, of, "", asked(t, newKey(t), m1))
		if err != nil {
			t.Fatal(err)
		}
		if stopped = got.refusal.Code == identity.TooMany; stopped {
			break
		}
	}
	if !stopped {
		t.Error("it got fifty certificates")
	}
	if got, err := ask(t, tn, client(tn, tn.Issue(t, m2)), "", asked(t, newKey(t), m2)); err != nil || got.status != http.StatusOK {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestConnectionsThatSayNothingMakeRoomForAgents(t *testing.T) {
	tn := authoritytest.Start(t, nil)
	pool := tn.Servers.Pool()
	for i := range 600 { // more than may be there at once
		conn, err := net.Dial("tcp", tn.Address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if i%20 == 0 { // some are further, and stop in the middle of a request
			go func() {
				secure := tls.Client(conn, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"})
				_, _ = io.WriteString(secure, "POST /v1/certificate HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n")
			}()
		}
	}
	tunneltest.Run(t, agent.Config{Servers: []string{tn.Address}, TLS: tn.AgentTLS(t, m1)})
	tn.Linked(t, m1, 1)
	if got, err := ask(t, tn, client(tn), tn.Tokens.New(t, m2, time.Now(), time.Hour), asked(t, newKey(t), m2)); err != nil || got.status != http.StatusOK {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestOtherPathsAndMethodsAreToldWhatThereIs(t *testing.T) {
	tn := authoritytest.Start(t, nil)
	for what, test := range map[string]struct {
		method, path string
		status       int
		want         string
	}{
		"another method":           {http.MethodGet, "/v1/certificate", 405, "POST /v1/certificate is allowed"},
		"another path":             {http.MethodGet, "/", 404, "this is the port of agents"},
		"a link without WebSocket": {http.MethodGet, "/v1/link", 400, "is for agents, by WebSocket"},
	} {
		request, err := http.NewRequestWithContext(t.Context(), test.method, "https://"+tn.Address+test.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client(tn).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != test.status || !strings.Contains(string(text), test.want) {
			t.Errorf("%s: got %s, %q", what, answer.Status, text)
		}
	}
}
