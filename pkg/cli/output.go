package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// encode makes the bytes of a kubeconfig, with what is in files if it is to be flat. A file of
// a token stays a file: somebody renews what is in it.
func encode(config *clientcmdapi.Config, flat bool) ([]byte, error) {
	if flat {
		if err := clientcmdapi.FlattenConfig(config); err != nil {
			return nil, fmt.Errorf("put files into the kubeconfig: %w", err)
		}
	}
	data, err := clientcmd.Write(*config)
	if err != nil {
		return nil, fmt.Errorf("encode the kubeconfig: %w", err)
	}
	return data, nil
}

// writeFile replaces a file as a whole, readable by its owner alone.
func (s *source) writeFile(path string, data []byte) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // the link stays
	}
	now, err := os.Stat(path)
	switch {
	case err == nil && !now.Mode().IsRegular():
		return fmt.Errorf("write %s: it is no regular file", path)
	case err == nil && slices.ContainsFunc(s.access.GetLoadingPrecedence(), func(used string) bool {
		other, err := os.Stat(used)
		return err == nil && os.SameFile(now, other)
	}):
		return fmt.Errorf("write %s: kubectl uses it, and all else in it would be gone; --merge adds to it", path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := replaceFile(path, data); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// replaceFile has the old file or the new one at any time. It is not pkg/durable's, nor renameio's,
// which are not for Windows. Temporary files have the mode 0600.
func replaceFile(path string, data []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}

// merge adds the context of a kubeconfig to the one that kubectl would change, as "kubectl config"
// does. The user is there already, unless flags made him another.
func (s *source) merge(config *clientcmdapi.Config, makeCurrent bool) error {
	all, err := s.access.GetStartingConfig()
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	name := config.CurrentContext
	context := config.Contexts[name]
	if err := mayReplace(all, name, config.Clusters[name].Server); err != nil {
		return err
	}
	added := config.Clusters[name]
	if old := all.Clusters[name]; old != nil {
		added.LocationOfOrigin = old.LocationOfOrigin
	}
	all.Clusters[name] = added
	if old := all.Contexts[name]; old != nil {
		context.LocationOfOrigin = old.LocationOfOrigin
	}
	all.Contexts[name] = context
	if s.userName == "" {
		user := config.AuthInfos[context.AuthInfo]
		if old := all.AuthInfos[context.AuthInfo]; old != nil {
			user.LocationOfOrigin = old.LocationOfOrigin
		}
		all.AuthInfos[context.AuthInfo] = user
	}
	if makeCurrent {
		all.CurrentContext = name
	}
	if err := clientcmd.ModifyConfig(s.access, *all, true); err != nil {
		return fmt.Errorf("change the kubeconfig: %w", err)
	}
	return nil
}

// mayReplace refuses to take a name from what was not made for the same target: another context,
// or a cluster or user that others may use.
func mayReplace(all *clientcmdapi.Config, name, server string) error {
	_, wanted := splitServer(server)
	same := func(cluster string) bool {
		old := all.Clusters[cluster]
		if old == nil {
			return false
		}
		_, reached := splitServer(old.Server)
		return reached != nil && *reached == *wanted
	}
	context := all.Contexts[name]
	strange := context == nil && all.AuthInfos[name] != nil
	if strange || context != nil && !same(context.Cluster) || all.Clusters[name] != nil && !same(name) {
		return fmt.Errorf("the kubeconfig has a context, cluster or user %q that is something else: choose a name with --context-name", name)
	}
	return nil
}

// shellWord quotes a word for a shell if it must be.
func shellWord(word string) string {
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%_-+=:,./", r)
	}) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
