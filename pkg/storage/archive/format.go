package archive

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"
)

const (
	formatName    = "koinon-datastore"
	formatVersion = 1
	// maxLineBytes is more than any key and value take that a store can hold.
	maxLineBytes = 64 << 20
)

// Header is the first line of a file.
type Header struct {
	Format   string    `json:"format"`
	Version  int       `json:"version"`
	Revision int64     `json:"revision"`
	Keys     int64     `json:"keys"`
	Created  time.Time `json:"created"`
	Software string    `json:"software"`
	Source   string    `json:"source"`
}

// KeyValue is a key as it is at the revision of its source.
type KeyValue struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value"`
	// Created is the revision that created the key, Revision the one of this version.
	Created  int64 `json:"create"`
	Revision int64 `json:"mod"`
	// Version counts the versions since the key was created, from 1.
	Version int64 `json:"version"`
	// Lease is the lifetime that was asked for, in seconds; 0 means forever.
	Lease int64 `json:"lease,omitempty"`
}

// bytes is the size of key and value.
func (kv KeyValue) bytes() int64 { return int64(len(kv.Key) + len(kv.Value)) }

// trailer is the last line of a file.
type trailer struct {
	End    bool   `json:"end"`
	Keys   int64  `json:"keys"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// writer writes the lines.
type writer struct {
	zip     *gzip.Writer
	lines   *bufio.Writer
	encoder *json.Encoder
	sum     hash.Hash
	total   trailer
}

func newWriter(out io.Writer, header Header) (*writer, error) {
	header.Format, header.Version = formatName, formatVersion
	zip, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	w := &writer{zip: zip, sum: sha256.New(), total: trailer{End: true}}
	w.lines = bufio.NewWriterSize(io.MultiWriter(zip, w.sum), 256<<10)
	w.encoder = json.NewEncoder(w.lines)
	w.encoder.SetEscapeHTML(false)
	return w, w.encoder.Encode(header)
}

func (w *writer) add(kv KeyValue) error {
	if kv.Value == nil {
		kv.Value = []byte{}
	}
	w.total.Keys++
	w.total.Bytes += kv.bytes()
	return w.encoder.Encode(kv)
}

// finish writes the last line and ends the stream, but does not close what it is written to.
func (w *writer) finish() error {
	if err := w.lines.Flush(); err != nil {
		return err
	}
	w.total.SHA256 = hex.EncodeToString(w.sum.Sum(nil))
	line, err := json.Marshal(w.total)
	if err != nil {
		return err
	}
	if _, err := w.zip.Write(append(line, '\n')); err != nil {
		return err
	}
	return w.zip.Close()
}

// ErrDamaged is what a file is that is not as it was written.
var ErrDamaged = errors.New("it is cut off, was changed, or is no backup of a datastore")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w (%s)", ErrDamaged, fmt.Sprintf(format, args...))
}

// reader reads the lines and checks them.
type reader struct {
	header Header
	lines  *bufio.Reader
	sum    hash.Hash
	total  trailer
	last   int64
}

func newReader(in io.Reader) (*reader, error) {
	zip, err := gzip.NewReader(in)
	if err != nil {
		return nil, damaged("%v", err)
	}
	r := &reader{lines: bufio.NewReaderSize(zip, 256<<10), sum: sha256.New(), total: trailer{End: true}}
	line, err := r.line()
	if err != nil {
		return nil, err
	}
	// The format comes first: another version may have other fields.
	var kind struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
	}
	if err := json.Unmarshal(line, &kind); err != nil || kind.Format != formatName {
		return nil, damaged("it does not begin as one")
	}
	if kind.Version != formatVersion {
		return nil, fmt.Errorf("it has version %d of the format, and this program knows %d: use the release that wrote it, or a newer one", kind.Version, formatVersion)
	}
	if err := strictly(line, &r.header); err != nil {
		return nil, damaged("its header is not readable")
	}
	r.sum.Write(line)
	return r, nil
}

// line returns the next line with its end.
func (r *reader) line() ([]byte, error) {
	var line []byte
	for {
		part, err := r.lines.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line, nil
		case errors.Is(err, bufio.ErrBufferFull) && len(line) <= maxLineBytes:
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, damaged("a line has more than %d bytes", maxLineBytes)
		case errors.Is(err, io.EOF):
			return nil, damaged("it ends after %d of %d keys", r.total.Keys, r.header.Keys)
		default:
			return nil, damaged("%v after %d of %d keys", err, r.total.Keys, r.header.Keys)
		}
	}
}

// strictly takes a line that has the fields of into and no others.
func strictly(line []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if decoder.InputOffset() != int64(len(line))-1 {
		return errors.New("something follows the object")
	}
	return nil
}

// next returns the next key, or io.EOF when all of the file was read and is as it was
// written.
func (r *reader) next() (KeyValue, error) {
	line, err := r.line()
	if err != nil {
		return KeyValue{}, err
	}
	if bytes.HasPrefix(line, []byte(`{"end":`)) {
		return KeyValue{}, r.end(line)
	}
	var kv KeyValue
	if err := strictly(line, &kv); err != nil {
		return KeyValue{}, damaged("the line of key %d is not readable", r.total.Keys+1)
	}
	if len(kv.Key) == 0 || kv.Revision <= r.last || kv.Revision > r.header.Revision || kv.Created < 1 || kv.Created > kv.Revision || kv.Version < 1 || kv.Lease < 0 {
		return KeyValue{}, damaged("the line of key %d makes no sense", r.total.Keys+1)
	}
	r.sum.Write(line)
	r.last = kv.Revision
	r.total.Keys++
	r.total.Bytes += kv.bytes()
	return kv, nil
}

// end checks the last line, and that it is the last.
func (r *reader) end(line []byte) error {
	var said trailer
	if err := strictly(line, &said); err != nil {
		return damaged("its last line is not readable")
	}
	r.total.SHA256 = hex.EncodeToString(r.sum.Sum(nil))
	if said != r.total || said.Keys != r.header.Keys {
		return damaged("it has %d keys and %d bytes with the checksum %.12s…, and should have %d and %d with %.12s…",
			r.total.Keys, r.total.Bytes, r.total.SHA256, said.Keys, said.Bytes, said.SHA256)
	}
	if _, err := r.lines.ReadByte(); !errors.Is(err, io.EOF) {
		return damaged("something follows its last line")
	}
	return io.EOF
}
