package sessionize

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"google.golang.org/protobuf/encoding/protowire"
)

var (
	errWireType = errors.New("wrong wire type")
	// A message that comes twice would have to be merged; no producer of ours writes that.
	errRepeated = errors.New("given twice")
)

// A tag is a field's number and its wire type. varintTag and bytesTag are the types that we read;
// a string or a message is bytes.
const (
	varintTag = uint64(protowire.VarintType)
	bytesTag  = uint64(protowire.BytesType)
	tagShift  = 3
	tagTypes  = 1<<tagShift - 1
)

// nextField reads the field that begins at an offset of an encoded message and says where it ends.
// number is a varint's value, or the length of bytes, which stand at the end; of another type it
// says nothing. A negative end is an error, see fieldError. It copies and allocates nothing.
func nextField(message []byte, at int) (tag, number uint64, end int) {
	tag = uint64(message[at])
	at++
	if tag >= 0x80 {
		if at < len(message) && message[at] < 0x80 {
			tag = tag&0x7f | uint64(message[at])<<7
			at++
		} else {
			var size int
			if tag, size = protowire.ConsumeVarint(message[at-1:]); size < 0 {
				return tag, 0, size
			}
			at += size - 1
		}
	}
	if tag <= tagTypes || tag>>tagShift > uint64(protowire.MaxValidNumber) {
		return tag, 0, badTag
	}
	if wire := tag & tagTypes; wire != varintTag && wire != bytesTag {
		size := protowire.ConsumeFieldValue(protowire.Number(tag>>tagShift), protowire.Type(wire),
			message[at:])
		if size >= 0 {
			size += at
		}
		return tag, 0, size
	}
	if at < len(message) && message[at] < 0x80 {
		number = uint64(message[at])
		at++
	} else {
		var size int
		if number, size = consumeLongVarint(message[at:]); size < 0 {
			return tag, 0, size
		}
		at += size
	}
	if tag&tagTypes == varintTag {
		return tag, number, at
	}
	if number > uint64(len(message)-at) {
		return tag, 0, cutShort
	}
	return tag, number, at + int(number)
}

// What nextField returns besides protowire's own codes, which are small.
const (
	cutShort = -1 // protowire's own
	badTag   = -100
)

// fieldError is the error of a negative end.
func fieldError(tag uint64, end int) error {
	if end == badTag {
		return fmt.Errorf("no field has the tag %d", tag)
	}
	return protowire.ParseError(end)
}

// scan goes over the fields of an encoded message:
//
//	for s.next() {
//		switch s.number { ... s.bytes(&to) ... }
//	}
//	return s.err
type scan struct {
	rest []byte // what is still to be read; nothing after an error
	// err is the first error; next is false after it.
	err error

	// The field that next read.
	number uint64
	kind   uint64 // varintTag, bytesTag, or another wire type
	value  []byte // the payload where kind is bytes: a string or message, without its length
	varint uint64 // the payload where kind is varint
}

// next reads one field more; false is the end of the message, or an error.
func (s *scan) next() bool {
	if len(s.rest) == 0 {
		return false
	}
	tag, number, end := nextField(s.rest, 0)
	if end < 0 {
		s.rest, s.err = nil, fieldError(tag, end)
		return false
	}
	s.number, s.kind = tag>>tagShift, tag&tagTypes
	s.varint = number
	if s.kind == bytesTag {
		s.value = s.rest[end-int(number) : end]
	}
	s.rest = s.rest[end:]
	return true
}

// consumeLongVarint is protowire.ConsumeVarint, with a way for up to eight bytes that does not
// branch.
func consumeLongVarint(from []byte) (value uint64, size int) {
	const more = 0x8080_8080_8080_8080
	if len(from) < 8 {
		return protowire.ConsumeVarint(from)
	}
	v := binary.LittleEndian.Uint64(from)
	ends := ^v & more
	if ends == 0 {
		return protowire.ConsumeVarint(from)
	}
	v &= (ends&-ends)<<1 - 1 // up to the first byte that says no more
	v &^= more
	// Eight times seven bits become four times fourteen, two times 28, and once 56.
	v = v&0x007f_007f_007f_007f | v>>1&0x3f80_3f80_3f80_3f80
	v = v&0x0000_3fff_0000_3fff | v>>2&0x0fff_c000_0fff_c000
	v = v&0x0000_0000_0fff_ffff | v>>4&0x00ff_ffff_f000_0000
	return v, bits.TrailingZeros64(ends)/8 + 1
}

// fail stops the scan with an error in the current field.
func (s *scan) fail(err error) { s.rest, s.err = nil, fmt.Errorf("field %d: %w", s.number, err) }

func (s *scan) is(kind uint64) bool {
	if s.kind != kind {
		s.fail(errWireType)
		return false
	}
	return true
}

func (s *scan) bytes(to *[]byte) {
	if s.is(bytesTag) {
		*to = s.value
	}
}

func (s *scan) int64(to *int64) {
	if s.is(varintTag) {
		*to = int64(s.varint)
	}
}

// inner is the field's own fields, where it is a message.
func (s *scan) inner() scan {
	if !s.is(bytesTag) {
		return scan{}
	}
	return scan{rest: s.value}
}

// checkStrings says what is wrong with a message whose fields up to last should all be strings.
func checkStrings(message []byte, last uint64) error {
	for at := 0; at < len(message); {
		tag, _, end := nextField(message, at)
		if end < 0 {
			return fieldError(tag, end)
		}
		if tag>>tagShift <= last && tag&tagTypes != bytesTag {
			return fmt.Errorf("field %d: %w", tag>>tagShift, errWireType)
		}
		at = end
	}
	return nil
}

// plain says whether an encoded message of strings is as the schema itself would write it: its
// fields in order, none of them unknown, empty or twice.
func plain(message []byte, last uint64) bool {
	before, size := uint64(0), 0
	for at := 0; at < len(message); {
		tag, length, end := nextField(message, at)
		if end < 0 || tag <= before || tag&tagTypes != bytesTag || tag>>tagShift > last {
			return false
		}
		size += sizeBytes(tag>>tagShift, int(length))
		before, at = tag, end
	}
	return size == len(message) // it is longer with an empty field, or a length written long
}

// appendTag appends a tag; those of numbers up to 15 take one byte.
func appendTag(to []byte, tag uint64) []byte {
	if tag < 0x80 {
		return append(to, byte(tag))
	}
	return append(to, byte(tag)|0x80, byte(tag>>7))
}

func sizeTag(number uint64) int { return 1 + int(number>>4) }

func sizeVarint(number, value uint64) int {
	if value == 0 {
		return 0
	}
	return sizeTag(number) + protowire.SizeVarint(value)
}

func appendVarint(to []byte, number, value uint64) []byte {
	if value == 0 {
		return to
	}
	to = appendTag(to, number<<tagShift|varintTag)
	if value < 0x80 {
		return append(to, byte(value))
	}
	return protowire.AppendVarint(to, value)
}

func appendBool(to []byte, number uint64, value bool) []byte {
	return appendVarint(to, number, protowire.EncodeBool(value))
}

func sizeBytes(number uint64, length int) int {
	if length == 0 {
		return 0
	}
	return sizeMessage(number, length)
}

func appendBytes(to []byte, number uint64, value []byte) []byte {
	if len(value) == 0 {
		return to
	}
	return append(appendHead(to, number, len(value)), value...)
}

func appendText(to []byte, number uint64, value string) []byte {
	if value == "" {
		return to
	}
	return append(appendHead(to, number, len(value)), value...)
}

// sizeMessage is the length of a message of a length, with its head; it is there where it is empty.
func sizeMessage(number uint64, length int) int {
	return sizeTag(number) + protowire.SizeBytes(length)
}

// appendHead appends what stands before a payload of a length.
func appendHead(to []byte, number uint64, length int) []byte {
	to = appendTag(to, number<<tagShift|bytesTag)
	if length < 0x80 {
		return append(to, byte(length))
	}
	return protowire.AppendVarint(to, uint64(length))
}
