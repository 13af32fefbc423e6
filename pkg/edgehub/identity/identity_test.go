package identity

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/koinon-io/koinon/pkg/keypair"
)

const day = 24 * time.Hour

func TestATokenIsNeededTheFirstTimeOnly(t *testing.T) {
	f := newNode(t, newCloud(t))
	i := f.open()
	if _, err := i.Certificate(); err == nil {
		t.Error("there is a certificate before there is one")
	}
	f.wrong(i, "waits for its approval: if nobody approves it, kubectl certificate approve node-csr-")
	var pending *PendingError
	if !errors.As(i.Status().Err, &pending) {
		t.Errorf("the status says %v", i.Status().Err)
	}
	f.good(i)
	if s := i.Status(); s.Node != nodeName || s.Err != nil || s.NotAfter.Before(time.Now()) || s.RenewAt.Before(time.Now()) {
		t.Errorf("got %+v", s)
	}
	if got := files(t, f.Dir); !slices.Equal(got, []string{"node.pem -rw-------"}) {
		t.Errorf("there are %q", got)
	}
	if err := os.Remove(f.TokenFile); err != nil {
		t.Fatal(err)
	}
	f.NodeName = "" // it is in the certificate
	again := f.open()
	f.good(again)
	if again.Status().Node != nodeName {
		t.Errorf("got %+v", again.Status())
	}
}

func files(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, entry.Name()+" "+info.Mode().String())
	}
	return all
}

func TestAKillAtAnyMomentOfTheFirstRequestIsGoneOnAfter(t *testing.T) {
	c := newCloud(t)
	f := newNode(t, c)
	c.lose = 1
	if err := f.tend(f.open()); err == nil {
		t.Fatal("the answer is not lost")
	}
	f.good(f.open())
	if len(c.requests) != 1 {
		t.Errorf("%d requests were made", len(c.requests))
	}
}

func TestWhatKeepsANodeFromItsFirstCertificateIsASentence(t *testing.T) {
	for what, test := range map[string]struct {
		change func(*fixture)
		want   []string
	}{
		"no token": {func(f *fixture) { _ = os.Remove(f.TokenFile) },
			[]string{"this node has no certificate yet, and there is no bootstrap token: open ", "put one, as kubeadm token create makes, into /"}},
		"an empty file": {func(f *fixture) { f.put(f.TokenFile, "\n") }, []string{"token has no token: one line is needed"}},
		"two lines":     {func(f *fixture) { f.put(f.TokenFile, "a\nb\n") }, []string{"token has no token: one line is needed"}},
		"no file":       {func(f *fixture) { f.TokenFile = "" }, []string{"there is no bootstrap token: put one, as kubeadm token create makes, into a file, and name that to the hub"}},
		"no kubeconfig": {func(f *fixture) { f.BootstrapKubeconfig, f.TokenFile = f.TokenFile, "" }, []string{"it is no kubeconfig"}},
		"a wrong token": {func(f *fixture) { f.put(f.TokenFile, otherToken) },
			[]string{"this node has no certificate yet, and the bootstrap token fedcba was refused: it is wrong, or has expired. Put a new one", "401 Unauthorized"}},
		"a token of another kind": {func(f *fixture) { f.put(f.TokenFile, "secret") }, []string{"the bootstrap token that is there was refused"}},
		"a request that is denied": {func(f *fixture) { f.cloud.answer = deny(certificatesv1.CertificateDenied) },
			[]string{"the request for the node's certificate was denied: node-csr-", " is Denied: NotHere not here"}},
		"one that fails":               {func(f *fixture) { f.cloud.answer = deny(certificatesv1.CertificateFailed) }, []string{" is Failed: NotHere not here"}},
		"one that nobody signs":        {func(f *fixture) { f.cloud.answer = deny(certificatesv1.CertificateApproved) }, []string{"is approved, and not signed yet"}},
		"a certificate of another":     {func(f *fixture) { f.cloud.answer = f.cloud.signAs("n2") }, []string{`is for the node "n2", and this node is "n1"`}},
		"a certificate of no node":     {func(f *fixture) { f.cloud.answer = f.cloud.signAs("") }, []string{`is for "CN=system:node:,O=system:nodes", which is no node`}},
		"a certificate that is none":   {func(f *fixture) { f.cloud.answer = signNothing }, []string{"holds no certificate"}},
		"a certificate of another key": {func(f *fixture) { f.cloud.answer = f.cloud.signOther }, []string{"belongs to another key"}},
		"an answer that is none":       {func(f *fixture) { f.cloud.answer = func(r *certificatesv1.CertificateSigningRequest) { r.Name = "" } }, []string{`was answered with one that is named ""`}},
		"an authority that is none":    {func(f *fixture) { f.put(f.CAFile, "x") }, []string{"ca.crt holds no certificate", "none is known, and without one anybody could be it"}},
		"the authority of another":     {func(f *fixture) { f.put(f.CAFile, string(newCA(f.t, "x").CertificatePEM())) }, []string{"certificate signed by unknown authority"}},
		"a clock two years ahead":      {func(f *fixture) { f.cloud.ahead, f.cloud.lifetime = -730*day, day }, []string{"and this machine's clock says"}},
		"a clock two years behind it":  {func(f *fixture) { f.cloud.ahead = 730 * day }, []string{"and this machine's clock says"}},
	} {
		t.Run(what, func(t *testing.T) {
			f := newNode(t, newCloud(t))
			test.change(f)
			i, err := Open(f.Config)
			if err != nil {
				t.Fatal(err)
			}
			_ = f.tend(i)
			f.wrong(i, test.want...)
		})
	}
}

func deny(kind certificatesv1.RequestConditionType) func(*certificatesv1.CertificateSigningRequest) {
	return func(r *certificatesv1.CertificateSigningRequest) {
		r.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: kind, Status: corev1.ConditionTrue, Reason: "NotHere", Message: "not here"}}
	}
}

func signNothing(r *certificatesv1.CertificateSigningRequest) { r.Status.Certificate = []byte("x") }

// signOther signs another key than that of the request.
func (c *cloud) signOther(r *certificatesv1.CertificateSigningRequest) {
	r.Status.Certificate, _ = c.pairFor(nodeName, time.Now(), time.Hour)
}

// signAs signs with the name of another node, and the key of the request.
func (c *cloud) signAs(node string) func(*certificatesv1.CertificateSigningRequest) {
	return func(r *certificatesv1.CertificateSigningRequest) {
		c.sign(r)
		found, err := keypair.ParseCertificate(r.Status.Certificate)
		if err != nil {
			c.t.Error(err)
			return
		}
		subject := found.Subject
		subject.CommonName = userPrefix + node
		r.Status.Certificate = c.certificate(subject, found.PublicKey, time.Now(), time.Hour)
	}
}

func TestATokenThatWasRefusedIsNotTriedAgainAndAnotherIsAtOnce(t *testing.T) {
	c := newCloud(t)
	f := newNode(t, c)
	f.put(f.TokenFile, otherToken)
	i := f.open()
	for range 10 {
		f.wrong(i, "was refused")
	}
	if len(c.asked) != 1 {
		t.Errorf("it was asked %d times", len(c.asked))
	}
	f.put(f.TokenFile, goodToken)
	_ = f.tend(i)
	f.good(i)
}

func TestARequestThatIsOverIsNotMadeAgainAtOnce(t *testing.T) {
	c := newCloud(t)
	for what, test := range map[string]struct {
		answer func(*certificatesv1.CertificateSigningRequest)
		want   string
	}{
		"denied":           {deny(certificatesv1.CertificateDenied), "was denied"},
		"for another node": {c.signAs("n2"), `is of no use: that of the request node-csr-`},
		"for another key":  {c.signOther, "belongs to another key"},
		"no certificate":   {signNothing, "holds no certificate"},
	} {
		for when, make := range map[string]func() *fixture{
			"the first":       func() *fixture { return newNode(t, c) },
			"one that is due": func() *fixture { return joined(t, c, 95*time.Minute, 100*time.Minute) },
		} {
			t.Run(what+", "+when, func(t *testing.T) {
				f := make()
				f.t = t
				c.set(func() { c.answer, c.requests = test.answer, map[string]*certificatesv1.CertificateSigningRequest{} })
				i := f.open()
				_ = f.tend(i)
				for range 10 {
					f.wrong(i, test.want)
				}
				if len(c.requests) != 1 {
					t.Errorf("%d requests were made", len(c.requests))
				}
			})
		}
	}
}

// joined is a node with a certificate, from a while ago and for a while.
func joined(t *testing.T, c *cloud, ago, lifetime time.Duration) *fixture {
	t.Helper()
	f := newNode(t, c)
	if err := openDir(f.Dir); err != nil {
		t.Fatal(err)
	}
	certificate, key := c.pairFor(nodeName, time.Now().Add(-ago), lifetime)
	f.put(filepath.Join(f.Dir, NodeFile), string(certificate)+string(key))
	return f
}

func TestACertificateIsRenewedWithItself(t *testing.T) {
	c := newCloud(t)
	f := joined(t, c, 95*time.Minute, 100*time.Minute)
	_ = os.Remove(f.TokenFile)
	i := f.open()
	before, _ := i.Certificate()
	f.wrong(i, "was not renewed yet: the request node-csr-", "waits for its approval")
	if during, err := i.Certificate(); err != nil || during != before {
		t.Error("the certificate before is not used meanwhile")
	}
	f.good(i)
	after, err := i.Certificate()
	if err != nil || after == before || bytes.Equal(after.Certificate[0], before.Certificate[0]) {
		t.Errorf("it is the same (%v)", err)
	}
	if c.asked[0] != "GET system:node:n1" {
		t.Errorf("asked: %q", c.asked)
	}
	if again, err := f.open().Certificate(); err != nil || !bytes.Equal(again.Certificate[0], after.Certificate[0]) {
		t.Errorf("it is not on disk (%v)", err)
	}
}

// The signer has another authority, which API servers believe later.
func TestANewCertificateReplacesNoneThatIsAcceptedBeforeItIsAcceptedItself(t *testing.T) {
	c := newCloud(t)
	f := joined(t, c, 95*time.Minute, 100*time.Minute)
	_ = os.Remove(f.TokenFile)
	i := f.open()
	before, _ := i.Certificate()
	is := func(when string, i *Identity, same bool) {
		t.Helper()
		got, err := i.Certificate()
		if err != nil || bytes.Equal(got.Certificate[0], before.Certificate[0]) != same {
			t.Errorf("%s: got another (%v)", when, err)
		}
		kept, err := f.open().Certificate()
		if err != nil || !bytes.Equal(kept.Certificate[0], got.Certificate[0]) {
			t.Errorf("%s: another one is on disk (%v)", when, err)
		}
	}
	signer := newCA(t, "later")
	c.signer = &signer
	_ = f.tend(i)
	for range 10 {
		f.wrong(i, "is not used before an API server has accepted it", "401 Unauthorized")
	}
	if len(c.requests) != 1 {
		t.Errorf("%d requests were made", len(c.requests))
	}
	is("before it is accepted", i, true)
	i.came = i.came.Add(-2 * refusedFor)
	_ = f.tend(i)
	f.wrong(i, "is not used before an API server has accepted it")
	if len(c.requests) != 2 {
		t.Errorf("%d requests were made after a while", len(c.requests))
	}
	i = f.open() // it was killed
	c.set(func() { c.clients = signer })
	f.good(i)
	is("accepted", i, false)
	if got := files(t, f.Dir); !slices.Equal(got, []string{"node.pem -rw-------"}) {
		t.Errorf("there are %q", got)
	}
}

func TestAKillWhileACertificateReplacesAnotherLosesNeither(t *testing.T) {
	c := newCloud(t)
	text := func(from time.Time, life time.Duration) string {
		certificate, key := c.pairFor(nodeName, from, life)
		return string(certificate) + string(key)
	}
	old, newer, older := text(time.Now().Add(-95*time.Minute), 100*time.Minute), text(time.Now(), time.Hour), text(time.Now().Add(-time.Hour), 61*time.Minute)
	for what, test := range map[string]struct{ node, next, want string }{
		"before it was tried":              {old, newer, newer},
		"before it was removed":            {newer, newer, newer},
		"with a disk that was full before": {newer, older, newer},
		"in a write, and damaged":          {newer, newer[:100], newer},
		"with what it had damaged":         {"x", newer, newer},
	} {
		t.Run(what, func(t *testing.T) {
			f := joined(t, c, time.Minute, time.Hour)
			f.t = t
			_ = os.Remove(f.TokenFile)
			f.put(filepath.Join(f.Dir, NodeFile), test.node)
			f.put(filepath.Join(f.Dir, nextFile), test.next)
			f.good(f.open())
			if got, err := os.ReadFile(filepath.Join(f.Dir, NodeFile)); err != nil || string(got) != test.want {
				t.Errorf("it has another (%v)", err)
			}
			if got := files(t, f.Dir); !slices.Equal(got, []string{"node.pem -rw-------"}) {
				t.Errorf("there are %q", got)
			}
		})
	}
}

func TestACertificateIsRenewedBetween70And90PercentOfItsLifeAndNotByAllAtOnce(t *testing.T) {
	c := newCloud(t)
	seen := map[time.Duration]bool{}
	for range 200 {
		certificate, key := c.pairFor(nodeName, time.Now(), 1000*time.Hour-time.Minute)
		h, err := parseHeld(certificate, key)
		if err != nil {
			t.Fatal(err)
		}
		after := h.due().Sub(h.tls.Leaf.NotBefore)
		if after < 700*time.Hour || after > 900*time.Hour {
			t.Fatalf("it is due after %s", after)
		}
		seen[after] = true
	}
	if len(seen) < 100 {
		t.Errorf("200 certificates are due at %d times", len(seen))
	}
}

func TestAfterALongTimeOfflineANewTokenIsASked(t *testing.T) {
	c := newCloud(t)
	f := joined(t, c, 10*day, day)
	f.put(f.TokenFile, otherToken)
	i := f.open()
	f.wrong(i, `the certificate of the node "n1" is good from `, "and the bootstrap token fedcba was refused: it is wrong, or has expired. Put a new one")
	if _, err := i.Certificate(); err != nil {
		t.Errorf("the one before is thrown away: %v", err)
	}
	f.put(f.TokenFile, goodToken)
	_ = f.tend(i)
	f.good(i)
	if !i.Status().NotAfter.After(time.Now()) {
		t.Errorf("got %+v", i.Status())
	}
}

func TestACertificateThatTheAPIServerDoesNotAcceptIsReplaced(t *testing.T) {
	c := newCloud(t)
	f := joined(t, c, 95*time.Minute, 100*time.Minute)
	c.clients = newCA(t, "other clients")
	i := f.open()
	f.wrong(i, `the API server does not accept the certificate of the node "n1": `)
	f.good(i)
}

func TestACertificateThatHasNotBegunIsReplacedIfItIsNotAccepted(t *testing.T) {
	c := newCloud(t)
	f := joined(t, c, -30*day, 60*day) // a bit of its beginning has flipped
	i := f.open()
	f.wrong(i, `the certificate of the node "n1" is good from `)
	f.good(i)
}

func TestAnAPIServerThatAcceptsNoCertificateIsNotAskedForOneAfterAnother(t *testing.T) {
	c := newCloud(t)
	c.rejects = true
	f := newNode(t, c)
	i := f.open()
	_ = f.tend(i)
	for range 20 {
		f.wrong(i, `the API server does not accept the certificate of the node "n1"`)
	}
	if len(c.requests) != 1 {
		t.Errorf("%d requests were made", len(c.requests))
	}
}

func TestAClockThatIsWrongThrowsNothingAway(t *testing.T) {
	for what, ahead := range map[string]time.Duration{"ahead": 730 * day, "behind": -730 * day} {
		t.Run(what, func(t *testing.T) {
			c := newCloud(t)
			f := joined(t, c, time.Minute, time.Hour)
			_ = os.Remove(f.TokenFile)
			f.clock(ahead)
			i := f.open()
			before, _ := i.Certificate()
			_ = f.tend(i)
			for range 5 {
				f.wrong(i, "and this machine's clock says")
			}
			if certificate, err := i.Certificate(); err != nil || certificate == nil {
				t.Errorf("got %v", err)
			}
			if len(c.requests) > 1 {
				t.Errorf("%d requests were made", len(c.requests))
			}
			if skew := i.Status().Skew; ahead > 0 && (skew-ahead).Abs() > time.Minute {
				t.Errorf("the clock is said to be ahead %s", skew)
			}
			i.config.Now = time.Now
			f.good(i)
			if after, _ := i.Certificate(); ahead < 0 && after != before {
				t.Error("there is another certificate")
			}
		})
	}
}

func TestACertificateOfAnotherNodeIsNotTouched(t *testing.T) {
	f := joined(t, newCloud(t), time.Minute, time.Hour)
	f.NodeName = "n2"
	before, _ := os.ReadFile(filepath.Join(f.Dir, NodeFile))
	if _, err := Open(f.Config); err == nil || !strings.Contains(err.Error(), `node.pem is for the node "n1", and this node is "n2": it is not touched`) {
		t.Errorf("got %v", err)
	}
	if after, _ := os.ReadFile(filepath.Join(f.Dir, NodeFile)); !bytes.Equal(before, after) {
		t.Error("it was touched")
	}
}

func TestWhatIsDamagedIsSaidAndReplaced(t *testing.T) {
	for what, damage := range map[string]func([]byte) []byte{
		"empty":         func([]byte) []byte { return nil },
		"zeros":         func(b []byte) []byte { return make([]byte, len(b)) },
		"cut":           func(b []byte) []byte { return b[:len(b)/2] },
		"without a key": func(b []byte) []byte { return b[:bytes.Index(b, []byte("-----BEGIN EC"))] },
		"flipped":       func(b []byte) []byte { b[100] ^= 1; return b },
		"of two":        func(b []byte) []byte { return append(newKeyPEM(t), b[:bytes.Index(b, []byte("-----BEGIN EC"))]...) },
	} {
		for _, file := range []string{NodeFile, pendingFile, trustFile} {
			t.Run(file+" is "+what, func(t *testing.T) {
				c := newCloud(t)
				f := joined(t, c, time.Minute, time.Hour)
				path := filepath.Join(f.Dir, file)
				if file == trustFile {
					f.put(path, string(c.servers.CertificatePEM()))
				} else if file == pendingFile {
					f.put(path, string(newKeyPEM(t)))
				}
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if file != NodeFile && !bytes.Contains(text, []byte("-----BEGIN EC")) || file == pendingFile {
					text = append(text, "-----BEGIN EC"...)
				}
				f.put(path, string(damage(text)))
				i := f.open()
				if file == NodeFile && what != "flipped" && (!strings.Contains(f.log.String(), "Found a damaged certificate") || i.held() != nil) {
					t.Errorf("it is not said: %s", f.log)
				}
				_ = f.tend(i)
				f.good(i)
				if _, err := f.open().Certificate(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestOneByteOfTheCertificateMayFlip(t *testing.T) {
	c := newCloud(t)
	whole, err := os.ReadFile(filepath.Join(joined(t, c, time.Minute, time.Hour).Dir, NodeFile))
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		f := joined(t, c, time.Minute, time.Hour)
		at := rand.N(len(whole))
		text := bytes.Clone(whole)
		text[at] ^= 1 << rand.N(8)
		f.put(filepath.Join(f.Dir, NodeFile), string(text))
		i, err := Open(f.Config)
		if err != nil {
			if !strings.Contains(err.Error(), `and this node is "n1"`) { // that letter
				t.Errorf("byte %d: %v", at, err)
			}
			continue
		}
		if f.tend(i) != nil {
			f.good(i)
		}
	}
}

func newKeyPEM(t *testing.T) []byte {
	t.Helper()
	key, err := keypair.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := keypair.EncodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTheCertificateOfKubeletIsAdopted(t *testing.T) {
	c := newCloud(t)
	dir := t.TempDir()
	certificate, key := c.pairFor(nodeName, time.Now(), time.Hour)
	foreign, foreignKey := c.pairFor("n2", time.Now(), time.Hour)
	in := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	data := func(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
	const kubeconfig = "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\nclusters: [{name: k, cluster: {server: 'https://a:6443', %s}}]\nusers: [{name: u, user: {%s}}]\n"
	authority := "certificate-authority-data: " + data(c.servers.CertificatePEM())
	in("current.pem", string(certificate)+string(key))
	for what, path := range map[string]string{
		"a file of both":           filepath.Join(dir, "current.pem"),
		"a kubeconfig with both":   in("data", fmt.Sprintf(kubeconfig, authority, "client-certificate-data: "+data(certificate)+", client-key-data: "+data(key))),
		"a kubeconfig with a file": in("files", fmt.Sprintf(kubeconfig, authority, "client-certificate: current.pem, client-key: "+filepath.Join(dir, "current.pem"))),
	} {
		t.Run(what, func(t *testing.T) {
			f := newNode(t, c)
			others := []string{filepath.Join(dir, "nosuch"), in("foreign", string(foreign)+string(foreignKey)), in("half", string(certificate)), in("garbage", "garbage"), in("two", string(certificate)+string(foreignKey))}
			f.Adopt = append(others, path)
			if strings.Contains(what, "kubeconfig") {
				f.CAFile = ""
			}
			_ = os.Remove(f.TokenFile)
			i := f.open()
			if got, err := i.Certificate(); err != nil || !bytes.Contains(certificate, []byte(base64.StdEncoding.EncodeToString(got.Certificate[0])[:60])) {
				t.Fatalf("got %v\n%s", err, f.log)
			}
			f.good(i)
			f.Adopt = nil
			f.good(f.open())
		})
	}
}

func TestTheTokenOfKubeletsBootstrapKubeconfigIsUsed(t *testing.T) {
	c := newCloud(t)
	f := newNode(t, c)
	f.put(f.TokenFile, fmt.Sprintf("current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\nclusters: [{name: k, cluster: {server: 'https://a', certificate-authority-data: %s}}]\nusers: [{name: u, user: {token: %s}}]\n",
		base64.StdEncoding.EncodeToString(c.servers.CertificatePEM()), goodToken))
	f.BootstrapKubeconfig, f.TokenFile, f.CAFile = f.TokenFile, "", ""
	i := f.open()
	_ = f.tend(i)
	f.good(i)
	if err := os.Remove(f.BootstrapKubeconfig); err != nil {
		t.Fatal(err)
	}
	f.good(f.open()) // the authority was kept
}

func TestWhatCannotBeWrittenIsUsedAllTheSame(t *testing.T) {
	c := newCloud(t)
	f := newNode(t, c)
	i := f.open()
	// A folder in the place of a file is a disk that fails, for root, too.
	path := filepath.Join(f.Dir, NodeFile)
	if err := os.MkdirAll(filepath.Join(path, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	_ = f.tend(i)
	_ = f.tend(i)
	f.wrong(i, "what is new of the node's identity is not on disk: write "+path)
	if _, err := i.Certificate(); err != nil {
		t.Errorf("it is not used: %v", err)
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	f.good(i)
	if _, err := f.open().Certificate(); err != nil {
		t.Errorf("it is not written later: %v", err)
	}
}

func TestAuthoritiesThatAreReplacedAreFollowed(t *testing.T) {
	for _, source := range []string{"kube-root-ca.crt", "cluster-info"} {
		t.Run(source, func(t *testing.T) {
			c := newCloud(t)
			f := joined(t, c, time.Minute, time.Hour)
			next := newCA(t, "next")
			both := append(c.servers.CertificatePEM(), next.CertificatePEM()...)
			c.publish(source, both)
			// They come from a kubeconfig, so that nobody believes the first for good.
			f.put(filepath.Join(f.Dir, trustFile), string(c.servers.CertificatePEM()))
			f.CAFile = ""
			i := f.open()
			f.good(i)
			c.set(func() { c.servers = next; c.publish(source, next.CertificatePEM()) })
			i = f.open()
			f.good(i)
			if text, _ := os.ReadFile(filepath.Join(f.Dir, trustFile)); !bytes.Equal(text, next.CertificatePEM()) {
				t.Errorf("it believes:\n%s", text)
			}
		})
	}
}

// A request that waits, or is denied, may be so for months.
func TestAuthoritiesAreFollowedWhileTheCertificateIsNotRenewed(t *testing.T) {
	for what, answer := range map[string]func(*certificatesv1.CertificateSigningRequest){"waits": nil, "is denied": deny(certificatesv1.CertificateDenied)} {
		t.Run(what, func(t *testing.T) {
			c := newCloud(t)
			c.answer = answer
			f := joined(t, c, 95*time.Minute, 100*time.Minute)
			next := newCA(t, "next")
			f.put(filepath.Join(f.Dir, trustFile), string(c.servers.CertificatePEM()))
			f.CAFile = ""
			c.publish("kube-root-ca.crt", append(c.servers.CertificatePEM(), next.CertificatePEM()...))
			i := f.open()
			if err := f.tend(i); err == nil {
				t.Fatal("it is renewed")
			}
			c.set(func() { c.servers = next })
			if err := i.learn(t.Context(), f.ways(i).Node); err != nil {
				t.Error(err)
			}
		})
	}
}

func (c *cloud) publish(source string, authorities []byte) {
	c.configMaps[source] = map[string]string{
		"ca.crt":     string(authorities),
		"kubeconfig": fmt.Sprintf("clusters: [{name: '', cluster: {server: 'https://a', certificate-authority-data: %s}}]", base64.StdEncoding.EncodeToString(authorities)),
	}
}

func TestAuthoritiesThatWouldLockTheNodeOutAreNotTakenAlone(t *testing.T) {
	c := newCloud(t)
	f := joined(t, c, time.Minute, time.Hour)
	other := newCA(t, "other")
	f.put(filepath.Join(f.Dir, trustFile), string(c.servers.CertificatePEM()))
	f.CAFile = ""
	c.publish("kube-root-ca.crt", other.CertificatePEM())
	i := f.open()
	for range 3 {
		i.learned = time.Time{}
		f.good(i)
	}
	text, _ := os.ReadFile(filepath.Join(f.Dir, trustFile))
	if got, err := keypair.ParseCertificates(text); err != nil || len(got) != 2 {
		t.Errorf("it believes %d, %v", len(got), err)
	}
	f.good(f.open())
}

// The kubeconfig has the cluster's authority, and that of a load balancer before the second API server.
func TestAuthoritiesThatAKubeconfigGaveAreBelievedWhateverTheClusterPublishes(t *testing.T) {
	c := newCloud(t)
	f := joined(t, c, time.Minute, time.Hour)
	balancer := newCA(t, "balancer")
	given, err := (&Kubeconfig{Server: "https://a", CA: append(c.servers.CertificatePEM(), balancer.CertificatePEM()...)}).Encode("c")
	if err != nil {
		t.Fatal(err)
	}
	f.CAFile, f.Adopt = "", []string{filepath.Join(t.TempDir(), "kubelet.conf")}
	f.put(f.Adopt[0], string(given))
	c.publish("kube-root-ca.crt", c.servers.CertificatePEM())
	i := f.open()
	f.good(i)
	if text, _ := os.ReadFile(filepath.Join(f.Dir, trustFile)); !bytes.Equal(text, c.servers.CertificatePEM()) {
		t.Fatalf("it was published:\n%s", text)
	}
	c.set(func() { c.servers = balancer }) // the first has died
	asks := func(when string, i *Identity, want string) {
		t.Helper()
		if err := i.learn(t.Context(), f.ways(i).Node); !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: got %v, want %q", when, err, want)
		}
	}
	asks("at once", i, "<nil>")
	if err := os.Remove(f.Adopt[0]); err != nil {
		t.Fatal(err)
	}
	asks("after another start", f.open(), "<nil>")
	// An operator has it believed no more.
	f.CAFile = filepath.Join(t.TempDir(), "ca.crt")
	f.put(f.CAFile, string(newCA(t, "next").CertificatePEM()))
	if err := errors.Join(os.Remove(filepath.Join(f.Dir, givenFile)), os.Remove(filepath.Join(f.Dir, trustFile))); err != nil {
		t.Fatal(err)
	}
	asks("after an operator's word", f.open(), "certificate signed by unknown authority")
}

func TestWhatIsNoAuthorityIsNotBelieved(t *testing.T) {
	c := newCloud(t)
	leaf, _ := c.pairFor(nodeName, time.Now(), time.Hour)
	for what, text := range map[string]string{"nothing": "", "garbage": "garbage", "no authority": string(leaf), "one, and half of another": string(c.servers.CertificatePEM()) + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		t.Run(what, func(t *testing.T) {
			f := joined(t, c, time.Minute, time.Hour)
			c.publish("kube-root-ca.crt", []byte(text))
			i := f.open()
			before, _ := i.CAs()
			f.wrong(i, "the ConfigMap kube-root-ca.crt of kube-public: it ")
			if after, _ := i.CAs(); after != before {
				t.Error("others are believed")
			}
		})
	}
}

func TestAnAuthorityOfTheOperatorIsBelievedAtOnce(t *testing.T) {
	c := newCloud(t)
	f := joined(t, c, time.Minute, time.Hour)
	next := newCA(t, "next")
	i := f.open()
	f.good(i)
	c.set(func() { c.servers = next }) // while it was away for long
	i.learned = time.Time{}
	if err := i.learn(t.Context(), f.ways(i).Node); err == nil || !strings.Contains(err.Error(), "certificate signed by unknown authority") {
		t.Errorf("got %v", err)
	}
	f.good(i) // it is not the identity's
	f.put(f.CAFile, "half")
	f.wrong(i, f.CAFile+" holds no certificate")
	f.put(f.CAFile, string(next.CertificatePEM()))
	f.good(i)
	if err := i.learn(t.Context(), f.ways(i).Node); err != nil {
		t.Error(err)
	}
}

func TestRunGetsACertificateAndEnds(t *testing.T) {
	f := newNode(t, newCloud(t))
	i := f.open()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { i.Run(ctx, f.ways(i)) })
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); i.Status().Err != nil; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("there is none: %v", i.Status().Err)
		}
	}
	cancel()
	running.Wait()
}

func TestWhoIsWokenLooksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cloud{t: t, clients: newCA(t, "clients"), servers: newCA(t, "servers")}
		f := joined(t, c, time.Minute, time.Hour)
		i := f.open()
		looked := make(chan time.Time, 10)
		away := roundTripper(func() error { looked <- time.Now(); return errors.New("away") })
		i.config.Now = func() time.Time { return i.Status().RenewAt }
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { i.Run(ctx, Ways{Node: away, Next: away, Bootstrap: away}) })
		for before := time.Now(); ; { // until it looks rarely
			now := <-looked
			if now.Sub(before) > lastPause/2 {
				break
			}
			before = now
		}
		woken := time.Now()
		i.Wake()
		if now := <-looked; now != woken {
			t.Errorf("it looks %s later", now.Sub(woken))
		}
		if now := <-looked; now.Sub(woken) > firstPause {
			t.Errorf("it looks again %s later", now.Sub(woken))
		}
		cancel()
		running.Wait()
	})
}

type roundTripper func() error

func (r roundTripper) RoundTrip(*http.Request) (*http.Response, error) { return nil, r() }

func TestANodeHasAName(t *testing.T) {
	f := newNode(t, newCloud(t))
	f.NodeName = ""
	if _, err := Open(f.Config); err == nil || !strings.Contains(err.Error(), "the name of this node is required") {
		t.Errorf("got %v", err)
	}
	if _, err := Open(Config{NodeName: nodeName}); err == nil {
		t.Error("there is no directory")
	}
}
