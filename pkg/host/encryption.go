package host

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/koinon-io/koinon/pkg/durable"
)

// encryptedResources are those that may hold credentials. A federated Secret carries a
// Secret in its template.
var encryptedResources = []string{"secrets", "federatedsecrets.types.kubefed.io"}

// encryptionTemplate is an EncryptionConfiguration with one local key. Identity comes last
// so that objects written before encryption was on stay readable.
var encryptionTemplate = template.Must(template.New("encryption").Parse(`# The key that encrypts credentials in the datastore. Whoever has this file and the
# datastore can read them; without this file they are lost. Keep a copy in another place.
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources:
{{- range .Resources}}
  - {{.}}
{{- end}}
  providers:
  - secretbox:
      keys:
      - name: local
        secret: {{.Key}}
  - identity: {}
`))

// EnsureEncryptionConfig returns the EncryptionConfiguration in dir, and makes one with a
// new local key when there is none. A file that is there is never changed.
func EnsureEncryptionConfig(dir string) (string, error) {
	path := filepath.Join(dir, "encryption.yaml")
	if _, err := os.Stat(path); err == nil || !errors.Is(err, os.ErrNotExist) {
		return path, err
	}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return "", fmt.Errorf("make the encryption key: %w", err)
	}
	var text strings.Builder
	values := map[string]any{"Resources": encryptedResources, "Key": base64.StdEncoding.EncodeToString(key)}
	if err := encryptionTemplate.Execute(&text, values); err != nil {
		return "", fmt.Errorf("write the encryption configuration: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the directory of the encryption key: %w", err)
	}
	// On the disk before anything is encrypted with the key in it.
	return path, durable.WriteFile(path, []byte(text.String()), 0o600)
}
