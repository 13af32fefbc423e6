package archive

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// contents is a source in memory.
type contents []KeyValue

func (c contents) String() string                       { return "contents in memory" }
func (c contents) Kind() string                         { return "memory" }
func (c contents) Revision() int64                      { return 100 }
func (c contents) Len() int64                           { return int64(len(c)) }
func (c contents) Close() error                         { return nil }
func (c contents) header() Header                       { return HeaderOf(c, "v1.2.3") }
func (c contents) Since(context.Context) (int64, error) { return 0, nil }

func (c contents) Each(_ context.Context, each func(KeyValue) error) error {
	for _, kv := range c {
		if err := each(kv); err != nil {
			return err
		}
	}
	return nil
}

// everything has what is hard to write down.
func everything() contents {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return contents{
		{Key: []byte("/registry/a"), Value: []byte("one"), Created: 2, Revision: 2, Version: 1},
		{Key: all, Value: bytes.Repeat(all, 256), Created: 2, Revision: 7, Version: 3},
		{Key: []byte("/registry/events/e"), Value: []byte{}, Created: 9, Revision: 9, Version: 1, Lease: 3600},
		{Key: []byte("<&>\n\"end\""), Value: []byte("{\"end\":true}\n"), Created: 1, Revision: 100, Version: 9},
	}
}

func write(t *testing.T, path string, c contents) {
	t.Helper()
	sink, err := ToFile(path, c.header())
	if err != nil {
		t.Fatal(err)
	}
	if err := Copy(t.Context(), c, sink, nil); err != nil {
		t.Fatal(err)
	}
	if err := sink.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, source Source) contents {
	t.Helper()
	var got contents
	if err := source.Each(t.Context(), func(kv KeyValue) error { got = append(got, kv); return nil }); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestAFileComesBackAsItWasWritten(t *testing.T) {
	for name, want := range map[string]contents{"everything": everything(), "nothing": nil} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "backup")
			write(t, path, want)
			source, err := FromFile(t.Context(), path, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = source.Close() }()
			if diff := cmp.Diff(want, read(t, source)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if source.Revision() != 100 || source.Len() != int64(len(want)) || source.Kind() != "memory" {
				t.Errorf("%d keys of %s at revision %d", source.Len(), source.Kind(), source.Revision())
			}
		})
	}
}

func TestAStreamComesBackAsItWasWritten(t *testing.T) {
	var stream bytes.Buffer
	want := everything()
	sink, err := ToWriter(&stream, "stream", want.header())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(Copy(t.Context(), want, sink, nil), sink.Commit(t.Context()), sink.Close()); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", t.TempDir())
	source, err := FromReader(t.Context(), &stream, "stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("others can open %v, %v", left, err)
	}
	if diff := cmp.Diff(want, read(t, source)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestTheFormat holds what the package comment says.
func TestTheFormat(t *testing.T) {
	var file bytes.Buffer
	header := Header{Revision: 4711, Keys: 2, Created: time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC), Software: "v1.2.3", Source: "mysql"}
	w, err := newWriter(&file, header)
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range []KeyValue{
		{Key: []byte("/registry/a"), Value: []byte("{\x00}"), Created: 12, Revision: 4711, Version: 3, Lease: 3600},
		{Key: []byte("/registry/b<"), Created: 1, Revision: 4712, Version: 1},
	} {
		if err := w.add(kv); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.finish(); err != nil {
		t.Fatal(err)
	}
	zip, err := gzip.NewReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"format":"koinon-datastore","version":1,"revision":4711,"keys":2,"created":"2026-01-02T15:04:05Z","software":"v1.2.3","source":"mysql"}
{"key":"L3JlZ2lzdHJ5L2E=","value":"ewB9","create":12,"mod":4711,"version":3,"lease":3600}
{"key":"L3JlZ2lzdHJ5L2I8","value":"","create":1,"mod":4712,"version":1}
{"end":true,"keys":2,"bytes":26,"sha256":"34da43eaa84c247b2d2d5bdb3a89f52cc105791e5c13ab0f92fe28e396632090"}
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("a change of the format needs another version (-want +got):\n%s", diff)
	}
}

// refused says with what error a file is refused, or that it is taken as what it was.
func refused(t *testing.T, file []byte, want contents) error {
	t.Helper()
	source, err := FromReader(t.Context(), bytes.NewReader(file), "damaged", nil)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	if diff := cmp.Diff(want, read(t, source)); diff != "" {
		t.Errorf("it was taken (-want +got):\n%s", diff)
	}
	return nil
}

func TestAFileThatIsCutOffIsRefusedWhereverItEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "backup")
	small := everything()[2:]
	write(t, path, small)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for length := range whole {
		if err := refused(t, whole[:length], small); !errors.Is(err, ErrDamaged) {
			t.Fatalf("%d of %d bytes: got %v", length, len(whole), err)
		}
	}
}

func TestAFileInWhichAByteIsAnotherIsRefusedOrMeansTheSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "backup")
	small := everything()[2:]
	write(t, path, small)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		changed := bytes.Clone(whole)
		changed[at] ^= 0x10
		err := refused(t, changed, small)
		version := err != nil && strings.Contains(err.Error(), "of the format") // where that is what was changed
		if err != nil && !errors.Is(err, ErrDamaged) && !version {              // some bits of a gzip stream mean nothing
			t.Fatalf("byte %d of %d: got %v", at, len(whole), err)
		}
	}
}

// zipped is a file with these lines.
func zipped(lines string) []byte {
	var file bytes.Buffer
	zip := gzip.NewWriter(&file)
	_, _ = zip.Write([]byte(lines))
	_ = zip.Close()
	return file.Bytes()
}

func TestWhatIsNoBackupIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "backup")
	write(t, path, everything())
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	zip, err := gzip.NewReader(bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	cases := map[string]struct {
		file []byte
		want string
	}{
		"nothing":                            {nil, "EOF"},
		"text":                               {[]byte("apiVersion: v1\nkind: Secret\n"), "invalid header"},
		"another gzip":                       {zipped("hello\n"), "does not begin as one"},
		"another version":                    {zipped(strings.Replace(lines[0], `"version":1`, `"version":2,"more":1`, 1)), "version 2 of the format, and this program knows 1"},
		"a header with more":                 {zipped(strings.Replace(lines[0], `"keys"`, `"more":1,"keys"`, 1)), "header is not readable"},
		"something after the file":           {append(bytes.Clone(whole), zipped("more\n")...), "something follows"},
		"something after the gzip stream":    {append(bytes.Clone(whole), "more"...), "something follows"},
		"a line too few":                     {zipped(strings.Join(append(lines[:2:2], lines[3:]...), "")), "it has 3 keys"},
		"lines in another order":             {zipped(lines[0] + lines[2] + lines[1]), "makes no sense"},
		"a line that is changed":             {zipped(lines[0] + strings.Replace(lines[1], "one", "two", 1) + lines[2]), "ends after 2 of 4"},
		"a key that is not base64":           {zipped(lines[0] + `{"key":"?","value":"","create":1,"mod":1,"version":1}` + "\n"), "not readable"},
		"a key without a name":               {zipped(lines[0] + `{"key":"","value":"","create":1,"mod":1,"version":1}` + "\n"), "makes no sense"},
		"a revision after the last":          {zipped(lines[0] + `{"key":"aaaa","value":"","create":1,"mod":101,"version":1}` + "\n"), "makes no sense"},
		"a key that is older than its birth": {zipped(lines[0] + `{"key":"aaaa","value":"","create":9,"mod":8,"version":1}` + "\n"), "makes no sense"},
		"a field that nobody knows":          {zipped(lines[0] + `{"key":"aaaa","value":"","create":1,"mod":8,"version":1,"more":1}` + "\n"), "not readable"},
		"two objects in a line":              {zipped(lines[0] + `{"key":"aaaa","value":"","create":1,"mod":8,"version":1}{}` + "\n"), "not readable"},
		"a line without end":                 {zipped(lines[0] + strings.Repeat("x", maxLineBytes+1<<20)), "more than"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := FromReader(t.Context(), bytes.NewReader(c.file), "damaged", nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestAFileThatChangesAfterItWasCheckedIsNoticed(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "backup"), filepath.Join(dir, "other")
	write(t, path, everything())
	write(t, other, everything()[:2])
	source, err := FromFile(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	content, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil { // the same file, in place
		t.Fatal(err)
	}
	if err := source.Each(t.Context(), func(KeyValue) error { return nil }); err == nil {
		t.Error("nobody noticed")
	}
}

func TestAFileAppearsWhenItIsComplete(t *testing.T) {
	path := filepath.Join(t.TempDir(), "backup")
	if err := os.WriteFile(path, []byte("the one before"), 0o644); err != nil {
		t.Fatal(err)
	}
	// What was killed has left this.
	if err := os.WriteFile(path+partialSuffix, []byte("a part that is longer than the whole will be"), 0o644); err != nil {
		t.Fatal(err)
	}
	want := everything()
	sink, err := ToFile(path, want.header())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ToFile(path, want.header()); err == nil || !strings.Contains(err.Error(), "another backup is being written") {
		t.Errorf("two at a time: %v", err)
	}
	if err := Copy(t.Context(), want, sink, nil); err != nil {
		t.Fatal(err)
	}
	if before, err := os.ReadFile(path); err != nil || string(before) != "the one before" {
		t.Errorf("before the commit: %q, %v", before, err)
	}
	if err := errors.Join(sink.Commit(t.Context()), sink.Close()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 600", info.Mode(), err)
	}
	if _, err := os.Stat(path + partialSuffix); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the partial file: %v", err)
	}
	if _, err := FromFile(t.Context(), path, nil); err != nil {
		t.Error(err)
	}
}

func TestWithoutACommitThereIsNoFile(t *testing.T) {
	dir := t.TempDir()
	sink, err := ToFile(filepath.Join(dir, "backup"), everything().header())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Copy(ctx, everything(), sink, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("there is %v, %v", left, err)
	}
}

func TestErrorsNameTheFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := FromFile(t.Context(), filepath.Join(dir, "none"), nil); err == nil || !strings.Contains(err.Error(), "none is not there") {
		t.Errorf("got %v", err)
	}
	if _, err := ToFile(filepath.Join(dir, "none", "backup"), Header{}); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "none")) {
		t.Errorf("got %v", err)
	}
}

func TestProgressCounts(t *testing.T) {
	var progress Progress
	sink, err := ToWriter(io.Discard, "nowhere", everything().header())
	if err != nil {
		t.Fatal(err)
	}
	if err := Copy(t.Context(), everything(), sink, &progress); err != nil {
		t.Fatal(err)
	}
	got := progress.Stage()
	var size int64
	for _, kv := range everything() {
		size += kv.bytes()
	}
	want := Stage{What: "Copying the keys of the contents in memory", Total: 4, Keys: 4, Bytes: size, Began: got.Began}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
