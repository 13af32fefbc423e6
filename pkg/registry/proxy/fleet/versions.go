package fleet

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strconv"
)

// versions are the versions of members, by name. A member that has said none, or one that is no
// number, is not in it.
//
// As the resourceVersion of a list, or of a bookmark, they are one decimal integer, since a
// client may compare versions as integers of any length (k8s.io/apimachinery, util/resourceversion).
// Its bytes, big endian:
//
//	1   the format, 1
//	4   CRC-32 of what follows
//	8   the sum of all versions: of the same members, a later one is the greater number
//	14  for each member, by hash: 6 bytes of SHA-256 of its name, and its version
//
// so it has about 34 digits for each member. It is longer than any version of a member itself
// (a uint64 has 20 digits), which is how they are told apart. Two members whose names have the
// same hash cannot both be in a fleet: see sorted.
type versions map[uint64]uint64

const (
	versionsFormat = 1
	versionsHead   = 1 + 4 + 8
	hashBytes      = 6
	perVersion     = hashBytes + 8
	// maxMembers bounds what is read of a number that somebody sends.
	maxMembers = 10_000
	// maxOwnDigits is how long the version of a member may be.
	maxOwnDigits = 20
)

func hash(member string) uint64 {
	sum := sha256.Sum256([]byte(member))
	return binary.BigEndian.Uint64(sum[:]) >> (64 - 8*hashBytes)
}

// parseVersion reads the version of one member; 0 if it is none that we can keep.
func parseVersion(text string) uint64 {
	version, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0
	}
	return version
}

func (v versions) bytes() []byte {
	var sum uint64
	for _, version := range v {
		sum += version
	}
	data := make([]byte, 5, versionsHead+perVersion*len(v))
	data[0] = versionsFormat
	data = binary.BigEndian.AppendUint64(data, sum)
	for _, h := range slices.Sorted(maps.Keys(v)) {
		data = binary.BigEndian.AppendUint16(data, uint16(h>>32))
		data = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(data, uint32(h)), v[h])
	}
	binary.BigEndian.PutUint32(data[1:], crc32.ChecksumIEEE(data[5:]))
	return data
}

// String is the resourceVersion.
func (v versions) String() string { return new(big.Int).SetBytes(v.bytes()).String() }

var errNoVersions = errors.New("it was not made by a list of the fleet")

func versionsOf(data []byte) (versions, error) {
	n := len(data) - versionsHead
	if n < 0 || n%perVersion != 0 || n/perVersion > maxMembers || data[0] != versionsFormat ||
		binary.BigEndian.Uint32(data[1:]) != crc32.ChecksumIEEE(data[5:]) {
		return nil, errNoVersions
	}
	v := versions{}
	for rest := data[versionsHead:]; len(rest) > 0; rest = rest[perVersion:] {
		h := uint64(binary.BigEndian.Uint16(rest))<<32 | uint64(binary.BigEndian.Uint32(rest[2:]))
		v[h] = binary.BigEndian.Uint64(rest[hashBytes:])
	}
	if !bytes.Equal(v.bytes(), data) {
		return nil, errNoVersions
	}
	return v, nil
}

// parseVersions reads a resourceVersion that a client sends. own is true for the version of a
// single member, which events of watches and objects have: it says nothing about the others.
func parseVersions(text string) (v versions, own bool, err error) {
	refused := func() error {
		return status(http.StatusBadRequest, fmt.Sprintf("resourceVersion: %.60q is no version: %v", text, errNoVersions))
	}
	if len(text) <= maxOwnDigits {
		if _, err := strconv.ParseUint(text, 10, 64); err != nil {
			return nil, false, refused()
		}
		return nil, true, nil
	}
	const digitsPerMember = 34
	if len(text) > (maxMembers+2)*digitsPerMember {
		return nil, false, refused()
	}
	number, valid := new(big.Int).SetString(text, 10)
	if !valid || number.Sign() <= 0 || text[0] < '1' || text[0] > '9' {
		return nil, false, refused()
	}
	if v, err = versionsOf(number.Bytes()); err != nil {
		return nil, false, refused()
	}
	return v, false, nil
}
