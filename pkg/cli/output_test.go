package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// everyWay is a user with all ways to say who he is.
func everyWay() *clientcmdapi.AuthInfo {
	return &clientcmdapi.AuthInfo{
		ClientCertificate: "pki/jane.crt", ClientKey: "pki/jane.key", TokenFile: "token",
		AuthProvider: &clientcmdapi.AuthProviderConfig{Name: "oidc", Config: map[string]string{"client-id": "x"}},
		Exec: &clientcmdapi.ExecConfig{
			Command: "bin/login", Args: []string{"--fast"}, APIVersion: "client.authentication.k8s.io/v1",
			Env: []clientcmdapi.ExecEnvVar{{Name: "A", Value: "b"}}, InstallHint: "get it", ProvideClusterInfo: true,
			InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
		},
		Impersonate: "bob", ImpersonateGroups: []string{"ops"}, ImpersonateUserExtra: map[string][]string{"a": {"b"}},
	}
}

func everyWayConfig() *clientcmdapi.Config {
	config := clientcmdapi.NewConfig()
	config.Clusters["koinon"] = &clientcmdapi.Cluster{
		Server: "https://koinon.example:6443/behind/", CertificateAuthority: "pki/ca.crt", TLSServerName: "koinon", ProxyURL: "socks5://proxy:1080",
		DisableCompression: true,
	}
	config.AuthInfos["jane"] = everyWay()
	config.Contexts["koinon"] = &clientcmdapi.Context{Cluster: "koinon", AuthInfo: "jane"}
	config.CurrentContext = "koinon"
	return config
}

func TestTheUserAndTheWayAreKept(t *testing.T) {
	for name, change := range map[string]func(*clientcmdapi.AuthInfo){
		"a program": func(user *clientcmdapi.AuthInfo) {
			user.AuthProvider, user.ClientCertificate, user.ClientKey = nil, "", ""
		},
		"an auth provider":       func(user *clientcmdapi.AuthInfo) { user.Exec = nil },
		"files of a certificate": func(user *clientcmdapi.AuthInfo) { user.Exec, user.AuthProvider = nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			config := everyWayConfig()
			change(config.AuthInfos["jane"])
			connection := newConnection()
			connection.rules.ExplicitPath = writeRelative(t, config)
			source, err := loadSource(connection)
			if err != nil {
				t.Fatal(err)
			}
			if source.server != "https://koinon.example:6443/behind" || source.userName != "jane" {
				t.Errorf("got the server %s and the user %q", source.server, source.userName)
			}
			if err := clientcmd.ResolveLocalPaths(withOrigin(config, connection.rules.ExplicitPath)); err != nil {
				t.Fatal(err)
			}
			want := config.Clusters["koinon"].DeepCopy()
			want.Server = "https://member"
			got := source.kubeconfig("koinon/m1", "https://member", "")
			ignore := cmp.FilterPath(func(p cmp.Path) bool {
				return p.Last().String() == ".LocationOfOrigin" || p.Last().String() == ".Extensions"
			}, cmp.Ignore())
			if diff := cmp.Diff(want, got.Clusters["koinon/m1"], ignore); diff != "" {
				t.Errorf("cluster (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(config.AuthInfos["jane"], got.AuthInfos["jane"], ignore, cmpopts.IgnoreUnexported(clientcmdapi.ExecConfig{})); diff != "" {
				t.Errorf("user (-want +got):\n%s", diff)
			}
		})
	}
}

// writeRelative writes a kubeconfig with its paths as they are, and the files that it names.
func writeRelative(t *testing.T, config *clientcmdapi.Config) string {
	t.Helper()
	dir := t.TempDir()
	data, err := clientcmd.Write(*config)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"config": data, "pki/ca.crt": nil, "pki/jane.crt": nil, "pki/jane.key": nil, "token": nil} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "config")
}

func withOrigin(config *clientcmdapi.Config, file string) *clientcmdapi.Config {
	for _, cluster := range config.Clusters {
		cluster.LocationOfOrigin = file
	}
	for _, user := range config.AuthInfos {
		user.LocationOfOrigin = file
	}
	return config
}

// withFiles is a kubeconfig beside which the authority is a file.
func withFiles(t *testing.T, server *api) (kubeconfig, authority string) {
	t.Helper()
	config := server.kubeconfig()
	ca := config.Clusters["koinon"].CertificateAuthorityData
	config.Clusters["koinon"].CertificateAuthorityData = nil
	config.Clusters["koinon"].CertificateAuthority = "ca.crt"
	kubeconfig = use(t, config)
	authority = filepath.Join(filepath.Dir(kubeconfig), "ca.crt")
	if err := os.WriteFile(authority, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	return kubeconfig, authority
}

func TestFilesAreNamedAbsolutelyOrPutIn(t *testing.T) {
	_, authority := withFiles(t, newAPI(t))
	if got := mustRun(t, "kubeconfig", "m1").Clusters["koinon/m1"]; got.CertificateAuthority != authority || got.CertificateAuthorityData != nil {
		t.Errorf("got %q with %d bytes, want %q", got.CertificateAuthority, len(got.CertificateAuthorityData), authority)
	}
	if got := mustRun(t, "kubeconfig", "m1", "--flatten").Clusters["koinon/m1"]; got.CertificateAuthority != "" || string(got.CertificateAuthorityData) != read(t, authority) {
		t.Errorf("flat: got %q with %q", got.CertificateAuthority, got.CertificateAuthorityData)
	}
	t.Chdir(filepath.Dir(authority))
	if got := mustRun(t, "kubeconfig", "m1", "--certificate-authority", "ca.crt").Clusters["koinon/m1"]; got.CertificateAuthority != authority {
		t.Errorf("by a flag: got %q, want %q", got.CertificateAuthority, authority)
	}
}

func TestOutputIsAFileOfItsOwnerAlone(t *testing.T) {
	use(t, newAPI(t).kubeconfig())
	dir := t.TempDir()
	file, link := filepath.Join(dir, "m1.kubeconfig"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	stdout, _, err := run(t, "kubeconfig", "m1", "-o", link)
	if err != nil {
		t.Fatal(err)
	}
	if want := link + ` reaches cluster "m1": kubectl --kubeconfig ` + link + "\n"; stdout != want {
		t.Errorf("got %q, want %q", stdout, want)
	}
	if got := load(t, file).CurrentContext; got != "koinon/m1" {
		t.Errorf("context: got %q", got)
	}
	for path, want := range map[string]fs.FileMode{file: 0o600, link: fs.ModeSymlink} {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode(); runtime.GOOS != "windows" && (got.Type() != want.Type() || want.IsRegular() && got != want) {
			t.Errorf("%s: got the mode %s, want %s", path, got, want)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("it left %v, %v", entries, err)
	}
}

func TestOutputRefusals(t *testing.T) {
	used := use(t, newAPI(t).kubeconfig())
	before := read(t, used)
	for name, test := range map[string]struct{ file, want string }{
		"the kubeconfig in use":         {used, "kubectl uses it, and all else in it would be gone; --merge adds to it"},
		"a device":                      {os.DevNull, "it is no regular file"},
		"a directory that is not there": {filepath.Join(t.TempDir(), "none", "x"), "no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := run(t, "kubeconfig", "m1", "-o", test.file); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
	if read(t, used) != before {
		t.Error("the kubeconfig in use was changed")
	}
}

func TestMergeChangesTheFileThatKubectlWould(t *testing.T) {
	server := newAPI(t)
	first, _ := withFiles(t, server)
	// kubectl adds to the last file of a list that none of the names is in.
	last := filepath.Join(t.TempDir(), "last")
	t.Setenv("KUBECONFIG", first+string(filepath.ListSeparator)+last)
	stdout, _, err := run(t, "kubeconfig", "m1", "--merge")
	if err != nil {
		t.Fatal(err)
	}
	if want := `The context koinon/m1 reaches cluster "m1": kubectl --context koinon/m1` + "\n"; stdout != want {
		t.Errorf("got %q, want %q", stdout, want)
	}
	merged, err := clientcmd.NewDefaultClientConfigLoadingRules().Load()
	if err != nil {
		t.Fatal(err)
	}
	if merged.CurrentContext != "koinon" || merged.Contexts["koinon/m1"] == nil || merged.Contexts["koinon/m1"].AuthInfo != "jane" {
		t.Errorf("got the current context %q and %+v", merged.CurrentContext, merged.Contexts["koinon/m1"])
	}
	if len(merged.AuthInfos) != 1 || merged.Contexts["koinon"] == nil {
		t.Errorf("got %d users, want the one that was there; and the context that was there: %v", len(merged.AuthInfos), merged.Contexts["koinon"])
	}
	if config, err := clientcmd.NewDefaultClientConfig(*merged, &clientcmd.ConfigOverrides{CurrentContext: "koinon/m1"}).ClientConfig(); err != nil {
		t.Error(err)
	} else if config.Host != server.URL+groupPath+"/clusters/m1/proxy" || config.BearerToken != "t0ken" {
		t.Errorf("got %s, %s", config.Host, config.BearerToken)
	}
}

func TestMergeAgain(t *testing.T) {
	server := newAPI(t)
	file := use(t, server.kubeconfig())
	for range 2 {
		if _, _, err := run(t, "kubeconfig", "m1", "--merge", "--switch"); err != nil {
			t.Fatal(err)
		}
		if got := load(t, file).CurrentContext; got != "koinon/m1" {
			t.Errorf("the current context is %q", got)
		}
	}
	once := read(t, file)
	if _, _, err := run(t, "kubeconfig", "m1", "--merge", "--context", "koinon"); err != nil || read(t, file) != once {
		t.Errorf("a third time changed the kubeconfig: %v", err)
	}
}

func TestMergeTakesNoNameAway(t *testing.T) {
	server := newAPI(t)
	config := server.kubeconfig()
	config.Clusters["koinon/m1"] = &clientcmdapi.Cluster{Server: "https://elsewhere"}
	config.AuthInfos["mine"] = &clientcmdapi.AuthInfo{Token: "mine"}
	file := use(t, config)
	before := read(t, file)
	for _, args := range [][]string{{"m1"}, {"m2", "--context-name", "koinon"}, {"m2", "--context-name", "mine"}} {
		_, _, err := run(t, append([]string{"kubeconfig", "--merge"}, args...)...)
		if err == nil || !strings.Contains(err.Error(), "that is something else: choose a name with --context-name") {
			t.Errorf("%v: got %v", args, err)
		}
	}
	if read(t, file) != before {
		t.Error("the kubeconfig was changed")
	}
}

// A user that flags make is not the one of the kubeconfig.
func TestMergeKeepsTheUserThatFlagsName(t *testing.T) {
	file := use(t, newAPI(t).kubeconfig())
	if _, _, err := run(t, "kubeconfig", "m1", "--merge", "--token", "other"); err != nil {
		t.Fatal(err)
	}
	config := load(t, file)
	if got := config.AuthInfos[config.Contexts["koinon/m1"].AuthInfo].Token; got != "other" {
		t.Errorf("the context's token is %q", got)
	}
	if got := config.AuthInfos["jane"].Token; got != "t0ken" {
		t.Errorf("the token that was there is %q", got)
	}
}

func TestShellWord(t *testing.T) {
	for word, want := range map[string]string{"koinon/m1": "koinon/m1", "my files/k": "'my files/k'", "it's": `'it'\''s'`, "": "''"} {
		if got := shellWord(word); got != want {
			t.Errorf("%q: got %s, want %s", word, got, want)
		}
	}
}
