package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAnEncryptionConfigurationThatLeavesCredentialsInTheClearIsNamed(t *testing.T) {
	const key = `{"secretbox": {"keys": [{"name": "k", "secret": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}]}}`
	const kms, identity = `{"kms": {"apiVersion": "v2", "name": "v", "endpoint": "unix:///run/v"}}`, `{"identity": {}}`
	entry := func(resources string, providers ...string) string {
		return `{"resources": [` + resources + `], "providers": [` + strings.Join(providers, ", ") + `]}`
	}
	const both = `"secrets", "federatedsecrets.types.kubefed.io"`
	for name, test := range map[string]struct {
		entries []string
		want    string
	}{
		"a key for both":                        {[]string{entry(both, key, identity)}, ""},
		"a service of keys":                     {[]string{entry(both, kms)}, ""},
		"all resources":                         {[]string{entry(`"*.*"`, key)}, ""},
		"a whole group each":                    {[]string{entry(`"*."`, key), entry(`"*.types.kubefed.io"`, key)}, ""},
		"identity in an entry that is not used": {[]string{entry(both, key), entry(`"*.*"`, identity)}, ""},
		"identity behind in another entry":      {[]string{entry(both, key), entry(both, identity)}, ""},
		"Secrets alone":                         {[]string{entry(`"secrets"`, key)}, "federatedsecrets.types.kubefed.io, which no entry names;"},
		"federated ones alone":                  {[]string{entry(`"federatedsecrets.types.kubefed.io"`, key)}, "secrets, which no entry names;"},
		"neither":                               {[]string{entry(`"configmaps"`, key)}, "secrets, which no entry names; federatedsecrets.types.kubefed.io, which no entry names;"},
		"identity first":                        {[]string{entry(both, identity, key)}, "secrets, for which identity comes first; federatedsecrets.types.kubefed.io, for which identity comes first;"},
		"identity first, and a group behind":    {[]string{entry(`"secrets"`, identity), entry(`"*.*"`, key)}, "secrets, for which identity comes first;"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "encryption.yaml")
			text := `{"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": [` + strings.Join(test.entries, ", ") + `]}`
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := NotEncrypted(path, Secrets, FederatedSecrets)
			if err != nil || (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
		})
	}
}

func TestTheConfigurationThatIsMadeEncryptsAllCredentials(t *testing.T) {
	path, err := EnsureEncryptionConfig(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := NotEncrypted(path, Secrets, FederatedSecrets); got != "" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}
