package cli

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/koinon-io/koinon/pkg/apis/federation/rights"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/memberaccess"
)

var updateGolden = flag.Bool("update", false, "write the golden files")

var (
	anyServer = regexp.MustCompile(`https://127\.0\.0\.1:\d+`)
	anySecond = regexp.MustCompile(`(?m)^ *\d+\.\ds`)
	anyPEM    = regexp.MustCompile(`ca\.crt: \S+`)
)

// golden compares what a command said with a file, but for ports, times and certificates.
func golden(t *testing.T, name, got string) {
	t.Helper()
	got = anyPEM.ReplaceAllString(anySecond.ReplaceAllString(anyServer.ReplaceAllString(got, "https://SERVER"), "   0.0s"), "ca.crt: PEM")
	file := filepath.Join("testdata", name+".txt")
	if *updateGolden {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(read(t, file), got); diff != "" {
		t.Errorf("%s (-want +got), write with -update:\n%s", name, diff)
	}
}

func TestJoinSaysEachStep(t *testing.T) {
	b := newBench(t)
	stdout, stderr := b.mustRun(t, "join", "m1", "--tenant", "bank", "--workspace-group", "shop", "--label", "region=east")
	golden(t, "join", stderr+stdout)
	wantMember := []string{
		"/api/v1/namespaces/koinon-system", "/api/v1/namespaces/koinon-system/secrets/koinon", memberAccounts + "koinon",
		memberBindings + joinRole, memberRoles + joinRole,
	}
	if diff := cmp.Diff(wantMember, b.member.paths()); diff != "" {
		t.Errorf("in the member (-want +got):\n%s", diff)
	}
	cluster := b.koinon.object(koinonNamespace + "/kubefedclusters/m1")
	metadata := cluster["metadata"].(tree)
	if diff := cmp.Diff(tree{"federation.koinon.io/tenant": "bank", "federation.koinon.io/workspace-group": "shop", "region": "east"}, metadata["labels"]); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(tree{"federation.koinon.io/cluster-uid": "uid-m1"}, metadata["annotations"]); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	secret := b.koinon.object(koinonSecrets + "m1")
	if got := secret["data"].(tree)["token"]; got != base64.StdEncoding.EncodeToString([]byte("t0ken")) {
		t.Errorf("the token in Koinon is %v", got)
	}
	stdout, stderr = b.mustRun(t, "join", "m1", "-o", "name")
	golden(t, "join-again", stderr+stdout)
}

func TestJoinPrintsWhatItWouldMake(t *testing.T) {
	b := newBench(t)
	stdout, _ := b.mustRun(t, "join", "m1", "--dry-run=client", "--proxy")
	golden(t, "join-dry-run", stdout)
	if got := b.member.paths(); len(got) > 0 {
		t.Errorf("a dry run made %v", got)
	}
	if strings.Contains(stdout, "dDBrZW4=") {
		t.Error("a token is printed")
	}
}

// TestWhatKeepsAMemberFromBeingJoined: one sentence each, and nothing is made.
func TestWhatKeepsAMemberFromBeingJoined(t *testing.T) {
	joined := func(uid string) tree {
		return tree{"metadata": tree{"annotations": tree{"federation.koinon.io/cluster-uid": uid}}, "spec": tree{"apiEndpoint": "https://elsewhere", "secretRef": tree{"name": "x"}}}
	}
	cases := map[string]struct {
		args   string
		change func(b *bench)
		want   string
	}{
		"no name":                       {args: "join", want: "a name for one member is needed: kubectl koinon join NAME"},
		"the name of a cell":            {args: "join a.shop", want: `"a.shop" is no name of a member: one with a dot is of the KubeFedCluster of a cell or an edge unit`},
		"a name that is none":           {args: "join M1", want: `"M1" is no name of a member: a lowercase RFC 1123 subdomain`},
		"a label without a value":       {args: "join m1 --label region", want: `--label is "region": it must be KEY=VALUE`},
		"a tenant that is no value":     {args: "join m1 --tenant=a/b", want: `--tenant is "a/b": a valid label must be`},
		"two values of one label":       {args: "join m1 --tenant=a --label federation.koinon.io/tenant=b", want: `--label is "federation.koinon.io/tenant=b": the label has the value "a" already`},
		"a server without a token":      {args: "join m1 --server https://m1", want: "--token-file is needed with --server"},
		"a server and a context":        {args: "join m1 --server https://m1 --cluster-context m1", want: "--server, --cluster-context and --cluster-kubeconfig: a context or --server is allowed, not both"},
		"a server over http":            {args: "join m1 --server http://m1 --token-file t", want: `--server is "http://m1": it must be a URL with the scheme https`},
		"a lifetime that is too short":  {args: "join m1 --token-lifetime 1m", want: "--token-lifetime is 1m0s: it must be 10m0s at least, or 0s for a token that does not end"},
		"another dry run":               {args: "join m1 --dry-run=server", want: `--dry-run is "server": it must be none or client`},
		"another output":                {args: "join m1 -o wide", want: `--output is "wide": it must be name, json or yaml`},
		"rights of an account not made": {args: "join m1 --copy-credential --proxy", want: "--copy-credential makes no account: --token-lifetime, --cluster-admin and --proxy are not allowed with it"},
		"no context of the name":        {args: "join m9", want: `there is no context "m9" in `},
		"a context through Koinon": {
			args:   "join m1",
			change: func(b *bench) { b.config.Clusters["m1"].Server = b.koinon.URL + groupPath + "/clusters/m1/proxy" },
			want:   `the context "m1" reaches cluster "m1" through Koinon: one that reaches the member itself is needed, see --cluster-context`,
		},
		"a server that is not checked": {
			args: "join m1",
			change: func(b *bench) {
				b.config.Clusters["m1"].CertificateAuthorityData, b.config.Clusters["m1"].InsecureSkipTLSVerify = nil, true
			},
			want: "the member's context has insecure-skip-tls-verify: no token is sent to a server that was not checked; --ca-file names the authority of its certificate",
		},
		"a credential that a program makes": {
			args: "join m1 --copy-credential",
			change: func(b *bench) {
				b.config.AuthInfos["m1"] = &clientcmdapi.AuthInfo{Exec: &clientcmdapi.ExecConfig{Command: "get-token", APIVersion: "client.authentication.k8s.io/v1", InteractiveMode: "Never"}}
			},
			want: "--copy-credential: the user of the member's context runs a program (exec or auth-provider), which Koinon does not: leave --copy-credential out, so that an account is made in the member",
		},
		"a proxy with a password": {
			args:   "join m1",
			change: func(b *bench) { b.config.Clusters["m1"].ProxyURL = "http://me:secret@proxy:3128" },
			want:   "the proxy-url of the member's context has a user in it, which everybody could read in spec.proxyURL: use a context with a proxy that needs none, or without a proxy",
		},
		"rights that the caller has not in the member": {
			args: "join m1",
			change: func(b *bench) {
				b.member.denied = []string{"create namespaces", "create clusterroles.rbac.authorization.k8s.io"}
			},
			want: "in the member you may not create namespaces, create clusterroles.rbac.authorization.k8s.io: a join needs that",
		},
		"rights that the caller has not in Koinon": {
			args:   "join m1",
			change: func(b *bench) { b.koinon.denied = []string{"create secrets"} },
			want:   "in Koinon you may not create secrets in namespace kube-federation-system: a join needs that",
		},
		"a member that does not answer": {
			args: "join m1", change: func(b *bench) { b.member.silent = true }, want: "is not reached: the server is starting",
		},
		"a cluster that is joined under another name": {
			args:   "join m1",
			change: func(b *bench) { b.koinon.put(koinonNamespace+"/kubefedclusters/old", joined("uid-m1")) },
			want:   "this cluster is joined already, as old: what is placed under one name would be deleted under the other; unjoin that first, or join it all the same with --allow-duplicate",
		},
		"a name that another cluster has": {
			args:   "join m1",
			change: func(b *bench) { b.koinon.put(koinonNamespace+"/kubefedclusters/m1", joined("uid-other")) },
			want:   `"m1" is joined already, and is another cluster: its namespace kube-system has the UID uid-other, and that of this one uid-m1; choose another name, or unjoin it first`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			if tc.change != nil {
				tc.change(b)
			}
			_, _, err := b.run(t, strings.Fields(tc.args)...)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
			if ExitCode(err) != 1 {
				t.Errorf("the exit code is %d", ExitCode(err))
			}
			if got := b.member.paths(); len(got) > 0 {
				t.Errorf("in the member there is %v", got)
			}
		})
	}
}

func TestJoinOfAClusterThatIsJoinedUnderAnotherNameWarnsIfItIsMeant(t *testing.T) {
	b := newBench(t)
	b.koinon.put(koinonNamespace+"/kubefedclusters/old", tree{
		"metadata": tree{"annotations": tree{"federation.koinon.io/cluster-uid": "uid-m1"}}, "spec": tree{"apiEndpoint": "https://elsewhere"}})
	_, stderr := b.mustRun(t, "join", "m1", "--allow-duplicate")
	if want := "Warning: this cluster is joined already, as old: what is placed under one name would be deleted under the other\n"; !strings.Contains(stderr, want) {
		t.Errorf("it said %q, want %q", stderr, want)
	}
}

func TestAMemberThatIsNotReadyInTimeIsJoined(t *testing.T) {
	b := newBench(t)
	b.koinon.notReady = "the member does not answer"
	stdout, stderr, err := b.run(t, "join", "m1", "--timeout", "150ms")
	if want := `"m1" is joined, and not Ready after 150ms: the member does not answer`; err == nil || err.Error() != want || ExitCode(err) != exitPartial {
		t.Errorf("got %v with the exit code %d, want %s", err, ExitCode(err), want)
	}
	if stdout != "kubefedcluster.core.kubefed.io/m1 joined\n" || !strings.Contains(stderr, "not Ready: the member does not answer") {
		t.Errorf("it said %q and %q", stderr, stdout)
	}
	b.mustRun(t, "join", "m1", "--wait=false")
}

// TestWhatIsSomebodyElsesIsNotTaken: neither in the member nor in Koinon.
func TestWhatIsSomebodyElsesIsNotTaken(t *testing.T) {
	cases := map[string]struct {
		put  func(b *bench)
		want string
	}{
		"the account of another federation": {
			func(b *bench) {
				b.member.put(memberAccounts+"koinon", tree{"metadata": tree{"annotations": tree{"federation.koinon.io/joined-by": "f2"}}})
			},
			"the account koinon-system/koinon in the member is that of another federation, f2: --account NAME makes another one",
		},
		"a Secret of the account's name": {
			func(b *bench) {
				b.member.put("/api/v1/namespaces/koinon-system/secrets/koinon", tree{"type": "Opaque"})
			},
			`the Secret koinon-system/koinon in the member is no token of the account "koinon": delete it, or choose another --account`,
		},
		"a Secret of the member's name": {
			func(b *bench) { b.koinon.put(koinonSecrets+"m1", tree{"type": "Opaque"}) },
			`there is a Secret "m1" in Koinon that is not the credential of this member: delete it, or choose another name`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			tc.put(b)
			_, _, err := b.run(t, "join", "m1")
			if want := tc.want + "; what was made so far stays, and the same command goes on from there"; err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

// TestAnAccountKeepsWhatItHas unless somebody says otherwise.
func TestAnAccountKeepsWhatItHas(t *testing.T) {
	yes, no := true, false
	types := []v1beta1.FederatedTypeConfig{}
	withProxy := &rbacv1.ClusterRole{Rules: rights.Rules(types, true)}
	cases := map[string]struct {
		admin, proxy *bool
		hasAdmin     bool
		has          *rbacv1.ClusterRole
		want         []rbacv1.PolicyRule
	}{
		"a new account has what the types take":   {want: rights.Rules(types, false)},
		"cluster-admin by choice":                 {admin: &yes, want: nil},
		"cluster-admin stays":                     {hasAdmin: true, want: nil},
		"cluster-admin is taken away":             {hasAdmin: true, admin: &no, want: rights.Rules(types, false)},
		"the proxy by choice":                     {proxy: &yes, want: rights.Rules(types, true)},
		"the proxy stays":                         {has: withProxy, want: rights.Rules(types, true)},
		"the proxy is taken away":                 {has: withProxy, proxy: &no, want: rights.Rules(types, false)},
		"the proxy stays as cluster-admin leaves": {has: withProxy, hasAdmin: true, admin: &no, want: rights.Rules(types, true)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := &joinOptions{ClusterAdmin: tc.admin, Proxy: tc.proxy}
			if diff := cmp.Diff(tc.want, o.wantedRules(types, tc.hasAdmin, tc.has)); diff != "" {
				t.Errorf("rules (-want +got):\n%s", diff)
			}
		})
	}
}

func TestClusterAdminIsTakenAwayOnceTheOtherRightsAreThere(t *testing.T) {
	b := newBench(t)
	b.mustRun(t, "join", "m1", "--cluster-admin")
	if got := b.member.object(memberBindings + joinRole + ":cluster-admin")["roleRef"].(tree)["name"]; got != "cluster-admin" {
		t.Errorf("the account is bound to %v", got)
	}
	_, stderr := b.mustRun(t, "join", "m1", "--cluster-admin=false")
	order := regexp.MustCompile(`(?s)clusterrolebinding koinon:join:koinon-system:koinon in the member: made.*clusterrolebinding koinon:join:koinon-system:koinon:cluster-admin in the member: deleted`)
	if !order.MatchString(stderr) {
		t.Errorf("it said %s", stderr)
	}
	if slices.Contains(b.member.paths(), memberBindings+joinRole+":cluster-admin") {
		t.Error("the account is cluster-admin still")
	}
}

// TestAnAddressThatSomebodyChoseStays when the member is joined again, as the doctor says.
func TestAnAddressThatSomebodyChoseStays(t *testing.T) {
	b := newBench(t)
	b.mustRun(t, "join", "m1", "--api-endpoint", "https://balancer.example")
	_, stderr := b.mustRun(t, "join", "m1")
	if want := "KubeFedCluster m1 in Koinon: leads to https://balancer.example, and stays so; --api-endpoint says otherwise"; !strings.Contains(stderr, want) {
		t.Errorf("it said %q, want %q", stderr, want)
	}
	spec := b.koinon.object(koinonNamespace + "/kubefedclusters/m1")["spec"].(tree)
	if spec["apiEndpoint"] != "https://balancer.example" {
		t.Errorf("it leads to %v", spec["apiEndpoint"])
	}
}

// TestAMemberBehindAgentsIsNotWaitedFor: they are made once it is joined.
func TestAMemberBehindAgentsIsNotWaitedFor(t *testing.T) {
	b := newBench(t)
	b.koinon.notReady = "no agent is connected"
	_, stderr := b.mustRun(t, "join", "m1", "--tunnel", "Always")
	if want := "  kubectl koinon agent m1 --image IMAGE --wait | kubectl --context m1 apply -f -\n"; !strings.Contains(stderr, want) {
		t.Errorf("it said %q, want %q", stderr, want)
	}
	spec := b.koinon.object(koinonNamespace + "/kubefedclusters/m1")["spec"].(tree)
	if spec["tunnel"] != "Always" || spec["apiEndpoint"] != "https://kubernetes.default.svc" {
		t.Errorf("its spec is %v", spec)
	}
}

// TestWhatATokenCannotSayIsInAKubeconfig, which those who connect take.
func TestWhatATokenCannotSayIsInAKubeconfig(t *testing.T) {
	o := &joinOptions{name: "m1", memberAccount: memberAccount{System: "sys"}, from: &memberSource{cluster: clientcmdapi.Cluster{Server: "https://m1:6443"}}}
	secret, err := o.wantedSecret(memberCredential{token: "t0ken", tlsServerName: "inside.example"})
	if err != nil {
		t.Fatal(err)
	}
	config, err := memberaccess.Config(o.wantedCluster("uid"), secret, metav1.Now().Time)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://m1:6443" || config.ServerName != "inside.example" || config.BearerToken != "t0ken" {
		t.Errorf("it is connected to %s as %s with %q", config.Host, config.ServerName, config.BearerToken)
	}
}

// tokenInKoinon is the credential that Koinon got.
func (b *bench) tokenInKoinon(t *testing.T) string {
	t.Helper()
	text, _ := b.koinon.object(koinonSecrets + "m1")["data"].(tree)["token"].(string)
	token, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(token)
}

// TestWhatAProgramGivesTheCallerStaysHere: Koinon gets the account's token.
func TestWhatAProgramGivesTheCallerStaysHere(t *testing.T) {
	b := newBench(t)
	b.config.AuthInfos["m1"] = &clientcmdapi.AuthInfo{Exec: &clientcmdapi.ExecConfig{
		APIVersion: "client.authentication.k8s.io/v1", InteractiveMode: "Never", Command: "sh",
		Args: []string{"-c", `echo '{"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "status": {"token": "mine"}}'`},
	}}
	b.mustRun(t, "join", "m1")
	if got := b.tokenInKoinon(t); got != "t0ken" {
		t.Errorf("Koinon has the token %q", got)
	}
}

// A token that ends is made with the right to make the next one, and of no other account. A join keeps it, until it is told otherwise.
func TestATokenThatEndsIsMadeWithTheRightToRenewIt(t *testing.T) {
	const roles, bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/koinon-system/roles/", "/apis/rbac.authorization.k8s.io/v1/namespaces/koinon-system/rolebindings/"
	b := newBench(t)
	tokenOf := func(uid string) string {
		payload, err := json.Marshal(tree{"sub": "system:serviceaccount:koinon-system:koinon", "iat": time.Now().Unix(), "exp": time.Now().Add(24 * time.Hour).Unix(),
			"kubernetes.io": tree{"serviceaccount": tree{"uid": uid}}})
		if err != nil {
			t.Fatal(err)
		}
		return "e30." + base64.RawURLEncoding.EncodeToString(payload) + ".c2ln"
	}
	b.member.put(memberAccounts+"koinon", tree{"metadata": tree{"uid": "first"}})
	b.member.bound = tokenOf("first")
	_, stderr := b.mustRun(t, "join", "m1", "--token-lifetime", "24h")
	if want := "token of koinon-system/koinon in the member: made, ends at 2030-01-01T00:00:00Z, and is renewed before\n"; !strings.Contains(stderr, want) {
		t.Errorf("it said %q, want %q", stderr, want)
	}
	if got := b.tokenInKoinon(t); got != b.member.bound || b.member.object("/api/v1/namespaces/koinon-system/secrets/koinon") != nil {
		t.Errorf("Koinon has the token %q", got)
	}
	want := []any{tree{"apiGroups": []any{""}, "resources": []any{"serviceaccounts/token"}, "resourceNames": []any{"koinon"}, "verbs": []any{"create"}}}
	if diff := cmp.Diff(want, b.member.object(roles + joinRole + ":token")["rules"]); diff != "" {
		t.Errorf("the rules (-want +got):\n%s", diff)
	}
	if b.member.object(bindings+joinRole+":token") == nil {
		t.Error("nobody has the role")
	}

	_, stderr = b.mustRun(t, "join", "m1")
	if strings.Contains(stderr, ": made\n") || strings.Contains(stderr, ": changed\n") || b.tokenInKoinon(t) != b.member.bound {
		t.Errorf("a join of what is joined said %q", stderr)
	}
	b.member.put(memberAccounts+"koinon", tree{"metadata": tree{"uid": "second"}})
	b.member.bound = tokenOf("second")
	b.mustRun(t, "join", "m1")
	if b.tokenInKoinon(t) != b.member.bound {
		t.Error("of an account that was made anew Koinon keeps the token of the old one")
	}
	_, stderr = b.mustRun(t, "join", "m1", "--token-lifetime", "0s")
	if got := b.tokenInKoinon(t); got != "t0ken" || b.member.object(roles+joinRole+":token") != nil || b.member.object(bindings+joinRole+":token") != nil {
		t.Errorf("with a token that does not end the account keeps the right to make others, or Koinon has %q; it said %q", got, stderr)
	}
}

func TestACredentialIsCopiedWithoutAnAccount(t *testing.T) {
	b := newBench(t)
	b.mustRun(t, "join", "m1", "--copy-credential")
	if got := b.tokenInKoinon(t); got != "of-m1" {
		t.Errorf("Koinon has the token %q", got)
	}
	if got := b.member.paths(); len(got) > 0 {
		t.Errorf("in the member there is %v", got)
	}
}

// probedAt has the controllers find the member Ready at a time.
func (b *bench) probedAt(at string) {
	b.koinon.mu.Lock()
	defer b.koinon.mu.Unlock()
	b.koinon.objects[koinonNamespace+"/kubefedclusters/m1"]["status"] = tree{"conditions": []any{tree{"type": "Ready", "status": "True", "lastProbeTime": at}}}
}

// TestReadyIsSaidOfWhatTheConnectionIsMadeOfNow: a condition from before it changed says nothing of it.
func TestReadyIsSaidOfWhatTheConnectionIsMadeOfNow(t *testing.T) {
	cases := map[string]struct {
		args  string
		probe bool // the controllers look at it once it has changed
		ready bool
	}{
		"nothing changed":                       {args: "join m1", ready: true},
		"a label changed":                       {args: "join m1 --label region=east", ready: true},
		"another credential, not looked at yet": {args: "join m1 --token-lifetime 1h"},
		"another credential, looked at":         {args: "join m1 --token-lifetime 1h", probe: true, ready: true},
		"another address, not looked at yet":    {args: "join m1 --api-endpoint https://balancer.example"},
		"another address, looked at":            {args: "join m1 --api-endpoint https://balancer.example", probe: true, ready: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			b := joinedBench(t)
			b.probedAt(noon.Format(time.RFC3339))
			if tc.probe {
				b.koinon.probed = noon
			}
			_, stderr, err := b.run(t, append(strings.Fields(tc.args), "--timeout", "300ms")...)
			if tc.ready {
				if err != nil || !strings.Contains(stderr, "KubeFedCluster m1 in Koinon: Ready\n") {
					t.Errorf("got %v; it said %s", err, stderr)
				}
				return
			}
			want := `"m1" is joined, and not Ready after 300ms: it was found Ready before its connection changed, and was not looked at since`
			if err == nil || err.Error() != want || ExitCode(err) != exitPartial {
				t.Errorf("got %v with the exit code %d, want %s", err, ExitCode(err), want)
			}
		})
	}
}
