//go:build !unix

package book

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Plugins of this kind are there on Linux alone: nothing is kept elsewhere.

func makeDir(dir string) error {
	return fmt.Errorf("keep addresses in %s: %w", dir, errors.ErrUnsupported)
}

func takeLock(context.Context, string) (*os.File, error) { return nil, errors.ErrUnsupported }

func writeFile(string, string, []byte) error { return errors.ErrUnsupported }
