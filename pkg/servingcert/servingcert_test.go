package servingcert

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/koinon-io/koinon/pkg/keypair"
)

const (
	day    = 24 * time.Hour
	system = "system"
	name   = "serving-ca"
)

var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// cluster is a cluster, a clock, and the one caller of the server: it trusts bundle.
type cluster struct {
	*testing.T
	kube   *fake.Clientset
	clock  *testingclock.FakeClock
	bundle []byte
}

func newCluster(t *testing.T) *cluster {
	return &cluster{T: t, kube: fake.NewClientset(), clock: testingclock.NewFakeClock(begin)}
}

// starting is a replica that has done nothing yet.
func (c *cluster) starting() *Keeper {
	c.Helper()
	k, err := New(Config{Client: c.kube, Namespace: system, SecretName: name, Hosts: ServiceHosts(system, "koinon"), Clock: c.clock})
	if err != nil {
		c.Fatal(err)
	}
	return k
}

// replica is one that serves.
func (c *cluster) replica() *Keeper {
	c.Helper()
	k := c.starting()
	c.sync(k)
	return k
}

// ensure is the first half of a sync, and tell the second one.
func (c *cluster) ensure(k *Keeper) []byte {
	c.Helper()
	bundle, err := k.Ensure(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	return bundle
}

func (c *cluster) tell(k *Keeper, bundle []byte) {
	c.bundle = bundle
	k.Trusted(bundle)
}

func (c *cluster) sync(k *Keeper) {
	c.Helper()
	c.tell(k, c.ensure(k))
}

// mustTrust fails the test unless the caller trusts what the replicas serve.
func (c *cluster) mustTrust(when string, replicas ...*Keeper) {
	c.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(c.bundle)
	for i, k := range replicas {
		served, err := k.Certificate().GetCertificate(nil)
		if err != nil {
			c.Fatal(err)
		}
		if _, err := served.Leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: c.clock.Now(), DNSName: "koinon.system.svc"}); err != nil {
			c.Errorf("%s: replica %d is not trusted: %v", when, i, err)
		}
	}
}

func (c *cluster) secret() *corev1.Secret {
	c.Helper()
	secret, err := c.kube.CoreV1().Secrets(system).Get(c.Context(), name, metav1.GetOptions{})
	if err != nil {
		c.Fatal(err)
	}
	return secret
}

func (c *cluster) write(secret *corev1.Secret) {
	c.Helper()
	if _, err := c.kube.CoreV1().Secrets(system).Update(c.Context(), secret, metav1.UpdateOptions{}); err != nil {
		c.Fatal(err)
	}
}

// signer is the name of the authority that signed what a replica serves.
func signer(k *Keeper) string { return k.certificate.leaf().Issuer.CommonName }

// rotate lets the time come at which an authority is added.
func (c *cluster) rotate() { c.clock.SetTime(begin.Add(authorityLifetime / 3 * 2).Add(day)) }

func TestANewAuthorityIsTrustedBeforeItSigns(t *testing.T) {
	c := newCluster(t)
	k := c.replica()
	old := signer(k)
	c.rotate()
	bundle := c.ensure(k)
	c.mustTrust("before anybody was told", k)
	for _, wait := range []time.Duration{0, signsAfter / 2, 60 * day} {
		c.clock.Step(wait)
		bundle = c.ensure(k)
		c.mustTrust("nobody is told, since that fails", k)
	}
	if signer(k) != old {
		t.Errorf("%s signed before it is trusted", signer(k))
	}
	c.tell(k, bundle)
	c.clock.Step(20*day + time.Hour)
	c.sync(k)
	c.mustTrust("after the callers were told", k)
	if signer(k) == old {
		t.Error("the new authority does not sign")
	}
	c.clock.SetTime(begin.Add(authorityLifetime + time.Hour))
	c.sync(k)
	c.mustTrust("after the end of the old one", k)
	if count := strings.Count(string(c.bundle), "BEGIN CERTIFICATE"); count != 1 {
		t.Errorf("there are %d authorities after the end of the old one", count)
	}
}

func TestAnAuthorityOfThisDayDoesNotSign(t *testing.T) {
	c := newCluster(t)
	k := c.replica()
	old := signer(k)
	c.rotate()
	c.sync(k) // told at once; other replicas may not have read it
	k.certificate.pair = keypair.Pair{}
	c.sync(k)
	if signer(k) != old {
		t.Errorf("%s signed at once", signer(k))
	}
}

// A process may end between any two steps; the next one knows nothing of it.
func TestARestartAtAnyStepIsTrusted(t *testing.T) {
	for name, at := range map[string]func(c *cluster, k *Keeper){
		"after the first authority was written":            func(*cluster, *Keeper) {},
		"after a further authority was written":            func(c *cluster, k *Keeper) { c.rotate(); c.ensure(k) },
		"weeks after that, and nobody was told since then": func(c *cluster, k *Keeper) { c.rotate(); c.ensure(k); c.clock.Step(60 * day) },
		"after the callers were told":                      func(c *cluster, k *Keeper) { c.rotate(); c.sync(k) },
		"after the new one signed":                         func(c *cluster, k *Keeper) { c.rotate(); c.sync(k); c.clock.Step(25 * day); c.sync(k) },
		"an hour before the end of the old one": func(c *cluster, k *Keeper) {
			c.rotate()
			c.sync(k)
			c.clock.SetTime(begin.Add(authorityLifetime - time.Hour))
		},
		"after the old one was dropped, and before callers are told": func(c *cluster, k *Keeper) {
			c.rotate()
			c.sync(k)
			c.clock.SetTime(begin.Add(authorityLifetime + time.Hour))
			c.ensure(k)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			k := c.replica()
			at(c, k)
			next := c.starting()
			bundle := c.ensure(next)
			c.mustTrust("before the next one has told anybody", next)
			c.tell(next, bundle)
			c.mustTrust("after that", next)
		})
	}
}

// While the old authority ends, a replica looks every half minute.
func TestTheLastHoursOfAnAuthorityAreCovered(t *testing.T) {
	c := newCluster(t)
	c.replica()
	c.clock.SetTime(begin.Add(authorityLifetime - time.Hour))
	k := c.replica() // nothing ran for a year: the new authority is an hour old when it must sign
	for range 4 * 60 {
		c.clock.Step(30 * time.Second)
		c.mustTrust("before it looks", k)
		c.sync(k)
	}
}

func TestAuthoritiesOfSomebodyElseDoNotReplaceTheOneThatIsServed(t *testing.T) {
	c := newCluster(t)
	first := c.replica()
	for name, change := range map[string]func(){
		"the Secret was deleted, and another replica was quicker": func() {
			if err := c.kube.CoreV1().Secrets(system).Delete(t.Context(), c.secret().Name, metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			c.ensure(c.starting())
		},
		"somebody wrote others": func() {
			other, err := authorities(nil).at(c.clock.Now().Add(-2 * day))
			if err != nil {
				t.Fatal(err)
			}
			secret := c.secret()
			if secret.Data[authoritiesKey], err = other.encode(); err != nil {
				t.Fatal(err)
			}
			c.write(secret)
		},
		"somebody added an older one": func() {
			other, err := authorities(nil).at(c.clock.Now().Add(-2 * day))
			if err != nil {
				t.Fatal(err)
			}
			encoded, err := other.encode()
			if err != nil {
				t.Fatal(err)
			}
			secret := c.secret()
			secret.Data[authoritiesKey] = append(secret.Data[authoritiesKey], encoded...)
			c.write(secret)
			first.certificate.pair.Certificate.NotAfter = c.clock.Now() // its certificate is due just now
		},
	} {
		c.clock.Step(time.Minute)
		change()
		bundle := c.ensure(first)
		c.mustTrust(name+", before callers are told", first)
		c.tell(first, bundle)
		c.mustTrust(name, first, c.replica())
	}
}

func TestReplicasThatStartAtATimeShareOneAuthority(t *testing.T) {
	c := newCluster(t)
	c.kube.PrependReactor("create", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		theirs, err := authorities(nil).at(c.clock.Now())
		if err != nil {
			return true, nil, err
		}
		encoded, err := theirs.encode()
		if err != nil {
			return true, nil, err
		}
		c.bundle = theirs.trust()
		// The other one is quicker: it is there when this one arrives.
		return false, nil, c.kube.Tracker().Add(&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: name}, Data: map[string][]byte{authoritiesKey: encoded},
		})
	})
	k := c.starting()
	if err := k.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.mustTrust("after a race", k)
}

func TestAnAuthorityThatCannotBeReadIsNeverReplaced(t *testing.T) {
	whole := func(data map[string][]byte) []byte { return slices.Clone(data[authoritiesKey]) }
	for name, damage := range map[string]func(data map[string][]byte){
		"garbage":               func(data map[string][]byte) { data[authoritiesKey] = []byte("x") },
		"empty":                 func(data map[string][]byte) { data[authoritiesKey] = nil },
		"without its key":       func(data map[string][]byte) { delete(data, authoritiesKey) },
		"cut":                   func(data map[string][]byte) { data[authoritiesKey] = whole(data)[:len(whole(data))-40] },
		"the certificate alone": func(data map[string][]byte) { data[authoritiesKey] = data[trustKey] },
		"the key of another": func(data map[string][]byte) {
			other, err := keypair.NewAuthority("other", begin, day)
			if err != nil {
				t.Fatal(err)
			}
			encoded, err := authorities{other}.encode()
			if err != nil {
				t.Fatal(err)
			}
			_, foreignKey := pem.Decode(encoded)
			data[authoritiesKey] = append(slices.Clone(data[trustKey]), foreignKey...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			running := c.replica()
			secret := c.secret()
			damage(secret.Data)
			c.write(secret)
			_, whileItRuns := running.Ensure(t.Context())
			for when, err := range map[string]error{"while it runs": whileItRuns, "at its start": c.starting().Prepare(t.Context())} {
				if err == nil || !strings.Contains(err.Error(), "the Secret system/"+secret.Name) || !strings.Contains(err.Error(), "from a backup") {
					t.Errorf("%s: got %v, want a sentence that says where and what to do", when, err)
				}
			}
			if diff := cmp.Diff(secret.Data, c.secret().Data); diff != "" {
				t.Errorf("the Secret was changed (-before +after):\n%s", diff)
			}
			c.mustTrust("while the Secret is damaged", running)
		})
	}
}

func TestACertificateIsNotRenewedWhileTheSecretCannotBeRead(t *testing.T) {
	c := newCluster(t)
	k := c.replica()
	c.kube.PrependReactor("get", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("not now")
	})
	c.clock.Step(25 * day)
	if _, err := k.Ensure(t.Context()); err == nil {
		t.Error("got no error")
	}
	c.mustTrust("meanwhile", k)
}
