package book

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strings"
)

const (
	magic   = "koinon-ipam"
	version = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode returns the file's contents.
func encode(w written) ([]byte, error) {
	body, err := json.MarshalIndent(w, "", " ")
	if err != nil {
		return nil, err
	}
	head := fmt.Sprintf("%s %d ", magic, version)
	return fmt.Appendf(nil, "%s%08x\n%s\n", head, sum(head, body), body), nil
}

// decode is its reverse. A newer version is believed to be one only if its checksum is right, so that a flipped bit is not taken for it.
func decode(data []byte) (written, error) {
	line, body, _ := bytes.Cut(data, []byte("\n"))
	var (
		name  string
		of    int
		check uint32
		w     written
	)
	if _, err := fmt.Sscanf(string(line), "%s %d %08x", &name, &of, &check); err != nil || name != magic {
		return w, fmt.Errorf("%w: %.40q is no first line of it", ErrDamaged, line)
	}
	head := string(line[:strings.LastIndexByte(string(line), ' ')+1])
	if got := sum(head, bytes.TrimSuffix(body, []byte("\n"))); got != check {
		return w, fmt.Errorf("%w: the checksum is %08x, and not %08x", ErrDamaged, got, check)
	}
	if of > version {
		return w, fmt.Errorf("%w: the format is %d, and this one knows %d", ErrNewer, of, version)
	}
	if err := json.Unmarshal(body, &w); err != nil {
		return written{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return w, nil
}

func sum(head string, body []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte(head), castagnoli), castagnoli, body)
}
