package fleet

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/url"
)

// continuation is what the token of a list says: where the list goes on, of the members that have
// more. It is no secret, and gives no right: it is a place in what its bearer may list anyway, and
// members check their own tokens. It is checked so that nonsense is refused with one sentence.
//
// On the wire it is base64url of DEFLATE of JSON, behind a CRC-32 of the JSON. Tokens of members are
// JSON in base64 themselves, mostly, and are kept decoded, so that DEFLATE finds what they
// have in common: some 40 bytes for a member are left.
type continuation struct {
	// About is a checksum of what is listed: a token is for its own list only.
	About uint32 `json:"a"`
	// Key and Cluster are of the last object that was answered.
	Key     string `json:"k"`
	Cluster string `json:"c"`
	// Versions of all members that were in the first answer, as bytes. Every answer has the same.
	Versions []byte `json:"v"`
	// Pending are the members that have more.
	Pending []pending `json:"p"`
	// Columns of a table, if not all members have the same.
	Columns []json.RawMessage `json:"t,omitempty"`
}

// pending is a member that has more.
type pending struct {
	Member string `json:"m"`
	// Token of the page in which the last object's place is: of what is left of that page, the
	// last object's key decides. Empty for the first page, which is then read at Version.
	Token string `json:"t,omitempty"`
	// Decoded: Token is what base64url decodes to.
	Decoded bool   `json:"d,omitempty"`
	Version uint64 `json:"v,omitempty"`
}

const (
	// maxTokenBytes bounds a token that a client sends; that of 1,000 members has some 60 KiB.
	maxTokenBytes = 1 << 20
	// maxMemberTokenBytes bounds that of one member: it holds one key, of 500 bytes at most.
	maxMemberTokenBytes = 2 << 10
	maxDecodedBytes     = maxMembers * maxMemberTokenBytes
)

// about is the checksum of what is listed.
func (q *query) about() uint32 {
	what := url.Values{"path": q.path, "form": {fmt.Sprint(q.form)}}
	for _, key := range []string{"labelSelector", "fieldSelector"} {
		what.Set(key, q.raw.Get(key))
	}
	return crc32.ChecksumIEEE([]byte(what.Encode()))
}

// token of a member, as it is kept.
func (p *pending) set(token string) {
	if data, err := base64.RawURLEncoding.DecodeString(token); err == nil && json.Valid(data) && base64.RawURLEncoding.EncodeToString(data) == token {
		p.Token, p.Decoded = string(data), true
		return
	}
	p.Token, p.Decoded = token, false
}

func (p *pending) token() string {
	if p.Decoded {
		return base64.RawURLEncoding.EncodeToString([]byte(p.Token))
	}
	return p.Token
}

func (c *continuation) encode() (string, error) {
	data, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	_ = binary.Write(&out, binary.BigEndian, crc32.ChecksumIEEE(data))
	squeezed, err := flate.NewWriter(&out, flate.DefaultCompression)
	if err != nil {
		return "", err
	}
	if _, err := squeezed.Write(data); err != nil {
		return "", err
	}
	if err := squeezed.Close(); err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(out.Bytes()), nil
}

// continued reads the token of a request.
func (q *query) continued() (*continuation, versions, error) {
	refused := status(http.StatusBadRequest, "continue: the token is not one that the fleet has made")
	if len(q.continuation) > maxTokenBytes {
		return nil, nil, refused
	}
	data, err := base64.RawURLEncoding.DecodeString(q.continuation)
	if err != nil || len(data) < 4 {
		return nil, nil, refused
	}
	sum := binary.BigEndian.Uint32(data)
	data, err = io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data[4:])), maxDecodedBytes))
	if err != nil || crc32.ChecksumIEEE(data) != sum {
		return nil, nil, refused
	}
	var c continuation
	if json.Unmarshal(data, &c) != nil {
		return nil, nil, refused
	}
	v, err := versionsOf(c.Versions)
	if err != nil {
		return nil, nil, refused
	}
	if c.About != q.about() {
		return nil, nil, status(http.StatusBadRequest, "continue: the token is of another list: path, selectors and form must be the same")
	}
	return &c, v, nil
}
