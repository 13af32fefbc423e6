package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// partialSuffix is added to the name of a file that is not complete.
const partialSuffix = ".partial"

// fileSink writes a file beside its place, and puts it there when it is complete.
type fileSink struct {
	path string
	// file is nil for standard output.
	file   *os.File
	writer *writer
}

// ToFile returns a sink that makes a file, readable for its owner only, in the place of one
// that may be there. An incomplete one is called PATH.partial, and is removed.
func ToFile(path string, header Header) (Sink, error) {
	file, err := createPartial(path + partialSuffix)
	if err != nil {
		return nil, err
	}
	s := &fileSink{path: path, file: file}
	if s.writer, err = newWriter(file, header); err != nil {
		_ = s.Close()
		return nil, s.failed(err)
	}
	return s, nil
}

// createPartial returns an empty file that this process alone writes to. The lock goes with
// the process, and tells what one has left that was killed from what another writes.
func createPartial(path string) (*os.File, error) {
	for {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, fmt.Errorf("make the file: %w", err)
		}
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			_ = file.Close()
			return nil, fmt.Errorf("another backup is being written to %s", path)
		}
		if err == nil {
			err = errors.Join(file.Truncate(0), file.Chmod(0o600))
		}
		if err != nil {
			_ = file.Close()
			return nil, fmt.Errorf("make the file: %w", err)
		}
		if isAt(file, path) {
			return file, nil
		}
		_ = file.Close() // it was just put in its place, or removed, by somebody else
	}
}

func isAt(file *os.File, path string) bool {
	opened, err := file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(opened, there)
}

// ToWriter returns a sink that writes a file to a stream. What is there of it without a
// Commit is refused by readers.
func ToWriter(out io.Writer, name string, header Header) (Sink, error) {
	s := &fileSink{path: name}
	var err error
	if s.writer, err = newWriter(out, header); err != nil {
		return nil, s.failed(err)
	}
	return s, nil
}

// String implements Sink.
func (s *fileSink) String() string { return s.path }

// Add implements Sink.
func (s *fileSink) Add(_ context.Context, kv KeyValue) error {
	if err := s.writer.add(kv); err != nil {
		return s.failed(err)
	}
	return nil
}

// Commit implements Sink. When it returns, the file survives a power cut.
func (s *fileSink) Commit(context.Context) error {
	if err := s.writer.finish(); err != nil {
		return s.failed(err)
	}
	if s.file == nil {
		return nil
	}
	if err := s.file.Sync(); err != nil {
		return s.failed(err)
	}
	if err := os.Rename(s.path+partialSuffix, s.path); err != nil {
		return s.failed(err)
	}
	err := s.file.Close()
	s.file = nil
	if err != nil {
		return s.failed(err)
	}
	return syncDir(filepath.Dir(s.path))
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("make sure that the backup is on the disk: %w", err)
	}
	defer func() { _ = dir.Close() }()
	if err := dir.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("make sure that the backup is on the disk: %w", err)
	}
	return nil
}

// Close implements Sink. It removes what is not complete.
func (s *fileSink) Close() error {
	if s.file == nil {
		return nil
	}
	err := os.Remove(s.path + partialSuffix)
	return errors.Join(err, s.file.Close())
}

func (s *fileSink) failed(err error) error { return fmt.Errorf("write the backup %s: %w", s.path, err) }

// fileSource is a file that was read once from its beginning to its end.
type fileSource struct {
	name   string
	file   *os.File
	header Header
	sum    string
}

// FromFile returns a file as a source, after it has checked that all of it is as it was
// written: otherwise the error is ErrDamaged, or says that it is of another version.
func FromFile(ctx context.Context, path string, progress *Progress) (Source, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the backup %s is not there", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open the backup: %w", err)
	}
	return fromFile(ctx, file, path, progress)
}

// FromReader is FromFile for a stream. It is put into a temporary file first, which nobody
// else can open, since it has to be read twice.
func FromReader(ctx context.Context, in io.Reader, name string, progress *Progress) (Source, error) {
	file, err := os.CreateTemp("", "koinon-restore-")
	if err != nil {
		return nil, fmt.Errorf("keep %s in a temporary file: %w", name, err)
	}
	progress.Begin("Reading "+name, 0)
	err = os.Remove(file.Name()) // it goes with the process
	if err == nil {
		_, err = io.Copy(file, &contextReader{ctx, countingReader{in, progress}})
	}
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("keep %s in a temporary file: %w", name, err)
	}
	return fromFile(ctx, file, name, progress)
}

// contextReader ends with its context, although not in the middle of a read.
type contextReader struct {
	ctx context.Context
	io.Reader
}

// Read implements io.Reader.
func (r *contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

func fromFile(ctx context.Context, file *os.File, name string, progress *Progress) (Source, error) {
	s := &fileSource{name: name, file: file}
	var err error
	s.header, s.sum, err = s.read(ctx, func(header Header) { progress.Begin("Checking "+s.String(), header.Keys) }, func(kv KeyValue) error {
		progress.Add(1, kv.bytes())
		return nil
	})
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return s, nil
}

// read reads the file from its beginning, and returns the checksum that it has.
func (s *fileSource) read(ctx context.Context, begin func(Header), each func(KeyValue) error) (Header, string, error) {
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return Header{}, "", fmt.Errorf("read %s: %w", s, err)
	}
	r, err := newReader(s.file)
	if err != nil {
		return Header{}, "", fmt.Errorf("read %s: %w", s, err)
	}
	begin(r.header)
	for {
		kv, err := r.next()
		if errors.Is(err, io.EOF) {
			return r.header, r.total.SHA256, nil
		}
		if err != nil {
			return Header{}, "", fmt.Errorf("read %s: %w", s, err)
		}
		if err := ctx.Err(); err != nil {
			return Header{}, "", err
		}
		if err := each(kv); err != nil {
			return Header{}, "", err
		}
	}
}

// String implements Source.
func (s *fileSource) String() string { return "backup " + s.name }

// Kind implements Source.
func (s *fileSource) Kind() string { return s.header.Source }

// Header is what the file says of itself.
func (s *fileSource) Header() Header { return s.header }

// Revision implements Source.
func (s *fileSource) Revision() int64 { return s.header.Revision }

// Len implements Source.
func (s *fileSource) Len() int64 { return s.header.Keys }

// Each implements Source. It makes sure once more that the file is what it was.
func (s *fileSource) Each(ctx context.Context, each func(KeyValue) error) error {
	_, sum, err := s.read(ctx, func(Header) {}, each)
	if err == nil && sum != s.sum {
		err = fmt.Errorf("read %s: it was changed meanwhile", s)
	}
	return err
}

// Since implements Source.
func (s *fileSource) Since(context.Context) (int64, error) { return 0, nil }

// Close implements Source.
func (s *fileSource) Close() error { return s.file.Close() }
