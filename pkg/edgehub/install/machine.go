package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/koinon-io/koinon/pkg/durable"
)

// machine does what changes the machine, and says it before. What is so already is neither said nor done.
type machine struct {
	say func(string)
	dry bool
}

func (m *machine) do(what string, act func() error) error {
	m.say(what)
	if m.dry {
		return nil
	}
	return act()
}

// write writes a file, and the directory that it is in. If it is a link, what it leads to is written. It is whose it was.
func (m *machine) write(path string, data []byte, mode os.FileMode) error {
	return m.writeAs(nil, path, data, mode)
}

// writeAs is write, and says whose the file is; nil is whose it was.
func (m *machine) writeAs(whose *owner, path string, data []byte, mode os.FileMode) error {
	if led, err := filepath.EvalSymlinks(path); err == nil {
		path = led
	}
	now, err := read(path)
	if whose == nil {
		whose = now.Owner
	}
	if err == nil && now.There && bytes.Equal(now.data, data) && now.Mode == mode && (whose == nil || *whose == *now.Owner) {
		return nil
	}
	return m.do("Write "+path, func() error {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := durable.RemoveUnfinished(filepath.Dir(path), filepath.Base(path)); err != nil {
			return err
		}
		if err := durable.WriteFile(path, data, mode); err != nil {
			return err
		}
		return whose.give(path)
	})
}

// owner is whose a file is.
type owner struct {
	UID int `json:"uid"`
	GID int `json:"gid"`
}

// give has a file be somebody's; nil is whose it is.
func (o *owner) give(path string) error {
	if o == nil {
		return nil
	}
	is, err := read(path)
	if err != nil || is.Owner == nil || *is.Owner == *o {
		return err
	}
	if err := os.Chown(path, o.UID, o.GID); err != nil {
		return err
	}
	return syncPath(path)
}

// remove removes a file, for good: what comes later may count on it, whenever the power is cut.
func (m *machine) remove(path string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return m.do("Remove "+path, func() error {
		if err := os.Remove(path); err != nil {
			return err
		}
		return syncPath(filepath.Dir(path))
	})
}

// link has a name lead to a file in the same directory, at once.
func (m *machine) link(file, name string) error {
	if led, err := os.Readlink(name); err == nil && led == file {
		return nil
	}
	return m.do("Have "+name+" lead to "+file, func() error {
		next := name + ".new"
		if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := errors.Join(os.Symlink(file, next), os.Rename(next, name)); err != nil {
			return err
		}
		return syncPath(filepath.Dir(name))
	})
}

// syncPath has a file, or the names in a directory, be on the disk.
func syncPath(path string) error {
	handle, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(handle.Sync(), handle.Close())
}

// systemctlTimeout is how long systemctl may take: services that do not end are killed after 90 seconds, unless their unit says otherwise.
const systemctlTimeout = 3 * time.Minute

// systemctl has systemd do something.
func (m *machine) systemctl(ctx context.Context, args ...string) error {
	return m.do("Run systemctl "+strings.Join(args, " "), func() error {
		_, err := systemctl(ctx, args...)
		return err
	})
}

// systemctl returns what it prints.
func systemctl(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, systemctlTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "systemctl", args...)
	cmd.WaitDelay = time.Second
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(problem.String()))
	}
	return out.String(), nil
}

// file is a file as it is, or was.
type file struct {
	Path string `json:"path"`
	// There is whether there is such a file; if not, the rest is empty.
	There bool        `json:"there"`
	Mode  os.FileMode `json:"mode,omitempty"`
	// Owner is nil if it is not known.
	Owner *owner `json:"owner,omitempty"`
	// Text is what is in it. Of the program it is empty: that is a file of its own.
	Text string `json:"text,omitempty"`

	data []byte
}

// read reads a file, which need not be there.
func read(path string) (file, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return file{Path: path}, nil
	}
	if err != nil {
		return file{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return file{}, err
	}
	return file{Path: path, There: true, Mode: info.Mode().Perm(), Owner: ownerOf(info), data: data}, nil
}

// readText reads a file of text.
func readText(path string) (file, error) {
	f, err := read(path)
	if err == nil && !utf8.Valid(f.data) {
		err = fmt.Errorf("%s is no text", path)
	}
	f.Text = string(f.data)
	return f, err
}

// restore has a file be as it was.
func (m *machine) restore(f file) error {
	if !f.There {
		return m.remove(f.Path)
	}
	return m.writeAs(f.Owner, f.Path, []byte(f.Text), f.Mode)
}
