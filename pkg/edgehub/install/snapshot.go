package install

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/koinon-io/koinon/pkg/durable"
)

// What is in the directory for what was there before.
const (
	keptDir       = "kubelet"
	originalFile  = "original.json"
	beforeFile    = "before.json"
	beforeProgram = "before-" + program
	ownFile       = "kubelet.conf"
)

// role is what a file that is changed is for.
type role string

const (
	kubeconfigRole role = "kubeconfig"
	configRole     role = "config"
	programRole    role = "program"
	unitRole       role = "unit"
	dropInRole     role = "drop-in"
	originalRole   role = "original"
	ownRole        role = "own"
)

// snapshot is what was there.
type snapshot struct {
	Kubelet Kubelet `json:"kubelet"`
	// Changing: kubelet's files may be others since, and kubelet may have been started with them.
	Changing bool          `json:"changing,omitempty"`
	Files    map[role]file `json:"files"`
}

func (i *Installer) keptPath(name string) string {
	return filepath.Join(i.config.StateDir, keptDir, name)
}

// original is what was there before the hub came; nil if it is not installed.
func (i *Installer) original() (*snapshot, error) { return readSnapshot(i.keptPath(originalFile)) }

// before is what was there before an install that is not done; nil if there is none.
func (i *Installer) before() (*snapshot, error) { return readSnapshot(i.keptPath(beforeFile)) }

func readSnapshot(path string) (*snapshot, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var s snapshot
	if err := json.Unmarshal(text, &s); err != nil || s.Files == nil {
		return nil, fmt.Errorf("%s is damaged: it says what was there before the hub came; put kubelet's kubeconfig back by hand, and remove the file", path)
	}
	for role, f := range s.Files {
		f.data = []byte(f.Text)
		s.Files[role] = f
	}
	return &s, nil
}

func (s *snapshot) encode() ([]byte, error) { return json.MarshalIndent(s, "", "  ") }

// paths are those of all files that are changed.
func (i *Installer) paths(k Kubelet) map[role]string {
	all := map[role]string{
		kubeconfigRole: k.Kubeconfig, programRole: filepath.Join(i.config.BinDir, program), unitRole: filepath.Join(i.config.UnitDir, serviceName),
		dropInRole:   filepath.Join(i.config.UnitDir, k.Service+".d", dropInName),
		originalRole: i.keptPath(originalFile), ownRole: i.keptPath(ownFile),
	}
	if k.Config != "" {
		all[configRole] = k.Config
	}
	return all
}

// take reads what is there now.
func (i *Installer) take(k Kubelet) (*snapshot, error) {
	s := &snapshot{Kubelet: k, Files: map[role]file{}}
	for role, path := range i.paths(k) {
		readAs := readText
		if role == programRole {
			readAs = func(path string) (f file, err error) { f, err = read(path); f.Text = ""; return f, err }
		}
		f, err := readAs(path)
		if err != nil {
			return nil, err
		}
		s.Files[role] = f
	}
	return s, nil
}

// begin keeps what is there now, before anything is changed.
func (i *Installer) begin(now *snapshot) error {
	return i.machine.do("Keep what is there now in "+i.keptPath(beforeFile), func() error {
		if err := os.MkdirAll(i.keptPath(""), 0o700); err != nil {
			return err
		}
		if err := durable.RemoveUnfinished(i.keptPath(""), originalFile, beforeFile, beforeProgram, ownFile); err != nil {
			return err
		}
		if f := now.Files[programRole]; f.There {
			if err := durable.WriteFile(i.keptPath(beforeProgram), f.data, f.Mode); err != nil {
				return err
			}
		}
		return i.keepBefore(now)
	})
}

func (i *Installer) keepBefore(s *snapshot) error {
	text, err := s.encode()
	if err != nil {
		return err
	}
	return durable.WriteFile(i.keptPath(beforeFile), text, 0o600)
}

// done forgets what was there before an install: it is done, or was undone.
func (i *Installer) done() error {
	if err := i.machine.remove(i.keptPath(beforeFile)); err != nil {
		return err
	}
	return i.machine.remove(i.keptPath(beforeProgram))
}

// newOriginal is what is to be there again when the hub is uninstalled. If it is installed, that is known. If somebody has given kubelet another kubeconfig since, or an uninstall was killed, that is what is there,
// and of the hub's own files what was before.
func newOriginal(now, known *snapshot, installed bool) *snapshot {
	if installed && known != nil {
		return known
	}
	made := &snapshot{Kubelet: now.Kubelet, Files: map[role]file{}}
	for _, role := range []role{kubeconfigRole, configRole, programRole, unitRole, dropInRole} {
		f, ok := now.Files[role]
		if known != nil && role != kubeconfigRole {
			f, ok = known.Files[role], true
		}
		if ok {
			made.Files[role] = f
		}
	}
	if known != nil && renews(now.Files[configRole]) {
		made.Files[configRole] = now.Files[configRole]
	}
	return made
}

func renews(config file) bool {
	on, err := rotation(config.data)
	return config.There && err == nil && on
}
