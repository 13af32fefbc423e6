package host

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"

	"github.com/koinon-io/koinon/pkg/durable"
)

// Resources that may hold credentials. A federated Secret carries a Secret in its template.
var (
	Secrets          = schema.GroupResource{Resource: "secrets"}
	FederatedSecrets = schema.GroupResource{Group: "types.kubefed.io", Resource: "federatedsecrets"}
)

var encryptedResources = []schema.GroupResource{Secrets, FederatedSecrets}

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

var encryptionCodecs = func() serializer.CodecFactory {
	scheme := runtime.NewScheme()
	utilruntime.Must(apiserverv1.AddToScheme(scheme))
	return serializer.NewCodecFactory(scheme)
}()

// NotEncrypted is a sentence on which of these resources an EncryptionConfiguration stores in the clear; empty if it encrypts all of
// them. A file that is none is an error, which the API server says at its start.
func NotEncrypted(path string, resources ...schema.GroupResource) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the encryption configuration: %w", err)
	}
	decoded, _, err := encryptionCodecs.UniversalDeserializer().Decode(data, nil, nil)
	if err != nil {
		return "", fmt.Errorf("decode the encryption configuration %s: %w", path, err)
	}
	config, ok := decoded.(*apiserverv1.EncryptionConfiguration)
	if !ok {
		return "", fmt.Errorf("%s is no EncryptionConfiguration", path)
	}
	var clear []string
	for _, resource := range resources {
		if why := notEncrypted(config, resource); why != "" {
			clear = append(clear, resource.String()+", "+why)
		}
	}
	if len(clear) == 0 {
		return "", nil
	}
	return fmt.Sprintf("the EncryptionConfiguration %s has credentials stored in the clear: %s; each takes an entry whose first provider is another than identity, and then has to be written anew",
		path, strings.Join(clear, "; ")), nil
}

// notEncrypted says why a resource is stored in the clear, in words that follow its name; empty if it is not. As in the API server, an entry
// that names the resource comes before one for its group, and that before one for all; of several the first provider of the first writes.
func notEncrypted(config *apiserverv1.EncryptionConfiguration, resource schema.GroupResource) string {
	for _, named := range []schema.GroupResource{resource, {Group: resource.Group, Resource: "*"}, {Group: "*", Resource: "*"}} {
		for _, entry := range config.Resources {
			covers := slices.ContainsFunc(entry.Resources, func(name string) bool { return schema.ParseGroupResource(name) == named })
			switch {
			case !covers || len(entry.Providers) == 0:
				continue
			case entry.Providers[0].Identity != nil:
				return "for which identity comes first"
			}
			return ""
		}
	}
	return "which no entry names"
}
