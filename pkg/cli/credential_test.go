package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientauthenticationv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/keyutil"
)

const koinonServer = "https://koinon.example:6443"

// askFor is what client-go asks for a cluster.
func askFor(t *testing.T, cluster string) {
	t.Helper()
	t.Setenv(execInfo, `{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "spec": {"interactive": false, "cluster": `+cluster+`}}`)
}

func askForServer(t *testing.T, server string) {
	t.Helper()
	askFor(t, fmt.Sprintf(`{"server": %q}`, server))
}

// caller makes a kubeconfig of a user the one that is read.
func caller(t *testing.T, user *clientcmdapi.AuthInfo) {
	t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["koinon"] = &clientcmdapi.Cluster{Server: koinonServer}
	config.AuthInfos["jane"] = user
	config.Contexts["koinon"] = &clientcmdapi.Context{Cluster: "koinon", AuthInfo: "jane"}
	config.CurrentContext = "koinon"
	use(t, config)
}

// credentialOf runs the command.
func credentialOf(t *testing.T, args ...string) *clientauthenticationv1.ExecCredential {
	t.Helper()
	stdout, _, err := run(t, append([]string{"credential"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	credential := &clientauthenticationv1.ExecCredential{}
	if err := json.Unmarshal([]byte(stdout), credential); err != nil {
		t.Fatalf("%v in %s", err, stdout)
	}
	return credential
}

// tokenUntil is a token of a service account, as far as its times are read.
func tokenUntil(end time.Time) string {
	claims := fmt.Sprintf(`{"iat": %d, "exp": %d}`, end.Add(-time.Hour).Unix(), end.Unix())
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".sig"
}

func TestTheCredentialIsThatOfTheContext(t *testing.T) {
	caller(t, &clientcmdapi.AuthInfo{Token: "t0ken"})
	for name, server := range map[string]string{
		"a cluster":              koinonServer + groupPath + "/clusters/m1/proxy",
		"a cell":                 koinonServer + groupPath + "/namespaces/shop/cells/rz00a/proxy",
		"written in another way": "https://KOINON.example:6443" + groupPath + "/clusters/m1/proxy/",
	} {
		t.Run(name, func(t *testing.T) {
			askForServer(t, server)
			got := credentialOf(t)
			want := &clientauthenticationv1.ExecCredential{TypeMeta: got.TypeMeta, Status: &clientauthenticationv1.ExecCredentialStatus{Token: "t0ken"}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got.APIVersion != "client.authentication.k8s.io/v1" || got.Kind != "ExecCredential" {
				t.Errorf("got %+v", got.TypeMeta)
			}
		})
	}
}

// client-go refuses an answer of another version than it has asked in.
func TestTheAnswerIsInTheVersionOfTheQuestion(t *testing.T) {
	caller(t, &clientcmdapi.AuthInfo{Token: "t0ken"})
	t.Setenv(execInfo, `{"apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential", "spec": {"cluster": {"server": "`+koinonServer+groupPath+`/clusters/m1/proxy"}}}`)
	if got := credentialOf(t).APIVersion; got != "client.authentication.k8s.io/v1beta1" {
		t.Errorf("got %s", got)
	}
}

// A projected token is another one after some time, in the same file.
func TestATokenOfAFileIsAskedForAnewBeforeItEnds(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	askForServer(t, "https://10.96.0.1"+groupPath+"/clusters/m1/proxy")
	t.Setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
	t.Setenv("KUBERNETES_SERVICE_PORT", "443")
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	end := time.Now().Add(time.Hour).Truncate(time.Second)
	token := tokenUntil(end)
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := credentialOf(t, "--token-file", file).Status
	if got.Token != token || got.ExpirationTimestamp == nil || got.ExpirationTimestamp.Time.After(end.Add(-time.Minute)) || got.ExpirationTimestamp.Time.Before(end.Add(-2*time.Minute)) {
		t.Errorf("got %+v, want that it ends a minute before %s", got, end)
	}
	askForServer(t, koinonServer+groupPath+"/clusters/m1/proxy")
	if got := credentialOf(t, "--token-file", file, "--server", koinonServer).Status; got.Token != token {
		t.Errorf("got %+v", got)
	}
}

func TestAClientCertificateIsGivenWithItsKeyAndEnd(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(24 * time.Hour).Truncate(time.Second)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: end}, &x509.Certificate{SerialNumber: big.NewInt(1)}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyPEM, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		t.Fatal(err)
	}
	caller(t, &clientcmdapi.AuthInfo{ClientCertificateData: pemOf(der), ClientKeyData: keyPEM})
	askForServer(t, koinonServer+groupPath+"/clusters/m1/proxy")
	got := credentialOf(t).Status
	if got.ClientCertificateData != string(pemOf(der)) || got.ClientKeyData != string(keyPEM) || got.ExpirationTimestamp == nil || !got.ExpirationTimestamp.Time.Equal(end.Add(-time.Minute)) {
		t.Errorf("got %+v", got)
	}
}

// Who may write profiles must not be able to have a credential sent to him.
func TestACredentialIsGivenForOurProxiesOnly(t *testing.T) {
	ours := koinonServer + groupPath + "/clusters/m1/proxy"
	for name, test := range map[string]struct{ cluster, want string }{
		"another server": {`{"server": "https://evil.example:6443` + groupPath + `/clusters/m1/proxy"}`,
			`spec.cluster.server is "https://evil.example:6443` + groupPath + `/clusters/m1/proxy", and Koinon's server is "` + koinonServer + `": no credential is given for it`},
		"another port":           {`{"server": "https://koinon.example:443` + groupPath + `/clusters/m1/proxy"}`, "no credential is given for it"},
		"another server in user": {`{"server": "https://koinon.example:6443@evil.example` + groupPath + `/clusters/m1/proxy"}`, "no credential is given for it"},
		"no proxy":               {`{"server": "` + koinonServer + `"}`, "which is no proxy of Koinon: no credential is given for it"},
		"a path below":           {`{"server": "` + koinonServer + `/evil` + groupPath + `/clusters/m1/proxy"}`, "no credential is given for it"},
		"in the clear":           {`{"server": "http://koinon.example:6443` + groupPath + `/clusters/m1/proxy"}`, "which is not https"},
		"not verified":           {`{"server": "` + ours + `", "insecure-skip-tls-verify": true}`, "spec.cluster.insecure-skip-tls-verify is true, and yours is not"},
		"another name":           {`{"server": "` + ours + `", "tls-server-name": "evil.example"}`, `spec.cluster.tls-server-name is "evil.example", and yours is ""`},
		"another way":            {`{"server": "` + ours + `", "proxy-url": "http://evil.example"}`, "spec.cluster.proxy-url is not yours"},
		"nobody":                 {`null`, "must say provideClusterInfo: true"},
	} {
		t.Run(name, func(t *testing.T) {
			caller(t, &clientcmdapi.AuthInfo{Token: "t0ken"})
			askFor(t, test.cluster)
			stdout, _, err := run(t, "credential")
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if strings.Contains(stdout, "t0ken") {
				t.Error("the token is given")
			}
		})
	}
}

// Who may write profiles, and answers at the server's address, must not be able to have a credential sent to him either.
func TestAnAuthorityOfAProfileIsOneOfTheCallers(t *testing.T) {
	authority := func(name string) []byte {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return pemOf(der)
	}
	ours, next, evil := authority("ours"), authority("next"), authority("evil")
	file := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(file, ours, 0o600); err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("t0ken"), 0o600); err != nil {
		t.Fatal(err)
	}
	const refused = `spec.cluster.certificate-authority-data has the authority "CN=evil", which yours has not: no credential is given for it`
	for name, test := range map[string]struct {
		own, asked []byte
		args       []string
		want       string
	}{
		"the same":                          {own: ours, asked: ours},
		"one of several":                    {own: slices.Concat(ours, next), asked: next},
		"another":                           {own: ours, asked: evil, want: refused},
		"another beside it":                 {own: ours, asked: slices.Concat(ours, evil), want: refused},
		"the same, of a file":               {asked: ours, args: []string{"--certificate-authority", file}},
		"another than a file's":             {asked: evil, args: []string{"--certificate-authority", file}, want: refused},
		"another than a file's, in a pod":   {asked: evil, args: []string{"--token-file", token, "--server", koinonServer, "--certificate-authority", file}, want: refused},
		"any, where none is known":          {asked: evil},
		"any, in a pod where none is known": {asked: evil, args: []string{"--token-file", token, "--server", koinonServer}},
	} {
		t.Run(name, func(t *testing.T) {
			config := clientcmdapi.NewConfig()
			config.Clusters["koinon"] = &clientcmdapi.Cluster{Server: koinonServer, CertificateAuthorityData: test.own}
			config.AuthInfos["jane"] = &clientcmdapi.AuthInfo{Token: "t0ken"}
			config.Contexts["koinon"] = &clientcmdapi.Context{Cluster: "koinon", AuthInfo: "jane"}
			config.CurrentContext = "koinon"
			use(t, config)
			askFor(t, fmt.Sprintf(`{"server": %q, "certificate-authority-data": %q}`, koinonServer+groupPath+"/clusters/m1/proxy", base64.StdEncoding.EncodeToString(test.asked)))
			stdout, _, err := run(t, append([]string{"credential"}, test.args...)...)
			if got := errorText(err); !strings.HasPrefix(got, test.want) || (got == "") != (test.want == "") {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if given := strings.Contains(stdout, "t0ken"); given != (test.want == "") {
				t.Errorf("the token is given: %v", given)
			}
		})
	}
}

func TestCredentialRefusals(t *testing.T) {
	directory := t.TempDir()
	empty, ended := filepath.Join(directory, "empty"), filepath.Join(directory, "ended")
	for file, content := range map[string]string{empty: "\n", ended: tokenUntil(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in := func(file string) []string { return []string{"--token-file", file, "--server", koinonServer} }
	for name, test := range map[string]struct {
		user clientcmdapi.AuthInfo
		args []string
		info string
		want string
	}{
		"run by hand":              {info: "-", want: "KUBERNETES_EXEC_INFO is not set: clients of ClusterProfiles run this command"},
		"no JSON":                  {info: "{", want: "KUBERNETES_EXEC_INFO is no ExecCredential: "},
		"another version":          {info: `{"apiVersion": "client.authentication.k8s.io/v2", "kind": "ExecCredential"}`, want: `has apiVersion "client.authentication.k8s.io/v2" and kind "ExecCredential": allowed are an ExecCredential of client.authentication.k8s.io/v1 or client.authentication.k8s.io/v1beta1`},
		"nobody":                   {want: "the user of the context has no credential"},
		"a program":                {user: clientcmdapi.AuthInfo{Exec: &clientcmdapi.ExecConfig{APIVersion: "client.authentication.k8s.io/v1", Command: "aws", InteractiveMode: "Never"}}, want: `from the program "aws": name that program in the provider's execConfig`},
		"somebody else":            {user: clientcmdapi.AuthInfo{Token: "t0ken", Impersonate: "bob"}, want: "the context impersonates somebody"},
		"somebody else by a flag":  {user: clientcmdapi.AuthInfo{Token: "t0ken"}, args: []string{"--as", "bob"}, want: "the context impersonates somebody"},
		"a password":               {user: clientcmdapi.AuthInfo{Username: "jane", Password: "secret"}, want: "has a password"},
		"a file that is not there": {args: in(filepath.Join(directory, "none")), want: "read the token: "},
		"an empty file":            {args: in(empty), want: empty + " is empty: it must have a token"},
		"a token that has ended":   {args: in(ended), want: "the token in " + ended + " has ended at 2026-01-01T00:00:00Z"},
		"no server":                {args: []string{"--token-file", ended}, want: "--server is not given, and this is no pod of a cluster"},
		"an argument":              {args: []string{"m1"}, want: `"m1" is too much`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBERNETES_SERVICE_HOST", "")
			caller(t, &test.user)
			askForServer(t, koinonServer+groupPath+"/clusters/m1/proxy")
			if test.info != "" {
				t.Setenv(execInfo, strings.TrimPrefix(test.info, "-"))
			}
			stdout, _, err := run(t, append([]string{"credential"}, test.args...)...)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if stdout != "" {
				t.Errorf("it printed %s", stdout)
			}
		})
	}
}
