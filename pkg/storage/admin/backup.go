package admin

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/koinon-io/koinon/pkg/storage/archive"
)

// BackupOptions say how to make a backup.
type BackupOptions struct {
	// Software is the release that makes it.
	Software string
	// Out is what "-" stands for.
	Out io.Writer
	// Progress may be nil.
	Progress *archive.Progress
}

// Stdio is the name of a file that stands for standard input or output.
const Stdio = "-"

// Backup writes everything in a datastore, as it is at one revision, into a file, which
// appears when it is complete. It says what it has written.
func Backup(ctx context.Context, store Store, path string, options BackupOptions) (archive.Header, error) {
	if err := checkPath(path); err != nil {
		return archive.Header{}, err
	}
	source, close, err := store.source(ctx, options.Progress)
	if err != nil {
		return archive.Header{}, err
	}
	defer close()
	header := archive.HeaderOf(source, options.Software)
	sink, err := openFile(path, header, options.Out)
	if err != nil {
		return header, err
	}
	defer func() { _ = sink.Close() }()
	if err := archive.Copy(ctx, source, sink, options.Progress); err != nil {
		return header, err
	}
	return header, sink.Commit(ctx)
}

func openFile(path string, header archive.Header, out io.Writer) (archive.Sink, error) {
	if path == Stdio {
		return archive.ToWriter(out, "to standard output", header)
	}
	return archive.ToFile(path, header)
}

// checkPath refuses what can only be a mistake, and does not repeat it.
func checkPath(path string) error {
	if path == "" {
		return errors.New("the file has no name: give a path, or - for standard input or output")
	}
	if strings.Contains(path, "://") {
		return errors.New("a datastore was given where a file is expected: name the datastore with --datastore or KOINON_DATASTORE")
	}
	return nil
}
