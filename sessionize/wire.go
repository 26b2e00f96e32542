package sessionize

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// field is one field of an encoded message.
type field struct {
	number protowire.Number
	kind   protowire.Type
	// value is a field's payload: the bytes of a string or message, without their length.
	value []byte
	// varint is its payload where kind is varint.
	varint uint64
}

// fields calls read for every field of an encoded message, in order.
func fields(message []byte, read func(field) error) error {
	for len(message) > 0 {
		var f field
		var n int
		f, n = nextField(message)
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		if err := read(f); err != nil {
			return fmt.Errorf("field %d: %w", f.number, err)
		}
	}
	return nil
}

// nextField reads the first field of message and how many bytes it takes; negative is an error of
// protowire.
func nextField(message []byte) (f field, size int) {
	var n int
	f.number, f.kind, size = protowire.ConsumeTag(message)
	if size < 0 {
		return f, size
	}
	switch f.kind {
	case protowire.VarintType:
		f.varint, n = protowire.ConsumeVarint(message[size:])
	case protowire.BytesType:
		f.value, n = protowire.ConsumeBytes(message[size:])
	default:
		n = protowire.ConsumeFieldValue(f.number, f.kind, message[size:])
	}
	if n < 0 {
		return f, n
	}
	return f, size + n
}

var (
	errWireType = errors.New("wrong wire type")
	// A message that comes twice would have to be merged; no producer of ours writes that.
	errRepeated = errors.New("given twice")
)

func (f field) bytes(to *[]byte) error {
	if f.kind != protowire.BytesType {
		return errWireType
	}
	*to = f.value
	return nil
}

func (f field) int64(to *int64) error {
	if f.kind != protowire.VarintType {
		return errWireType
	}
	*to = int64(f.varint)
	return nil
}

func (f field) int32(to *int32) error {
	if f.kind != protowire.VarintType {
		return errWireType
	}
	*to = int32(f.varint)
	return nil
}

// message takes a message whose fields up to last are all strings, and leaves it encoded.
func (f field) message(to *[]byte, last protowire.Number) error {
	if *to != nil {
		return errRepeated
	}
	if err := f.bytes(to); err != nil {
		return err
	}
	return fields(f.value, func(inner field) error {
		if inner.number <= last && inner.kind != protowire.BytesType {
			return errWireType
		}
		return nil
	})
}
