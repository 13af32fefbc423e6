package tunnelconfig

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"k8s.io/klog/v2"
)

// File is a file that is read again when it changes. Rules may be called concurrently; Run once at a time.
type File struct {
	path  string
	rules atomic.Pointer[Rules]
	text  []byte // that was looked at last; for Run alone
}

// Open reads a file; an empty path is that of no file, which has the defaults.
func Open(path string) (*File, error) {
	f := &File{path: path}
	f.rules.Store(&Rules{})
	if path == "" {
		return f, nil
	}
	text, err := read(path)
	if err != nil {
		return nil, err
	}
	rules, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f.text = text
	f.rules.Store(rules)
	return f, nil
}

// read reads no more than is allowed, and waits for nobody: a pipe in the place of a file could be silent for ever.
func read(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	found, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !found.Mode().IsRegular() {
		return nil, fmt.Errorf("read %s: it is a directory or a device, or a pipe: a regular file is allowed", path)
	}
	text, err := io.ReadAll(io.LimitReader(file, MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return text, nil
}

// Rules are what it said when it was right last.
func (f *File) Rules() *Rules { return f.rules.Load() }

// Look is how often Run looks at the file.
const Look = 5 * time.Second

// Run looks at the file until ctx ends. When it has changed, and is right, Rules are others, and changed is called with nil. If it is wrong they stay, the
// log says why, and changed is called with that. A mistake is told once.
func (f *File) Run(ctx context.Context, every time.Duration, changed func(error)) {
	if f.path == "" {
		return
	}
	logger := klog.FromContext(ctx)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	unread := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		text, err := read(f.path)
		switch {
		case err != nil && unread, err == nil && !unread && bytes.Equal(text, f.text):
			continue
		case err == nil:
			f.text = text
			var rules *Rules
			if rules, err = Parse(text); err == nil {
				f.rules.Store(rules)
				logger.Info("Read the configuration of the tunnel", "file", f.path)
			}
			unread = false
		default:
			unread = true
		}
		if err != nil {
			logger.Error(err, "The configuration of the tunnel is wrong; what it said before holds", "file", f.path)
		}
		changed(err)
	}
}
