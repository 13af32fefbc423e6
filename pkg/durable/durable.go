// Package durable writes files that survive a crash: after kill -9 or a power cut at any
// moment there is the old file or the new one, and a file that was written stays written.
//
// It may be called concurrently, for one file too: the last one wins.
package durable

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// WriteFile replaces path by data, with exactly this mode. Data, name and directory are on the
// disk when it returns.
func WriteFile(path string, data []byte, mode os.FileMode) error {
	if err := replace(path, data, mode); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

// RemoveUnfinished removes what kills in the middle of WriteFile have left of the named files
// in a directory. Nobody may write them at the same time.
func RemoveUnfinished(dir string, names ...string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("look for unfinished files: %w", err)
	}
	for _, entry := range entries {
		for _, name := range names {
			if !unfinished(entry.Name(), name) {
				continue
			}
			if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil {
				return fmt.Errorf("remove an unfinished file: %w", err)
			}
		}
	}
	return nil
}

// unfinished says whether a file is a temporary one for name: ".NAME" and a number.
func unfinished(file, name string) bool {
	number, ok := strings.CutPrefix(file, "."+name)
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}
