package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"

	"github.com/koinon-io/koinon/pkg/host"
	"github.com/koinon-io/koinon/pkg/storage"
)

// encryptionClaim is the key under which a store remembers which local key encrypted it.
const encryptionClaim = "/koinon/encryption-config"

// encryptionConfig returns the EncryptionConfiguration to use: the given one, or the local
// one of the data directory. A store that was encrypted with the local key of another data
// directory is refused: half of its Secrets would not be readable here, nor ours there.
func (o *ServerOptions) encryptionConfig(ctx context.Context, dir *dataDir, store *storage.Store) (string, error) {
	if o.EncryptionConfig != "" {
		return o.EncryptionConfig, nil
	}
	path, err := host.EnsureEncryptionConfig(dir.file("encryption"))
	if err != nil {
		return "", err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the encryption key: %w", err)
	}
	sum := sha256.Sum256(content)
	ours := hex.EncodeToString(sum[:])
	claimed, err := store.Claim(ctx, encryptionClaim, ours)
	if err != nil {
		return "", err
	}
	if claimed != ours {
		return "", fmt.Errorf("the %s was encrypted with another key than %s: give the same --encryption-provider-config to every server that uses it, or copy the file from the first server's data directory", store, path)
	}
	return path, nil
}
