package simulated_test

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/test/simulation"
)

// accountPath is where tokens of the account are made.
const accountPath = "/api/v1/namespaces/koinon-system/serviceaccounts/koinon/token"

// office makes tokens of a service account, as a member does.
type office struct {
	*realm
	door *door
	// made are when tokens were made, and refuses what is said instead, if it is not empty. The door's lock guards both.
	made    []time.Time
	refuses int
	// hangs is closed when the office answers again; nil: it answers.
	hangs chan struct{}
	// behind is by how much the clock of the member is, for the tokens that it makes.
	behind time.Duration
}

// issue makes a token of an account that opens the door for a time from now on.
func (o *office) issue(account string, lifetime time.Duration) string {
	now := time.Now()
	payload, err := json.Marshal(map[string]any{
		"jti": strconv.Itoa(len(o.door.passes)), "sub": "system:serviceaccount:koinon-system:" + account,
		"iat": now.Add(-o.behind).Unix(), "exp": now.Add(lifetime - o.behind).Unix(),
	})
	if err != nil {
		o.Fatal(err)
	}
	token := "e30." + base64.RawURLEncoding.EncodeToString(payload) + ".c2ln"
	if o.door.passes == nil {
		o.door.passes = map[string]time.Time{}
	}
	o.door.passes[token] = now.Add(lifetime)
	return token
}

func (o *office) answer(w http.ResponseWriter, r *http.Request) {
	o.door.mu.Lock()
	if hangs := o.hangs; hangs != nil {
		o.door.mu.Unlock()
		select {
		case <-hangs:
		case <-r.Context().Done():
		}
		return
	}
	defer o.door.mu.Unlock()
	var request authenticationv1.TokenRequest
	body, err := io.ReadAll(r.Body)
	if err != nil || r.URL.Path != accountPath || r.Method != http.MethodPost || json.Unmarshal(body, &request) != nil {
		o.Errorf("the member was asked with %s %s %s: %v", r.Method, r.URL.Path, body, err)
	}
	w.Header().Set("Content-Type", "application/json")
	if o.refuses != 0 {
		w.WriteHeader(o.refuses)
		_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: int32(o.refuses),
			Reason: map[int]metav1.StatusReason{http.StatusForbidden: metav1.StatusReasonForbidden, http.StatusNotFound: metav1.StatusReasonNotFound}[o.refuses], Message: "no"})
		return
	}
	o.made = append(o.made, time.Now())
	request.Status.Token = o.issue("koinon", time.Duration(*request.Spec.ExpirationSeconds)*time.Second)
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(request)
}

// inOffice runs a test with a member m1, whose Secret has a token that ends after a lifetime, as a token or in a kubeconfig.
func inOffice(t *testing.T, lifetime time.Duration, inKubeconfig bool, do func(*office)) {
	t.Helper()
	inOfficeAhead(t, 0, lifetime, inKubeconfig, do)
}

// inOfficeAhead is inOffice in a member whose clock is ahead.
func inOfficeAhead(t *testing.T, ahead, lifetime time.Duration, inKubeconfig bool, do func(*office)) {
	t.Helper()
	inRealm(t, 1, func(r *realm) {
		o := &office{realm: r, door: r.doors["m1"], behind: -ahead}
		o.door.mu.Lock()
		o.door.ahead = ahead
		token := o.issue("koinon", lifetime)
		o.door.desk, o.door.token = o.answer, "nobody's"
		o.door.mu.Unlock()
		if inKubeconfig {
			r.lendKubeconfig("m1", &clientcmdapi.AuthInfo{Token: token})
		} else {
			r.changeSecret("m1", func(secret map[string]any) {
				secret["data"].(map[string]any)[v1beta1.TokenKey] = base64.StdEncoding.EncodeToString([]byte(token))
			})
		}
		r.pass(soon)
		do(o)
	})
}

func (r *realm) changeSecret(name string, change func(secret map[string]any)) {
	r.Helper()
	if _, err := r.host.Change(simulation.Secrets, v1beta1.DefaultNamespace, name, change); err != nil {
		r.Fatal(err)
	}
}

// lendKubeconfig has the Secret of a member hold a kubeconfig.
func (r *realm) lendKubeconfig(name string, user *clientcmdapi.AuthInfo) {
	r.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: "https://" + name, CertificateAuthorityData: r.doors[name].authority.pem}
	config.AuthInfos["u"], config.Contexts["x"], config.CurrentContext = user, &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}, "x"
	data, err := clientcmd.Write(*config)
	if err != nil {
		r.Fatal(err)
	}
	r.changeSecret(name, func(secret map[string]any) {
		secret["data"] = map[string]any{v1beta1.KubeconfigKey: base64.StdEncoding.EncodeToString(data)}
	})
}

// changes changes an object every minute for some minutes, and checks that each change arrives, with one write.
func (r *realm) changes(minutes int) {
	r.Helper()
	before := r.members[0].Counts().Writes()
	for i := range minutes {
		value := fmt.Sprint(before, i)
		r.federate("settings", value)
		r.pass(time.Minute)
		r.expect("m1", map[string]string{"settings": value})
	}
	if n := r.members[0].Counts().Writes() - before; n != int64(minutes) {
		r.Errorf("the member was written to %d times, want once for each of %d changes", n, minutes)
	}
}

// A token that ends is renewed when 70 to 80 hundredths of its time have passed, over and over, in the place where it was; each
// change arrives, once, and nobody is refused.
func TestATokenThatEndsIsRenewedInPlaceAndNoChangeIsMissed(t *testing.T) {
	for name, inKubeconfig := range map[string]bool{"under the key token": false, "in a kubeconfig": true} {
		t.Run(name, func(t *testing.T) {
			begun := time.Time{}
			inOffice(t, time.Hour, inKubeconfig, func(o *office) {
				begun = time.Now().Add(-soon)
				o.federate("settings", "first")
				o.pass(time.Minute)
				o.changes(150)
				if n := len(o.made); n != 3 {
					t.Errorf("%d tokens were made in two and a half hours, want 3", n)
				}
				for i, at := range o.made {
					// A check of health comes between, and a token says whole seconds.
					if age := at.Sub(begun); age < 42*time.Minute-time.Second || age > 48*time.Minute+11*time.Second {
						t.Errorf("token %d was renewed when it was %s old", i, age)
					}
					begun = at
				}
				if got := o.says("m1"); got != "Ready=True: /healthz responded with ok" {
					t.Errorf("the KubeFedCluster says %q", got)
				}
				if n := o.door.refusals(); n > 1 { // one check of health may have begun with the token that inRealm lent
					t.Errorf("%d requests were refused", n)
				}
			})
		})
	}
}

// Tokens end by the clock of the member that makes them, whatever it is: they are renewed as often as those of a member whose clock is
// right, and nobody is refused.
func TestTokensAreRenewedByTheClockOfTheMember(t *testing.T) {
	for name, test := range map[string]struct {
		always time.Duration // that it is ahead
		later  time.Duration // that it makes tokens ahead, while what is in between answers with another Date
	}{
		"which is ahead":  {always: 50 * time.Minute},
		"which is behind": {always: -50 * time.Minute},
		"which is further behind than a token lives": {always: -2 * time.Hour},
		"although answers say another":               {later: 50 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			inOfficeAhead(t, test.always, time.Hour, false, func(o *office) {
				o.federate("settings", "first")
				o.pass(time.Minute)
				if test.later != 0 {
					o.door.mu.Lock()
					o.behind = -test.later
					o.door.mu.Unlock()
				}
				o.changes(150)
				if n := len(o.made); n != 3 {
					t.Errorf("%d tokens were made in two and a half hours, want 3", n)
				}
				if got := o.says("m1"); got != "Ready=True: /healthz responded with ok" {
					t.Errorf("the KubeFedCluster says %q", got)
				}
				if n := o.door.refusals(); n > 1 { // as above
					t.Errorf("%d requests were refused", n)
				}
			})
		})
	}
}

// A member that does not answer a request for a token is checked meanwhile, as often as ever.
func TestAMemberThatHoldsARequestForATokenIsCheckedMeanwhile(t *testing.T) {
	inOffice(t, time.Hour, false, func(o *office) {
		asked := func() bool { // for a token, and not answered
			o.door.mu.Lock()
			defer o.door.mu.Unlock()
			return o.door.held > 0
		}
		o.door.mu.Lock()
		o.hangs = make(chan struct{})
		o.door.mu.Unlock()
		o.pass(41 * time.Minute)
		for !asked() {
			o.pass(100 * time.Millisecond)
		}
		o.door.mu.Lock()
		o.door.checks = 0
		o.door.mu.Unlock()
		o.pass(12 * time.Second) // a check is due every ten
		o.door.mu.Lock()
		checks := o.door.checks
		o.door.mu.Unlock()
		if !asked() || checks == 0 {
			t.Errorf("while a request for a token was held (%v) the member was checked %d times", asked(), checks)
		}
		close(o.hangs)
	})
}

// Tokens of a member whose clock says one thing in its answers and another in its tokens, or that lies, are due as soon as they are made. Each is
// a write of the Secret, and has everything of the member listed anew: it is good for a tenth of its time all the same.
func TestATokenThatIsDueAtOnceIsGoodForATenthOfItsTime(t *testing.T) {
	for name, test := range map[string]struct{ behind, ahead time.Duration }{
		"the member makes tokens behind":                   {behind: 50 * time.Minute},
		"what is in between answers with a Date far ahead": {ahead: 50 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, time.Hour, false, func(o *office) {
				o.federate("settings", "first")
				o.door.mu.Lock()
				o.behind, o.door.ahead = test.behind, test.ahead
				o.door.mu.Unlock()
				o.pass(50 * time.Minute)
				o.door.mu.Lock()
				before := len(o.made)
				o.door.mu.Unlock()
				for range 60 {
					o.changes(1)
					if got := o.says("m1"); got != "Ready=True: /healthz responded with ok" {
						o.Fatalf("the KubeFedCluster says %q", got)
					}
				}
				if n := len(o.made) - before; n < 9 || n > 10 {
					t.Errorf("%d tokens were made in an hour, want one every six minutes and a check", n)
				}
			})
		})
	}
}

// Whoever wants another token now says so in the Secret.
func TestATokenIsRenewedAtOnceIfItsSecretAsksForThat(t *testing.T) {
	inOffice(t, 24*time.Hour, false, func(o *office) {
		o.pass(time.Minute)
		for want := 1; want <= 2; want++ { // also if the token was just made
			o.changeSecret("m1", func(secret map[string]any) {
				secret["metadata"].(map[string]any)["annotations"].(map[string]any)["federation.koinon.io/rotate"] = "now"
			})
			o.pass(10 * time.Minute)
			if n := len(o.made); n != want {
				t.Errorf("%d tokens were made, want %d", n, want)
			}
		}
		secret, _ := json.Marshal(o.host.Object(simulation.Secrets, v1beta1.DefaultNamespace, "m1"))
		if strings.Contains(string(secret), "rotate") {
			t.Error("the Secret still asks for another token")
		}
	})
}

// A token that cannot be renewed is said in the condition, with the reason and the end; once that is mended it is renewed, and
// the condition goes.
func TestATokenThatIsNotRenewedIsSaidWithTheReason(t *testing.T) {
	for name, test := range map[string]struct {
		refuses int
		away    bool
		want    string
	}{
		"the right is missing": {http.StatusForbidden, false,
			"Ready=True: /healthz responded with ok; CredentialsExpiring=True: of Secret \"m1\": its token ends at %s, and was not renewed: the account koinon-system/koinon may not make tokens of itself there (create serviceaccounts/token, 403 Forbidden)"},
		"the account is gone": {http.StatusNotFound, false,
			"Ready=True: /healthz responded with ok; CredentialsExpiring=True: of Secret \"m1\": its token ends at %s, and was not renewed: the member has no service account koinon-system/koinon, or no way to make tokens (404 Not Found)"},
		"the member is away": {0, true,
			"Offline=True: the member does not answer: connection refused; CredentialsExpiring=True: of Secret \"m1\": its token ends at %s, and was not renewed: the member is not ready"},
	} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, time.Hour, false, func(o *office) {
				o.federate("settings", "1")
				ends := time.Now().Add(time.Hour - soon).UTC().Format(time.RFC3339)
				o.door.mu.Lock()
				o.refuses = test.refuses
				o.door.mu.Unlock()
				o.pass(40 * time.Minute)
				if got := o.says("m1"); got != "Ready=True: /healthz responded with ok" {
					t.Errorf("before it is due the KubeFedCluster says %q", got)
				}
				if test.away {
					o.door.leave(true)
				}
				o.pass(12 * time.Minute)
				if got, want := o.says("m1"), fmt.Sprintf(test.want, ends); !strings.HasPrefix(got, want[:20]) || got[strings.Index(got, "CredentialsExpiring"):] != want[strings.Index(want, "CredentialsExpiring"):] {
					t.Errorf("the KubeFedCluster says %q, want %q", got, want)
				}
				o.door.mu.Lock()
				o.refuses = 0
				o.door.mu.Unlock()
				o.door.leave(false)
				o.pass(2 * time.Minute)
				if got := o.says("m1"); got != "Ready=True: /healthz responded with ok" {
					t.Errorf("once it is mended the KubeFedCluster says %q", got)
				}
				o.changes(30)
			})
		})
	}
}

// A client certificate that nobody renews is said two weeks before its end. Another one in its place is used at once: the condition
// goes, and no change is missed.
func TestAClientCertificateIsSaidBeforeItEndsAndReplacedInPlace(t *testing.T) {
	inRealm(t, 1, func(r *realm) {
		d, users := r.doors["m1"], newAuthority(t)
		certificate := func(lifetime time.Duration) *clientcmdapi.AuthInfo {
			key := newKey(t)
			template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "koinon"},
				NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(lifetime)}
			der, err := x509.CreateCertificate(rand.Reader, template, users.certificate, &key.PublicKey, users.key)
			if err != nil {
				t.Fatal(err)
			}
			keyDER, err := x509.MarshalECPrivateKey(key)
			if err != nil {
				t.Fatal(err)
			}
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.client, err = x509.ParseCertificate(der); err != nil {
				t.Fatal(err)
			}
			d.token = "nobody's"
			return &clientcmdapi.AuthInfo{
				ClientCertificateData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
				ClientKeyData:         pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}),
			}
		}
		const twoWeeks = 14 * 24 * time.Hour
		ends := time.Now().Add(twoWeeks + 10*time.Minute).UTC().Format(time.RFC3339)
		r.lendKubeconfig("m1", certificate(twoWeeks+10*time.Minute))
		r.federate("settings", "first")
		r.pass(5 * time.Minute)
		if got := r.says("m1"); got != "Ready=True: /healthz responded with ok" {
			t.Errorf("earlier than two weeks before the KubeFedCluster says %q", got)
		}
		r.pass(6 * time.Minute)
		if got, want := r.says("m1"), `Ready=True: /healthz responded with ok; CredentialsExpiring=True: of Secret "m1": its client certificate ends at `+ends; got != want {
			t.Errorf("two weeks before the KubeFedCluster says %q, want %q", got, want)
		}
		r.changes(3)
		r.lendKubeconfig("m1", certificate(2*twoWeeks))
		r.changes(3)
		if got := r.says("m1"); got != "Ready=True: /healthz responded with ok" {
			t.Errorf("with another certificate the KubeFedCluster says %q", got)
		}
	})
}

// A Secret that asks for another token, and has none that is renewed, says nothing by itself: the KubeFedCluster does, until nobody
// asks any more.
func TestASecretThatAsksInVainForAnotherTokenIsAnswered(t *testing.T) {
	inRealm(t, 1, func(r *realm) {
		r.doors["m1"].mu.Lock()
		endless := "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"system:serviceaccount:koinon-system:koinon"}`)) + ".c2ln"
		r.doors["m1"].token = endless
		r.doors["m1"].mu.Unlock()
		r.lend("m1", "m1")
		asks := func(asks bool) {
			r.changeSecret("m1", func(secret map[string]any) {
				annotations := secret["metadata"].(map[string]any)["annotations"].(map[string]any)
				if delete(annotations, "federation.koinon.io/rotate"); asks {
					annotations["federation.koinon.io/rotate"] = "now"
				}
			})
		}
		asks(true)
		r.pass(time.Minute)
		const want = `Ready=True: /healthz responded with ok; CredentialsExpiring=True: of Secret "m1": the annotation federation.koinon.io/rotate asks for another token, ` +
			`and nobody makes one, since its token does not end: join the member again with --token-lifetime, write another credential into the Secret, or remove the annotation`
		if got := r.says("m1"); got != want {
			t.Errorf("the KubeFedCluster says %q, want %q", got, want)
		}
		asks(false)
		r.pass(time.Minute)
		if got := r.says("m1"); got != "Ready=True: /healthz responded with ok" {
			t.Errorf("once nobody asks the KubeFedCluster says %q", got)
		}
	})
}
