package sessionize

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

var (
	errWireType = errors.New("wrong wire type")
	// A message that comes twice would have to be merged; no producer of ours writes that.
	errRepeated = errors.New("given twice")
)

// scan goes over the fields of an encoded message without copying or allocating:
//
//	for s.next() {
//		switch s.number { ... s.bytes(&to) ... }
//	}
//	return s.err
type scan struct {
	rest []byte // what is still to be read
	// err is the first error; next is false after it.
	err error

	// The field that next read.
	number protowire.Number
	kind   protowire.Type
	value  []byte // the payload where kind is bytes: a string or message, without its length
	varint uint64 // the payload where kind is varint
}

// next reads one field more; false is the end of the message, or an error.
func (s *scan) next() bool {
	if s.err != nil || len(s.rest) == 0 {
		return false
	}
	tag, size := consumeVarint(s.rest)
	if size < 0 {
		return s.stop(size)
	}
	if s.number, s.kind = protowire.DecodeTag(tag); s.number < protowire.MinValidNumber {
		s.err = fmt.Errorf("no field has the tag %d", tag)
		return false
	}
	rest := s.rest[size:]
	switch s.kind {
	case protowire.VarintType:
		s.varint, size = consumeVarint(rest)
	case protowire.BytesType:
		s.value, size = consumeBytes(rest)
	default:
		size = protowire.ConsumeFieldValue(s.number, s.kind, rest)
	}
	if size < 0 {
		return s.stop(size)
	}
	s.rest = rest[size:]
	return true
}

func (s *scan) stop(size int) bool {
	s.err = protowire.ParseError(size)
	return false
}

// consumeVarint is protowire.ConsumeVarint, with a short way for the one byte that most take.
func consumeVarint(from []byte) (value uint64, size int) {
	if len(from) > 0 && from[0] < 0x80 {
		return uint64(from[0]), 1
	}
	return protowire.ConsumeVarint(from)
}

// consumeBytes is protowire.ConsumeBytes on top of consumeVarint.
func consumeBytes(from []byte) (value []byte, size int) {
	length, size := consumeVarint(from)
	if size < 0 {
		return nil, size
	}
	if length > uint64(len(from)-size) {
		_, size = protowire.ConsumeBytes(from) // for its error
		return nil, size
	}
	return from[size:][:length], size + int(length)
}

// fail stops the scan with an error in the current field.
func (s *scan) fail(err error) { s.err = fmt.Errorf("field %d: %w", s.number, err) }

func (s *scan) is(kind protowire.Type) bool {
	if s.kind != kind {
		s.fail(errWireType)
		return false
	}
	return true
}

func (s *scan) bytes(to *[]byte) {
	if s.is(protowire.BytesType) {
		*to = s.value
	}
}

func (s *scan) int64(to *int64) {
	if s.is(protowire.VarintType) {
		*to = int64(s.varint)
	}
}

func (s *scan) int32(to *int32) {
	if s.is(protowire.VarintType) {
		*to = int32(s.varint)
	}
}

// message takes a message whose fields up to last are all strings, and leaves it encoded.
func (s *scan) message(to *[]byte, last protowire.Number) {
	if *to != nil {
		s.fail(errRepeated)
		return
	}
	s.bytes(to)
	if s.err != nil {
		return
	}
	inner := scan{rest: s.value}
	for inner.next() {
		if inner.number <= last {
			inner.is(protowire.BytesType)
		}
	}
	if inner.err != nil {
		s.fail(inner.err)
	}
}
