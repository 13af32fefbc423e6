package storagetest

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
)

// MySQL's protocol, as far as the proxy has to follow it. A packet is a header of four
// bytes, the length of what follows (3 bytes, little-endian) and a sequence number, and the
// payload; one of the greatest length is continued by the next. A client sends a command in
// one packet and waits for the answer: for a query that is an OK, an error, or a result set,
// and again as long as the status flag "more results" is set.

// Commands: the first byte of a client's packet.
const (
	comQuit         = 0x01
	comQuery        = 0x03
	comStmtPrepare  = 0x16
	comStmtExecute  = 0x17
	comStmtLongData = 0x18
	comStmtClose    = 0x19
)

// Capabilities that change what is in an answer.
const (
	capabilityMySQL             = 1 << 0
	capabilityTLS               = 1 << 11
	capabilityCompress          = 1 << 5
	capabilityDeprecateEOF      = 1 << 24
	extendedCacheMetadata       = 1 << 4
	statusMoreResults           = 0x0008
	maxPayload                  = 1<<24 - 1
	headerBytes                 = 4
	markOK                 byte = 0x00
	markEOF                byte = 0xfe
	markError              byte = 0xff
)

// readPacket reads a packet with all that continues it: the bytes as they came, and the
// payload.
func readPacket(from io.Reader) (raw, payload []byte, err error) {
	for {
		var header [headerBytes]byte
		if _, err := io.ReadFull(from, header[:]); err != nil {
			return nil, nil, err
		}
		length := int(header[0]) | int(header[1])<<8 | int(header[2])<<16
		begin := len(raw) + headerBytes
		raw = append(raw, header[:]...)
		raw = append(raw, make([]byte, length)...)
		if _, err := io.ReadFull(from, raw[begin:]); err != nil {
			return nil, nil, err
		}
		payload = append(payload, raw[begin:]...)
		if length < maxPayload {
			return raw, payload, nil
		}
	}
}

// capabilities are what a client asked for in its answer to the server's greeting.
func capabilities(payload []byte) (flags, extended uint32, err error) {
	if len(payload) < 32 {
		return 0, 0, fmt.Errorf("a greeting is answered with %d bytes", len(payload))
	}
	flags = binary.LittleEndian.Uint32(payload)
	if flags&capabilityMySQL == 0 { // then MariaDB's own flags are where MySQL has zeros
		extended = binary.LittleEndian.Uint32(payload[28:])
	}
	if flags&(capabilityTLS|capabilityCompress) != 0 {
		return 0, 0, fmt.Errorf("the proxy can follow neither TLS nor compression")
	}
	return flags, extended, nil
}

// conversation follows one connection after its handshake.
type conversation struct {
	deprecateEOF, cacheMetadata bool

	// mu guards the rest: both directions look at it.
	mu sync.Mutex
	// text is the statement of the command that is being answered.
	text string
	// statements are those that were prepared.
	statements map[uint32]string
	answer     answer
}

// answer is how far the answer to a command is.
type answer struct {
	command byte
	stage   stage
	// definitions is how many packets are left of column and parameter definitions.
	definitions int
	// ended says that the client has all of it.
	ended bool
}

type stage int

const (
	stageFirst stage = iota
	stageDefinitions
	stageRows
)

// command notes what a client asks, and returns the text of its statement.
func (c *conversation) command(payload []byte) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text = ""
	if len(payload) == 0 {
		return ""
	}
	switch payload[0] {
	case comQuery, comStmtPrepare:
		c.text = string(payload[1:])
	case comStmtExecute:
		if len(payload) >= 5 {
			c.text = c.statements[binary.LittleEndian.Uint32(payload[1:])]
		}
	case comStmtClose, comStmtLongData, comQuit:
		return "" // the server does not answer
	}
	c.answer = answer{command: payload[0]}
	return c.text
}

// answered takes a packet of the server and says whether it is the last of the answer.
func (c *conversation) answered(payload []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := &c.answer
	if len(payload) == 0 || a.ended {
		return false
	}
	switch a.stage {
	case stageFirst:
		c.first(payload)
	case stageDefinitions:
		if a.definitions--; a.definitions == 0 {
			a.stage = stageRows
			a.ended = a.command == comStmtPrepare
		}
	case stageRows:
		switch {
		case payload[0] == markError:
			a.ended = true
		case payload[0] == markEOF && len(payload) < maxPayload && (c.deprecateEOF || len(payload) < 9):
			a.stage = stageFirst
			a.ended = !c.moreResults(payload)
		}
	}
	return a.ended
}

// first takes the first packet of an answer, or of a further result.
func (c *conversation) first(payload []byte) {
	a := &c.answer
	switch {
	case payload[0] == markError:
		a.ended = true
	case a.command == comStmtPrepare && payload[0] == markOK && len(payload) >= 9:
		c.prepared(payload)
	case payload[0] == markOK:
		a.ended = !c.moreResults(payload)
	default:
		columns, rest := lengthEncoded(payload)
		a.definitions, a.stage = int(columns), stageDefinitions
		if !c.deprecateEOF {
			a.definitions++
		}
		if c.cacheMetadata && len(rest) > 0 && rest[0] == 0 {
			a.stage = stageRows // the client has them from an earlier execution
		}
	}
}

func (c *conversation) prepared(payload []byte) {
	a := &c.answer
	if c.statements == nil {
		c.statements = map[uint32]string{}
	}
	c.statements[binary.LittleEndian.Uint32(payload[1:])] = c.text
	for _, at := range []int{5, 7} { // columns, parameters
		if n := int(binary.LittleEndian.Uint16(payload[at:])); n > 0 {
			a.definitions += n
			if !c.deprecateEOF {
				a.definitions++
			}
		}
	}
	a.stage, a.ended = stageDefinitions, a.definitions == 0
}

// moreResults reads the status flags of an OK, or of the EOF after rows.
func (c *conversation) moreResults(payload []byte) bool {
	rest := payload[1:]
	if payload[0] == markEOF && !c.deprecateEOF {
		rest = rest[min(2, len(rest)):] // the number of warnings
	} else {
		_, rest = lengthEncoded(rest) // affected rows
		_, rest = lengthEncoded(rest) // last insert id
	}
	return len(rest) >= 2 && binary.LittleEndian.Uint16(rest)&statusMoreResults != 0
}

// lengthEncoded reads MySQL's integers of variable length.
func lengthEncoded(from []byte) (uint64, []byte) {
	if len(from) == 0 {
		return 0, nil
	}
	size := map[byte]int{0xfc: 2, 0xfd: 3, 0xfe: 8}[from[0]]
	if size == 0 {
		return uint64(from[0]), from[1:]
	}
	var whole [8]byte
	copy(whole[:], from[1:min(1+size, len(from))])
	return binary.LittleEndian.Uint64(whole[:]), from[min(1+size, len(from)):]
}

// greets reports whether a server's packet ends a successful handshake.
func greets(payload []byte) bool { return len(payload) > 0 && payload[0] == markOK }

// matches reports whether a statement is one that a fault waits for.
func matches(text string, patterns []string) bool {
	for _, pattern := range patterns {
		if !strings.Contains(text, pattern) {
			return false
		}
	}
	return text != ""
}

// reset closes a connection so that the other end gets a reset, as from a host that died.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
