package mux

import (
	"encoding/binary"
	"fmt"
)

// headerBytes is the length of a frame's header.
const headerBytes = 8

// Types of frames.
const (
	typeHello = iota
	typeOpen
	typeResult
	typeData
	typeFin
	typeReset
	typeCredit
	typeReturn
	typePing
	typePong
	typeDrain
	typeNews

	types
)

const (
	// flagStop of a FIN: its sender does not read any more.
	flagStop = 0x01
	// flagSkip lets a receiver that does not know a type go on.
	flagSkip = 0x80
)

const (
	maxData = 32 << 10
	maxJSON = 4 << 10
	maxText = 1 << 10
	maxNews = 16 << 10
)

// payloads are the bounds of types: bytes at least and at most, and whether they are of a stream.
var payloads = [types]struct {
	min, max int
	ofStream bool
}{
	typeHello:  {2, maxJSON, false},
	typeOpen:   {4, 4 + maxJSON, true},
	typeResult: {6, 6 + maxText, true},
	typeData:   {1, maxData, true},
	typeFin:    {0, 0, true},
	typeReset:  {2, 2 + maxText, true},
	typeCredit: {4, 4, true},
	typeReturn: {4, 4, true},
	typePing:   {0, 8, false},
	typePong:   {0, 8, false},
	typeDrain:  {2, maxJSON, false},
	typeNews:   {2, maxNews, false},
}

// header is that of a frame.
type header struct {
	kind, flags byte
	length      int
	stream      uint32
}

func parseHeader(b *[headerBytes]byte) header {
	return header{b[0], b[1], int(binary.BigEndian.Uint16(b[2:])), binary.BigEndian.Uint32(b[4:])}
}

func (h header) appendTo(dst []byte) []byte {
	dst = append(dst, h.kind, h.flags)
	dst = binary.BigEndian.AppendUint16(dst, uint16(h.length))
	return binary.BigEndian.AppendUint32(dst, h.stream)
}

// check says what is wrong with a header. known is false for a type that is to be skipped.
func (h header) check() (known bool, err error) {
	if h.kind >= types {
		if h.flags&flagSkip == 0 {
			return false, fmt.Errorf("a frame of the unknown type %d", h.kind)
		}
		return false, nil
	}
	p := payloads[h.kind]
	switch {
	case h.length < p.min || h.length > p.max:
		return true, fmt.Errorf("a frame of type %d with %d bytes: from %d to %d are allowed", h.kind, h.length, p.min, p.max)
	case p.ofStream != (h.stream != 0):
		return true, fmt.Errorf("a frame of type %d for the stream %d", h.kind, h.stream)
	}
	return true, nil
}

// appendFrame appends a frame whose payload is there already.
func appendFrame(dst []byte, kind, flags byte, stream uint32, payload []byte) []byte {
	dst = header{kind, flags, len(payload), stream}.appendTo(dst)
	return append(dst, payload...)
}

// appendNumber appends a frame with a payload of four bytes.
func appendNumber(dst []byte, kind byte, stream, n uint32) []byte {
	dst = header{kind, 0, 4, stream}.appendTo(dst)
	return binary.BigEndian.AppendUint32(dst, n)
}

// appendResult appends a RESULT.
func appendResult(dst []byte, stream uint32, code Code, window uint32, text string) []byte {
	text = shorten(text)
	dst = header{typeResult, 0, 6 + len(text), stream}.appendTo(dst)
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	dst = binary.BigEndian.AppendUint32(dst, window)
	return append(dst, text...)
}

// appendReset appends a RESET.
func appendReset(dst []byte, stream uint32, code Code, text string) []byte {
	text = shorten(text)
	dst = header{typeReset, 0, 2 + len(text), stream}.appendTo(dst)
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	return append(dst, text...)
}
