// Package kmsplugin is a key management service as Kubernetes' API servers call one (KMS v2): gRPC on a Unix
// socket. It encrypts with AES-GCM and keys in files, which is no way to keep keys: it is for tests, which run it as a process of its own,
// stop it, and give it other keys.
//
// Keys are the files of a directory, named as their ids. The file "current" names the one that encrypts; the others decrypt. All is
// read anew for each call, so that keys are rotated by writing files.
package kmsplugin

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/kms/pkg/service"
)

const (
	keyBytes = 32
	current  = "current"
)

// Rotate makes a key, and has it encrypt from now on.
func Rotate(dir, id string) error {
	key := make([]byte, keyBytes)
	if _, err := rand.Read(key); err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, id), key, 0o600); err != nil {
		return fmt.Errorf("write a key: %w", err)
	}
	fresh := filepath.Join(dir, current+".new")
	if err := os.WriteFile(fresh, []byte(id), 0o600); err != nil {
		return fmt.Errorf("write which key encrypts: %w", err)
	}
	return os.Rename(fresh, filepath.Join(dir, current))
}

// Serve answers on the socket with the keys of a directory, until the process ends.
func Serve(socket, dir string) error {
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) { // of one that was killed
		return fmt.Errorf("remove the old socket: %w", err)
	}
	return service.NewGRPCService(socket, 10*time.Second, keys(dir)).ListenAndServe()
}

// keys are those of a directory.
type keys string

var _ service.Service = keys("")

func (k keys) current() (id string, sealer cipher.AEAD, err error) {
	name, err := os.ReadFile(filepath.Join(string(k), current))
	if err != nil {
		return "", nil, fmt.Errorf("read which key encrypts: %w", err)
	}
	sealer, err = k.sealer(string(name))
	return string(name), sealer, err
}

func (k keys) sealer(id string) (cipher.AEAD, error) {
	if id == "" || id == current || filepath.Base(id) != id {
		return nil, fmt.Errorf("%q is no key", id)
	}
	key, err := os.ReadFile(filepath.Join(string(k), id))
	if err != nil {
		return nil, fmt.Errorf("read the key %q: %w", id, err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("use the key %q: %w", id, err)
	}
	return cipher.NewGCM(block)
}

// Status implements service.Service.
func (k keys) Status(context.Context) (*service.StatusResponse, error) {
	id, _, err := k.current()
	if err != nil {
		return nil, err
	}
	return &service.StatusResponse{Version: "v2", Healthz: "ok", KeyID: id}, nil
}

// Encrypt implements service.Service.
func (k keys) Encrypt(_ context.Context, _ string, data []byte) (*service.EncryptResponse, error) {
	id, sealer, err := k.current()
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, sealer.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("make a nonce: %w", err)
	}
	return &service.EncryptResponse{Ciphertext: sealer.Seal(nonce, nonce, data, []byte(id)), KeyID: id}, nil
}

// Decrypt implements service.Service.
func (k keys) Decrypt(_ context.Context, _ string, request *service.DecryptRequest) ([]byte, error) {
	sealer, err := k.sealer(request.KeyID)
	if err != nil {
		return nil, err
	}
	if len(request.Ciphertext) < sealer.NonceSize() {
		return nil, errors.New("what is to be decrypted is too short")
	}
	nonce, sealed := request.Ciphertext[:sealer.NonceSize()], request.Ciphertext[sealer.NonceSize():]
	return sealer.Open(nil, nonce, sealed, []byte(request.KeyID))
}
